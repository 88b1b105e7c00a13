import { milliseconds, pause, uptime } from '../system/clock.ts'
import { planOnDrbd } from '../core/start-on-drbd.ts'
import {
  type Device,
  type IdentityTable,
  type LockState,
  type VolumeTable,
  NO_VOLUMES,
  deviceOf,
} from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import { type DomainRecord, type RecordedVolume, IN_USE } from '../core/record.ts'
import { stillHere } from '../core/release.ts'
import { isEmpty } from '../core/scope.ts'
import { mayBeUsedByAnother, withIdsAndPool } from '../core/relatives.ts'
import {
  type Change,
  type HostFacts,
  type StartPlan,
  activeMeanwhile,
  claimedMeanwhile,
  planUndo,
  withTold,
  withoutLocked,
} from '../core/start.ts'
import { fullName, mapperUuid } from '../core/volume.ts'
import { identitiesOf } from '../core/waiting-start.ts'
import { drbdBelow } from '../drbd/drbd.ts'
import { dropConfirmations } from '../drbd/notes.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { isActiveHere } from '../libvirt/status.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, makesDevices } from '../lvm/lvm.ts'
import { type CommandResult, meanwhileDo } from '../system/run.ts'
import { recordOf } from '../state/record-store.ts'
import { forgetGivenBack } from '../state/late-release.ts'
import type { AnnouncedRestore } from '../state/saved-images.ts'
import { type Above, type BackingResult, type GrowingLocks, lockBackingFiles } from './backing-files.ts'
import { callerHasEnded } from './daemon.ts'
import { carryOut } from './changes.ts'
import { toldOf } from './told.ts'
import { problemsOf, refused } from './failures.ts'
import { type LocksQuestion, type Subject, missingOf, unvouchedOf } from './host.ts'
import { releaseIdlePools } from './idle-pools.ts'
import { type Outcome, NOT_CONCERNED } from '../core/outcome.ts'
import { checkSaved, noteFailedRestore, noteStarted, noteWritten } from './saved.ts'
import { type QueuePlace, serveWaiting } from './waiting-starts.ts'
import { type PreparePlan, decidePrepare } from './decide-prepare.ts'
import { StartRecord } from './start-record.ts'

/** How often a volume that is open is looked at again, and the milliseconds between. */
const OPEN_TRIES = 5
const OPEN_PAUSE = 200
/** Milliseconds after which a start asks sanlock and DRBD at its end whether its locks still hold. */
const VOUCHED_FOR = 5000

/** For a domain without images, and for a start whose own volumes could not be locked. */
const NOTHING_BELOW: BackingResult = { kind: 'locked', recorded: [] }

/** One try of `prepare`, with the locks that it has. */
export interface StartTry {
  readonly subject: Subject
  /** The locks of the VGs of the XML's volumes; those of further VGs are added. */
  readonly locks: GrowingLocks
  /** What was asked of lvmlockctl before, if that is still fresh. */
  readonly asked: LocksQuestion | undefined
  /** When libvirt called, in seconds since boot. */
  readonly calledAt: number
  readonly restored: AnnouncedRestore | undefined
  readonly queue: QueuePlace
}

type ToActivate = Extract<StartPlan, { kind: 'activate' }>

/** What has come of the lvchange of a start. */
interface Taken {
  readonly attempted: readonly Change[]
  readonly failed: CommandResult | undefined
  /** What lvs tells of the volumes; undefined if it was not asked, or is silent. */
  readonly table: VolumeTable | undefined
  /** Locks and devices, read back after it. */
  readonly after: LockState
  readonly devices: readonly Device[]
  /** What speaks against the start, although lvchange says that it has worked. */
  readonly missing: readonly Problem[]
  /** With their UUIDs, as far as they are told. */
  readonly volumes: readonly RecordedVolume[]
}

/**
 * Locks every volume of the domain, or undoes what it did and refuses (R1).
 * @throws RecordChanged if somebody else has changed the domain's record since it was read
 */
