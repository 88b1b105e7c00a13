import {
  type Device,
  type Identified,
  type LockState,
  type LockTable,
  addressOf,
  deviceOf,
  isSameVolume,
  seenHere,
  suffices,
} from './lock-state.ts'
import {
  type Claim,
  type DomainRecord,
  IN_USE,
  type MigrationMemory,
  type RecordedVolume,
  type Records,
  claimsOn,
  goesWithDomain,
  isConflict,
  isOtherPartition,
} from './record.ts'
import type { Unchanged, Wanted } from './reconcile.ts'
import { goTogether, mayBeUsedByAnother } from './relatives.ts'
import { type ReleasePlan, planRelease } from './release.ts'
import type { Change } from './start.ts'
import { type Mode, type VolumeName, fullName } from './volume.ts'

/** Something that the agent cannot, or must not, put right: said, and left as it is. */
export type Report =
  | { readonly kind: 'unchanged'; readonly why: Unchanged; readonly detail: string }
  /** A VM runs here on a volume of a VG whose locking is not (any more) in force. */
  | { readonly kind: 'lockspace-lost'; readonly vg: string }
  | { readonly kind: 'locks-unknown'; readonly detail: string }
  | { readonly kind: 'records-unreadable'; readonly files: readonly string[] }
  /** Another domain of this host has the volume on record. */
  | { readonly kind: 'claimed'; readonly volume: string; readonly domain: string }
  /** The domain has come to write what another domain of this host uses. */
  | { readonly kind: 'written'; readonly volume: string; readonly domain: string }
  /** Another domain of this host has it on record too, and one of them writes to it. */
  | { readonly kind: 'also-used'; readonly volume: string; readonly domain: string }
  /** Its pool's lock covers it, or its type cannot be shared (FACTS 27): no live migration. */
  | { readonly kind: 'pool-lock'; readonly volume: string }
  /** It is active here, seems unlocked, and lvs has not told yet whose lock covers it. */
  | { readonly kind: 'lock-owner-unknown'; readonly volume: string }

/** A domain as the agent sees it, at one moment. */
export interface DomainView {
  readonly domain: { readonly name: string; readonly uuid: string }
  readonly wanted: Wanted
  readonly record: DomainRecord | undefined
  /** QEMU runs: its status file has a process id. */
  readonly runs: boolean
  /** The volumes in the live XML that are in VGs with a lock manager, each with the mode of its role. */
  readonly live: readonly (VolumeName & {
    readonly mode: Mode
    readonly reason: string
    readonly partition?: string
    readonly job?: true
  })[]
  /**
   * Every volume that the live XML names, in whatever VG and whatever a policy says of it; undefined where it is not
   * understood as a whole, or a job is under way. What is not among them is not plugged in.
   */
  readonly named?: readonly VolumeName[] | undefined
  /** What its record is to remember of a migration out. */
  readonly memory?: MigrationMemory | undefined
}

/** This host at the same moment: under the VG's lock where it is for acting (R11). */
export interface DriveFacts {
  readonly locks: LockState
  readonly devices: readonly Device[]
  readonly records: Records
}

/** What is to be done for a domain. */
export type DrivePlan =
  | { readonly kind: 'nothing'; readonly reports: readonly Report[] }
  | {
      readonly kind: 'drive'
      /** To be put in place before the changes; undefined where the record is right already. */
      readonly record: DomainRecord | undefined
      readonly changes: readonly Change[]
      /** No longer in the live XML: to be given back if nobody has them open (R4). */
      readonly unplugged: readonly RecordedVolume[]
      /** `virsh domjobabort`: a job that copies storage onto a volume that is not exclusive here. */
      readonly abortJob: boolean
      /** The UUIDs of a volume in use are not on record: lvs is to be asked again. */
      readonly isUntold: boolean
      readonly reports: readonly Report[]
    }
  | { readonly kind: 'release'; readonly plan: ReleasePlan; readonly reports: readonly Report[] }

/** Reasons that a person has to know of. The others are ordinary, and are over soon. */
const WORTH_SAYING: ReadonlySet<Unchanged> = new Set<Unchanged>([
  'storage-copy',
  'offline',
  'left-paused',
  'not-understood',
  'unknown',
  'daemon-down',
])

/**
 * Decides what is to be done for one domain: the record first, then the changes. Pure. It takes nothing from another
 * domain of this host. It demotes only for a migration out (R3). It does nothing where the locks are unknown (R9).
 */
