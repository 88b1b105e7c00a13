import { type Device, NO_VOLUMES, type VolumeTable, deviceOf } from '../core/lock-state.ts'
import { type RecordedVolume, type Records, onAnyRecord } from '../core/record.ts'
import { volumeTable } from '../lvm/lvm.ts'

/**
 * What lvs tells of volumes that are on record without their UUIDs: a start that was killed has left them so, or an
 * earlier version. Those of the VGs of a start are asked for: one may be a snapshot with which the volume of this start
 * came up. So is what an earlier life of the domain has left, active or not. lvs is not asked where there are none.
 */
export async function toldOf(
  { records, devices }: { readonly records: Records; readonly devices: readonly Device[] },
  recorded: readonly RecordedVolume[],
  leftovers: readonly RecordedVolume[] = [],
): Promise<VolumeTable> {
  const beside = onAnyRecord(records).filter(
    (volume) =>
      deviceOf(volume, devices) !== undefined && recorded.some(({ vg, lv }) => vg === volume.vg && lv !== volume.lv),
  )
  const untold = [...beside, ...leftovers].filter(({ ids, mode }) => ids === undefined && mode !== 'local')
  return untold.length === 0 ? NO_VOLUMES : ((await volumeTable(untold)) ?? NO_VOLUMES)
}