export async function startUnderLock(start: StartTry): Promise<Outcome> {
  const { subject, locks, calledAt, restored, queue } = start
  const { domain, configuration } = subject
  // Another daemon may have started the domain meanwhile: then the record belongs to that start.
  if (callerHasEnded()) return refused(subject, [{ kind: 'caller-ended' }])
  const decided = await decideWhenIdle(start)
  const { facts, scope, plan, incoming, warning } = decided
  // If a restore failed before its `prepare`, its mark is still there, and this may be the `prepare` of a migration.
  // The memory of a migration is as new as its disk.
  const isRestore = restored !== undefined && !incoming
  // Then the record says that a saved memory is restored, and the leases are asked whether it is still as new.
  const isMemoryChecked = isRestore && configuration.onStaleImage === 'refuse'
  dropConfirmations(decided.drbd.over)
  const record = recordOf(domain.uuid, facts.records)
  // A domain that runs here is not started again. Its record stays as it is.
  if (record !== undefined && isActiveHere(domain) === true) return refused(subject, [{ kind: 'active-here' }])
  const onRecord = new StartRecord(domain, record, facts, isMemoryChecked)
  const refuse = (problems: readonly Problem[]): Outcome => {
    onRecord.putRefused([])
    return refused(subject, problems, incoming)
  }
  // Nothing that is done about the volumes makes this memory new again.
  if (isRestore && restored.problems.length > 0) return refuse(restored.problems)
  if (isEmpty(scope)) return NOT_CONCERNED
  if (plan.kind === 'refuse') return refuse(plan.problems)
  forgetGivenBack(domain.uuid)
  onRecord.put('prepared', plan.recorded)
  const since = milliseconds()
  const taken = await take(start, decided, plan, onRecord)
  const { attempted, failed, missing, after } = taken
  // From now on nobody else can lock them. Has anybody locked one between `restore` and now?
  const stale =
    isMemoryChecked && failed === undefined && missing.length === 0
      ? await newerThanSaved(domain, taken.volumes, attempted)
      : []
  const isLocked = failed === undefined && missing.length === 0 && stale.length === 0
  const above: Above = {
    subject,
    taken: taken.volumes,
    locks,
    incoming,
    record: (further) => onRecord.put('prepared', [...taken.volumes, ...further]),
  }
  const below = isLocked && subject.candidates.images.length > 0 ? await lockBackingFiles(above) : NOTHING_BELOW
  // If somebody else has changed the record, the volumes would belong to nobody: they are given back, and the start is
  // refused.
  const unrecorded =
    isLocked && below.kind === 'locked' ? onRecord.problemsOfPut([...taken.volumes, ...below.recorded]) : []
  const volumes = [...taken.volumes, ...below.recorded]
  let late: readonly Problem[] = []
  if (isLocked && below.kind === 'locked' && unrecorded.length === 0) {
    if (!incoming && !isRestore) await serveWaiting(subject.vgsToLock, locks, after)
    // What comes last may have taken long, and the storage may have hung meanwhile, until the lease was lost and the VG
    // cut off.
    const cutOff = cutOffProblems([...subject.vgsToLock, ...volumes.map(({ vg }) => vg)])
    if (cutOff.length > 0) {
      // Nothing on it is changed: its `release`, or the agent, gives them back when it can be used again.
      onRecord.putRefused(volumes)
      return refused(subject, cutOff, incoming)
    }
    // A start that was served has had its locks since some time in its wait.
    if (milliseconds() - since > VOUCHED_FOR || (queue.isServed() && (uptime() - calledAt) * 1000 > VOUCHED_FOR))
      late = [...(await unvouchedOf(volumes, [], after)), ...(await partedNow(subject, decided, record))]
    if (late.length === 0) {
      noteStarted(domain)
      noteWritten(domain.uuid, taken.volumes.filter(wasExclusiveBefore(attempted)))
      const all = [...plan.recorded, ...below.recorded]
      return { kind: 'done', did: 'locked', volumes: all, ...(warning !== undefined && { warning }) }
    }
  }
  await undo(start, facts, taken, below, late.length > 0, onRecord)
  if (isRestore && stale.length === 0) await noteFailedRestore(domain, 'refused')
  // Who holds the volumes is asked last, when nothing is locked here any more.
  return refused(
    subject,
    below.kind === 'failed'
      ? below.problems
      : failed === undefined
        ? [...missing, ...stale, ...unrecorded, ...late]
        : await problemsOf(failed, taken.table, after),
    incoming,
  )
}

