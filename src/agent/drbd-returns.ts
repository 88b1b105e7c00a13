import type { Line } from '../core/agent-words.ts'
import { type Confirmation, noLongerOff } from '../core/drbd.ts'
import type { SeenPeer } from '../drbd/events.ts'

/** What the end of a confirmation needs of the world; tests bring their own. */
export interface ReturnsWorld {
  readonly confirmations: () => readonly Confirmation[]
  /** Each peer that was seen in the next seconds, however briefly; undefined: nobody can say. */
  readonly seen: () => Promise<readonly SeenPeer[] | undefined>
  readonly drop: (over: readonly Confirmation[]) => void
  readonly tell: (line: Line) => void
}

/**
 * Ends a confirmation whose peer was seen, even if only for a moment between two passes: both sides have talked, so the
 * peer was not off. It follows DRBD as long as anything is confirmed. On a host without confirmations it asks nothing.
 */
export class DrbdReturns {
  readonly #world: ReturnsWorld
  #isAtWork = false

  constructor(world: ReturnsWorld) {
    this.#world = world
  }

  /** Called once a pass; ends when nothing is confirmed any more. Never throws. */
  async follow(): Promise<void> {
    if (this.#isAtWork) return
    this.#isAtWork = true
    const { confirmations, seen, drop, tell } = this.#world
    try {
      for (let before = confirmations(); before.length > 0; before = confirmations()) {
        const peers = await seen()
        if (peers === undefined) return
        // If a confirmation was given again in the meantime, the new one stays.
        const now = confirmations()
        const over = before.filter(
          (each) =>
            peers.some(({ resource, peer }) => resource === each.resource && peer === each.peer) &&
            now.some(({ resource, peer, at }) => resource === each.resource && peer === each.peer && at === each.at),
        )
        drop(over)
        for (const each of over) tell({ priority: 5, text: noLongerOff(each) })
      }
    } catch {
      // The next pass tries again.
    } finally {
      this.#isAtWork = false
    }
  }
}
