import { CHOICES, OPENING_COUNT, play } from './explore.ts'
import { MUTATIONS } from './mutations.ts'
import { MOVE_KINDS } from './faults.ts'
export async function main(words: string[]): Promise<number> {
const n = Number(words[1] ?? 1000)
const m = MUTATIONS.find(({ name }) => name.includes(words[0] ?? ''))!
const mask = m.only.length === 0 ? 0 : MOVE_KINDS.reduce((mask, kind, index) => (m.only.includes(kind) ? mask : mask | (1 << index)), 0)
  const t = Date.now()
  let count = 0
  for (let seed = 1; seed <= n; seed++) {
  let x = seed * 2654435761 >>> 0 || 1
  const rnd = (): number => { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; return x }
  for (let i = 0; i < 10; i++) rnd()
  const layout = words[2] ? Number(words[2]) : rnd() % 5, opening = words[3] ? Number(words[3]): rnd() % OPENING_COUNT
  const choices = Array.from({ length: 10 + rnd() % 60 }, () => rnd() % CHOICES)
  const r = play({ layout, opening, without: mask, choices }, m.decisions, m.tolerated)
  if (r.violation && count++ < 2) console.log(seed, layout, opening, r.violation, play({ layout, opening, without: mask, choices }, m.decisions, m.tolerated, true).trace.join('\n'))
 }
 console.log(m.name, Date.now() - t, 'ms', count)
return 0
}
