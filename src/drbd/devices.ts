import { readdirSync, realpathSync } from 'node:fs'
import { basename, join } from 'node:path'
import { deviceOf } from '../lvm/stacks.ts'
import { BLOCK_FOLDER, onHost } from '../paths.ts'

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The kernel's name of a DRBD device is its minor's, whatever links udev makes. */
const minorOf = (name: string): number[] => (/^drbd\d+$/.test(name) ? [Number(name.slice('drbd'.length))] : [])

/** The minors of all DRBD devices of this host, from /sys: none on a host without DRBD, at the cost of one look. */
export const drbdMinors = (): number[] => namesIn(BLOCK_FOLDER).flatMap(minorOf)

/** The minors of the DRBD devices that a block device, by the kernel's name, stands on, or is, through any number of layers (/sys/block/N/slaves). */
export function minorsBelow(name: string): number[] {
  const found = new Set<number>()
  const seen = new Set<string>()
  const waiting = [name]
  for (let device = waiting.pop(); device !== undefined; device = waiting.pop()) {
    if (seen.has(device)) continue
    seen.add(device)
    for (const minor of minorOf(device)) found.add(minor)
    waiting.push(...namesIn(join(BLOCK_FOLDER, device, 'slaves')))
  }
  return [...found]
}

/**
 * The same of a PV, by its path. A disk that DRBD itself uses counts as well: LVM sees the same PV on it where global_filter does not leave it
 * out (FACTS 37).
 * @returns undefined if there is no such device
 */
export function minorsOfPv(path: string): number[] | undefined {
  const device = deviceOf(path) ?? deviceOf(realPath(path))
  if (device === undefined) return undefined
  const holders = [join(BLOCK_FOLDER, device, 'holders'), join(BLOCK_FOLDER, device, basename(realPath(path)), 'holders')]
  return [...new Set([...minorsBelow(device), ...holders.flatMap(namesIn).flatMap(minorOf)])]
}

function realPath(path: string): string {
  try {
    return realpathSync.native(onHost(path)).slice(onHost('').length)
  } catch {
    return path
  }
}