export function planDrive(view: DomainView, facts: DriveFacts, detail = ''): DrivePlan {
  const { record } = view
  const wanted = byLocks(view, facts)
  if (wanted.mode === 'inactive') return planEnd(record, facts)
  const said: Report[] =
    wanted.mode === 'unchanged' && WORTH_SAYING.has(wanted.why) ? [{ kind: 'unchanged', why: wanted.why, detail }] : []
  const isAdopted = record === undefined || !IN_USE.includes(record.state)
  // Between a `migrate` and its `prepare`, or before QEMU runs, the hooks are at work.
  if (
    !view.runs ||
    (isAdopted && (wanted.mode === 'unchanged' || (wanted.mode === 'shared' && wanted.direction === 'in')))
  )
    return { kind: 'nothing', reports: said }
  const volumes = volumesOf(view, isAdopted, facts)
  if (volumes.length === 0) return { kind: 'nothing', reports: [] }
  const steps = wanted.mode === 'unchanged' ? [] : volumes.map((volume) => stepOf(volume, wanted, view, facts))
  const recorded = volumes.map((volume, index) => afterStep(volume, steps[index] ?? NO_STEP))
  const { incoming: _used, migration: _old, ...kept } = record ?? { format: 1 as const }
  const put: DomainRecord = {
    ...kept,
    domain: view.domain,
    state: 'running',
    volumes: recorded,
    ...(view.memory && { migration: view.memory }),
  }
  const isKnown = facts.records.unreadable.length === 0
  return {
    kind: 'drive',
    record: isSame(put, record) || !isKnown ? undefined : put,
    changes: steps.flatMap(({ change }) => change ?? []),
    unplugged:
      isKnown && wanted.mode === 'exclusive'
        ? recorded.filter((volume) => isUnplugged(volume, recorded, view, facts))
        : [],
    abortJob:
      wanted.mode === 'unchanged' &&
      wanted.why === 'storage-copy' &&
      volumes.some((volume) => isNotExclusive(volume, facts)),
    isUntold: hasUntold(recorded, facts),
    reports: [
      ...said,
      ...volumes.flatMap((volume) => alsoUsed(volume, view, facts)),
      ...steps.flatMap(({ reports }) => reports),
      ...writtenReports(view, facts),
      ...(isKnown ? [] : [{ kind: 'records-unreadable' as const, files: facts.records.unreadable }]),
    ],
  }
}

/**
 * What is wanted, now that the locks are known: a paused domain that has only shared what it needs for itself was left
 * by a migration, whatever its record says.
 */
const byLocks = ({ wanted, record }: DomainView, { locks, devices }: DriveFacts): Wanted =>
  wanted.mode === 'exclusive' &&
  wanted.unlessShared === true &&
  record?.volumes.some(
    (volume) => volume.role === 'exclusive' && seenHere(volume, locks, devices).lock === 'shared',
  ) === true
    ? { mode: 'unchanged', why: 'left-paused' }
    : wanted

/**
 * Whether the record already says all that the domain's state calls for. Then nothing is done at once: libvirt writes a
 * status file several times in each phase. If a lock is not what the record says, the next pass sees that. What was
 * refused is being tried again.
 */
export function isAsRecorded(view: DomainView): boolean {
  const { wanted, record, live, memory } = view
  if (record?.state !== 'running' || !(wanted.mode === 'exclusive' || isOnTheWayOut(wanted))) return false
  // If a doubt is left, an act asks who holds the volumes (core/contested.ts).
  const isSettled = wanted.mode === 'shared' || memory === undefined
  return (
    isSettled &&
    isSameMemory(memory, record.migration) &&
    record.volumes.every(({ mode, role }) => mode === 'local' || mode === targetOf(role, wanted)) &&
    live.every((volume) => record.volumes.some((known) => isSameVolume(known, volume))) &&
    !record.volumes.some((volume) => isWrittenNow(volume, live) || isJobOver(volume, view))
  )
}

/**
 * Whether a volume in use has no UUIDs on record: lvs did not tell when it was plugged in, or an earlier version wrote
 * the record. Without them it is known by its name only (R14), and nobody can tell what has the same lock: a snapshot of
 * it does (FACTS 26).
 */
export const hasUntold = (recorded: readonly RecordedVolume[], facts: Pick<DriveFacts, 'devices'>): boolean =>
  recorded.some((volume) => volume.ids === undefined && volume.mode !== 'local' && hasDevice(volume, facts))

/** Volumes that the domain has come to write, and that other domains of this host use: no lock tells the two apart. */
function writtenReports({ domain, record, live }: DomainView, { records }: DriveFacts): Report[] {
  const others = (volume: RecordedVolume): Claim[] =>
    claimsOn(volume, records, domain.uuid, IN_USE).filter(
      (claim) => !isOtherPartition(volume.partition, claim.volume.partition),
    )
  return (record?.volumes ?? [])
    .filter((volume) => isWrittenNow(volume, live))
    .flatMap((volume) =>
      others(volume).map(
        (claim): Report => ({ kind: 'written', volume: fullName(volume), domain: claim.record.domain.name }),
      ),
    )
}

