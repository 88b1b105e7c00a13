import { SCENARIOS } from '../scenarios/all.ts'
import { EngineRing } from './ring.ts'

/**
 * `node test/run.mjs simulation/scenarios.ts`: plays the scenarios of the rings in a simulated world, and prints what
 * has come of each, by its name: null, or what went wrong. In a program of its own, where the product's modules are one
 * file: to load one takes real time, which nobody here waits for.
 */
export async function main(): Promise<number> {
  const results: Record<string, string | null> = {}
  for (const { name, not, play } of SCENARIOS) {
    if (not?.simulated !== undefined) continue
    const ring = new EngineRing()
    await ring.reset()
    results[name] = await play(ring).then(
      () => null,
      (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
    )
  }
  process.stdout.write(`${JSON.stringify(results)}\n`)
  return 0
}
