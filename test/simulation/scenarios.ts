import { SCENARIOS } from '../scenarios/all.ts'
import type { LvmVersion } from '../simulated/cluster.ts'
import { EngineRing } from './ring.ts'

export const VERSIONS: readonly LvmVersion[] = ['2.03.16', '2.03.31', '2.03.33']

/** How the result of a scenario is called. */
export const keyOf = (lvm: LvmVersion, name: string): string => `${lvm} ${name}`

/**
 * `node test/run.mjs simulation/scenarios.ts`: plays the scenarios of the rings in simulated worlds, and prints what has
 * come of each: null, or what went wrong. In a program of its own, where the product's modules are one file: to load one
 * takes real time, which nobody here waits for.
 */
export async function main(): Promise<number> {
  const results: Record<string, string | null> = {}
  for (const lvm of VERSIONS)
    for (const { name, not, play } of SCENARIOS) {
      if (not?.simulated !== undefined) continue
      const ring = new EngineRing(lvm)
      await ring.reset()
      results[keyOf(lvm, name)] = await play(ring).then(
        () => null,
        (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
      )
    }
  process.stdout.write(`${JSON.stringify(results)}\n`)
  return 0
}
