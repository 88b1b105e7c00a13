import { readFileSync } from '../system/files.ts'
import { uptime } from '../system/clock.ts'
import { join } from 'node:path'
import { pause } from '../system/clock.ts'
import { milliseconds } from '../system/clock.ts'
import { type DrbdState, confirmedWords, planOnDrbd } from '../core/drbd.ts'
import { type Device, type IdentityTable, NO_VOLUMES, deviceOf, isSameVolume, seenHere } from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import { type DomainRecord, IN_USE, type RecordedVolume, goesWithDomainStill } from '../core/record.ts'
import { stillHere } from '../core/release.ts'
import { type Scope, isEmpty, lockspacesTellAll } from '../core/scope.ts'
import { mayBeUsedByAnother, withIdsAndPool } from '../core/relatives.ts'
import {
  type Change,
  type HostFacts,
  type StartPlan,
  activeMeanwhile,
  byPresentName,
  claimedMeanwhile,
  planStart,
  planUndo,
  withTold,
  withoutLocked,
} from '../core/start.ts'
import { isIncoming } from '../core/takeover.ts'
import { fullName, mapperUuid } from '../core/volume.ts'
import { identitiesOf } from '../core/waiting-start.ts'
import { lockDomain } from '../state/domain-locks.ts'
import { drbdBelow } from '../drbd/drbd.ts'
import { dropConfirmations } from '../drbd/notes.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { isActiveHere } from '../libvirt/status.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { lockState, makesDevices } from '../lvm/lvm.ts'
import { meanwhileDo } from '../system/run.ts'
import { DEFINITION_FOLDER } from '../system/paths.ts'
import { RecordChanged, lookingAgain, readRecords, recordOf, replacing } from '../state/record-store.ts'
import { forgetGivenBack } from '../state/late-release.ts'
import { type AnnouncedRestore, takeRestore } from '../state/saved-images.ts'
import { VgBusy } from '../state/vg-lock.ts'
import { awaitLocking, isTooEarly } from './await-locking.ts'
import { type Above, type BackingResult, GrowingLocks, lockBackingFiles } from './backing-files.ts'
import { callerHasEnded, callingDaemon } from './daemon.ts'
import { carryOut } from './changes.ts'
import { toldOf } from './told.ts'
import { problemOfBusy, problemOfError, problemsOf, unlessFull, withDisks } from './failures.ts'
import {
  type LocksQuestion,
  type Subject,
  isFresh,
  lookAround,
  missingOf,
  scopeFor,
  subjectWith,
  unvouchedOf,
  withCovers,
} from './host.ts'
import { releaseIdlePools } from './idle-pools.ts'
import { NOT_CONCERNED, type Outcome } from '../core/outcome.ts'
import { checkSaved, noteFailedRestore, noteStarted, noteWritten } from './saved.ts'
import { type QueuePlace, serveWaiting, queueUp } from './waiting-starts.ts'
import { isErrno } from '../system/error-message.ts'

/** How often a volume that is open is looked at again, and the milliseconds between. */
const OPEN_TRIES = 5
const OPEN_PAUSE = 200
/** Milliseconds after which a start asks sanlock and DRBD at its end whether its locks still hold. */
const VOUCHED_FOR = 5000

/** What `prepare` has found and decided, before anything is changed. */
export interface PreparePlan {
  readonly facts: HostFacts
  readonly scope: Scope
  readonly plan: StartPlan
  readonly incoming: boolean
  readonly drbd: DrbdState
  /** A person's word that decides it. */
  readonly warning: string | undefined
}

const NOTHING_TO_DO: StartPlan = { kind: 'activate', changes: [], recorded: [] }

/**
 * Reads this host's state and decides a `prepare`. Changes nothing: `--dry-run` ends here.
 * @param calledAt when libvirt called, in seconds since boot (whole ones on Node 18)
 */
