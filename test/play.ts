import { afterAll, beforeAll, beforeEach, describe, test } from 'vitest'
import type { Ring, Scenario } from './ring.ts'

/**
 * Plays scenarios on a ring, each a test under its own name.
 * @param unavailable why the ring cannot run on this machine; its scenarios are then skipped by name
 */
export function playAll<R extends Ring>(
  title: string,
  unavailable: string | undefined,
  open: () => Promise<R>,
  scenarios: readonly Scenario[],
  kind: Ring['kind'],
): void {
  describe.skipIf(unavailable !== undefined)(unavailable === undefined ? title : `${title}: ${unavailable}`, () => {
    let ring: R
    beforeAll(async () => {
      ring = await open()
    })
    afterAll(async () => {
      await ring?.close()
    })
    beforeEach(async () => {
      await ring.reset()
    })
    for (const { name, not, play } of scenarios) {
      const reason = not?.[kind]
      test.skipIf(reason !== undefined)(
        reason === undefined ? name : `${name} (not here: ${reason})`,
        { timeout: 300_000 },
        async () => play(ring),
      )
    }
  })
}
