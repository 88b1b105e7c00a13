import { createHash } from 'node:crypto'
import { play, scheduleOf } from './play.ts'
import { smaller } from './smaller.ts'

/**
 * `npm run simulate -- [--from N] [--seeds COUNT]`: plays schedules, and names the rules that they break, with their
 * seeds.
 * `--seed N`: tells the story of one, made smaller if it breaks a rule (`--whole`: as it is). `--digest`, `--digests`:
 * sums of the stories.
 */
export async function main(words: readonly string[]): Promise<number> {
  const numberAfter = (option: string, otherwise: number): number => {
    const at = words.indexOf(option)
    return at < 0 ? otherwise : Number(words[at + 1])
  }
  const print = (line: string): void => void process.stdout.write(`${line}\n`)
  if (words.includes('--seed')) {
    const schedule = scheduleOf(numberAfter('--seed', 1))
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
  const began = Date.now()
  const cpu = process.cpuUsage()
  const reached = new Map<string, number>()
  const found = new Map<string, number[]>()
  let steps = 0
  for (let seed = from; seed < from + count; seed++) {
    const result = await play(scheduleOf(seed))
    steps += result.steps
    for (const [what, times] of result.reached) reached.set(what, (reached.get(what) ?? 0) + times)
    if (result.violation === undefined) continue
    const { rule, text } = result.violation
    const key = `${rule}: ${text.replace(/host\d/g, 'HOST').slice(0, 200)}`
    found.set(key, [...(found.get(key) ?? []), seed])
  }
  const seconds = (Date.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpu)
  print(
    `${count} schedules, ${steps} steps, ${seconds.toFixed(1)} s: ${(count / seconds).toFixed(1)} schedules a second, ${(count / ((user + system) / 1e6)).toFixed(1)} a second of CPU`,
  )
  print(
    [...reached]
      .sort()
      .map(([what, times]) => `${what}: ${times}`)
      .join(', '),
  )
  for (const [what, seeds] of [...found].sort((a, b) => b[1].length - a[1].length))
    print(`${seeds.length} × ${what}   (seeds ${seeds.slice(0, 8).join(' ')})`)
  return found.size === 0 ? 0 : 1
}
