import { type Mode, type VolumeName, dashed, mapperUuid } from './volume.ts'

/** The lock a host holds on a volume; `none` covers lvmlockd's `un` and a volume that it does not list. */
export type Lock = Mode | 'none'

/** What lvmlockd of this host holds, as `lvmlockctl --info` lists it without taking a lock (FACTS 29). */
export interface LockTable {
  readonly kind: 'known'
  /** VGs whose lockspace is started, or still starting, with the lock manager's name (`sanlock`, `dlm`). */
  readonly lockspaces: ReadonlyMap<string, string>
  /** By the UUID of the LV that owns the lock, with its dashes. */
  readonly locks: ReadonlyMap<string, Mode>
}

/** Why nothing is known of this host's locks. R9: counts as locked by someone else. */
export interface LocksUnknown {
  readonly kind: 'unknown'
  /** `down`: lvmlockd does not answer; `absent`: there is no lvmlockctl here; `failed`: anything else. */
  readonly why: 'down' | 'absent' | 'failed'
  readonly detail: string
}

/** The locks of this host, or why they are not known. */
export type LockState = LockTable | LocksUnknown

/** The lock on one LV. Takes only a state that is known, so that unknown can never pass for free. */
export function lockOf(state: LockTable, lockUuid: string): Lock {
  return state.locks.get(lockUuid) ?? 'none'
}

/** Whether a lock held is enough for a mode: exclusive is enough for shared, not the other way round. */
export const suffices = (held: Lock, mode: Mode): boolean =>
  held === mode || (held === 'exclusive' && mode === 'shared')

/** What LVM's metadata says of one LV (lvs, without a lock). */
export interface LogicalVolume {
  readonly vg: string
  readonly lv: string
  readonly uuid: string
  readonly vgUuid: string
  /** `sanlock`, `dlm`, or `none` for a local VG. */
  readonly lockType: string
  /**
   * UUID of the LV whose lock covers this one: its thin or VDO pool, or the origin of a COW snapshot (FACTS 27,
   * captures: neither has lock_args of its own), else its own.
   */
  readonly lockUuid: string
  /** The thin or VDO pool that it is in, by its name, if it is in one. */
  readonly pool?: string
  /** lv_layout, such as `linear` or `thin,sparse`; what a message calls the type. */
  readonly layout: string
  /** Whether LVM can share it (`Shared activation not compatible with LV type …`, FACTS 27). */
  readonly shareable: boolean
  /**
   * Byte offset of its lease in /dev/mapper/VG-lvmlock (sanlock), or undefined where there is none (dlm, or no
   * lock_args).
   */
  readonly leaseOffset: number | undefined
}

/** How often a volume's lease has been taken, by any host in any mode, and by whom last (FACTS 51). */
export interface LeaseCount {
  readonly lver: number
  /** host_id of the host that took it last. */
  readonly owner: number
}

/** Which volume it is, and whose lock covers it. */
export type VolumeIdentity = Pick<LogicalVolume, 'vg' | 'lv' | 'uuid' | 'vgUuid' | 'lockUuid' | 'pool'>

/** Answers of one `lvs` for the volumes asked for. */
export interface VolumeTable<Row extends VolumeIdentity = LogicalVolume> {
  /** By `VG/LV`. */
  readonly volumes: ReadonlyMap<string, Row>
  /** Names of VGs asked for that LVM does not know. */
  readonly missingVgs: ReadonlySet<string>
  /** VGs with a lock manager that LVM does not touch because use_lvmlockd is off in lvm.conf. */
  readonly lockedOutVgs: ReadonlySet<string>
  /**
   * Volumes asked for, by `VG/LV`, about which the answer says nothing: neither what they are nor that they are not
   * there. Each with the reason, as far as it is known.
   */
  readonly unexplained: ReadonlyMap<string, string>
}

/** Which volumes these are, as lvs or a record says. */
export type IdentityTable = VolumeTable<VolumeIdentity>

/** The answer where nothing was asked. */
export const NO_VOLUMES: VolumeTable = {
  volumes: new Map(),
  missingVgs: new Set(),
  lockedOutVgs: new Set(),
  unexplained: new Map(),
}

