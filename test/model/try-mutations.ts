import { CHOICES, OPENING_COUNT, play } from './explore.ts'
import { MUTATIONS } from './mutations.ts'
export async function main(words: string[]): Promise<number> {
const n = Number(words[0] ?? 1000)
for (const m of MUTATIONS) {
  const kinds = new Map<string, string>()
  const count = new Map<string, number>()
  const t = Date.now()
  for (let seed = 1; seed <= n; seed++) {
  let x = seed * 2654435761 >>> 0 || 1
  const rnd = (): number => { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; return x }
  for (let i = 0; i < 10; i++) rnd()
  const layout = rnd() % 5, opening = rnd() % OPENING_COUNT
  const without = rnd() % 3 === 0 ? 0 : rnd() & rnd()
  const choices = Array.from({ length: 10 + rnd() % 60 }, () => rnd() % CHOICES)
  const r = play({ layout, opening, without, choices }, m.decisions, m.tolerated)
  if (r.violation) {
    count.set(r.violation.rule, (count.get(r.violation.rule) ?? 0) + 1)
    if (!kinds.has(r.violation.rule)) kinds.set(r.violation.rule, `first ${seed} ${r.violation.text}`)
  }
 }
 console.log(m.name, Date.now() - t, 'ms', kinds, count)
}
return 0
}
