import type { Records } from './record.ts'
import { mapperName, meaningOfMapperName } from './volume.ts'

/** A device-mapper device, as /sys/block shows it. */
export interface MapperDevice {
  /** `dm-3`. */
  readonly node: string
  readonly name: string
  readonly uuid: string
  /** What its tables stand on, by the kernel's names: other devices of device-mapper, or disks. */
  readonly slaves: readonly string[]
  readonly isSuspended: boolean
  /** I/O that has begun on it and not ended; undefined where the kernel does not say. */
  readonly inFlight: InFlight | undefined
}

/** I/O that has begun and not ended (/sys/block/N/inflight). */
export interface InFlight {
  readonly reads: number
  readonly writes: number
}

/** A domain that libvirt has a status file of, with the process that it names. */
export interface RunningDomain {
  readonly name: string
  readonly uuid: string
  readonly pid: number
}

/** Something that is still to be done, or can still write, after a kill. `unknown`: something that cannot be told. */
export interface Left {
  readonly kind: 'process' | 'device' | 'disk' | 'unknown'
  readonly text: string
}

/**
 * Whether something is seen that can still write, and that only a reset can stop (R9: never for what cannot be told). A
 * process alone cannot write if each device is proven to fail all I/O, with nothing in flight. Then the process is
 * waited for, and the mark stays.
 */
export const mayWrite = (left: readonly Left[]): boolean =>
  left.some(({ kind }) => kind === 'device' || kind === 'disk') ||
  (left.some(({ kind }) => kind === 'process') && left.some(({ kind }) => kind === 'unknown'))

/** The device of sanlock's leases. */
export const isLeases = ({ name }: Pick<MapperDevice, 'name'>, vg: string): boolean =>
  name === mapperName({ vg, lv: 'lvmlock' })

const UUID_LENGTH = 32
const vgUuidIn = (dmUuid: string): string | undefined =>
  dmUuid.startsWith('LVM-') && dmUuid.length >= 4 + 2 * UUID_LENGTH ? dmUuid.slice(4, 4 + UUID_LENGTH) : undefined

/**
 * The UUID of a VG, without dashes, by what is in memory: the device of its leases, which is there as long as its
 * locking is started. If there is none, the names of the other devices and the records tell it, if they agree.
 * @returns `ambiguous` if they do not agree; undefined if there is nothing of such a VG here
 */
export function vgUuidOf(
  vg: string,
  devices: readonly MapperDevice[],
  { known }: Records,
): { readonly uuid: string } | 'ambiguous' | undefined {
  const leases = devices.find((device) => isLeases(device, vg))
  const certain = leases === undefined ? undefined : vgUuidIn(leases.uuid)
  if (certain !== undefined) return { uuid: certain }
  const named = devices.filter(({ name }) => {
    const meaning = meaningOfMapperName(name)
    return 'vg' in meaning && meaning.vg === vg
  })
  const recorded = known.flatMap(({ volumes }) =>
    volumes.flatMap((volume) =>
      volume.vg === vg && volume.ids !== undefined ? [volume.ids.vg.replaceAll('-', '')] : [],
    ),
  )
  const [uuid, ...others] = new Set([...named.flatMap((device) => vgUuidIn(device.uuid) ?? []), ...recorded])
  if (uuid === undefined) return undefined
  return others.length > 0 ? 'ambiguous' : { uuid }
}

/**
 * The devices of a VG that are to be wiped: all but that of its leases. Nobody but sanlock writes there, each host into
 * a sector of its own, which its protocol allows at any time. sanlock still needs that device after the loss: to give
 * the leases back when the path is back, and for the locking that is started then. A wiped device would count as active
 * for LVM, and sanlock would read errors (FACTS 49).
 */
export const devicesOf = (vg: string, vgUuid: string, devices: readonly MapperDevice[]): MapperDevice[] =>
  devices.filter((device) => vgUuidIn(device.uuid) === vgUuid && !isLeases(device, vg))

/**
 * These devices in the order in which they are wiped: first those on which no other of them stands. Those of one tier
 * are wiped at once.
 */
export function tiersOf(devices: readonly MapperDevice[]): MapperDevice[][] {
  const tiers: MapperDevice[][] = []
  let rest = [...devices]
  while (rest.length > 0) {
    const top = rest.filter(({ node }) => !rest.some(({ slaves }) => slaves.includes(node)))
    // There is no ring of devices, but this loop must end all the same.
    const tier = top.length === 0 ? rest : top
    tiers.push(tier)
    rest = rest.filter((device) => !tier.includes(device))
  }
  return tiers
}

