import { lstatSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type PathMeaning, meaningOfMapperName, meaningOfPath } from '../core/volume.ts'
import { BLOCK_FOLDER, onHost } from '../paths.ts'

/**
 * What a path comes to that does not simply say VG and LV.
 * - `uuid`: an LV by the UUIDs that device-mapper knows it by, without dashes; it need not be active;
 * - `absent`: a device-mapper node that is not there, so that nobody can say what it will be.
 */
export type Found =
  | (PathMeaning & { readonly path: string })
  | { readonly kind: 'uuid'; readonly lvUuid: string; readonly path: string }
  | { readonly kind: 'absent'; readonly path: string }

/** As the kernel does (path_resolution(7)); a longer chain cannot be opened by anybody. */
const MOST_LINKS = 40

/**
 * Follows a path link by link, as far as a name that tells an LV: /dev/VG/LV, /dev/mapper/VG-LV, /dev/disk/by-id/dm-name-VG-LV,
 * /dev/disk/by-id/dm-uuid-LVM-…, /dev/dm-N. So it finds also what links to an LV that is not active, where the last link leads nowhere.
 */
export function findPath(path: string): Found {
  let done: string[] = []
  let rest = partsOf(path)
  let links = 0
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '..') {
      done.pop()
      continue
    }
    const here = `/${[...done, name].join('/')}`
    const found = rest.length === 0 ? foundAt(here) : undefined
    if (found !== undefined) return found
    const target = linkAt(here)
    if (target === undefined) {
      done.push(name)
      continue
    }
    if (++links > MOST_LINKS) return { kind: 'other', path }
    if (target.startsWith('/')) done = []
    rest = [...partsOf(target), ...rest]
  }
  return { kind: 'other', path: `/${done.join('/')}` }
}

const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.')

/** What a path's own name says; undefined if it has to be followed, or says nothing. */
function foundAt(path: string): Found | undefined {
  const byName = /^\/dev\/disk\/by-id\/dm-name-(.+)$/.exec(path)?.[1]
  if (byName !== undefined) return { ...meaningOfMapperName(byName), path }
  const byUuid = /^\/dev\/disk\/by-id\/dm-uuid-(.+)$/.exec(path)?.[1]
  if (byUuid !== undefined) return ofDeviceUuid(byUuid, path)
  const node = /^\/dev\/(dm-\d+)$/.exec(path)?.[1]
  if (node !== undefined) return ofNode(node, path)
  const meaning = meaningOfPath(path)
  // udev's own folder: vgcreate takes no name that stands in /dev already (`already exists in filesystem`).
  if (meaning.kind === 'other' || path.startsWith('/dev/disk/')) return undefined
  switch (kindOf(path)) {
    case 'absent':
    case 'block':
      return { ...meaning, path }
    case 'file':
      return undefined
    case 'link':
      // LVM's own link; one to anywhere else is followed.
      return meaning.kind === 'volume' && /^\.\.\/dm-\d+$/.test(linkAt(path) ?? '') ? { ...meaning, path } : undefined
  }
}

/** `LVM-` with both UUIDs; what kpartx maps of an LV is `partN-LVM-…`. Other layers are LVM's own, other devices none of its. */
function ofDeviceUuid(dmUuid: string, path: string): Found {
  const lvUuid = /^(?:part\d+-)?LVM-[A-Za-z0-9]{32}([A-Za-z0-9]{32})$/.exec(dmUuid)?.[1]
  return lvUuid === undefined ? { kind: 'other', path } : { kind: 'uuid', lvUuid, path }
}

function ofNode(node: string, path: string): Found {
  const dmUuid = textOf(join(BLOCK_FOLDER, node, 'dm/uuid'))
  if (dmUuid === undefined) return kindOf(path) === 'absent' ? { kind: 'absent', path } : { kind: 'other', path }
  if (/^LVM-/.test(dmUuid)) return { ...meaningOfMapperName(textOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? ''), path }
  return ofDeviceUuid(dmUuid, path)
}

const textOf = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

const linkAt = (path: string): string | undefined => {
  try {
    return readlinkSync(onHost(path))
  } catch {
    return undefined
  }
}

function kindOf(path: string): 'absent' | 'link' | 'block' | 'file' {
  try {
    const status = lstatSync(onHost(path))
    return status.isSymbolicLink() ? 'link' : status.isBlockDevice() ? 'block' : 'file'
  } catch {
    return 'absent'
  }
}
