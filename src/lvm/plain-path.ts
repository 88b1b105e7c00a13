import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { meaningOfPath } from '../core/volume.ts'
import { BLOCK_FOLDER, onHost } from '../paths.ts'

/**
 * How much there is to a path.
 * - `plain`: its text says all (core/volume.ts): /dev/VG/LV with LVM's own link there, or nothing; or there is nothing at all;
 * - `file`: a regular file, which is no LV;
 * - `unclear`: anything else, to be followed link by link (lvm/paths.ts).
 */
export function clarityOf(path: string): 'plain' | 'file' | 'unclear' {
  if (!path.startsWith('/')) return 'plain'
  const meaning = meaningOfPath(path)
  const link = linkOf(path)
  if (meaning.kind === 'volume' && !path.includes('..')) {
    const node = /^\.\.\/(dm-\d+)$/.exec(link)?.[1]
    // A name under /dev/mapper need not be LVM's.
    return link === 'absent' || (node !== undefined && (!normalize(path).startsWith('/dev/mapper/') || isOfLvm(node))) ? 'plain' : 'unclear'
  }
  if (normalize(path).startsWith('/dev/')) return 'unclear'
  const real = realPath(path)
  if (real === undefined && link !== 'absent') return 'unclear'
  // Through a link to a folder on the way it may be in /dev.
  if ((real ?? `${realPath(dirname(path)) ?? ''}/`).startsWith(onHost('/dev/'))) return 'unclear'
  try {
    return real === undefined ? 'plain' : statSync(real).isFile() ? 'file' : 'unclear'
  } catch {
    return 'unclear'
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(onHost(path))
  } catch {
    return undefined
  }
}

function isOfLvm(node: string): boolean {
  try {
    return readFileSync(join(BLOCK_FOLDER, node, 'dm/uuid'), 'utf8').startsWith('LVM-')
  } catch {
    return false
  }
}

/** Where a link leads; `absent` if nothing is there; empty for anything else. */
function linkOf(path: string): string {
  try {
    return readlinkSync(onHost(path))
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EINVAL' ? '' : 'absent'
  }
}
