import type { LockState } from '../core/lock-state.ts'
import { idlePools } from '../core/relatives.ts'
import type { RecordedVolume } from '../core/record.ts'
import { isPoolInUse } from '../lvm/devices.ts'
import { lockState } from '../lvm/lvm.ts'
import { readRecords } from '../state/record-store.ts'
import type { VgLocks } from '../state/vg-lock.ts'
import { carryOut } from './changes.ts'

/**
 * Gives back the pools of thin and VDO volumes that have just been deactivated. Only pools that came up with these
 * volumes, and that nothing else uses. Runs no command if there is no such volume.
 * @param locks must hold the lock of every VG among them
 * @returns those of the volumes whose pool stays locked all the same
 */
export async function releaseIdlePools(
  volumes: readonly RecordedVolume[],
  locks: VgLocks,
  domainUuid: string,
): Promise<RecordedVolume[]> {
  if (!volumes.some(({ pool }) => pool?.before === 'inactive')) return []
  const idle = (state: LockState) => idlePools(volumes, state, readRecords(), domainUuid, isPoolInUse)
  const pools = idle(await lockState())
  if (pools.length === 0) return []
  await carryOut(
    pools.map(({ vg, lv, lock }) => ({
      vg,
      lv,
      to: 'inactive',
      reason: 'the last of its volumes has been released',
      now: { vg, uuid: lock },
    })),
    locks,
    'go-on',
  )
  const left = idle(await lockState()).map(({ lock }) => lock)
  return volumes.filter(({ ids }) => ids !== undefined && left.includes(ids.lock))
}
