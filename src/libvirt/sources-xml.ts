import type { Disk, DiskPart } from '../core/domain.ts'
import { type Node, attribute, child, children, text } from './nodes.ts'

/** Where a `<source>` points: a path on this host, a volume of a storage pool, or nothing that can be an LV (network, vhost-user, an empty drive). */
type Place = Pick<Disk, 'path' | 'pool' | 'offset'>

const NOWHERE: Place = { path: undefined }
const at = (path: string | undefined): Place => ({ path: path === '' ? undefined : path })

/** `type` and `<source>` of a disk, of a backing store or of a mirror (libvirt: formatdomain, disk `source`). */
function placeOf(element: Node, type = attribute(element, 'type')): Place {
  const source = child(element, 'source')
  if (type === 'block') return { ...at(attribute(source, 'dev')), ...offsetOf(source) }
  if (type === 'file') return { ...at(attribute(source, 'file')), ...offsetOf(source) }
  const [pool, volume] = [attribute(source, 'pool'), attribute(source, 'volume')]
  return type === 'volume' && pool !== undefined && volume !== undefined ? { path: undefined, pool: { name: pool, volume } } : NOWHERE
}

/** `<slices><slice type='storage' offset=…>`: the image is but a part of its source. */
function offsetOf(source: Node | undefined): Pick<Disk, 'offset'> {
  const slices = children(child(source ?? {}, 'slices') ?? {}, 'slice')
  const offset = Number(attribute(slices.find((slice) => attribute(slice, 'type') === 'storage'), 'offset') ?? 0)
  return Number.isSafeInteger(offset) && offset > 0 ? { offset } : {}
}

/** `<disk>`: its own source, then whatever else it stands on. */
export function sourcesOfDisk(disk: Node): Disk[] {
  const target = attribute(child(disk, 'target'), 'dev') ?? '?'
  // `<transient shareBacking='yes'/>`: QEMU writes to an overlay of its own and only reads this (libvirt 7.4).
  const isOnlyRead = child(disk, 'readonly') !== undefined || attribute(child(disk, 'transient'), 'shareBacking') === 'yes'
  const chain = chainOf(disk)
  const top: Disk = {
    target, ...placeOf(disk), readonly: isOnlyRead, shareable: child(disk, 'shareable') !== undefined,
    // libvirt drops the source of such a drive if it is not there (formatdomain, startupPolicy).
    ...(attribute(child(disk, 'source'), 'startupPolicy') === 'optional' && { optional: true }),
    ...(isOpenImage(chain.length === 0, chain.isClosed, attribute(child(disk, 'driver'), 'type')) && { image: true }),
  }
  const part = (name: DiskPart, place: Place, readonly: boolean, image = false): Disk =>
    ({ target, part: name, ...place, readonly, shareable: false, ...(image && { image }) })
  const mirror = child(disk, 'mirror')
  return [
    top,
    ...dataStoreOf(disk).map((place) => part('data file', place, isOnlyRead)),
    ...chain.stores.flatMap((store, index) => {
      const isLast = index === chain.length - 1
      const image = isOpenImage(isLast, chain.isClosed, attribute(child(store, 'format'), 'type'))
      return [part('backing file', placeOf(store), true, image), ...dataStoreOf(store).map((place) => part('data file', place, true))]
    }),
    ...(mirror === undefined ? [] : [part('mirror', placeOf(mirror), false)]),
  ]
}

/** The end of a chain that the XML leaves open is looked for in the image itself, by libvirt as well as here. */
const isOpenImage = (isLast: boolean, isClosed: boolean, format: string | undefined): boolean => isLast && !isClosed && format === 'qcow2'

/** The `<backingStore>` elements from the top down; `isClosed`: an empty one, which says that nothing is below, ends them. */
function chainOf(disk: Node): { readonly stores: readonly Node[]; readonly length: number; readonly isClosed: boolean } {
  const stores: Node[] = []
  let store = child(disk, 'backingStore')
  while (store !== undefined && child(store, 'source') !== undefined) {
    stores.push(store)
    store = child(store, 'backingStore')
  }
  return { stores, length: stores.length, isClosed: store !== undefined }
}

/** `<dataStore>` in a source: the data of a qcow2 image with an external data file (libvirt 10.10). */
const dataStoreOf = (element: Node): Place[] => {
  const store = child(child(element, 'source') ?? {}, 'dataStore')
  return store === undefined ? [] : [placeOf(store)]
}

/** Of a `<os>`: the variables and the firmware of a VM that boots by UEFI, if they are on volumes of their own. */
export function sourcesOfFirmware(os: Node): Disk[] {
  const source = (target: string, readonly: boolean): Disk[] => {
    const element = child(os, target)
    if (element === undefined) return []
    const place = child(element, 'source') === undefined ? at(text(os, target)?.trim()) : placeOf(element)
    return [{ target, part: 'element', ...place, readonly, shareable: false }]
  }
  const loader = child(os, 'loader')
  // Of type rom it is read into memory; a pflash one is written to unless it says otherwise.
  const isOnlyRead = attribute(loader, 'readonly') === 'yes' || (attribute(loader, 'readonly') === undefined && attribute(loader, 'type') !== 'pflash')
  return [...source('loader', isOnlyRead), ...source('nvram', false)]
}

/** `<filesystem type='block'>` (or file), `<memory model='nvdimm'>` and `<memory model='virtio-pmem'>`. */
export function sourcesOfDevices(devices: Node): Disk[] {
  const filesystems = children(devices, 'filesystem').map((filesystem): Disk =>
    ({ target: `filesystem ${attribute(child(filesystem, 'target'), 'dir') ?? '?'}`, part: 'element', ...placeOf(filesystem), readonly: child(filesystem, 'readonly') !== undefined, shareable: false }))
  const memories = children(devices, 'memory').map((memory): Disk => {
    const path = text(child(memory, 'source') ?? {}, 'path')?.trim()
    return { target: `memory ${attribute(memory, 'model') ?? '?'}`, part: 'element', ...at(path), readonly: child(child(memory, 'target') ?? {}, 'readonly') !== undefined, shareable: false }
  })
  return [...filesystems, ...memories].filter(({ path, pool }) => path !== undefined || pool !== undefined)
}
