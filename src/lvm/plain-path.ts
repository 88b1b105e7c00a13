import { readFileSync, readlinkSync, realpathSync, statSync } from '../system/files.ts'
import { dirname, join, normalize } from 'node:path'
import { meaningOfMapperName, meaningOfPath } from '../core/volume.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { namesIn } from '../system/quiet-files.ts'
import { vgUuidOfDevice } from './stacks.ts'
import { isErrno } from '../system/error-message.ts'

/**
 * Whether the text of a path alone tells what it is.
 * - `plain`: it does (core/volume.ts). Either /dev/VG/LV with LVM's own link, to an LV that stands right on disks; or
 *   there is nothing at that path;
 * - `file`: a regular file, which is no LV;
 * - `unclear`: anything else, to be followed link by link (lvm/paths.ts).
 */
export function clarityOf(path: string): 'plain' | 'file' | 'unclear' {
  if (!path.startsWith('/')) return 'plain'
  const meaning = meaningOfPath(path)
  const link = linkOf(path)
  if (meaning.kind === 'volume' && !path.includes('..')) {
    const node = /^\.\.\/(dm-\d+)$/.exec(link)?.[1]
    return link === 'absent' ||
      (node !== undefined &&
        isNamedByLvm(node, meaning.vg, normalize(path).startsWith('/dev/mapper/')) &&
        !standsOnOtherVg(node))
      ? 'plain'
      : 'unclear'
  }
  if (normalize(path).startsWith('/dev/')) return 'unclear'
  const real = realPath(path)
  if (real === undefined && link !== 'absent') return 'unclear'
  // A folder on the way may be a link into /dev.
  if ((real ?? `${realPath(dirname(path)) ?? ''}/`).startsWith(onHost('/dev/'))) return 'unclear'
  try {
    return real === undefined ? 'plain' : statSync(real).isFile() ? 'file' : 'unclear'
  } catch {
    return 'unclear'
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(onHost(path))
  } catch {
    return undefined
  }
}

/** A name under /dev/mapper, or in a folder of /dev, need not be LVM's: a rule of udev's can give it to any device. */
function isNamedByLvm(node: string, vg: string, isMapped: boolean): boolean {
  try {
    if (!readFileSync(join(BLOCK_FOLDER, node, 'dm/uuid'), 'utf8').startsWith('LVM-')) return false
    const meaning = isMapped
      ? undefined
      : meaningOfMapperName(readFileSync(join(BLOCK_FOLDER, node, 'dm/name'), 'utf8').trim())
    return meaning === undefined || meaning.kind === 'other' || meaning.vg === vg
  } catch {
    // There is no such device. The link is a leftover, and only its name counts.
    return !isMapped
  }
}

/** Whether anything else than LVM's own layers and disks is below an LV: then what it stands on is looked up. */
const standsOnOtherVg = (node: string): boolean => {
  const own = vgUuidOfDevice(node)
  const waiting = [node]
  for (let device = waiting.pop(); device !== undefined; device = waiting.pop())
    for (const slave of namesIn(join(BLOCK_FOLDER, device, 'slaves'))) {
      if (vgUuidOfDevice(slave) === own) waiting.push(slave)
      else if (/^(dm-|md|loop|bcache|drbd)/.test(slave)) return true
    }
  return false
}

/** Where a link leads; `absent` if nothing is there; empty for anything else. */
function linkOf(path: string): string {
  try {
    return readlinkSync(onHost(path))
  } catch (error) {
    return isErrno(error, 'EINVAL') ? '' : 'absent'
  }
}
