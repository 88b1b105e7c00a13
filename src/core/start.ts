import type {
  Address,
  Device,
  Identified,
  IdentityTable,
  LockState,
  LogicalVolume,
  Seen,
  VolumeTable,
} from './lock-state.ts'
import { NO_VOLUMES, addressOf, deviceOf, identityOf, idsByDevice, seenHere, suffices } from './lock-state.ts'
import { type Problem, problemOfAbsent } from './problem.ts'
import type { DomainRecord, RecordedVolume, Records } from './record.ts'
import { IN_USE, claimsOn, goesWithDomainStill, isConflict, onAnyRecord } from './record.ts'
import type { ManagedVolume } from './scope.ts'
import { type Mode, type VolumeName, fullName } from './volume.ts'

/** What is true on this host at one moment, read while the VG's lock is held (R11). */
export interface HostFacts {
  readonly locks: LockState
  readonly devices: readonly Device[]
  readonly records: Records
  /** Who has a volume's device open, by `VG/LV`: absent for one that nobody has open. */
  readonly users: ReadonlyMap<string, readonly string[]>
}

/** A change of activation that is about to be made, and the sentence behind it. */
export interface Change extends VolumeName {
  readonly to: Mode | 'local' | 'inactive'
  readonly reason: string
  /** How the command has to name it; absent: by these names. */
  readonly now?: Address
}

/** What a start comes to: refused, or these volumes to activate and this list to put on record first. */
export type StartPlan =
  | { readonly kind: 'refuse'; readonly problems: readonly Problem[] }
  | { readonly kind: 'activate'; readonly changes: readonly Change[]; readonly recorded: readonly RecordedVolume[] }

/**
 * Whether lvguard itself brought a device up: for a domain that shares it, or for an earlier life of this one. The same
 * name alone does not make it the same device.
 */
export const isOurs = (device: Device, recorded: readonly RecordedVolume[], locks: LockState): boolean =>
  recorded.some(
    (old) => deviceOf(old, [device]) !== undefined && goesWithDomainStill(old, seenHere(old, locks, [device]).lock),
  )

/** A volume by the name that its device has now (R14): by now another one may have its old name. */
export function byPresentName(volume: RecordedVolume, devices: readonly Device[]): RecordedVolume {
  const device = volume.ids === undefined ? undefined : deviceOf(volume, devices)
  return device === undefined ? volume : { ...volume, vg: device.vg, lv: device.lv }
}

/** The records with the names that their volumes have now. */
const atPresent = (records: Records, devices: readonly Device[]): Records => ({
  ...records,
  known: records.known.map((record) => ({
    ...record,
    volumes: record.volumes.map((volume) => byPresentName(volume, devices)),
  })),
})

/**
 * Volumes to be shared that are active here, and under no lock of their own: that of a snapshot is its origin's, that of
 * a thin volume its pool's (FACTS 26, 27). To share a snapshot shares its origin too, and another VM may write to that
 * (R3). So lvs has to tell whose lock it is before anything is decided.
 */
export const seemUnlocked = (
  volumes: readonly ManagedVolume[],
  { locks, devices }: Pick<HostFacts, 'locks' | 'devices'>,
  shared: boolean,
): boolean =>
  volumes.some(({ vg, lv, role, isLocal }) => {
    const { device, lock } = seenHere({ vg, lv }, locks, devices)
    return !isLocal && (shared || role === 'shared') && device !== undefined && lock === 'none'
  })

/** The lock on a device that has none of its own; undefined where lvs does not tell, or tells of another volume. */
function coveringLock(device: Device, { volumes }: IdentityTable, locks: LockState): Seen['lock'] | undefined {
  const row = volumes.get(fullName(device))
  return row !== undefined && deviceOf(identityOf(row), [device]) !== undefined
    ? seenHere(identityOf(row), locks, [device]).lock
    : undefined
}

/** R9: whose lock it has is not known. */
const untold = (volume: VolumeName, table: IdentityTable, disk: string): Problem =>
  table.volumes.has(fullName(volume))
    ? { kind: 'volume-unknown', volume: fullName(volume), disk, detail: 'its device here is another volume’s' }
    : problemOfAbsent(volume, table, disk)