/**
 * Decides, and decides again, up to OPEN_TRIES times, while a volume is open or suspended. udev and others open an
 * active volume for a moment. LVM suspends a device for a moment when it changes its table.
 */
async function decideWhenIdle({ subject, asked, calledAt }: StartTry): Promise<PreparePlan> {
  let decided = await decidePrepare(subject, asked, calledAt)
  for (let tries = 0; tries < OPEN_TRIES && mayPass(decided.plan); tries++) {
    await pause(OPEN_PAUSE)
    decided = await decidePrepare(subject, undefined, calledAt)
  }
  return decided
}

const mayPass = (plan: StartPlan): boolean =>
  plan.kind === 'refuse' &&
  plan.problems.every(
    (problem) => problem.kind === 'open' || (problem.kind === 'dead-device' && problem.is === 'suspended'),
  )

/** Makes the changes of a plan, and reads back what is true now. Gives the leftovers of the record their UUIDs. */
async function take(
  { subject, locks, asked, queue }: StartTry,
  decided: PreparePlan,
  plan: ToActivate,
  onRecord: StartRecord,
): Promise<Taken> {
  const { facts } = decided
  const before = onRecord.before?.volumes ?? []
  const left = withoutLocked(plan.changes, before, facts.locks)
  const isDeviceless = left.length === 0 && plan.changes.length > 0 && !(await makesDevices())
  const changes = isDeviceless ? left : plan.changes
  if (changes.length > 0) meanwhileDo(() => void subject.table().catch(() => undefined))
  const { attempted, failed } = await carryOut(changes, locks)
  // If nothing had to be changed, the look from before is good enough, if it was made under the VG's lock (R1). If
  // another one has served this start while it waited, the record says which volumes these are; lvs need not say so
  // again.
  const served = attempted.length === 0 && queue.isServed() ? identitiesOf(before) : undefined
  const told = served !== undefined && isStillTrue(served, plan.recorded, isDeviceless ? undefined : facts.devices)
  const [table, after] = await Promise.all([
    told ? undefined : subject.table(),
    attempted.length === 0 && asked === undefined ? facts.locks : lockState(),
  ])
  const identities: IdentityTable | undefined = told ? served : table
  const devices = activeVolumes()
  const parted = failed === undefined ? await partedNow(subject, decided, onRecord.before) : []
  const missing =
    failed === undefined
      ? [
          ...(await missingOf(plan.recorded, identities, after, devices)),
          ...parted,
          ...claimedMeanwhile(plan.recorded, identities, facts.records, subject.domain.uuid),
          ...activeMeanwhile(plan.recorded, identities, facts, subject.domain.uuid),
          // A kill writes its mark first, and wipes what it finds after that. So either it has found what lvchange has
          // just brought up, or its mark is here now.
          ...cutOffProblems(subject.vgsToLock),
          ...(queue.isServed() ? [] : await unvouchedOf(plan.recorded, attempted, after)),
        ]
      : []
  const untold = await toldOf(facts, plan.recorded, onRecord.leftovers)
  onRecord.identifyLeftovers(untold, { locks: after, devices })
  const volumes = withIdsAndPool(plan.recorded, identities ?? NO_VOLUMES, facts, untold)
  return { attempted, failed, table, after, devices, missing, volumes }
}

/**
 * What DRBD now says against the locks that have just been taken. A write to DRBD ends when the peer has it, or when
 * the peer is given up. If the peer is still seen now, these locks are on its copy too.
 */
