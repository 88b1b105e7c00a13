import { realpathSync } from '../system/files.ts'
import { basename, join } from 'node:path'
import { activeVolumes } from '../lvm/devices.ts'
import { deviceAt, devicesBelow } from '../lvm/stacks.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { namesIn } from '../system/quiet-files.ts'

/** The kernel names a DRBD device by its minor, whatever links udev makes. */
const minorOf = (name: string): number[] => (/^drbd\d+$/.test(name) ? [Number(name.slice('drbd'.length))] : [])

/** The minors of all DRBD devices of this host, from /sys: none on a host without DRBD, at the cost of one look. */
export const drbdMinors = (): number[] => namesIn(BLOCK_FOLDER).flatMap(minorOf)

/** The minors of the DRBD devices that a block device, by the kernel's name, stands on, or is. */
export const minorsBelow = (name: string): number[] => devicesBelow([name]).flatMap(minorOf)

/**
 * The same of each VG that has an active volume here. A VG that stands on no DRBD device is left out. From /sys alone:
 * where the locking of a VG is started, the LV with its leases is active.
 */
export function minorsOfVgs(): Map<string, number[]> {
  const below = new Map<string, number[]>()
  for (const { vg, node } of drbdMinors().length === 0 ? [] : activeVolumes()) {
    const minors = minorsBelow(node)
    if (minors.length > 0) below.set(vg, [...new Set([...(below.get(vg) ?? []), ...minors])])
  }
  return below
}

/**
 * The same of a PV, by its path. A disk that DRBD itself uses counts as well: LVM sees the same PV on it where
 * global_filter does not leave it out (FACTS 37).
 * @returns undefined if there is no such device
 */
export function minorsOfPv(path: string): number[] | undefined {
  const device = deviceAt(path) ?? deviceAt(realPath(path))
  if (device === undefined) return undefined
  const holders = [
    join(BLOCK_FOLDER, device, 'holders'),
    join(BLOCK_FOLDER, device, basename(realPath(path)), 'holders'),
  ]
  return [...new Set([...minorsBelow(device), ...holders.flatMap(namesIn).flatMap(minorOf)])]
}

function realPath(path: string): string {
  try {
    return realpathSync(onHost(path)).slice(onHost('').length)
  } catch {
    return path
  }
}