export async function decidePrepare(
  subject: Subject,
  asked?: LocksQuestion,
  calledAt = uptime(),
): Promise<PreparePlan> {
  const { domain } = subject
  const [first, drbd] = await Promise.all([lookAround(subject, readRecords(), asked), drbdBelow(subject.vgsToLock)])
  const told = await scopeFor(subject, first.locks)
  // If lvs was asked for that, its answer may have taken long, as in withCovers.
  const isOld = !lockspacesTellAll(subject.candidates, first.locks)
  const looked = isOld ? await lookAround(subject, first.records) : first
  const before = isOld ? await scopeFor(subject, looked.locks) : told
  const record = recordOf(domain.uuid, looked.records)
  const incoming = isIncoming({
    record,
    xmlId: domain.incomingId,
    idInDefinition: idInDefinition(domain.name, domain.incomingId),
    calledAt,
  })
  // Where DRBD speaks against it, it is refused without that (planOnDrbd): lvs might wait with DRBD.
  const isRefused = planOnDrbd(before, NOTHING_TO_DO, drbd, record, looked).kind === 'refuse'
  const askable = isRefused ? [] : before.volumes
  const { facts, scope, covers } = await withCovers(subject, { facts: looked, scope: before }, askable, incoming)
  const plan: StartPlan =
    covers === 'silent'
      ? { kind: 'refuse', problems: [noAnswerOfLvs()] }
      : planStart(scope.volumes, facts, domain.uuid, incoming, record?.volumes ?? [], covers)
  const warning = confirmedWords(scope.volumes, drbd, record, facts)
  const cutOff = cutOffProblems(subject.vgsToLock)
  return {
    facts,
    scope,
    plan:
      cutOff.length > 0
        ? { kind: 'refuse', problems: [...cutOff, ...scope.problems] }
        : planOnDrbd(scope, plan, drbd, record, facts),
    incoming,
    drbd,
    warning,
  }
}

/**
 * Whether a migration's id stands in the domain's persistent definition, where an offline migration may leave it
 * (DESIGN 4).
 */
function idInDefinition(name: string, id: string | undefined): boolean | 'unknown' {
  if (id === undefined) return false
  try {
    return readFileSync(join(DEFINITION_FOLDER, `${name}.xml`), 'utf8').includes(id)
  } catch (error) {
    return isErrno(error, 'ENOENT') ? false : 'unknown'
  }
}

/** `prepare begin -`: locks every volume of the domain here, or undoes what it did and refuses (R1). */
export async function prepare(subject: Subject, asked?: LocksQuestion): Promise<Outcome> {
  const calledAt = uptime()
  // First of all: the mark of the `restore` is used up, whatever comes of this call.
  const restored = takeRestore(subject.domain, callingDaemon().daemon, calledAt)
  if (!subject.isConcerned) return notConcerned(subject, restored)
  // This comes before anything that may wait for the storage. The `release` that follows finds no record of its own,
  // and changes nothing.
  const cutOff = cutOffProblems(subject.vgsToLock)
  if (cutOff.length > 0) return refused(subject, cutOff)
  const first = await prepareOnce(subject, asked, calledAt, restored)
  const { domain, configuration, candidates } = subject
  if (configuration.startWait === 0 || !isTooEarly(first)) return first
  const again = (): Promise<Outcome> =>
    prepareOnce(subjectWith(domain, configuration, candidates), undefined, calledAt, restored)
  return awaitLocking(first, again, configuration.startWait * 1000, { pause, now: milliseconds })
}

/**
 * The domain has nothing that lvguard manages, as far as its XML and the configuration say now. They may have changed
 * since its memory was saved.
 */
const notConcerned = (subject: Subject, restored: AnnouncedRestore | undefined): Outcome =>
  restored === undefined || restored.problems.length === 0 || subject.domain.incomingId !== undefined
    ? NOT_CONCERNED
    : refused(subject, restored.problems)

