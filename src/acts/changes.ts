import type { Address } from '../core/lock-state.ts'
import type { Change } from '../core/start.ts'
import type { Target } from '../lvm/lvchange.ts'
import { bringTo } from '../lvm/lvm.ts'
import type { CommandResult } from '../system/run.ts'
import type { VgLocks } from '../state/vg-lock.ts'

/**
 * Volumes that one lvchange takes to one state: those of one VG, so that the VG's own lock covers the command (R11).
 */
export interface Batch {
  readonly vg: string
  readonly to: Target
  readonly changes: readonly Change[]
  /** What its command names. */
  readonly addresses: readonly Address[]
}

const ORDER: readonly Target[] = ['exclusive', 'shared', 'local', 'inactive']

/** How a change's command names its volume. */
const addressed = ({ vg, lv, now = { vg, lv } }: Change): Address => now

/**
 * Groups changes into as few commands as possible: one for each VG and state. Exclusive comes first, because that is
 * what may fail. Volumes that are named by UUID get a command of their own.
 */
export function batchesOf(changes: readonly Change[]): Batch[] {
  const vgs = [...new Set(changes.map(({ vg }) => vg))].sort()
  return ORDER.flatMap((to) =>
    vgs.flatMap((vg) =>
      [false, true].flatMap((byUuid) => {
        const own = changes.filter(
          (change) => change.to === to && change.vg === vg && 'uuid' in addressed(change) === byUuid,
        )
        return own.length === 0 ? [] : [{ vg, to, changes: own, addresses: own.map(addressed) }]
      }),
    ),
  )
}

/** What came of carrying out changes: which were tried, and the first command that failed. */
export interface CarriedOut {
  readonly attempted: readonly Change[]
  readonly failed: CommandResult | undefined
}

/**
 * Carries changes out, one lvchange a batch. Stops at the first that fails, unless told to go on.
 * @param locks must hold the lock of every VG among them
 * @throws Error if one is not held
 */
export async function carryOut(
  changes: readonly Change[],
  locks: VgLocks,
  onFailure: 'stop' | 'go-on' = 'stop',
): Promise<CarriedOut> {
  const attempted: Change[] = []
  let failed: CommandResult | undefined
  for (const { vg, to, changes: batch, addresses } of batchesOf(changes)) {
    const descriptor = locks.descriptors.get(vg)
    if (descriptor === undefined) throw new Error(`the lock of ${vg} is not held`)
    attempted.push(...batch)
    const outcome = await bringTo(to, addresses, descriptor)
    if (outcome.exitCode === 0) continue
    failed ??= outcome
    if (onFailure === 'stop') break
  }
  return { attempted, failed }
}
