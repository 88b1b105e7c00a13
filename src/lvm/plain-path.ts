import { readlinkSync, statSync } from 'node:fs'
import { meaningOfPath } from '../core/volume.ts'
import { onHost } from '../paths.ts'

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
  if (meaning.kind === 'volume' && !path.includes('..')) return link === 'absent' || /^\.\.\/dm-\d+$/.test(link) ? 'plain' : 'unclear'
  if (path.includes('/dev/')) return 'unclear'
  if (link === 'absent') return 'plain'
  try {
    return statSync(onHost(path)).isFile() ? 'file' : 'unclear'
  } catch {
    return 'unclear'
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