const onRecord = (volume: VolumeName, { domain, state, command }: DomainRecord): Problem => ({
  kind: 'on-record',
  volume: fullName(volume),
  domain: domain.name,
  hasEnded: state === 'releasing',
  ...(command !== undefined && { isCommand: true }),
})

/**
 * Decides a `prepare`: which volumes to activate, and how.
 * @param shared a `prepare` of a migration: shared is taken even where exclusive is needed (R2)
 * @param earlier what this domain's record named before: left by a `release` that could not finish, or a `migrate` that
 *   died
 * @param covers what lvs tells of the volumes, asked where some `seemUnlocked`
 */
export function planStart(
  volumes: readonly ManagedVolume[],
  facts: HostFacts,
  domainUuid: string,
  shared: boolean,
  earlier: readonly RecordedVolume[],
  covers?: IdentityTable,
): StartPlan {
  const { locks, devices, users } = facts
  const records = atPresent(facts.records, devices)
  const problems: Problem[] = []
  const changes: Change[] = []
  const recorded: RecordedVolume[] = []
  const everybodys = onAnyRecord(records)
  if (records.unreadable.length > 0) problems.push({ kind: 'records-unreadable', files: records.unreadable })
  for (const { vg, lv, role, isLocal, reason, partition } of volumes) {
    const mode = isLocal ? 'local' : role === 'exclusive' && shared ? 'shared' : role
    const { device, lock } = seenHere({ vg, lv }, locks, devices)
    // A record that is only to be released has no claim on a volume that is inactive by now.
    const claims = claimsOn({ vg, lv }, records, domainUuid, device === undefined ? IN_USE : [...IN_USE, 'releasing'])
      .filter((claim) => device === undefined || deviceOf(claim.volume, [device]) !== undefined)
      // virt-install looks at the volume first, and then starts the VM. If somebody still has the volume open, that is
      // found below.
      .filter(({ record }) => record.command !== 'hands-over')
    const conflict = claims.find((claim) =>
      isConflict({ role, ...(partition !== undefined && { partition }) }, claim.volume),
    )
    const inUse = users.get(fullName({ vg, lv }))
    // An lvchange would exit 0 on it, and change nothing (FACTS 49).
    if (device?.dead !== undefined)
      problems.push({ kind: 'dead-device', volume: fullName({ vg, lv }), is: device.dead })
    else if (conflict !== undefined) problems.push(onRecord({ vg, lv }, conflict.record))
    else if (inUse !== undefined && claims.length === 0)
      problems.push({ kind: 'open', volume: fullName({ vg, lv }), users: inUse })
    // Active and locked well enough: left as it is. Asking for shared would turn an exclusive lock into a shared one
    // (FACTS 20). Not even where an earlier life of this domain has left it so: somebody may have its snapshot, or
    // another partition of it, and nothing here would tell.
    const held =
      device === undefined || lock !== 'none' || covers === undefined ? lock : coveringLock(device, covers, locks)
    if (held === undefined && mode === 'shared') problems.push(untold({ vg, lv }, covers ?? NO_VOLUMES, reason))
    const isAsWanted =
      device !== undefined && (mode === 'local' || (held !== undefined && held !== 'unknown' && suffices(held, mode)))
    if (!isAsWanted)
      changes.push({
        vg,
        lv,
        to: mode,
        reason:
          mode === 'shared' && role === 'exclusive' ? `${reason}; the source of the migration still shares it` : reason,
      })
    const before = device === undefined || isOurs(device, [...earlier, ...everybodys], locks) ? 'inactive' : 'active'
    recorded.push({ vg, lv, role, mode, before, ...(partition !== undefined && { partition }) })
  }
  return problems.length > 0 ? { kind: 'refuse', problems } : { kind: 'activate', changes, recorded }
}

/**
 * The changes, without those of volumes that this host already holds exclusively for this very domain and that only
 * lack a device. If LVM makes no devices on this host (`activation = 0`), nothing is left to do for them.
 * @param earlier what this domain's record names
 */
export const withoutLocked = (
  changes: readonly Change[],
  earlier: readonly RecordedVolume[],
  locks: LockState,
): Change[] =>
  changes.filter(({ vg, lv }) => {
    const own = earlier.find((volume) => volume.ids !== undefined && volume.vg === vg && volume.lv === lv)
    return own === undefined || seenHere(own, locks, []).lock !== 'exclusive'
  })

