import { lstatSync, readlinkSync } from '../system/files.ts'
import { join } from 'node:path'
import { type PathMeaning, meaningOfMapperName, meaningOfPath } from '../core/volume.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { trimmedTextOf } from '../system/quiet-files.ts'
import { type VolumeBelow, deviceAt, volumesBelow, volumesBelowDevice } from './stacks.ts'

/**
 * What a path leads to, where it does not simply say VG and LV.
 * - `uuid`: an LV by the UUIDs that device-mapper knows it by, without dashes; it need not be active;
 * - `absent`: a device-mapper node that is not there, so that nobody can say what it will be;
 * - `stand-in`: it names an LV, but what is there is no device (FACTS 57);
 * - `stack`: a device that stands on LVs: LUKS, kpartx, multipath, md, loop; `itself`: an LV that stands on those of
 *   another VG.
 */
export type Found =
  | (PathMeaning & { readonly path: string })
  | { readonly kind: 'uuid'; readonly lvUuid: string; readonly path: string }
  | { readonly kind: 'absent'; readonly path: string }
  | { readonly kind: 'stand-in'; readonly vg: string; readonly lv: string; readonly is: string; readonly path: string }
  | {
      readonly kind: 'stack'
      readonly itself?: PathMeaning
      readonly below: readonly VolumeBelow[]
      readonly path: string
    }

/** How many links of a path are followed, as by the kernel (path_resolution(7)): nobody can open a longer chain. */
const MOST_LINKS = 40

/**
 * Follows a path link by link, until a name tells an LV: /dev/VG/LV, /dev/mapper/VG-LV, /dev/disk/by-id/dm-name-VG-LV,
 * /dev/disk/by-id/dm-uuid-LVM-…, /dev/dm-N. So it also finds a link to an LV that is not active, where the last link
 * leads nowhere.
 */
export function findPath(path: string): Found {
  const found = follow(path)
  if (found.kind === 'volume') return withWhatIsBelow(found)
  if (found.kind !== 'other') return found
  const is = kindOf(found.path)
  if (is === 'block' || is === 'char') {
    // A node with another name than /dev/dm-N: made by mknod, or by LVM itself where udev does not make them.
    const node = is === 'block' ? deviceAt(found.path) : undefined
    if (node !== undefined && isOfLvm(node))
      return { ...meaningOfMapperName(trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? ''), path: found.path }
    const below = is === 'block' ? volumesBelow(found.path, follow) : []
    return below.length === 0 ? found : { kind: 'stack', below, path: found.path }
  }
  const meaning = [found.path, path].map(nameIn).find(({ kind }) => kind === 'volume')
  if (meaning?.kind !== 'volume' || OF_THE_KERNEL.has(meaning.vg)) return found
  const place = found.path.startsWith('/dev/') ? found.path : path
  return { ...meaning, kind: 'stand-in', is: is === 'absent' ? 'a link that leads nowhere' : is, path: place }
}

/** An LV of a guest's own VG stands on an LV of the host, which another VM may have, here or elsewhere. */
function withWhatIsBelow(found: Extract<Found, { kind: 'volume' }>): Found {
  const node = /^(?:\.\.\/|\/dev\/)(dm-\d+)$/.exec(linkAt(found.path) ?? found.path)?.[1]
  const below = volumesBelowDevice(node ?? deviceAt(found.path), follow)
  const { path, ...itself } = found
  return below.length === 0 ? found : { kind: 'stack', itself, below, path }
}

/** File systems below /dev on every Linux host, so that no VG can have their names. */
const OF_THE_KERNEL: ReadonlySet<string> = new Set(['shm', 'mqueue', 'hugepages', 'pts'])

