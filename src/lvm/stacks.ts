import { existsSync, readlinkSync, statSync } from '../system/files.ts'
import { basename, dirname, join } from 'node:path'
import { type PathMeaning, meaningOfMapperName } from '../core/volume.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { namesIn, trimmedTextOf } from '../system/quiet-files.ts'

/** An LV on which a device stands: by the name that device-mapper has for it. */
export interface VolumeBelow {
  readonly meaning: PathMeaning
  /** The device right on the LV, such as `dm-5`. */
  readonly holder: string
  /** Of a partition that kpartx has mapped: that device's name, such as `virtVG-tintin1`. */
  readonly partition: string | undefined
}

/**
 * The LVs on which a block device stands, through any number of layers: LUKS, kpartx, multipath, md, bcache
 * (/sys/block/N/slaves), loop devices. Of an LV only LVs of other VGs count: its own VG may have LVs as PVs, as a
 * guest's own VG has, which the host sees where no global_filter hides it. Empty for a device that stands on none.
 * @param path as /dev has it, no link
 * @param follow what another path comes to: that of a loop device's file
 */
export const volumesBelow = (
  path: string,
  follow: (path: string) => PathMeaning | { readonly kind: string },
): VolumeBelow[] => volumesBelowDevice(deviceAt(path), follow)

/** The same of a device. @param start by the kernel's name; undefined: there is none */
export function volumesBelowDevice(
  start: string | undefined,
  follow: (path: string) => PathMeaning | { readonly kind: string },
): VolumeBelow[] {
  const own = start === undefined ? undefined : vgUuidOfDevice(start)
  const found: VolumeBelow[] = []
  const seen = new Set<string>()
  const waiting = start === undefined ? [] : [start]
  for (let device = waiting.pop(); device !== undefined; device = waiting.pop()) {
    if (seen.has(device)) continue
    seen.add(device)
    const file = trimmedTextOf(join(BLOCK_FOLDER, device, 'loop/backing_file'))
    const behind = file === undefined ? undefined : follow(file)
    if (behind?.kind === 'volume') found.push({ meaning: behind as PathMeaning, holder: device, partition: undefined })
    else if (file !== undefined) {
      // A loop device on a block device that is no LV may stand on one all the same: LUKS.
      const below = deviceAt(file)
      if (below !== undefined) waiting.push(below)
    }
    for (const slave of namesIn(join(BLOCK_FOLDER, device, 'slaves'))) {
      const vg = vgUuidOfDevice(slave)
      // What LVM itself puts below an LV is that LV.
      if (vg === undefined || vg === own) waiting.push(diskOf(slave) ?? slave)
      else
        found.push({
          meaning: meaningOfMapperName(trimmedTextOf(join(BLOCK_FOLDER, slave, 'dm/name')) ?? ''),
          holder: device,
          partition: partitionAt(device),
        })
    }
  }
  return found
}

/**
 * The VG of an LV's device, or of one of LVM's own layers below it: `LVM-`, and the 32 characters of the VG's UUID
 * (FACTS 30). Undefined for any other device.
 */
export function vgUuidOfDevice(device: string): string | undefined {
  const uuid = trimmedTextOf(join(BLOCK_FOLDER, device, 'dm/uuid')) ?? ''
  return uuid.startsWith('LVM-') ? uuid.slice(0, 'LVM-'.length + 32) : undefined
}

/**
 * These block devices, by the kernel's names, and all that they stand on, through any number of layers
 * (/sys/block/N/slaves); of a partition its disk.
 */
export function devicesBelow(devices: readonly string[]): string[] {
  const found = new Set<string>()
  const waiting = [...devices]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const device = diskOf(name) ?? name
    if (found.has(device)) continue
    found.add(device)
    waiting.push(...namesIn(join(BLOCK_FOLDER, device, 'slaves')))
  }
  return [...found]
}

/** The whole disk behind a node of /dev, by the kernel's name. */
export function deviceAt(path: string): string | undefined {
  // In another folder the name may be anybody's.
  const byName = dirname(path) === '/dev' ? diskOf(basename(path)) : undefined
  if (byName !== undefined) return byName
  try {
    const { rdev } = statSync(onHost(path))
    // makedev(3) of glibc.
    const number = `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`
    return diskOf(basename(readlinkSync(onHost(`/sys/dev/block/${number}`))))
  } catch {
    return undefined
  }
}

/** A disk itself; of a partition (sda1, md0p1) the disk that it is on. */
const diskOf = (name: string): string | undefined =>
  [name, name.replace(/p?\d+$/, '')].find((each) => each !== '' && existsSync(join(BLOCK_FOLDER, each)))

const partitionAt = (device: string): string | undefined =>
  /^part\d+-LVM-/.test(trimmedTextOf(join(BLOCK_FOLDER, device, 'dm/uuid')) ?? '')
    ? trimmedTextOf(join(BLOCK_FOLDER, device, 'dm/name'))
    : undefined
