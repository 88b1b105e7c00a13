import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Coverage, coverageLines } from './coverage.ts'
import { play, scheduleOf } from './play.ts'
import { SEQUENCES, type SequenceName } from './sequences.ts'
import { smaller } from './smaller.ts'
import { type WaitCounts, countWaits, waitCounts } from './waits.ts'

const RUN = fileURLToPath(new URL('../run.mjs', import.meta.url))

/** What came of many schedules. */
interface Summary {
  readonly count: number
  readonly steps: number
  /** Seconds of processors. */
  readonly cpu: number
  /** What was reached, how often. */
  readonly reached: Readonly<Record<string, number>>
  /** Seeds that break a rule, by the rule and how it was broken. */
  readonly found: Readonly<Record<string, readonly number[]>>
  /** Sums of what was reached in each schedule, and how it went on: how many are different. */
  readonly kinds: readonly number[]
  /** Empty unless they were to be counted. */
  readonly waits: WaitCounts
}

/**
 * `npm run simulate -- [--from N] [--seeds COUNT] [--jobs COUNT]`: plays schedules, by so many processes at once, and
 * names the rules that they break, with their seeds. `--waits`: also the waits of the product, and those in which
 * nobody was ever killed. `--coverage` (in one process): what of each file of the product was run.
 * `--focus NAME`: one sequence of sequences.ts again and again. `--seed N`: tells the story of one, made smaller if it
 * breaks a rule (`--whole`: as it is). `--digest`, `--digests`: sums of the stories.
 */
export async function main(words: readonly string[]): Promise<number> {
  const numberAfter = (option: string, otherwise: number): number => {
    const at = words.indexOf(option)
    return at < 0 ? otherwise : Number(words[at + 1])
  }
  const name = words.includes('--focus') ? words[words.indexOf('--focus') + 1] : undefined
  const focus = Object.keys(SEQUENCES).find((each): each is SequenceName => each === name)
  if (name !== undefined && focus === undefined) throw new Error(`no such sequence: ${name}`)
  if (words.includes('--seed')) {
    const schedule = scheduleOf(numberAfter('--seed', 1), focus)
    const result = await play(schedule, true)
    const told =
      result.violation === undefined || words.includes('--whole')
        ? { schedule, result }
        : await smaller(schedule, result)
    print(JSON.stringify({ ...told.schedule }))
    print(told.result.story.join('\n'))
    return result.violation === undefined ? 0 : 1
  }
  const [from, count] = [numberAfter('--from', 1), numberAfter('--seeds', 1000)]
  if (words.includes('--digest') || words.includes('--digests')) {
    const sums: string[] = []
    for (let seed = from; seed < from + count; seed++)
      sums.push(
        createHash('sha256')
          .update((await play(scheduleOf(seed), true)).story.join('\n'))
          .digest('hex'),
      )
    if (words.includes('--digests')) print(sums.map((sum, index) => `${from + index} ${sum}`).join('\n'))
    else print(`${count} stories ${createHash('sha256').update(sums.join()).digest('hex')}`)
    return 0
  }
  const [jobs, step] = [numberAfter('--jobs', 1), numberAfter('--step', 1)]
  const began = Date.now()
  const coverage = words.includes('--coverage') ? new Coverage<{ readonly playAll: typeof playAll }>() : undefined
  const playThem = (await coverage?.start())?.playAll ?? playAll
  const isWaits = words.includes('--waits')
  if (isWaits) countWaits()
  const summary =
    jobs > 1 ? await byProcesses(from, count, jobs, isWaits, focus) : await playThem(from, count, step, focus)
  if (words.includes('--json')) print(JSON.stringify(summary))
  else tell(summary, (Date.now() - began) / 1000)
  if (coverage !== undefined) for (const line of coverageLines(await coverage.take())) print(line)
  return Object.keys(summary.found).length === 0 ? 0 : 1
}

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** Plays them in this process, one after the other. */
export async function playAll(from: number, count: number, step: number, focus?: SequenceName): Promise<Summary> {
  const before = process.cpuUsage()
  const reached: Record<string, number> = {}
  const found: Record<string, number[]> = {}
  const kinds = new Set<number>()
  let steps = 0
  let played = 0
  for (let seed = from; seed < from + count; seed += step) {
    const result = await play(scheduleOf(seed, focus))
    played++
    steps += result.steps
    kinds.add(result.kind)
    for (const [what, times] of result.reached) reached[what] = (reached[what] ?? 0) + times
    if (result.violation === undefined) continue
    const { rule, text } = result.violation
    const key = `${rule}: ${text.replace(/host\d/g, 'HOST').slice(0, 200)}`
    found[key] = [...(found[key] ?? []), seed]
  }
  const { user, system } = process.cpuUsage(before)
  return { count: played, steps, cpu: (user + system) / 1e6, reached, found, kinds: [...kinds], waits: waitCounts() }
}