/** A domain that is gone: what its own `release` would have done. */
function planEnd(record: DomainRecord | undefined, { records, devices }: DriveFacts): DrivePlan {
  if (record === undefined) return { kind: 'nothing', reports: [] }
  const plan = planRelease({ record, records, inXml: [], gotPastPrepare: true, runsHere: false, devices })
  return {
    kind: 'release',
    plan,
    reports: records.unreadable.length > 0 ? [{ kind: 'records-unreadable', files: records.unreadable }] : [],
  }
}

/**
 * What is on record, and what the live XML has beside it: volumes that were hot-plugged, or all volumes of a domain
 * that is adopted. A volume in use has a device, which device-mapper does not remove while it is open. If there is no
 * device, the domain does not run on that volume.
 */
function volumesOf(view: DomainView, isAdopted: boolean, facts: DriveFacts): RecordedVolume[] {
  const { record, live } = view
  // For a domain without a record in force: what an earlier life of it could not give back.
  const known = (record?.volumes ?? [])
    .map((volume) => asWritten(volume, live))
    .filter(
      (volume) =>
        (!isAdopted || goesWithDomain(volume)) &&
        !isJobOver(volume, view) &&
        (live.some((other) => isSameVolume(other, volume)) || !isPluggedOut(volume, facts)),
    )
  const added = live.filter((volume) => !known.some((old) => isSameVolume(old, volume)) && hasDevice(volume, facts))
  return [
    ...known,
    ...added.map(
      ({ vg, lv, mode, partition, job }): RecordedVolume => ({
        vg,
        lv,
        role: mode,
        mode,
        before: job === true ? 'active' : 'inactive',
        ...(job === true && { job }),
        ...(partition !== undefined && { partition }),
      }),
    ),
  ]
}

/** Whether a backup job that wrote a volume has ended. As long as any job is under way, or nobody can tell, it has not. */
const isJobOver = (volume: RecordedVolume, { named }: DomainView): boolean =>
  volume.job === true && named?.some((each) => isSameVolume(each, volume)) === false

/** Volumes that the live XML names, and that another domain of this host has on record, unless both only read. */
function alsoUsed(volume: RecordedVolume, { domain, live, record }: DomainView, { records }: DriveFacts): Report[] {
  const isNew = record?.volumes.some((old) => isSameVolume(old, volume) && isWrittenNow(old, live)) === true
  if (isNew || !live.some((other) => isSameVolume(other, volume))) return []
  // A record that hands over belongs to virt-install, which has started this very domain (core/start.ts).
  const claim = claimsOn(volume, records, domain.uuid, IN_USE).find(
    (other) => other.record.command !== 'hands-over' && isConflict(volume, other.volume),
  )
  return claim === undefined ? [] : [{ kind: 'also-used', volume: fullName(volume), domain: claim.record.domain.name }]
}

/**
 * Volumes that were brought up for a domain that runs here, and taken out of it since. Left out is what another domain
 * uses, and what would take another volume along: one of this domain, under the same lock, that is still plugged in.
 */
function isUnplugged(
  volume: RecordedVolume,
  own: readonly RecordedVolume[],
  { domain, named }: DomainView,
  { records, locks, devices }: DriveFacts,
): boolean {
  const isNamed = (other: VolumeName): boolean => named?.some((each) => isSameVolume(each, other)) !== false
  // After a lost lease, or with the locking stopped, nothing is given.
  if (
    locks.kind === 'unknown' ||
    !locks.lockspaces.has(volume.vg) ||
    volume.before !== 'inactive' ||
    volume.mode === 'local' ||
    isNamed(volume)
  )
    return false
  return (
    !mayBeUsedByAnother(volume, records, domain.uuid, devices) &&
    !own.some((other) => other !== volume && isNamed(other) && goTogether(volume, other, devices) !== 'no')
  )
}

/**
 * What is to be given back of a domain that runs, now that lvs has told what it can: a volume whose UUIDs were not on
 * record may turn out to have the lock of one that is in use. If lvs has not told, it stays for now (R9).
 * @param record the domain's, as it is now
 */
