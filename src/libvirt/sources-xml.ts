import type { Disk, DiskPart } from '../core/domain.ts'
import { type Node, attribute, child, children, isNode, text } from './nodes.ts'

/**
 * Where a `<source>` points: a path on this host, a volume of a storage pool, or nothing that can be an LV (network,
 * vhost-user, an empty drive).
 */
type Place = Pick<Disk, 'path' | 'pool' | 'offset'>

const DISPENSABLE: ReadonlySet<string> = new Set(['optional', 'requisite'])
const NOWHERE: Place = { path: undefined }
const at = (path: string | undefined): Place => ({ path: path === '' ? undefined : path })

/** `type` and `<source>` of a disk, of a backing store or of a mirror (libvirt: formatdomain, disk `source`). */
function placeOf(element: Node, type = attribute(element, 'type')): Place {
  const source = child(element, 'source')
  if (type === 'block') return { ...at(attribute(source, 'dev')), ...offsetOf(source) }
  if (type === 'file') return { ...at(attribute(source, 'file')), ...offsetOf(source) }
  const [pool, volume] = [attribute(source, 'pool'), attribute(source, 'volume')]
  return type === 'volume' && pool !== undefined && volume !== undefined
    ? { path: undefined, pool: { name: pool, volume } }
    : NOWHERE
}

/** `<slices><slice type='storage' offset=…>`: the image is only a part of its source. */
function offsetOf(source: Node | undefined): Pick<Disk, 'offset'> {
  const slices = children(child(source ?? {}, 'slices') ?? {}, 'slice')
  const offset = Number(
    attribute(
      slices.find((slice) => attribute(slice, 'type') === 'storage'),
      'offset',
    ) ?? 0,
  )
  return Number.isSafeInteger(offset) && offset > 0 ? { offset } : {}
}

/** libvirt's own default; it writes the type out itself. */
const typeOf = (disk: Node): string => attribute(disk, 'type') ?? 'file'

/** The numbers of images in a live XML, `index`: what block jobs write to, beside the disks themselves. */
export type Written = ReadonlySet<string>

/** `<disk>`: its own source, then whatever else it stands on. */
export function sourcesOfDisk(disk: Node, written: Written): Disk[] {
  const target = attribute(child(disk, 'target'), 'dev') ?? '?'
  // `<transient shareBacking='yes'/>`: QEMU writes to an overlay of its own and only reads this (libvirt 7.4).
  const isWritten = (element: Node | undefined): boolean => written.has(attribute(element, 'index') ?? '')
  const isOnlyRead =
    (child(disk, 'readonly') !== undefined || attribute(child(disk, 'transient'), 'shareBacking') === 'yes') &&
    !isWritten(child(disk, 'source'))
  const chain = chainOf(disk)
  const top: Disk = {
    target,
    ...placeOf(disk, typeOf(disk)),
    readonly: isOnlyRead,
    shareable: child(disk, 'shareable') !== undefined,
    // libvirt drops the source of such a drive if it is not there (formatdomain, startupPolicy). With `requisite` it
    // does so at a migration and a restore only; a fresh start it refuses itself, after `prepare`.
    ...(DISPENSABLE.has(attribute(child(disk, 'source'), 'startupPolicy') ?? '') && { optional: true }),
    ...(isOpenImage(chain.length === 0, chain.isClosed, attribute(child(disk, 'driver'), 'type')) && { image: true }),
  }
  const part = (name: DiskPart, place: Place, readonly: boolean, image = false): Disk => ({
    target,
    part: name,
    ...place,
    readonly,
    shareable: false,
    ...(image && { image }),
  })
  const mirror = child(disk, 'mirror')
  return [
    top,
    ...dataStoreOf(disk).map((place) => part('data file', place, isOnlyRead)),
    ...chain.stores.flatMap((store, index) => {
      const isLast = index === chain.length - 1
      const image = isOpenImage(isLast, chain.isClosed, attribute(child(store, 'format'), 'type'))
      const isRead = !isWritten(store)
      const name = isRead ? 'backing file' : 'commit target'
      return [
        part(name, placeOf(store), isRead, image),
        ...dataStoreOf(store).map((place) => part(name, place, isRead)),
      ]
    }),
    ...(mirror === undefined
      ? []
      : [
          part('mirror', placeOf(mirror), false),
          ...dataStoreOf(mirror).map((place) => part('mirror', place, false)),
          // Of a shallow copy: what the copy stands on.
          ...chainOf(mirror).stores.flatMap((store) =>
            [placeOf(store), ...dataStoreOf(store)].map((place) => part('backing file', place, true)),
          ),
        ]),
  ]
}

/**
 * `<domainbackup>` of a status file: what a backup job writes, its `<target>`, or its `<scratch>` if others read the
 * backup from QEMU (libvirt: formatbackup; status files of libvirt 9.0 and 11.3).
 */