/** An LV that is active on this host: it has a device-mapper device. */
export interface Device {
  readonly vg: string
  readonly lv: string
  /** `dm-3`, its name under /sys/block. */
  readonly node: string
  /** Device-mapper's UUID, `LVM-…`. */
  readonly dmUuid: string
  /** Why its live table leads to no storage now; absent: it does. LVM counts it as active all the same (FACTS 49). */
  readonly dead?: Dead
  /** It is the origin of a COW snapshot: LVM keeps a layer `-real` of its own below it (FACTS 26). */
  readonly hasSnapshot?: true
}

/** `error`: a table that fails all I/O, as `dmsetup wipe_table` leaves it; `suspended`: all I/O waits. */
export type Dead = 'error' | 'suspended'

/**
 * A volume by its names and, once LVM has told them, by its UUIDs, with their dashes. With UUIDs the names do not count
 * any more (R14).
 */
export interface Identified extends VolumeName {
  readonly ids?: { readonly lv: string; readonly vg: string; readonly lock: string } | undefined
}

/** What is seen of one volume on this host at one moment. */
export interface Seen {
  /** Undefined where it is not active. Its names are the present ones. */
  readonly device: Device | undefined
  /** The lock that lvmlockd holds for it, or for its pool (FACTS 27). */
  readonly lock: Lock | 'unknown'
}

const isSameName = (a: VolumeName, b: VolumeName): boolean => a.vg === b.vg && a.lv === b.lv

/**
 * The device of a volume, by its UUID, whatever it is called by now. If its UUID is not known, by its name.
 */
export const deviceOf = (volume: Identified, devices: readonly Device[]): Device | undefined => {
  const { ids } = volume
  return devices.find(
    ids === undefined ? (device) => isSameName(device, volume) : ({ dmUuid }) => dmUuid === mapperUuid(ids.vg, ids.lv),
  )
}

/** What holds a volume on this host, and in which mode: the one answer to that question. */
export function seenHere(volume: Identified, locks: LockState, devices: readonly Device[]): Seen {
  const device = deviceOf(volume, devices)
  if (locks.kind === 'unknown') return { device, lock: 'unknown' }
  if (volume.ids !== undefined) return { device, lock: lockOf(locks, volume.ids.lock) }
  // By the LV's UUID inside the device's own. Without a device nobody can tell which lock is that of the volume.
  const own =
    device === undefined
      ? undefined
      : [...locks.locks].find(([uuid]) => device.dmUuid.endsWith(uuid.replaceAll('-', '')))
  return { device, lock: own?.[1] ?? 'none' }
}

/**
 * The UUIDs of a volume that is known by its name only, as its device tells them (FACTS 30), if lvmlockd holds a lock of
 * its own for it. Undefined where it does not: then the lock may be another volume's (FACTS 26, 27).
 */
export function idsByDevice(volume: VolumeName, locks: LockState, devices: readonly Device[]): Identified['ids'] {
  const [, vg, lv] = deviceOf(volume, devices)?.dmUuid.match(/^LVM-(.{32})(.{32})$/) ?? []
  if (vg === undefined || lv === undefined || locks.kind === 'unknown' || !locks.locks.has(dashed(lv))) return undefined
  return { lv: dashed(lv), vg: dashed(vg), lock: dashed(lv) }
}

/** Whether two are one volume: by their UUIDs where both are known, else by their names. */
export const isSameVolume = (a: Identified, b: Identified): boolean =>
  a.ids !== undefined && b.ids !== undefined ? a.ids.lv === b.ids.lv : isSameName(a, b)

/**
 * How a command has to name a volume: by its present names, or by its UUID in its VG where it is not active, so that
 * none can be seen.
 */
export type Address = VolumeName | { readonly vg: string; readonly uuid: string }

/** The address of a volume; absent where its names are all that is known. */
export function addressOf(volume: Identified, devices: readonly Device[]): { readonly now?: Address } {
  if (volume.ids === undefined) return {}
  const device = deviceOf(volume, devices)
  return { now: device === undefined ? { vg: volume.vg, uuid: volume.ids.lv } : { vg: device.vg, lv: device.lv } }
}

/** What LVM's metadata says of a volume, as an identity. */
export const identityOf = ({
  vg,
  lv,
  uuid,
  vgUuid,
  lockUuid,
}: VolumeIdentity): VolumeName & { readonly ids: NonNullable<Identified['ids']> } => ({
  vg,
  lv,
  ids: { lv: uuid, vg: vgUuid, lock: lockUuid },
})