export const stillUnplugged = (
  unplugged: readonly RecordedVolume[],
  record: DomainRecord,
  view: DomainView,
  facts: DriveFacts,
): RecordedVolume[] =>
  unplugged.flatMap((volume) => {
    const now = record.volumes.find((each) => isSameVolume(each, volume)) ?? volume
    return now.ids !== undefined && isUnplugged(now, record.volumes, view, facts) ? [now] : []
  })

/**
 * The role of a volume goes up with what the domain may do to it now: a disk that was attached for writing, a commit
 * into a backing file. It never goes down (R3).
 */
const asWritten = (volume: RecordedVolume, live: DomainView['live']): RecordedVolume =>
  isWrittenNow(volume, live) ? { ...volume, role: 'exclusive' } : volume

const isWrittenNow = (volume: RecordedVolume, live: DomainView['live']): boolean =>
  volume.role === 'shared' && live.some((now) => now.mode === 'exclusive' && isSameVolume(now, volume))

const hasDevice = (volume: Identified, { devices }: Pick<DriveFacts, 'devices'>): boolean =>
  deviceOf(volume, devices) !== undefined

/** Taken out of the domain, and deactivated here since. */
const isPluggedOut = (volume: RecordedVolume, { locks, devices }: DriveFacts): boolean =>
  !hasDevice(volume, { devices }) &&
  locks.kind === 'known' &&
  locks.lockspaces.has(volume.vg) &&
  // The lock of a snapshot is its origin's, which others may have.
  (heldOf(volume, locks, devices) === 'none' ||
    (volume.ids !== undefined && volume.pool === undefined && volume.ids.lock !== volume.ids.lv))

/** The one state in which a lock is demoted (R3). */
export const isOnTheWayOut = (wanted: Wanted): boolean => wanted.mode === 'shared' && wanted.direction === 'out'

const targetOf = (role: Mode, wanted: Wanted): Mode =>
  role === 'exclusive' && wanted.mode === 'exclusive' ? 'exclusive' : 'shared'

/** Whether two memories of a migration say the same. */
export const isSameMemory = (a: MigrationMemory | undefined, b: MigrationMemory | undefined): boolean =>
  a?.phase === b?.phase &&
  a?.suspend === b?.suspend &&
  a?.lockedBy === b?.lockedBy &&
  JSON.stringify(a?.lvers) === JSON.stringify(b?.lvers)

interface DriveStep {
  readonly change: Change | undefined
  /** What goes on record; undefined: as it is. */
  readonly mode?: RecordedVolume['mode']
  /** Shared by this step for a migration out; false: exclusive here, which ends what came of an earlier one. */
  readonly demoted?: boolean
  readonly reports: readonly Report[]
}

const NO_STEP: DriveStep = { change: undefined, reports: [] }

function stepOf(
  volume: RecordedVolume,
  wanted: Exclude<Wanted, { mode: 'inactive' | 'unchanged' }>,
  view: DomainView,
  { locks, devices, records }: DriveFacts,
): DriveStep {
  const { vg, lv, role } = volume
  const name = fullName(volume)
  if (volume.mode === 'local') return NO_STEP
  if (locks.kind === 'unknown') return { change: undefined, reports: [{ kind: 'locks-unknown', detail: locks.detail }] }
  // After a lost lease, or with the locking stopped: nothing is taken, nothing given (DESIGN 4).
  if (!locks.lockspaces.has(vg)) return { change: undefined, reports: [{ kind: 'lockspace-lost', vg }] }
  const held = heldOf(volume, locks, devices)
  // No host takes in an origin. If its lock were shared, so would be that of its snapshots, which another VM may write
  // here, and read elsewhere.
  const hasSnapshot = deviceOf(volume, devices)?.hasSnapshot === true
  const target = hasSnapshot && held === 'none' ? role : targetOf(role, wanted)
  const to = (mode: Mode, reason: string): DriveStep => ({
    change: { vg, lv, to: mode, reason, ...addressOf(volume, devices) },
    mode,
    reports: [],
  })

  if (held === 'exclusive' && target === 'shared' && role === 'exclusive' && isOnTheWayOut(wanted)) {
    if (hasSnapshot || (volume.ids !== undefined && volume.ids.lock !== volume.ids.lv))
      return { change: undefined, reports: [{ kind: 'pool-lock', volume: name }] }
    const [claim] = claimsOn(volume, records, view.domain.uuid, IN_USE)
    if (claim !== undefined)
      return { change: undefined, reports: [{ kind: 'claimed', volume: name, domain: claim.record.domain.name }] }
    return records.unreadable.length > 0 ? NO_STEP : { ...to('shared', 'the domain is migrating out'), demoted: true }
  }
  if (suffices(held, target))
    return {
      ...NO_STEP,
      mode: target === 'shared' && held === 'exclusive' ? volume.mode : target,
      ...(target === 'exclusive' && { demoted: false }),
    }
  if (held === 'shared') return to('exclusive', 'the domain runs here')
  // The lock of a snapshot is its origin's, that of a thin volume its pool's (FACTS 26, 27). To share it would share
  // that one too, and another VM may have it exclusive (R3). The act asks lvs when all else is done, and goes on then.
  if (target === 'shared' && volume.ids === undefined && hasDevice(volume, { devices }))
    return { change: undefined, reports: [{ kind: 'lock-owner-unknown', volume: name }] }
  return hasDevice(volume, { devices }) ? to(target, 'its lock is missing under a running domain') : NO_STEP
}

