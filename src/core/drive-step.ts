import {
  type Device,
  type Identified,
  type LockState,
  type LockTable,
  addressOf,
  deviceOf,
  seenHere,
  suffices,
} from './lock-state.ts'
import { type DomainRecord, type RecordedVolume, IN_USE, claimsOn } from './record.ts'
import type { Wanted } from './reconcile.ts'
import type { Change } from './start.ts'
import { type Mode, fullName } from './volume.ts'
import type { DomainView, DriveFacts, DrivePlan, Report } from './domain-view.ts'

/** The one state in which a lock is demoted (R3). */
export const isOnTheWayOut = (wanted: Wanted): boolean => wanted.mode === 'shared' && wanted.direction === 'out'

/** The lock that a volume of that role should have, now that this is wanted. */
export const targetOf = (role: Mode, wanted: Wanted): Mode =>
  role === 'exclusive' && wanted.mode === 'exclusive' ? 'exclusive' : 'shared'

/** What is to be done about one volume of a domain that runs. */
export interface DriveStep {
  readonly change: Change | undefined
  /** What goes on record; undefined: as it is. */
  readonly mode?: RecordedVolume['mode']
  /** Shared by this step for a migration out; false: exclusive here, which ends what came of an earlier one. */
  readonly demoted?: boolean
  readonly reports: readonly Report[]
}

/** It stays as it is, on record too. */
export const NO_STEP: DriveStep = { change: undefined, reports: [] }

/** Decides for one volume of a domain that runs. Pure. */
export function stepOf(
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
    // No domain migrates while a backup job writes for it: libvirt has one asynchronous job at a time (libvirt 9.0 and
    // 11.3: qemuBackupBegin). The job has ended, and its volume is a person's (R4).
    if (volume.job === true) return NO_STEP
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

/** The volume as it goes on record with that step. */
export function afterStep(
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

/** Whether it is active here. */
export const hasDevice = (volume: Identified, { devices }: Pick<DriveFacts, 'devices'>): boolean =>
  deviceOf(volume, devices) !== undefined