export const sourcesOfBackup = (backup: Node): Disk[] =>
  children(child(backup, 'disks') ?? {}, 'disk').flatMap((disk) =>
    ['target', 'scratch'].flatMap((tag) => {
      const source = child(disk, tag)
      const place = placeOf({ ...disk, source }, typeOf(disk))
      return place.path === undefined
        ? []
        : [{ target: attribute(disk, 'name') ?? '?', part: 'backup', ...place, readonly: false, shareable: false }]
    }),
  )

/** Whether the XML leaves the end of a chain open. Then it is looked for in the image itself, by libvirt and here. */
const isOpenImage = (isLast: boolean, isClosed: boolean, format: string | undefined): boolean =>
  isLast && !isClosed && format === 'qcow2'

/**
 * The `<backingStore>` elements from the top down. `isClosed`: the last one is empty, which says that nothing is below.
 */
function chainOf(disk: Node): {
  readonly stores: readonly Node[]
  readonly length: number
  readonly isClosed: boolean
} {
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

interface Element {
  /** The name that messages and policies have for it. */
  readonly target: string
  readonly place: Place
  readonly readonly: boolean
}

const elementOf = ({ target, place, readonly }: Element): Disk => ({
  target,
  part: 'element',
  ...place,
  readonly,
  shareable: false,
})
const isSomewhere = ({ path, pool }: Disk): boolean => path !== undefined || pool !== undefined

/** Of a `<os>`: what a VM boots from before its disks. Firmware, kernels and tables are only read. */
export function sourcesOfFirmware(os: Node): Disk[] {
  const source = (target: string, readonly: boolean): Disk[] => {
    const element = child(os, target)
    if (element === undefined) return []
    return [
      elementOf({
        target,
        place: child(element, 'source') === undefined ? at(text(os, target)?.trim()) : placeOf(element),
        readonly,
      }),
    ]
  }
  const loader = child(os, 'loader')
  // A loader of type rom is read into memory. One of type pflash is written to, unless it says otherwise.
  const isOnlyRead =
    attribute(loader, 'readonly') === 'yes' ||
    (attribute(loader, 'readonly') === undefined && attribute(loader, 'type') !== 'pflash')
  const read = (target: string, path: string | undefined): Disk =>
    elementOf({ target, place: at(path?.trim()), readonly: true })
  const varstore = child(os, 'varstore')
  return [
    ...source('loader', isOnlyRead),
    ...source('nvram', false),
    ...[
      ...['kernel', 'initrd', 'dtb', 'shim'].map((target) => read(target, text(os, target))),
      read('nvram template', attribute(child(os, 'nvram'), 'template')),
      read('varstore template', attribute(varstore, 'template')),
      ...textsOf(child(os, 'acpi') ?? {}, 'table').map((table) => read('acpi table', table)),
      elementOf({ target: 'varstore', place: at(attribute(varstore, 'path')), readonly: false }),
    ].filter(isSomewhere),
  ]
}

/** Devices that are files or block devices to QEMU and are no disks: libvirt's schema, domaincommon.rng, up to 11.9. */
const DEVICES: Readonly<Record<string, (device: Node) => Element>> = {
  filesystem: (device) => ({
    target: `filesystem ${attribute(child(device, 'target'), 'dir') ?? '?'}`,
    place: placeOf(device),
    readonly: child(device, 'readonly') !== undefined,
  }),
  // nvdimm, virtio-pmem. `<readonly/>` is told to the guest only: QEMU has the device open for writing, and writes to it
  // before the guest runs (measured: libvirt 9.0 with QEMU 7.2, 11.3 with 10.0).
  memory: (device) => ({
    target: `memory ${attribute(device, 'model') ?? '?'}`,
    place: at(text(child(device, 'source') ?? {}, 'path')?.trim()),
    readonly: false,
  }),
  ...Object.fromEntries(
    ['serial', 'parallel', 'console', 'channel', 'smartcard', 'redirdev'].map((tag) => [
      tag,
      (device: Node) => ({ target: tag, place: placeOfCharacters(device), readonly: false }),
    ]),
  ),
  pstore: (device) => ({ target: 'pstore', place: at(text(device, 'path')?.trim()), readonly: false }),
  // What swtpm keeps its state in.
  tpm: (device) => ({ target: 'tpm', place: placeOfPath(child(device, 'backend') ?? {}), readonly: false }),
  rng: (device) => ({ target: 'rng', place: placeOfChance(device), readonly: true }),
  hostdev: (device) => {
    const source = child(device, 'source') ?? {}
    return { target: 'hostdev', place: at((text(source, 'block') ?? text(source, 'char'))?.trim()), readonly: false }
  },
}

/**
 * `<source path=…>` of a character device, if its type is dev, file or pipe. A socket or a terminal is no LV.
 */
const placeOfCharacters = (device: Node): Place =>
  ['dev', 'file', 'pipe'].includes(attribute(device, 'type') ?? '')
    ? at(attribute(child(device, 'source'), 'path'))
    : NOWHERE
const placeOfPath = (element: Node): Place => {
  const source = child(element, 'source')
  return ['file', 'block'].includes(attribute(source, 'type') ?? '')
    ? at(attribute(source, 'path') ?? attribute(source, 'dev') ?? attribute(source, 'file'))
    : NOWHERE
}

/** The source of an `<rng>`. virt-install gives every VM one that reads /dev/urandom: that needs no look. */
const placeOfChance = (device: Node): Place => {
  const path = text(device, 'backend')?.trim() ?? ''
  return attribute(child(device, 'backend'), 'model') === 'random' && !/^\/dev\/(?:u?random|hwrng)$/.test(path)
    ? at(path)
    : NOWHERE
}

/** Everything in `<devices>` that is no disk, and has a source that may be an LV. */
export const sourcesOfDevices = (devices: Node): Disk[] =>
  Object.entries(DEVICES)
    .flatMap(([tag, read]) => children(devices, tag).map((device) => elementOf(read(device))))
    .filter(isSomewhere)

/**
 * Parts of a domain that name nothing that the VM opens: `<blkiotune>` sets limits, the target of a device is the
 * guest's, a lease is sanlock's own.
 */
const NOT_OPENED: ReadonlySet<string> = new Set([
  'metadata',
  'name',
  'title',
  'description',
  'uuid',
  'blkiotune',
  'target',
  'lease',
  'seclabel',
  'alias',
  'address',
])
/** What may be a volume, or a block device that stands on one. */
const BLOCK_DEVICE = /^\/+dev\/+(?:[^/]+\/.|(?:dm-|md_d|md|loop|bcache|drbd)\d+(?:p\d+)?$)/
/** Folders below /dev that every host has, and that many VMs name. No VG can have such a name. */
const NO_VG = /^\/+dev\/+(?:pts|net|shm|mqueue|hugepages|input)\//

/**
 * Every other path below a folder of /dev, or of a block device that may stand on a volume, that is a value in a
 * domain's XML: it may be a source that this program does not know yet, and must not overlook. And every path among the
 * arguments of `<qemu:commandline>`, whatever its prefix.
 * @param known what is found already
 */
export function otherSources(domain: Node, known: readonly Disk[]): Disk[] {
  const paths = new Set(known.flatMap(({ path }) => path ?? []))
  // An argument for QEMU may write to what the XML says is only read.
  const written = new Set(known.flatMap(({ path, readonly, shareable }) => (readonly || shareable ? [] : (path ?? []))))
  const found = new Map<string, Disk>()
  const add = (target: string, path: string, accounted = paths): void => {
    if (!accounted.has(path))
      found.set(`${target} ${path}`, { ...elementOf({ target, place: at(path), readonly: false }), unknown: true })
  }
  for (const [tag, node] of elementsIn(domain)) {
    if (/^(?:.+:)?commandline$/.test(tag)) {
      for (const path of valuesIn(node).flatMap(pathsAmong)) add('qemu:commandline', path, written)
      continue
    }
    const parts: [string, unknown][] = tag === 'devices' && isNode(node) ? elementsIn(node) : [[tag, node]]
    for (const [target, part] of parts)
      if (!isKnownDisk(target, part))
        for (const value of valuesIn(part)) if (BLOCK_DEVICE.test(value) && !NO_VG.test(value)) add(target, value)
  }
  return [...found.values()]
}

/** Types of disks whose `<source>` has been read. A disk of such a type has no other path of a block device. */
const DISK_TYPES: ReadonlySet<string> = new Set([
  'block',
  'file',
  'volume',
  'network',
  'dir',
  'nvme',
  'vhostuser',
  'vhostvdpa',
])
const isKnownDisk = (tag: string, part: unknown): boolean =>
  tag === 'disk' && isNode(part) && DISK_TYPES.has(typeOf(part))

const elementsIn = (node: Node): [string, unknown][] =>
  Object.entries(node)
    .filter(([tag]) => !NOT_OPENED.has(tag) && !tag.startsWith('@xmlns'))
    .flatMap(([tag, value]) =>
      Array.isArray(value) ? value.map((each): [string, unknown] => [tag, each]) : [[tag, value]],
    )

/** All attributes and texts of an element and of those inside it. */
function valuesIn(node: unknown): string[] {
  if (typeof node === 'string') return [node.trim()]
  return isNode(node) ? elementsIn(node).flatMap(([, inside]) => valuesIn(inside)) : []
}

/** The absolute paths in an argument of QEMU's: `file=/dev/virtVG/x,if=none`, `{"filename":"/dev/virtVG/x"}`. */
const pathsAmong = (argument: string): string[] => argument.match(/(?<![\w+.-])\/[\w+./-]+/g) ?? []

const textsOf = (node: Node, tag: string): string[] => {
  const value = Object.hasOwn(node, tag) ? node[tag] : undefined
  return (Array.isArray(value) ? value : [value]).flatMap((each: unknown) =>
    typeof each === 'string' ? [each] : isNode(each) && typeof each['#text'] === 'string' ? [each['#text']] : [],
  )
}