function afterStep(
  { demoted, ...volume }: RecordedVolume,
  { mode, demoted: now = demoted === true }: DriveStep,
): RecordedVolume {
  return { ...volume, mode: mode ?? volume.mode, ...(now && volume.before === 'active' && { demoted: true as const }) }
}

/** The lock on a recorded volume where the locks are known. */
export function heldOf(volume: Identified, locks: LockTable, devices: readonly Device[]): Mode | 'none' {
  const { lock } = seenHere(volume, locks, devices)
  return lock === 'unknown' ? 'none' : lock
}

const isNotExclusive = (volume: RecordedVolume, { locks, devices }: DriveFacts): boolean =>
  volume.role === 'exclusive' &&
  volume.mode !== 'local' &&
  locks.kind === 'known' &&
  locks.lockspaces.has(volume.vg) &&
  heldOf(volume, locks, devices) !== 'exclusive'

/** Field by field; `ids` and other fields are copied unchanged. */
const isSame = (put: DomainRecord, record: DomainRecord | undefined): boolean =>
  record !== undefined &&
  put.state === record.state &&
  put.domain.name === record.domain.name &&
  put.volumes.length === record.volumes.length &&
  isSameMemory(put.migration, record.migration) &&
  put.volumes.every((volume, index) => {
    const old = record.volumes[index]
    return (
      old !== undefined &&
      isSameVolume(volume, old) &&
      volume.mode === old.mode &&
      volume.role === old.role &&
      volume.demoted === old.demoted
    )
  })

/** A volume of a record by its names. */
export const volumeIn = (record: DomainRecord, name: string): RecordedVolume | undefined =>
  record.volumes.find((volume) => fullName(volume) === name)

/**
 * The changes, but none that shares a lock which another one of them makes exclusive: it would come last, and take that
 * back. Such a volume is locked well enough then (FACTS 26; two partitions of one volume).
 */
export function withoutLowering(owners: ReadonlyMap<Change, RecordedVolume | undefined>): Change[] {
  const exclusive = new Set(
    [...owners].flatMap(([{ to }, owner]) => (to === 'exclusive' && owner?.ids !== undefined ? [owner.ids.lock] : [])),
  )
  // Whose lock that will be is not known yet.
  const untold = new Set(
    [...owners].flatMap(([{ to, vg }, owner]) => (to === 'exclusive' && owner?.ids === undefined ? [vg] : [])),
  )
  const isLowering = ({ vg }: Change, owner: RecordedVolume | undefined): boolean =>
    (owner?.ids !== undefined && exclusive.has(owner.ids.lock)) || (owner?.role === 'shared' && untold.has(vg))
  return [...owners]
    .filter(([change, owner]) => change.to !== 'shared' || !isLowering(change, owner))
    .map(([change]) => change)
}

/**
 * What was held back, and can be done now: volumes to be shared whose owner lvs has told meanwhile, and those that
 * `withoutLowering` has left out, if their lock is missing still.
 */
export function heldBack(
  plan: Extract<DrivePlan, { kind: 'drive' }>,
  record: DomainRecord,
  carriedOut: readonly Change[],
  locks: LockState,
  devices: readonly Device[],
): { readonly change: Change; readonly volume: RecordedVolume }[] {
  const names = [
    ...plan.reports.flatMap((report) => (report.kind === 'lock-owner-unknown' ? [report.volume] : [])),
    ...plan.changes.filter((change) => change.to === 'shared' && !carriedOut.includes(change)).map(fullName),
  ]
  return names.flatMap((name) => {
    const volume = volumeIn(record, name)
    if (volume?.ids === undefined) return []
    const { device, lock } = seenHere(volume, locks, devices)
    if (device === undefined || lock !== 'none') return []
    const { vg, lv } = volume
    const reason = 'its lock is missing under a running domain'
    return [{ change: { vg, lv, to: 'shared' as const, reason, ...addressOf(volume, devices) }, volume }]
  })
}