/**
 * VGs with sanlock whose locks no command has just asked for, because the volumes were active and locked before. For
 * these lvmlockd's list is not enough: it lists a lock also where the lease behind it is lost (FACTS 46b).
 */
export const vgsUnasked = (
  recorded: readonly RecordedVolume[],
  attempted: readonly Change[],
  locks: LockState,
): readonly string[] => [
  ...new Set(
    recorded
      .filter(({ vg, mode }) => mode !== 'local' && locks.kind === 'known' && locks.lockspaces.get(vg) === 'sanlock')
      .map(({ vg }) => vg)
      .filter((vg) => !attempted.some((change) => change.vg === vg)),
  ),
]

/**
 * R1: what is not locked as it must be, after the commands. An lvchange that exits with 0 is no proof of a lock (FACTS
 * 24).
 * @param recorded the volumes and the modes they were to get
 */
export function missingLocks(
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  locks: LockState,
  devices: readonly Device[],
): Problem[] {
  if (table === undefined) return [{ kind: 'locks-unknown', detail: 'lvs does not answer' }]
  if (locks.kind === 'unknown' && recorded.some(({ mode }) => mode !== 'local')) {
    return [locks.why === 'down' ? { kind: 'lvmlockd-down' } : { kind: 'locks-unknown', detail: locks.detail }]
  }
  return recorded.flatMap(({ vg, lv, mode }): Problem[] => {
    const name = fullName({ vg, lv })
    const volume = table.volumes.get(name)
    if (volume === undefined) return [problemOfAbsent({ vg, lv }, table, 'see the domain XML')]
    if (mode === 'local')
      return deviceOf(identityOf(volume), devices) === undefined ? [{ kind: 'not-active', volume: name }] : []
    return isEnough(seenHere(identityOf(volume), locks, devices), mode) ? [] : [{ kind: 'no-lock', volume: name }]
  })
}

/**
 * R1: volumes that are locked, but have no device. If `activation/volume_list` leaves a volume out, lvchange says
 * nothing and exits with 0.
 * @param recorded the volumes and the modes they were to get
 */
export const withoutDevice = (
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  devices: readonly Device[],
): RecordedVolume[] =>
  recorded.filter((volume) => {
    const row = table?.volumes.get(fullName(volume))
    return deviceOf(row === undefined ? volume : identityOf(row), devices) === undefined
  })

/**
 * R14: volumes that turn out to be another VM's, now that their UUIDs are known. A moment ago, when the start was
 * decided, they had other names (lvrename).
 */
export const claimedMeanwhile = (
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  records: Records,
  domainUuid: string,
): Problem[] =>
  recorded.flatMap((volume): Problem[] => {
    const row = table?.volumes.get(fullName(volume))
    if (row === undefined) return []
    const claim = claimsOn(identityOf(row), records, domainUuid, IN_USE).find(
      ({ record, volume: other }) => record.command !== 'hands-over' && isConflict(volume, other),
    )
    return claim === undefined ? [] : [onRecord(volume, claim.record)]
  })

/**
 * R14: the same of volumes that were active here under their other names, and for nobody that lvguard knows of: then a
 * person uses them. The facts are those by which the start was decided.
 */
export const activeMeanwhile = (
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  { devices, locks, records }: HostFacts,
  domainUuid: string,
): Problem[] =>
  recorded.flatMap((volume): Problem[] => {
    const row = table?.volumes.get(fullName(volume))
    const device = row === undefined ? undefined : deviceOf(identityOf(row), devices)
    if (row === undefined || device === undefined || fullName(device) === fullName(volume)) return []
    const isKnown =
      isOurs(device, onAnyRecord(records), locks) || claimsOn(identityOf(row), records, domainUuid, IN_USE).length > 0
    return isKnown ? [] : [{ kind: 'renamed', volume: fullName(volume), was: fullName(device) }]
  })

