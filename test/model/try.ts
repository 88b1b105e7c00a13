import { CHOICES, OPENING_COUNT, play } from './explore.ts'
import { PRODUCT } from './decisions.ts'
export async function main(words: string[]): Promise<number> {
const n = Number(words[0] ?? 1000), seed0 = Number(words[1] ?? 1)
let steps = 0, contested = 0
const kinds = new Map<string, number>()
const t = Date.now()
const reached = new Map<string, number>()
const first = new Map<string, number>()
for (let seed = seed0; seed < seed0 + n; seed++) {
  let x = seed * 2654435761 >>> 0 || 1
  const rnd = (): number => { x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0; return x }
  for (let i = 0; i < 10; i++) rnd()
  const layout = rnd() % 5, opening = rnd() % OPENING_COUNT
  const without = rnd() % 3 === 0 ? 0 : rnd() & rnd()
  const choices = Array.from({ length: 10 + rnd() % 60 }, () => rnd() % CHOICES)
  const r = play({ layout, opening, without, choices }, PRODUCT)
  for (const [k, v] of r.reached) reached.set(k, (reached.get(k) ?? 0) + v)
  steps += r.steps; if (r.isContested) contested++
  if (r.violation) {
    const key = r.violation.rule
    kinds.set(key, (kinds.get(key) ?? 0) + 1)
    if (!first.has(key)) { first.set(key, seed); const again = play({ layout, opening, without, choices }, PRODUCT, [], true); console.log(seed, layout, opening, r.violation, '\n' + again.trace.join('\n')) }
  }
}
console.log(n, 'schedules', steps, 'steps', Date.now() - t, 'ms', 'contested', contested, [...kinds], reached)
return 0
}
