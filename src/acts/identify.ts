import type { RecordedVolume } from '../core/record.ts'
import { type Device, type LockState, type VolumeTable, NO_VOLUMES, deviceOf } from '../core/lock-state.ts'
import { withTold } from '../core/start.ts'
import { fullName } from '../core/volume.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, volumeTable } from '../lvm/lvm.ts'

/**
 * Adds UUIDs, and the pool, to volumes that have none: of a record that a crash cut short, or of the XML. lvs is asked
 * once for all. Where it is silent, or tells of another volume that has this name by now, the device counts.
 * @returns gives volumes among them their UUIDs, and leaves out those of which nothing is left (isGone)
 */
export async function uuidsFor(
  all: readonly RecordedVolume[],
): Promise<(volumes: readonly RecordedVolume[]) => RecordedVolume[]> {
  const unknown = all.filter(({ ids }) => ids === undefined)
  if (unknown.length === 0) return (volumes) => [...volumes]
  const table = await volumeTable(unknown)
  const facts = { locks: await lockState(), devices: activeVolumes() }
  return (volumes) =>
    volumes.flatMap((volume) =>
      volume.ids === undefined && isGone(volume, table, facts) ? [] : [withTold(volume, table ?? NO_VOLUMES, facts)],
    )
}

/**
 * Whether nothing is left to give back of a volume without UUIDs: it has no device, and either lvs knows its VG, and no
 * such LV, or no lock of its VG can be held here.
 */
function isGone(
  volume: RecordedVolume,
  table: VolumeTable | undefined,
  { locks, devices }: { readonly locks: LockState; readonly devices: readonly Device[] },
): boolean {
  const name = fullName(volume)
  if (deviceOf(volume, devices) !== undefined || table?.volumes.has(name) === true) return false
  const isUnlocked = locks.kind === 'known' && (locks.locks.size === 0 || !locks.lockspaces.has(volume.vg))
  const isKnown =
    table !== undefined &&
    !table.missingVgs.has(volume.vg) &&
    !table.lockedOutVgs.has(volume.vg) &&
    !table.unexplained.has(name)
  return isUnlocked || isKnown
}