/** Each plays every so manieth seed: what a seed tells does not depend on who plays it. */
async function byProcesses(
  from: number,
  count: number,
  jobs: number,
  isWaits: boolean,
  focus: SequenceName | undefined,
): Promise<Summary> {
  const parts = await Promise.all(
    Array.from({ length: jobs }, async (_, index) => {
      const words = ['--from', from + index, '--seeds', count - index, '--step', jobs, '--json'].map(String)
      if (isWaits) words.push('--waits')
      if (focus !== undefined) words.push('--focus', focus)
      // What a schedule leaves behind is garbage soon: it needs no second look.
      const node = ['--max-semi-space-size=64', RUN, 'simulation/cli.ts', ...words]
      const { stdout } = await promisify(execFile)(process.execPath, node, { maxBuffer: 1e9 }).catch(
        (error: { readonly stdout?: string }) => {
          // It ends with 1 where a rule is broken.
          if (error.stdout?.startsWith('{') !== true) throw error
          return { stdout: error.stdout }
        },
      )
      return JSON.parse(stdout) as Summary
    }),
  )
  const reached: Record<string, number> = {}
  const found: Record<string, readonly number[]> = {}
  const waits: Record<string, readonly [number, number]> = {}
  for (const part of parts) {
    for (const [where, [begun, killed]] of Object.entries(part.waits)) {
      const [before, killedBefore] = waits[where] ?? [0, 0]
      waits[where] = [before + begun, killedBefore + killed]
    }
    for (const [what, times] of Object.entries(part.reached)) reached[what] = (reached[what] ?? 0) + times
    for (const [what, seeds] of Object.entries(part.found))
      found[what] = [...(found[what] ?? []), ...seeds].sort((a, b) => a - b)
  }
  const sum = (of: (part: Summary) => number): number => parts.reduce((total, part) => total + of(part), 0)
  return {
    count: sum((part) => part.count),
    steps: sum((part) => part.steps),
    cpu: sum((part) => part.cpu),
    reached,
    found,
    kinds: [...new Set(parts.flatMap((part) => part.kinds))],
    waits,
  }
}

function tell({ count, steps, cpu, reached, found, kinds, waits }: Summary, seconds: number): void {
  print(
    `${count} schedules, ${kinds.length} different, ${steps} steps, ${seconds.toFixed(1)} s: ${(count / seconds).toFixed(1)} schedules a second, ${(count / cpu).toFixed(1)} a second of a processor`,
  )
  print(
    Object.entries(reached)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, times]) => `${what}: ${times}`)
      .join(', '),
  )
  for (const [what, seeds] of Object.entries(found).sort((a, b) => b[1].length - a[1].length))
    print(`${seeds.length} × ${what}   (seeds ${seeds.slice(0, 8).join(' ')})`)
  const all = Object.entries(waits).sort(([, [a]], [, [b]]) => b - a)
  const never = all.filter(([, [, killed]]) => killed === 0)
  if (all.length > 0)
    print(`${all.length} waits, ${all.length - never.length} of them with somebody killed in it; never:`)
  for (const [where, [begun]] of never) print(`${String(begun).padStart(8)} times  ${where}`)
}