async function prepareOnce(
  subject: Subject,
  asked: LocksQuestion | undefined,
  calledAt: number,
  restored: AnnouncedRestore | undefined,
): Promise<Outcome> {
  let locks: GrowingLocks | undefined
  const queue = restored === undefined ? queueUp(subject) : NO_QUEUE
  try {
    const { domain, vgsToLock, configuration } = subject
    const held = new GrowingLocks(await lockDomain(domain.uuid, vgsToLock, configuration.lockWait).finally(queue.leave))
    locks = held
    const early = asked !== undefined && isFresh(asked) ? asked : undefined
    return await lookingAgain(() => prepareUnderLock(subject, held, early, calledAt, restored, queue))
  } catch (error) {
    if (error instanceof VgBusy) return refused(subject, [problemOfBusy(error)])
    // A path such as /dev/shm/x looks like a volume. But a VM without any volume must not depend on lvguard's own
    // folder.
    const isConcerned = locks !== undefined || !isEmpty(await scopeFor(subject, await lockState()))
    return isConcerned ? refused(subject, [problemOfError(error)]) : notConcerned(subject, restored)
  } finally {
    locks?.release()
  }
}

async function prepareUnderLock(
  subject: Subject,
  locks: GrowingLocks,
  asked: LocksQuestion | undefined,
  calledAt: number,
  restored: AnnouncedRestore | undefined,
  queue: QueuePlace,
): Promise<Outcome> {
  const { domain, configuration } = subject
  // Another daemon may have started the domain meanwhile: then the record belongs to that start.
  if (callerHasEnded()) return refused(subject, [{ kind: 'caller-ended' }])
  let decided = await decidePrepare(subject, asked, calledAt)
  // udev and others open an active volume for a moment. LVM suspends a device for a moment when it changes its table.
  for (let tries = 0; tries < OPEN_TRIES && mayPass(decided.plan); tries++) {
    await pause(OPEN_PAUSE)
    decided = await decidePrepare(subject, undefined, calledAt)
  }
  const { facts, scope, plan, incoming, warning } = decided
  // If a restore failed before its `prepare`, its mark is still there, and this may be the `prepare` of a migration.
  // The memory of a migration is as new as its disk.
  const isRestore = restored !== undefined && !incoming
  dropConfirmations(decided.drbd.over)
  // What an earlier life of this domain brought up and did not give back: it stays on record, whatever comes now.
  const record = recordOf(domain.uuid, facts.records)
  // A domain that runs here is not started again. Its record stays as it is.
  if (record !== undefined && isActiveHere(domain) === true) return refused(subject, [{ kind: 'active-here' }])
  let leftovers = (record?.volumes ?? [])
    .filter((old) => goesWithDomainStill(old, seenHere(old, facts.locks, facts.devices).lock))
    .map((old) => byPresentName(old, facts.devices))
  const replace = replacing(domain.uuid, record)
  const put = (state: DomainRecord['state'], volumes: readonly RecordedVolume[]): void => {
    const others = leftovers.filter((old) => !volumes.some((volume) => isSameVolume(volume, old)))
    const replaced = replace({
      format: 1,
      domain: { name: domain.name, uuid: domain.uuid },
      state,
      volumes: [...volumes, ...others],
      ...callingDaemon(),
      ...(isRestore && configuration.onStaleImage === 'refuse' && state === 'prepared' && { restored: true }),
    })
    if (replaced === 'changed') throw new RecordChanged()
  }
  /**
   * For the `release` that follows a refusal. If this cannot be written, the XML tells that `release` the same
   * (Domain.gotPastPrepare).
   */
  const putRefused = (volumes: readonly RecordedVolume[]): void => {
    unlessFull(() => put(volumes.length + leftovers.length === 0 ? 'refused' : 'releasing', volumes))
  }
  const refuse = (problems: readonly Problem[]): Outcome => {
    putRefused([])
    return refused(subject, problems, incoming)
  }
  // Nothing that is done about the volumes makes this memory new again.
  if (isRestore && restored.problems.length > 0) return refuse(restored.problems)
  if (isEmpty(scope)) return NOT_CONCERNED
  if (plan.kind === 'refuse') return refuse(plan.problems)
  forgetGivenBack(domain.uuid)
  put('prepared', plan.recorded)
  const left = withoutLocked(plan.changes, record?.volumes ?? [], facts.locks)
  const isDeviceless = left.length === 0 && plan.changes.length > 0 && !(await makesDevices())
  const changes = isDeviceless ? left : plan.changes
  const since = milliseconds()
  if (changes.length > 0) meanwhileDo(() => void subject.table().catch(() => undefined))
  const { attempted, failed } = await carryOut(changes, locks)
  // If nothing had to be changed, the look from before is good enough, if it was made under the VG's lock (R1). If
  // another one has served this start while it waited, the record says which volumes these are; lvs need not say so
  // again.
  const served = attempted.length === 0 && queue.isServed() ? identitiesOf(record?.volumes ?? []) : undefined
  const told = served !== undefined && isStillTrue(served, plan.recorded, isDeviceless ? undefined : facts.devices)
  const [table, after] = await Promise.all([
    told ? undefined : subject.table(),
    attempted.length === 0 && asked === undefined ? facts.locks : lockState(),
  ])
  const identities: IdentityTable | undefined = told ? served : table
  const devices = activeVolumes()
  // A write to DRBD ends when the peer has it, or when the peer is given up. If the peer is still seen now, these locks
  // are on its copy too.
  const parted = failed === undefined ? partedBy(decided, record, await drbdBelow(subject.vgsToLock)) : []
  // A kill writes its mark first, and wipes what it finds after that. So either it has found what lvchange has just
  // brought up, or its mark is here now.
  const missing =
    failed === undefined
      ? [
          ...(await missingOf(plan.recorded, identities, after, devices)),
          ...parted,
          ...claimedMeanwhile(plan.recorded, identities, facts.records, domain.uuid),
          ...activeMeanwhile(plan.recorded, identities, facts, domain.uuid),
          ...cutOffProblems(subject.vgsToLock),
          ...(queue.isServed() ? [] : await unvouchedOf(plan.recorded, attempted, after)),
        ]
      : []
  const untold = await toldOf(facts, plan.recorded, leftovers)
  leftovers = leftovers.map((old) => withTold(old, untold, { locks: after, devices }))
  const taken = withIdsAndPool(plan.recorded, identities ?? NO_VOLUMES, facts, untold)
  const above: Above = { subject, taken, locks, incoming, record: (volumes) => put('prepared', [...taken, ...volumes]) }
  // From now on nobody else can lock them. Has anybody locked one between `restore` and now?
  const stale =
    isRestore && failed === undefined && missing.length === 0 && configuration.onStaleImage === 'refuse'
      ? await newerThanSaved(domain, taken, attempted)
      : []
  const isLocked = failed === undefined && missing.length === 0 && stale.length === 0
  const below = isLocked && subject.candidates.images.length > 0 ? await lockBackingFiles(above) : NOTHING_BELOW
  // If somebody else has changed the record, the volumes would belong to nobody: they are given back, and the start is
  // refused.
  const unrecorded =
    isLocked && below.kind === 'locked' ? problemsOfPut(() => put('prepared', [...taken, ...below.recorded])) : []
  // What comes last may have taken long, and the storage may have hung meanwhile, until the lease was lost and the VG
  // cut off. A start that was served has had its locks since some time in its wait.
  const late: Problem[] = []
  if (isLocked && below.kind === 'locked' && unrecorded.length === 0) {
    if (!incoming && !isRestore) await serveWaiting(subject.vgsToLock, locks, after)
    const volumes = [...taken, ...below.recorded]
    const cutOff = cutOffProblems([...subject.vgsToLock, ...volumes.map(({ vg }) => vg)])
    if (cutOff.length > 0) {
      // Nothing on it is changed: its `release`, or the agent, gives them back when it can be used again.
      putRefused(volumes)
      return refused(subject, cutOff, incoming)
    }
    if (milliseconds() - since > VOUCHED_FOR || (queue.isServed() && (uptime() - calledAt) * 1000 > VOUCHED_FOR))
      late.push(
        ...(await unvouchedOf(volumes, [], after)),
        ...partedBy(decided, record, await drbdBelow(subject.vgsToLock)),
      )
    if (late.length === 0) {
      noteStarted(domain)
      noteWritten(
        domain.uuid,
        taken.filter(
          ({ vg, lv, role }) =>
            role === 'exclusive' && !attempted.some((change) => change.vg === vg && change.lv === lv),
        ),
      )
      return {
        kind: 'done',
        did: 'locked',
        volumes: [...plan.recorded, ...below.recorded],
        ...(warning !== undefined && { warning }),
      }
    }
  }
  const nobodys = facts.records.known.filter(({ state }) => !IN_USE.includes(state)).flatMap(({ volumes }) => volumes)
  // What another domain, or a command, uses here is not taken from it.
  const own = [...leftovers, ...nobodys].filter(
    (old) => !mayBeUsedByAnother(old, facts.records, domain.uuid, facts.devices),
  )
  const undo = planUndo(attempted, own, (name) => table?.volumes.get(fullName(name)), facts, {
    locks: after,
    devices,
  })
  await carryOut(undo, locks, 'go-on')
  await releaseIdlePools([...taken, ...below.recorded], locks, domain.uuid)
  // The state is read back, whatever lvchange said: if lvmlockd was killed, lvchange exits with 0 and the lock stays.
  // A volume that was brought back to shared or exclusive is not this domain's to give back.
  const undone = [...undo, ...('undone' in below ? below.undone : [])].filter(({ to }) => to === 'inactive')
  const given = [...taken, ...below.recorded].filter(
    ({ vg, lv }) => late.length > 0 || undone.some((other) => other.vg === vg && other.lv === lv),
  )
  // What could not be given back stays on record, so that the `release` that follows tries again.
  putRefused(given.length === 0 ? [] : leftOf(given, { locks: await lockState(), devices: activeVolumes() }))
  if (isRestore && stale.length === 0) await noteFailedRestore(domain, 'refused')
  // Who holds the volumes is asked last, when nothing is locked here any more.
  return refused(
    subject,
    below.kind === 'failed'
      ? below.problems
      : failed === undefined
        ? [...missing, ...stale, ...unrecorded, ...late]
        : await problemsOf(failed, table, after),
    incoming,
  )
}