/**
 * The disks under a VG: what its devices stand on, other than each other. They can be told only before the devices are
 * wiped, except for the device of the leases.
 */
export function disksOf(vgUuid: string, devices: readonly MapperDevice[]): string[] {
  const own = devices.filter(({ uuid }) => vgUuidIn(uuid) === vgUuid)
  return [...new Set(own.flatMap(({ slaves }) => slaves))]
    .filter((node) => !own.some((device) => device.node === node))
    .sort()
}

/**
 * A table that stands on nothing fails all I/O. That it really is `error`, the table itself tells in the end
 * (isErrorTable).
 */
export const isWiped = ({ slaves, isSuspended }: MapperDevice): boolean => slaves.length === 0 && !isSuspended

/** `dmsetup table`: one target `error`, and nothing else. */
export const isErrorTable = (lines: readonly string[]): boolean =>
  lines.length === 1 && /^0 \d+ error$/.test((lines[0] ?? '').trim())

/** Whether a VG's device can still write, in words. */
export function leftOfDevice(device: MapperDevice): Left[] {
  const { name, inFlight } = device
  const count =
    inFlight === undefined
      ? 'its I/O cannot be counted'
      : `${inFlight.reads} reads and ${inFlight.writes} writes in flight`
  if (isWiped(device))
    return inFlight !== undefined && inFlight.reads + inFlight.writes === 0
      ? []
      : [{ kind: inFlight === undefined ? 'unknown' : 'device', text: `${name} is wiped, but ${count}` }]
  return [{ kind: 'device', text: `${name} is not wiped (${count})` }]
}

/**
 * Writes that are under way to the disks below. A write of a VM is counted on its own device too until it is on the
 * disk (device-mapper ends its bio last). So this finds more only if a write came through no device of the VG.
 * sanlock's own renewals hang there as well: while it has any I/O in flight on the leases, a disk says nothing. Reads
 * (by lvs, by udev) change nothing.
 */
export function leftOfDisks(
  disks: readonly (readonly [node: string, inFlight: InFlight | undefined])[],
  vg: string,
  devices: readonly MapperDevice[],
): Left[] {
  const leases = devices.find((device) => isLeases(device, vg))?.inFlight
  if (leases !== undefined && leases.reads + leases.writes > 0) return []
  return disks.flatMap(([node, inFlight]): Left[] =>
    inFlight === undefined || inFlight.writes === 0
      ? []
      : [{ kind: 'disk', text: `${node} has ${inFlight.writes} writes in flight` }],
  )
}

/** A process, as the kernel tells it without a look into its memory. */
export interface ProcessFacts {
  /** Clock ticks since boot: with its number it names one process (proc(5)). */
  readonly start: string
  /** Its name, as far as the kernel keeps it. */
  readonly comm: string
  /** The state of each of its threads, as in /proc/PID/task/N/stat; undefined where they cannot be read. */
  readonly threads: readonly string[] | undefined
}

/**
 * Whether a process that was killed can do nothing any more. A zombie counts as gone only if none of its threads still
 * waits for I/O (FACTS 47: `Zl`).
 * @param now the process that has its number; undefined: none has
 */
export const isGone = (start: string, now: ProcessFacts | undefined): boolean =>
  now === undefined ||
  now.start !== start ||
  (now.threads !== undefined && now.threads.length > 0 && now.threads.every((state) => state === 'Z' || state === 'X'))

/**
 * Whether a command line is that of a domain's QEMU: libvirt gives each its UUID. The program is called qemu-system-…,
 * or kvm, or qemu-kvm.
 * @param exe where /proc/PID/exe points; undefined where that cannot be read
 */
export function isQemuOf(uuid: string, words: readonly string[], exe: string | undefined): boolean {
  const isQemu = [words[0], exe].some((path) => path !== undefined && /(?:^|\/)(?:qemu|kvm)[^/]*$/.test(path))
  return (
    isQemu && words.some((word, index) => word === '-uuid' && words[index + 1]?.toLowerCase() === uuid.toLowerCase())
  )
}

/**
 * Domains that have a volume of a VG on record, by UUID, with those volumes' names. One whose `prepare` was refused has
 * none.
 */
export function recordedOn(
  vg: string,
  { known }: Records,
): Map<string, { readonly name: string; readonly volumes: readonly string[] }> {
  const found = new Map<string, { name: string; volumes: string[] }>()
  for (const { domain, state, volumes } of known) {
    const own = volumes.filter((volume) => volume.vg === vg)
    if (state !== 'refused' && own.length > 0)
      found.set(domain.uuid, { name: domain.name, volumes: own.map(({ lv }) => `${vg}/${lv}`) })
  }
  return found
}