async function partedNow(
  { vgsToLock }: Subject,
  { scope, plan, facts }: PreparePlan,
  record: DomainRecord | undefined,
): Promise<readonly Problem[]> {
  const again = planOnDrbd(scope, plan, await drbdBelow(vgsToLock), record, facts)
  return again.kind === 'refuse' ? again.problems : []
}

/** Whether a volume is exclusive here without an lvchange of this start. */
const wasExclusiveBefore =
  (attempted: readonly Change[]) =>
  ({ vg, lv, role }: RecordedVolume): boolean =>
    role === 'exclusive' && !attempted.some((change) => change.vg === vg && change.lv === lv)

/**
 * Takes back what this start has brought up. What another domain, or a command, uses here is not taken from it. What
 * could not be given back stays on record, so that the `release` that follows tries again.
 * @param isLate whether all of its volumes were locked, and then sanlock or DRBD spoke against it: all of them are
 *   looked at again
 */
async function undo(
  { subject: { domain }, locks }: StartTry,
  facts: HostFacts,
  taken: Taken,
  below: BackingResult,
  isLate: boolean,
  onRecord: StartRecord,
): Promise<void> {
  const { attempted, table } = taken
  const volumes = [...taken.volumes, ...below.recorded]
  const nobodys = facts.records.known.filter(({ state }) => !IN_USE.includes(state)).flatMap((record) => record.volumes)
  const ours = [...onRecord.leftovers, ...nobodys].filter(
    (old) => !mayBeUsedByAnother(old, facts.records, domain.uuid, facts.devices),
  )
  const now = { locks: taken.after, devices: taken.devices }
  const changes = planUndo(attempted, ours, (name) => table?.volumes.get(fullName(name)), facts, now)
  await carryOut(changes, locks, 'go-on')
  await releaseIdlePools(volumes, locks, domain.uuid)
  // The state is read back, whatever lvchange said: if lvmlockd was killed, lvchange exits with 0 and the lock stays.
  // A volume that was brought back to shared or exclusive is not this domain's to give back.
  const undone = [...changes, ...('undone' in below ? below.undone : [])].filter(({ to }) => to === 'inactive')
  const given = volumes.filter(({ vg, lv }) => isLate || undone.some((other) => other.vg === vg && other.lv === lv))
  onRecord.putRefused(given.length === 0 ? [] : leftOf(given, { locks: await lockState(), devices: activeVolumes() }))
}

/**
 * What could not be given back, with the UUIDs that its devices tell: its names may be others when that is tried again.
 */
const leftOf = (given: readonly RecordedVolume[], facts: Pick<HostFacts, 'locks' | 'devices'>): RecordedVolume[] =>
  stillHere(given, facts.locks, facts.devices).map((volume) => withTold(volume, NO_VOLUMES, facts))

/**
 * What speaks against a saved memory, now that its volumes are locked here. The leases of volumes that were locked just
 * now count one more.
 */
async function newerThanSaved(
  domain: Subject['domain'],
  taken: readonly RecordedVolume[],
  attempted: readonly Change[],
): Promise<readonly Problem[]> {
  const own = taken.filter(({ vg, lv }) => attempted.some((change) => change.vg === vg && change.lv === lv))
  return (await checkSaved(domain, new Set(own.flatMap(({ ids }) => (ids === undefined ? [] : [ids.lv]))))).problems
}

/**
 * Whether each volume is known, and its device is still that of the LV that was put on record (R14).
 * @param devices undefined where LVM makes none: no VM can run there, and nothing tells which volumes they are
 */
const isStillTrue = (
  table: IdentityTable,
  volumes: readonly RecordedVolume[],
  devices: readonly Device[] | undefined,
): boolean =>
  volumes.every(({ vg, lv }) => {
    const row = table.volumes.get(fullName({ vg, lv }))
    return (
      row !== undefined &&
      (devices === undefined || deviceOf({ vg, lv }, devices)?.dmUuid === mapperUuid(row.vgUuid, row.uuid))
    )
  })