function follow(path: string): Found {
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

const BY_NAME = /^\/dev\/disk\/by-id\/dm-name-(.+)$/

/** What a path says by its own text, udev's name for it included. */
function nameIn(path: string): PathMeaning {
  const byName = BY_NAME.exec(path)?.[1]
  return byName === undefined ? meaningOfPath(path) : meaningOfMapperName(byName)
}

/** What a path's own name says; undefined if it has to be followed, or says nothing. */
function foundAt(path: string): Found | undefined {
  const kind = kindOf(path)
  if (BY_NAME.test(path) && (kind === 'absent' || kind === 'block')) return { ...nameIn(path), path }
  const byUuid = /^\/dev\/disk\/by-id\/dm-uuid-(.+)$/.exec(path)?.[1]
  if (byUuid !== undefined && kind !== 'link')
    return kind === 'absent' || kind === 'block' ? ofDeviceUuid(byUuid, path) : { kind: 'absent', path }
  const node = /^\/dev\/(dm-\d+)$/.exec(path)?.[1]
  if (node !== undefined) return ofNode(node, path)
  const meaning = meaningOfPath(path)
  // udev's own folder, so no VG has this name: vgcreate refuses a name that exists in /dev (`already exists in
  // filesystem`).
  if (meaning.kind === 'other' || path.startsWith('/dev/disk/'))
    return path.startsWith('/dev/mapper/') && kind === 'absent' ? { kind: 'absent', path } : undefined
  // A device-mapper name need not be LVM's: the device itself tells. A link to anywhere else is followed.
  if (kind === 'absent') return { ...meaning, path }
  const isMapped = path.startsWith('/dev/mapper/')
  if (kind === 'block') return isMapped || isOfAnother(deviceAt(path), meaning.vg) ? undefined : { ...meaning, path }
  const target = kind === 'link' ? /^\.\.\/(dm-\d+)$/.exec(linkAt(path) ?? '')?.[1] : undefined
  if (target === undefined) return undefined
  return meaning.kind === 'volume' && (isMapped ? isOfLvm(target) : !isOfAnother(target, meaning.vg))
    ? { ...meaning, path }
    : undefined
}

/**
 * Whether a node below a folder of /dev that is called like a VG is a volume of another VG, or stands on volumes: a
 * rule of udev's can give any device such a name (`SYMLINK+="vms/tintin"`). Of any other device only the name counts,
 * as if it were a volume that is not active.
 */
function isOfAnother(node: string | undefined, vg: string): boolean {
  if (node === undefined) return false
  if (!isOfLvm(node)) return volumesBelow(`/dev/${node}`, follow).length > 0
  const meaning = meaningOfMapperName(trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? '')
  return meaning.kind !== 'other' && meaning.vg !== vg
}

/**
 * The LV that a device-mapper UUID names: `LVM-` with both UUIDs, or `partN-LVM-…` for what kpartx maps of an LV. Other
 * UUIDs are those of LVM's own layers, or of devices that are not LVM's.
 */
function ofDeviceUuid(dmUuid: string, path: string): Found {
  const lvUuid = /^(?:part\d+-)?LVM-[A-Za-z0-9]{32}([A-Za-z0-9]{32})$/.exec(dmUuid)?.[1]
  return lvUuid === undefined ? { kind: 'other', path } : { kind: 'uuid', lvUuid, path }
}

/** What /dev/dm-N is. Undefined: not a device of LVM's, so what it stands on has to be looked up. */
function ofNode(node: string, path: string): Found | undefined {
  const dmUuid = trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid'))
  if (dmUuid === undefined) return { kind: 'absent', path }
  return /^LVM-/.test(dmUuid)
    ? { ...meaningOfMapperName(trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? ''), path }
    : undefined
}

/** Whether device-mapper knows a node, which may have any name, as a device of LVM's. */
const isOfLvm = (node: string): boolean =>
  trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid'))?.startsWith('LVM-') === true

const linkAt = (path: string): string | undefined => {
  try {
    return readlinkSync(onHost(path))
  } catch {
    return undefined
  }
}

type Kind = 'absent' | 'link' | 'block' | 'char' | 'a regular file' | 'a folder' | 'a socket' | 'a pipe'

function kindOf(path: string): Kind {
  try {
    const node = /^\/dev\/(dm-\d+)$/.exec(path)?.[1]
    if (node !== undefined && trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) !== undefined) return 'block'
    const status = lstatSync(onHost(path))
    if (status.isSymbolicLink()) return 'link'
    if (status.isBlockDevice()) return 'block'
    if (status.isCharacterDevice()) return 'char'
    return status.isFile()
      ? 'a regular file'
      : status.isDirectory()
        ? 'a folder'
        : status.isSocket()
          ? 'a socket'
          : 'a pipe'
  } catch {
    return 'absent'
  }
}
