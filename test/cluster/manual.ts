/**
 * What a section of README.md tells a person to type, as data. A block of commands follows a line that names where it
 * is typed:
 *
 *     On node1:              (or node2, both hosts, your own machine)
 *
 *         a command
 *         # what it prints; … stands for what differs
 *
 * If that line says `refused`, the last command of the block must fail.
 */
/** The section that is played on two bare nodes; image.sh looks for it too. */
export const heading = '## From two bare hosts to the first protected VM'

export type Where = 'node1' | 'node2' | 'both hosts' | 'your own machine'

export interface Step {
  readonly where: Where
  readonly command: string
  /** Lines that it prints, in this order, with others between them. */
  readonly prints: readonly string[]
  readonly refused: boolean
  /** The line of README.md, from 1. */
  readonly line: number
}

interface Typed extends Step {
  /** That of its block. */
  readonly block: number
}

/**
 * The commands of the section with this heading, in order. @throws a block that does not say where it is typed, a
 * heading that is not there
 */
export function stepsOf(manual: string, heading: string): Step[] {
  const lines = manual.split('\n')
  const begin = lines.indexOf(heading)
  if (begin < 0) throw new Error(`README.md has no heading '${heading}'`)
  const end = lines.findIndex((line, at) => at > begin && line.startsWith('## '))
  const steps: Typed[] = []
  let block = 0
  let said = ''
  let inBlock = false
  let open = false
  for (const [offset, line] of lines.slice(begin + 1, end < 0 ? undefined : end).entries()) {
    const at = begin + 2 + offset
    const text = /^ {4}(.*)$/.exec(line)?.[1]
    if (text === undefined) {
      if (inBlock && line !== '') inBlock = false
      if (!inBlock && line !== '') said = line
      continue
    }
    if (!inBlock) block++
    inBlock = true
    const last = steps.at(-1)
    if (text.startsWith('# ')) {
      if (last === undefined) throw new Error(`README.md:${at}: output of no command`)
      steps[steps.length - 1] = { ...last, prints: [...last.prints, text.slice(2)] }
    } else if (open && last !== undefined) {
      steps[steps.length - 1] = { ...last, command: `${last.command}\n${text}` }
      open = text.endsWith('\\')
    } else {
      const where = /\bOn (node1|node2|both hosts|your own machine)\b.*:$/i.exec(said)?.[1]?.toLowerCase()
      if (where === undefined)
        throw new Error(`README.md:${at}: the line before the block does not say where it is typed: ${said}`)
      steps.push({
        where: where as Where,
        command: text,
        prints: [],
        refused: / is refused/.test(said),
        line: at,
        block,
      })
      open = text.endsWith('\\')
    }
  }
  return steps.map(({ block: its, ...step }, at) => ({
    ...step,
    refused: step.refused && steps[at + 1]?.block !== its,
  }))
}

/** The first line of `wanted` that `printed` lacks, or undefined. `…` in a line stands for anything. */
export function missingLine(printed: string, wanted: readonly string[]): string | undefined {
  const lines = printed.split('\n')
  let from = 0
  for (const line of wanted) {
    const pattern = new RegExp(`^\\s*${line.trim().split('…').map(literal).join('.*')}\\s*$`)
    const at = lines.findIndex((one, index) => index >= from && pattern.test(one))
    if (at < 0) return line
    from = at + 1
  }
  return undefined
}

/** Runs of blanks count as one: tables differ in them. */
function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/ +/g, ' +')
}
