import { existsSync } from '../system/files.ts'
import { monotonic } from '../system/clock.ts'
import type { Configuration } from '../core/configuration.ts'
import { type Candidates, type Domain, candidatesOf } from '../core/domain.ts'
import type { Device, IdentityTable, LockState, VolumeTable } from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import type { RecordedVolume, Records } from '../core/record.ts'
import { type ManagedVolume, type Scope, lockspacesTellAll, scopeOf, vgsOf } from '../core/scope.ts'
import {
  type Change,
  type HostFacts,
  deadVolumes,
  missingLocks,
  seemUnlocked,
  vgsUnasked,
  withoutDevice,
} from '../core/start.ts'
import { fullName } from '../core/volume.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { lockState, lockStateAtOnce, makesDevices, openVolumes, volumeTable } from '../lvm/lvm.ts'
import { lostLeases } from '../sanlock/ask.ts'
import { onHost } from '../system/paths.ts'
import { readRecords } from '../state/record-store.ts'
import { findSources } from './sources.ts'

/** What a domain's event is about. */
export interface Subject {
  readonly domain: Domain
  readonly configuration: Configuration
  readonly candidates: Candidates
  /** Whether any of its sources can be a volume; else the domain does not concern lvguard. */
  readonly isConcerned: boolean
  /** The VGs that may have a volume of the domain. */
  readonly vgsToLock: readonly string[]
  /** Answers of lvs. Asked for once, when first needed: as a rule while lvchange runs, so that nobody waits for it. */
  readonly table: () => Promise<VolumeTable | undefined>
}

/**
 * Finds the sources of a domain that may be volumes. Asks LVM only for those that are named by a UUID.
 * @param mayWait false: leaves out what another host has to answer for (NFS and the like)
 */
export async function subjectOf(domain: Domain, configuration: Configuration, mayWait = true): Promise<Subject> {
  const { disks, found } = await findSources(domain, mayWait)
  return subjectWith(domain, configuration, candidatesOf({ ...domain, disks }, configuration, found))
}

/** The same domain with other volumes: the backing files of its images. */
export function subjectWith(domain: Domain, configuration: Configuration, candidates: Candidates): Subject {
  let table: Promise<VolumeTable | undefined> | undefined
  const vgs = vgsOf(candidates)
  return {
    domain,
    configuration,
    candidates,
    isConcerned: vgs.length > 0 || candidates.problems.length > 0,
    vgsToLock: vgsOf({ ...candidates, impossible: [], standIns: [] }),
    table: () => (table ??= volumeTable([...candidates.volumes, ...candidates.standIns])),
  }
}

/**
 * Which of the paths are managed volumes. Waits for lvs only if a VG has no lockspace here: it may be local, missing,
 * or not started.
 */
export async function scopeFor({ candidates, configuration, table }: Subject, locks: LockState): Promise<Scope> {
  const areToldByLocks = lockspacesTellAll(candidates, locks)
  const answers = areToldByLocks ? undefined : await table()
  // Without lvs nobody can tell whether a VG is local, missing, or not started: R9.
  if (!areToldByLocks && answers === undefined) return { volumes: [], problems: [noAnswerOfLvs()] }
  return scopeOf(
    candidates,
    locks,
    answers,
    configuration,
    (path) => existsSync(onHost(path)),
    ({ vg, lv }) => activeVolumes().some((device) => device.vg === vg && device.lv === lv),
  )
}

/** A start's volumes, and the host by which it is decided. */
interface Looked {
  readonly facts: HostFacts
  readonly scope: Scope
}

/**
 * Asks lvs whose locks cover what `seemUnlocked`, and looks at the host again: that answer may take long, and a person
 * needs no lock of ours to lock a volume meanwhile (R3).
 * @param volumes of the scope, without those that are refused anyway
 * @param shared as for planStart
 * @returns covers: undefined where nothing seems unlocked, so that nothing was asked; `silent`: lvs does not answer
 */
export async function withCovers(
  subject: Subject,
  looked: Looked,
  volumes: readonly ManagedVolume[],
  shared: boolean,
): Promise<Looked & { readonly covers: VolumeTable | 'silent' | undefined }> {
  if (!seemUnlocked(volumes, looked.facts, shared)) return { ...looked, covers: undefined }
  const { domain, configuration, candidates } = subject
  // A question of its own: what lvs says after lvchange must not be what it said before (R14).
  const covers = (await subjectWith(domain, configuration, candidates).table()) ?? 'silent'
  const facts = await lookAround(subject, looked.facts.records)
  return { facts, scope: await scopeFor(subject, facts.locks), covers }
}

/**
 * R1, after the commands: what is not locked, or not active, as it must be.
 * @param recorded the volumes and the modes they were to get
 */
export async function missingOf(
  recorded: readonly RecordedVolume[],
  table: IdentityTable | undefined,
  locks: LockState,
  devices: readonly Device[],
): Promise<Problem[]> {
  const missing = missingLocks(recorded, table, locks, devices)
  if (missing.length > 0) return missing
  const dead = deadVolumes(recorded, table, devices)
  if (dead.length > 0) return dead
  const inactive = withoutDevice(recorded, table, devices)
  return inactive.length === 0 || !(await makesDevices())
    ? []
    : inactive.map((volume) => ({ kind: 'not-active', volume: fullName(volume) }))
}

/**
 * R1: VGs whose locks are only listed here, and for which this host cannot vouch.
 * @param attempted what was changed, or would be
 */
export const unvouchedOf = (
  recorded: readonly RecordedVolume[],
  attempted: readonly Change[],
  locks: LockState,
): Promise<Problem[]> => lostLeases(vgsUnasked(recorded, attempted, locks))

/**
 * Seconds. An answer of lvmlockctl that is no older than this when the VG's lock is had is as good as one asked for
 * under the lock.
 */
const FRESH = 0.2

/** A question to lvmlockctl, and when it was asked. */
export interface LocksQuestion {
  /** Undefined if another lvmlockctl was at work. */
  readonly answer: Promise<LockState | undefined>
  /** Seconds of the monotonic clock. */
  readonly at: number
}

/**
 * Asks lvmlockctl early: it needs to know nothing of the domain, and answers while the XML is read and the VG's lock is
 * taken. If a lock changes in between, that shows when the locks are read back (R1). Records, devices and open counts
 * are looked at under the lock (R11).
 */
export const askLocks = (): LocksQuestion => {
  const answer = lockStateAtOnce()
  answer.catch(() => undefined)
  return { answer, at: monotonic() }
}

/** Whether its answer is still good, when the VG's lock is had. */
export const isFresh = ({ at }: LocksQuestion): boolean => monotonic() - at < FRESH

/**
 * What is true on this host. This is the second look, with the locks of the VGs held (R11).
 * @param asked an early question, which is good enough if nobody had to wait for the VG's lock
 */
export async function lookAround(
  { candidates }: Subject,
  records: Records = readRecords(),
  asked?: LocksQuestion,
): Promise<HostFacts> {
  const devices = activeVolumes()
  const answer =
    asked !== undefined && isFresh(asked) ? asked.answer.then((early) => early ?? lockState()) : lockState()
  const [locks, users] = await Promise.all([answer, openVolumes(candidates.volumes, devices)])
  return { locks, devices, records, users }
}
