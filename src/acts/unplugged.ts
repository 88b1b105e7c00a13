import { addressOf, deviceOf, isSameVolume } from '../core/lock-state.ts'
import type { DomainRecord, RecordedVolume } from '../core/record.ts'
import { stillHere } from '../core/release.ts'
import type { Change } from '../core/start.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { carryOut } from './changes.ts'
import { releaseIdlePools } from './idle-pools.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, openVolumes } from '../lvm/lvm.ts'
import type { Replace } from '../state/record-store.ts'
import type { VgLocks } from '../state/vg-lock.ts'
import { rewrite } from './drive-record.ts'

/**
 * Deactivates what was taken out of a running domain, unless somebody has it open (R4). QEMU itself may still be
 * closing it.
 * @returns what is neither active nor locked here any more, and is off the record
 */
export async function releaseUnplugged(
  unplugged: readonly RecordedVolume[],
  record: DomainRecord,
  replace: Replace,
  locks: VgLocks,
): Promise<RecordedVolume[]> {
  if (unplugged.length === 0) return []
  const devices = activeVolumes()
  // It may have another name by now (R14).
  const present = (volume: RecordedVolume): VolumeName => deviceOf(volume, devices) ?? volume
  const open = await openVolumes(unplugged.map(present), devices)
  const isAsked = (volume: RecordedVolume): boolean => unplugged.some((each) => isSameVolume(each, volume))
  const idle = record.volumes.filter((volume) => isAsked(volume) && !open.has(fullName(present(volume))))
  if (idle.length === 0) return []
  const changes = idle.map(
    (volume): Change => ({
      vg: volume.vg,
      lv: volume.lv,
      to: 'inactive',
      reason: 'it is not plugged in any more',
      ...addressOf(volume, devices),
    }),
  )
  await carryOut(changes, locks, 'go-on')
  const left = stillHere(idle, await lockState(), activeVolumes())
  const gone = idle.filter((volume) => !left.includes(volume))
  // A pool that stays locked keeps its volume on record.
  const bound = await releaseIdlePools(gone, locks, record.domain.uuid)
  const released = gone.filter((volume) => !bound.includes(volume))
  if (released.length > 0)
    rewrite(replace, { ...record, volumes: record.volumes.filter((volume) => !released.includes(volume)) })
  return released
}
