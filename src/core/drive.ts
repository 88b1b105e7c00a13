import { isSameVolume, seenHere } from './lock-state.ts'
import {
  type Claim,
  type DomainRecord,
  type MigrationMemory,
  type RecordedVolume,
  IN_USE,
  claimsOn,
  goesWithDomain,
  isConflict,
  isOtherPartition,
} from './record.ts'
import type { Unchanged, Wanted } from './reconcile.ts'
import { planRelease } from './release.ts'
import { fullName } from './volume.ts'
import type { DomainView, DriveFacts, DrivePlan, Report } from './domain-view.ts'
import { isUnplugged } from './unplugged.ts'
import { NO_STEP, afterStep, hasDevice, heldOf, isOnTheWayOut, stepOf, targetOf } from './drive-step.ts'

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
 * the record. Without them it is known by its name only (R14), and nobody can tell what has the same lock: a snapshot
 * of it does (FACTS 26).
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

/**
 * Whether a backup job that wrote a volume has ended. As long as any job is under way, or nobody can tell, it has not.
 */
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
 * The role of a volume goes up with what the domain may do to it now: a disk that was attached for writing, a commit
 * into a backing file. It never goes down (R3).
 */
const asWritten = (volume: RecordedVolume, live: DomainView['live']): RecordedVolume =>
  isWrittenNow(volume, live) ? { ...volume, role: 'exclusive' } : volume

const isWrittenNow = (volume: RecordedVolume, live: DomainView['live']): boolean =>
  volume.role === 'shared' && live.some((now) => now.mode === 'exclusive' && isSameVolume(now, volume))

/** Taken out of the domain, and deactivated here since. */
const isPluggedOut = (volume: RecordedVolume, { locks, devices }: DriveFacts): boolean =>
  !hasDevice(volume, { devices }) &&
  locks.kind === 'known' &&
  locks.lockspaces.has(volume.vg) &&
  // The lock of a snapshot is its origin's, which others may have.
  (heldOf(volume, locks, devices) === 'none' ||
    (volume.ids !== undefined && volume.pool === undefined && volume.ids.lock !== volume.ids.lv))

/** Whether two memories of a migration say the same. */
export const isSameMemory = (a: MigrationMemory | undefined, b: MigrationMemory | undefined): boolean =>
  a?.phase === b?.phase &&
  a?.suspend === b?.suspend &&
  a?.lockedBy === b?.lockedBy &&
  JSON.stringify(a?.lvers) === JSON.stringify(b?.lvers)

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