/** What could not be given back, with the UUIDs that its devices tell: its names may be others when that is tried again. */
const leftOf = (given: readonly RecordedVolume[], facts: Pick<HostFacts, 'locks' | 'devices'>): RecordedVolume[] =>
  stillHere(given, facts.locks, facts.devices).map((volume) => withTold(volume, NO_VOLUMES, facts))

/** What DRBD now says against the locks that have just been taken. */
function partedBy(
  { scope, plan, facts }: PreparePlan,
  record: DomainRecord | undefined,
  now: DrbdState,
): readonly Problem[] {
  const again = planOnDrbd(scope, plan, now, record, facts)
  return again.kind === 'refuse' ? again.problems : []
}

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

/** A full /run, or another failed write, is no problem here: the record says the same already, less precisely. */
function problemsOfPut(put: () => void): readonly Problem[] {
  try {
    put()
  } catch (error) {
    if (error instanceof RecordChanged) return [problemOfError(error)]
  }
  return []
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

/** For a start that nobody else serves. */
const NO_QUEUE: QueuePlace = { leave: () => undefined, isServed: () => false }

const NOTHING_BELOW: BackingResult = { kind: 'locked', recorded: [] }

const mayPass = (plan: StartPlan): boolean =>
  plan.kind === 'refuse' &&
  plan.problems.every(
    (problem) => problem.kind === 'open' || (problem.kind === 'dead-device' && problem.is === 'suspended'),
  )

const refused = ({ candidates }: Subject, problems: readonly Problem[], incoming = false): Outcome => ({
  kind: 'refused',
  problems: withDisks(problems, candidates.volumes),
  attempt: incoming ? 'migration' : 'start',
  volumes: candidates.volumes,
})
