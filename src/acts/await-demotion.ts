import type { LogicalVolume } from '../core/lock-state.ts'
import type { Lease } from '../sanlock/commands.ts'

/** What waiting needs of the world; tests bring their own. */
export interface WaitWorld {
  readonly leaseOf: (volume: LogicalVolume) => Promise<Lease | undefined>
  readonly pause: (milliseconds: number) => Promise<void>
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
}

/** What came of the wait; awaitDemotion says what each means. */
export type Waited =
  | { readonly kind: 'free'; readonly sharers: ReadonlyMap<LogicalVolume, readonly number[]> }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'held'; readonly volume: LogicalVolume }

/** Milliseconds between two looks at a lease: a look costs about 10 ms and takes no lock. */
export const LOOK_PAUSE = 100

/**
 * Waits until nobody holds any of the volumes exclusively, by reading their leases. A trial with lvchange would hold
 * this host's VG lock for five seconds (FACTS 21). Migrations in the other direction could not get it.
 * @param limit milliseconds; 0 looks once
 * @returns `free` with the host_ids that share each; `held` with the first volume that still is; `unreadable` where a
 *   lease cannot be read (dlm)
 */
export async function awaitDemotion(
  volumes: readonly LogicalVolume[],
  limit: number,
  { leaseOf, pause, now }: WaitWorld,
): Promise<Waited> {
  const end = now() + limit
  const sharers = new Map<LogicalVolume, readonly number[]>()
  for (const volume of volumes) {
    for (;;) {
      const lease = await leaseOf(volume)
      if (lease === undefined) return { kind: 'unreadable' }
      sharers.set(volume, lease.shared)
      if (lease.exclusive === undefined) break
      if (now() + LOOK_PAUSE > end) return { kind: 'held', volume }
      await pause(LOOK_PAUSE)
    }
  }
  return { kind: 'free', sharers }
}
