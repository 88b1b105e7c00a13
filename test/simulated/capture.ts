/** A command of a capture, with what the real tool said. */
export interface Step {
  /** The `# …` line above it. */
  readonly section: string
  readonly host: 1 | 2
  readonly command: string
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
  readonly code: number
}

// What `time` adds, and what LVM says of this one machine: no thin_check there, device-mapper switched off.
const NOISE = /^$|^(?:real|user|sys)\t|thin_check|Activation disabled/

/**
 * Reads `$ command`, `stdout: …`, `stderr: …`, `rc=N` as in test/captures; other lines are leftovers of the session.
 */
export function parseCapture(text: string): Step[] {
  const steps: Step[] = []
  let section = ''
  let open: { host: 1 | 2; command: string; stdout: string[]; stderr: string[] } | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) section = line.slice(2)
    if (line.startsWith('$ ')) open = { ...commandOf(line.slice(2)), stdout: [], stderr: [] }
    const [, stream, said = ''] = /^(stdout|stderr): ?(.*)$/.exec(line) ?? []
    if (open !== undefined && !NOISE.test(said)) {
      if (stream === 'stdout') open.stdout.push(said)
      if (stream === 'stderr') open.stderr.push(said)
    }
    const code = /^rc=(\d+)$/.exec(line)?.[1]
    if (open === undefined || code === undefined) continue
    steps.push({ section, ...open, code: Number(code) })
    open = undefined
  }
  return steps
}

function commandOf(line: string): { host: 1 | 2; command: string } {
  const remote = /^ssh node2 '(.*)'$/.exec(line)?.[1]
  return remote === undefined ? { host: 1, command: line.replace(/^time /, '') } : { host: 2, command: remote }
}

/** Splits a command line as a shell does, as far as the captures need it. */
export const wordsOf = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word)