/** R1: volumes whose device is there, and leads to no storage (FACTS 49). */
export const deadVolumes = (
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  devices: readonly Device[],
): Problem[] =>
  recorded.flatMap((volume): Problem[] => {
    const row = table?.volumes.get(fullName(volume))
    const dead = deviceOf(row === undefined ? volume : identityOf(row), devices)?.dead
    return dead === undefined ? [] : [{ kind: 'dead-device', volume: fullName(volume), is: dead }]
  })

const isEnough = ({ lock }: Seen, mode: Mode): boolean => lock !== 'unknown' && suffices(lock, mode)

/**
 * The way back after a failure: exactly what was changed, to exactly what it was (R1). One exception: volumes that
 * an earlier act of lvguard had left here, such as the trial of a `migrate` that was killed. They are deactivated: no
 * start takes shared (R2), and nobody runs on them.
 * @param attempted the changes that were, or may have been, carried out
 * @param earlier what this domain's record named before, and what records name that are nobody's any more
 * @param before,after the host's state around them; in an unknown state whatever was attempted on an inactive volume is
 *   undone
 */
export function planUndo(
  attempted: readonly Change[],
  earlier: readonly RecordedVolume[],
  volumeOf: (name: VolumeName) => LogicalVolume | undefined,
  before: Pick<HostFacts, 'locks' | 'devices'>,
  after: Pick<HostFacts, 'locks' | 'devices'>,
): Change[] {
  return attempted.flatMap((change): Change[] => {
    const row = volumeOf(change)
    const volume: Identified = row === undefined ? { vg: change.vg, lv: change.lv } : identityOf(row)
    const now = seenHere(volume, after.locks, after.devices)
    // If only its name is known, it may have been active before under another name (lvrename). Then its state under
    // that name counts.
    const named = before.devices.find(({ dmUuid }) => dmUuid === now.device?.dmUuid)
    const then = seenHere(row === undefined ? (named ?? volume) : volume, before.locks, before.devices)
    const back = (to: Change['to']): Change[] => [
      { vg: change.vg, lv: change.lv, to, reason: 'as it was before', ...addressOf(volume, after.devices) },
    ]
    // An unknown lock counts as taken: an lvchange -an of an inactive LV changes nothing, nor -asy of a shared one.
    if (
      then.device === undefined &&
      (now.device !== undefined || (then.lock !== now.lock && then.lock !== 'shared' && now.lock !== 'none'))
    )
      return back('inactive')
    // A lock without a device belongs to nobody who runs. To share it again would bring the volume up.
    const isOwn = then.device === undefined || isOurs(then.device, earlier, before.locks)
    // If it has turned out to be another VM's volume (`claimedMeanwhile`), that VM's lock stays what it was.
    if (then.lock === 'exclusive' && change.to === 'shared' && (now.lock === 'shared' || now.lock === 'unknown'))
      return back(isOwn ? 'inactive' : 'exclusive')
    if (then.lock === 'shared' && (now.lock === 'exclusive' || now.lock === 'unknown'))
      return back(isOwn ? 'inactive' : 'shared')
    return []
  })
}

/**
 * A recorded volume with its UUIDs, and its pool if it has one, where lvs has told them: then its release needs no lvs.
 */
export function withIds(volume: RecordedVolume, { volumes }: VolumeTable): RecordedVolume {
  const row = volumes.get(fullName(volume))
  if (row === undefined) return volume
  const pool = volume.pool ?? (row.pool === undefined ? undefined : { lv: row.pool, before: volume.before })
  return { ...volume, ids: identityOf(row).ids, ...(pool && { pool }) }
}

/**
 * A recorded volume with the UUIDs that lvs tells. If it is active here under that name, they must be those of its
 * device: on another host it may have been renamed, and another one may have its name (R14). Where lvs is silent, or
 * tells of that other one, the device counts.
 */
export function withTold(
  volume: RecordedVolume,
  table: VolumeTable,
  { locks, devices }: Pick<HostFacts, 'locks' | 'devices'>,
): RecordedVolume {
  if (volume.ids !== undefined) return volume
  const row = table.volumes.get(fullName(volume))
  const device = deviceOf(volume, devices)
  if (row !== undefined && (device === undefined || deviceOf(identityOf(row), devices) === device))
    return withIds(volume, table)
  const ids = idsByDevice(volume, locks, devices)
  return ids === undefined ? volume : { ...volume, ids }
}
