import { agentState } from '../state/agent-presence.ts'
import { CLOCK, type Clock } from '../system/clock.ts'
import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { type Domain, candidatesOf } from '../core/domain.ts'
import { type DomainRecord, IN_USE, type RecordedVolume, mayRunElsewhere } from '../core/record.ts'
import { type Device, type LockState, NO_VOLUMES, type VolumeTable, addressOf, deviceOf } from '../core/lock-state.ts'
import {
  BOUND,
  type ReleasePlan,
  UNTOLD,
  asTold,
  leavingAlone,
  planRelease,
  stillHere,
  withoutPromoted,
} from '../core/release.ts'
import { type Change, withTold } from '../core/start.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { activeHere, isActiveHere } from '../libvirt/status.ts'
import { markedVgs } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { type Failure, classify } from '../lvm/failures.ts'
import { lockState, volumeTable } from '../lvm/lvm.ts'
import { warmQueries } from '../system/run.ts'
import {
  type Replace,
  type Replaced,
  announceEnd,
  readRecords,
  recordOf,
  replaceRecord,
  replacing,
} from '../state/record-store.ts'
import { forgetGivenBack, wasGivenBack } from '../state/late-release.ts'
import { managedSave } from '../state/saved-images.ts'
import { type VgLocks, VgBusy, lockVgs } from '../state/vg-lock.ts'
import { lives } from '../system/processes.ts'
import { carryOut } from './changes.ts'
import { callerHasEnded } from './daemon.ts'
import { usersNow } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import { scopeFor, subjectOf } from './host.ts'
import { releaseIdlePools } from './idle-pools.ts'
import type { Outcome } from '../core/outcome.ts'
import { forgetSaved, noteFailedRestore, noteSaved, unnoted } from './saved.ts'

/** Milliseconds for the whole of a `release`: the stops of all VMs share one thread of libvirt (FACTS 9). */
export const RELEASE_LIMIT = 5000
/** Milliseconds during which a volume in use is tried again, and between two tries. */
const IN_USE_LIMIT = 2000
const IN_USE_PAUSE = 200
/** Seconds for which the record of a domain that took nothing is waited for. Later the agent removes it. */
const FORGET_WAIT = 1

/**
 * Reads this host's state and decides a `release`. Changes nothing: `--dry-run` ends here. Asks LVM for the XML's
 * volumes only if there is no record.
 * @param configuration undefined where it is wrong: then nobody knows which VGs it leaves out, and the XML counts for
 *   nothing
 */
export async function decideRelease(domain: Domain, configuration: Configuration | undefined): Promise<EndedDomain> {
  const records = readRecords()
  const record = recordOf(domain.uuid, records)
  const runsHere = isActiveHere(domain) !== false
  const isNeeded =
    record === undefined && domain.gotPastPrepare && configuration !== undefined && !wasGivenBack(domain.uuid)
  const inXml = isNeeded
    ? (await scopeFor(await subjectOf(domain, configuration, false), await lockState())).volumes
    : []
  const marked = markedVgs()
  return {
    domain,
    record,
    plan: leavingAlone(
      planRelease({
        record,
        records,
        inXml,
        gotPastPrepare: domain.gotPastPrepare,
        runsHere,
        devices: activeVolumes(),
      }),
      (vg) => marked.has(vg),
    ),
  }
}

/**
 * `release end REASON`: gives back what this host brought up for the domain. Ends within RELEASE_LIMIT; an lvchange
 * that takes longer goes on by itself under the VG's lock, and the record stays for the agent.
 * @param configuration undefined where it is wrong
 * @param reason libvirt's word for the end, from 10.5 on; `-` before (FACTS 11)
 */
export async function release(
  domain: Domain,
  configuration: Configuration | undefined,
  reason = '-',
  clock: Clock = CLOCK,
): Promise<Outcome> {
  const start = clock.now()
  const timeLeft = (): number => Math.max(0, RELEASE_LIMIT - 500 - (clock.now() - start))
  let isOnRecord = false
  let volumes: readonly RecordedVolume[] = []
  let warning: string | undefined
  /** Says on record that the domain has ended, unless somebody else has changed that since. */
  let sayEnded = (): void => undefined
  const lockWait = configuration?.lockWait ?? DEFAULTS.lockWait
  const work = async (): Promise<Outcome> => {
    const record = recordOf(domain.uuid, readRecords())
    isOnRecord = record !== undefined
    if (record?.daemon !== undefined && callerHasEnded() && lives(record.daemon)) return STARTED_AGAIN
    // The next daemon may have refused a start of it since, and that took the record away. The XML does not say what
    // was active before (R4).
    if (record === undefined && callerHasEnded()) return RELEASED_MEANWHILE
    const cutOff = cutOffHere(domain, record)
    const later = `${cutOff} was cut off here: its volumes are released when that is over`
    const leaveAlone = (): Outcome => {
      if (record !== undefined && record.volumes.length > 0) announce(domain, record.volumes, record)
      return { kind: 'nothing', reason: later }
    }
    // A note of a saved memory names all of its volumes, or it is not written.
    if (cutOff !== undefined && (record === undefined || record.restored === true || isSaved(domain, reason)))
      return leaveAlone()
    const decided = await decideRelease(domain, configuration)
    const { plan } = decided
    if (cutOff !== undefined && plan.kind !== 'deactivate') return leaveAlone()
    if (cutOff !== undefined && plan.kind === 'deactivate' && plan.kept !== undefined) warning = later
    const recorded = record?.volumes ?? (plan.kind === 'deactivate' ? plan.volumes : [])
    // Noted while this host still holds the locks, so that no other host can have changed the counts. As soon as the
    // record says that the domain has ended, others may give the locks back.
    const isNoted = isSaved(domain, reason) && hasLived(domain, reason, record) && isActiveHere(domain) !== true
    const hasEnded = plan.kind !== 'keep' || plan.hasEnded === true
    if (hasEnded && recorded.length > 0) {
      sayEnded = () => {
        if (announce(domain, recorded, record) === 'replaced') isOnRecord = true
      }
    }
    const isGiven = (record === undefined || record.state === 'releasing') && wasGivenBack(domain.uuid)
    if (isNoted && isGiven) {
      // Others may have locked its volumes since the agent gave them back: what is counted now says nothing (R12).
      forgetSaved(domain)
      warning = unnoted(domain, 'its volumes were given back before')
    } else if (isNoted) {
      // This warning is said if the time is over before the note is written.
      warning = unnoted(domain, 'to note it took too long')
      warning = await noteSaved(
        domain,
        (await identifier(recorded))(recorded),
        record !== undefined && mayRunElsewhere(record),
      )
    } else if (hasEnded && record?.restored === true && hasFailed(domain, reason, record))
      await noteFailedRestore(domain, 'failed')
    else if (hasRun(record) && isNoteUsedUp(domain, reason)) forgetSaved(domain)
    if (plan.kind === 'keep') sayEnded()
    if (plan.kind === 'keep' || (plan.kind === 'forget' && record === undefined)) return settle(decided, plan)
    // The note took a moment. The daemon may have ended in that time, and the next one may have started the domain
    // again.
    if (isNoted && isNewLife(recordOf(domain.uuid, readRecords()), record)) return STARTED_AGAIN
    // If this program is ended here, the record tells: the agent that the domain has ended, and the next start that
    // these volumes are leftovers. If somebody has changed the record just now, the look under the locks shows it.
    sayEnded()
    if (plan.kind === 'forget') return forget(domain, configuration, record, Math.min(lockWait, FORGET_WAIT), clock)
    volumes = plan.volumes
    const seconds = timeLeft() / 1000
    const locks = await lockVgs(
      volumes.map(({ vg }) => vg),
      Math.min(lockWait, seconds),
      seconds,
    )
    try {
      // R11: what was seen before the lock was taken may not be true any more.
      const now = recordOf(domain.uuid, readRecords())
      if (isNewLife(now, record)) return STARTED_AGAIN
      // The agent was quicker. Without a record only the XML is left, and it does not say what was active before.
      if (record !== undefined && now === undefined) return RELEASED_MEANWHILE
      return await releaseUnderLock(await decideRelease(domain, configuration), locks, timeLeft, clock)
    } finally {
      locks.release()
    }
  }
  // The agent may have given the volumes back in the meantime: those that are not on record any more are left out.
  const unfinished = (why: string): Outcome => {
    const records = readRecords()
    const now = recordOf(domain.uuid, records)
    if (isOnRecord && now === undefined && records.unreadable.length === 0) return RELEASED_MEANWHILE
    return { kind: 'unfinished', volumes: now?.volumes ?? volumes, why, agent: agentState().kind }
  }
  let cancel = (): void => undefined
  const timeOver = new Promise<'time is over'>((resolve) => {
    cancel = clock.after(timeLeft(), () => resolve('time is over'))
  })
  try {
    const ended = await Promise.race([work(), timeOver])
    // `work` may still be writing the note of a saved memory, and has not said yet that the domain has ended. A record
    // of state `prepared` would stay until libvirt's daemon ends.
    if (ended === 'time is over') sayEnded()
    const outcome = ended === 'time is over' ? unfinished('LVM is still at work on it') : ended
    return warning === undefined ? outcome : { ...outcome, warning }
  } catch (error) {
    return error instanceof VgBusy
      ? unfinished(`another act on ${error.vg} is still at work`)
      : { kind: 'left', volumes, why: messageOf(error) }
  } finally {
    cancel()
    forgetGivenBack(domain.uuid)
  }
}

/**
 * The name of a VG of the domain that was cut off here. What the domain has on it is released when the VG can be used
 * again. If there is no record, the names in the XML count.
 */
function cutOffHere(domain: Domain, record: DomainRecord | undefined): string | undefined {
  const marked = markedVgs()
  if (marked.size === 0) return undefined
  const volumes = record?.volumes ?? (domain.gotPastPrepare ? candidatesOf(domain, DEFAULTS).volumes : [])
  return volumes.map(({ vg }) => vg).find((vg) => marked.has(vg))
}

/** Whether its memory was saved. libvirt says so; before 10.5 only a new image of a managed save shows it. */
const isSaved = (domain: Named, reason: string): boolean =>
  reason === '-' ? managedSave(domain) === 'new' : reason === 'saved'

/**
 * Whether this is the end of a domain that was started, and not of a start that `prepare` refused. libvirt before 10.5
 * does not tell the two apart. After a refused start the file of a managed save may look new: `virsh managedsave-edit`
 * writes it again. The note of that memory must not be lost.
 */
const hasLived = ({ gotPastPrepare }: Domain, reason: string, record: DomainRecord | undefined): boolean =>
  reason !== '-' || (gotPastPrepare && record?.state !== 'refused')

/** Whether a restored domain never ran. libvirt says so; before 10.5 only the image that it has kept shows it. */
const hasFailed = (domain: Named, reason: string, { state }: DomainRecord): boolean =>
  reason === '-' ? state === 'prepared' && managedSave(domain) === 'noted' : reason === 'failed'

/**
 * Whether the note of a saved memory is used up. libvirt before 10.5 shows only managed saves, by an image that it
 * keeps until it is restored. Without that image the noted memory no longer exists. If the note stayed, it would be
 * taken for that of a memory that `virsh save` may just have written into a file.
 */
const isNoteUsedUp = (domain: Named, reason: string): boolean => reason === '-' && managedSave(domain) === 'none'

/** Its `prepare` was not refused. */
const hasRun = (record: DomainRecord | undefined): boolean => record !== undefined && IN_USE.includes(record.state)

const RELEASED_MEANWHILE: Outcome = { kind: 'nothing', reason: 'it was released meanwhile' }
const STARTED_AGAIN: Outcome = { kind: 'nothing', reason: 'it was started again meanwhile' }

/**
 * Whether the domain has been started again since, by the next daemon: then the record belongs to that start. That
 * happens only if this `release` waited, and its daemon ended.
 */
const isNewLife = (now: DomainRecord | undefined, old: DomainRecord | undefined): boolean =>
  now !== undefined &&
  (now.state === 'prepared' || now.state === 'incoming') &&
  JSON.stringify(now) !== JSON.stringify(old)

/**
 * Removes a record under the locks of the VGs that it, or the XML, names: a `migrate` of the same domain may be at its
 * trial.
 */
async function forget(
  domain: Domain,
  configuration: Configuration | undefined,
  record: DomainRecord | undefined,
  seconds: number,
  clock: Clock,
): Promise<Outcome> {
  const { vgsToLock } = await subjectOf(domain, configuration ?? DEFAULTS, false)
  let locks: VgLocks
  try {
    locks = await lockVgs([...vgsToLock, ...(record?.volumes ?? []).map(({ vg }) => vg)], seconds, seconds)
  } catch (error) {
    if (error instanceof VgBusy)
      return { kind: 'nothing', reason: `its record stays for now: another act on ${error.vg} is at work` }
    throw error
  }
  try {
    const now = recordOf(domain.uuid, readRecords())
    if (isNewLife(now, record)) return STARTED_AGAIN
    if (now === undefined) return RELEASED_MEANWHILE
    return await releaseUnderLock(await decideRelease(domain, configuration), locks, () => 0, clock)
  } finally {
    locks.release()
  }
}

const CHANGED: Outcome = { kind: 'nothing', reason: 'its record was changed meanwhile' }

/** Carries out a plan with nothing to deactivate. Volumes that are kept are named (R4). */
function settle(
  { domain, record }: Pick<EndedDomain, 'domain' | 'record'>,
  plan: Exclude<ReleasePlan, { kind: 'deactivate' }>,
): Outcome {
  if (plan.kind === 'keep') return { kind: 'left', volumes: plan.volumes, why: plan.reason }
  // There is nothing to remove, and no lock may be held.
  if (record === undefined) return { kind: 'nothing', reason: plan.reason }
  return replaceRecord(domain.uuid, record, undefined) === 'changed'
    ? CHANGED
    : { kind: 'nothing', reason: plan.reason }
}

type Named = Pick<Domain, 'name' | 'uuid'>

/**
 * A domain that has ended, with its record and what was decided from it. If anything is to be deactivated, that was
 * decided under the VGs' locks.
 */
export interface EndedDomain {
  readonly domain: Named
  readonly record: DomainRecord | undefined
  readonly plan: ReleasePlan
}

const releaseUnderLock = async (
  own: EndedDomain,
  locks: VgLocks,
  timeLeft: () => number,
  clock: Clock,
): Promise<Outcome> => {
  const others = own.plan.kind === 'deactivate' ? endedMeanwhile(own, locks) : []
  const [outcome] = await releaseAllUnderLock([own, ...others], locks, timeLeft, (one) => one === own.domain, clock)
  return outcome ?? { kind: 'nothing', reason: 'it was released' }
}

/**
 * Other domains whose records say that they have ended, and whose own `release` waits for these very locks, or has
 * given up. This one does not wait until lvs has told something of theirs.
 */
function endedMeanwhile({ domain, plan: own }: EndedDomain, { descriptors }: VgLocks): EndedDomain[] {
  const records = readRecords()
  const waiting = records.known.filter(
    ({ domain: { uuid }, state, volumes }) =>
      state === 'releasing' && uuid !== domain.uuid && volumes.every(({ vg }) => descriptors.has(vg)),
  )
  if (waiting.length === 0) return []
  const isActive = activeHere()
  const devices = activeVolumes()
  return waiting.flatMap((record): EndedDomain[] => {
    const plan = planRelease({
      record,
      records,
      inXml: [],
      gotPastPrepare: true,
      runsHere: isActive(record.domain) !== false,
      devices,
    })
    const isWanted = plan.kind === 'deactivate' && (asksLvs(own) || !asksLvs(plan))
    return isWanted ? [{ domain: record.domain, record, plan }] : []
  })
}

/** Whether lvs has to tell something of its volumes before they can be given back. */
export const asksLvs = (plan: ReleasePlan): boolean =>
  plan.kind === 'deactivate' && plan.volumes.some(({ ids }) => ids === undefined)

/** A domain that has something to deactivate: which of its volumes are left, and why. */
interface Leaving {
  readonly domain: Named
  /** Changes its record, unless somebody else has. */
  readonly replace: Replace
  readonly wanted: readonly RecordedVolume[]
  readonly left: readonly RecordedVolume[]
  /** What stays on record, whatever becomes of the others. */
  readonly kept: readonly RecordedVolume[]
  readonly failures: readonly Failure[]
}

/**
 * Carries out plans that were made under the VGs' locks, in one lvchange a VG for all of them. The agent uses it too.
 * @param timeLeft milliseconds for which volumes of the first one that are in use are tried again; 0: one try
 * @param isSaid whether anybody will read why a domain's volumes are left
 * @returns what came of each, in their order
 */
export async function releaseAllUnderLock(
  all: readonly EndedDomain[],
  locks: VgLocks,
  timeLeft: () => number,
  isSaid: (domain: Named) => boolean = () => true,
  clock: Clock = CLOCK,
): Promise<Outcome[]> {
  // A VG may have been cut off since the plan, or taken back since these locks were asked for. Then they are too few:
  // the next look asks for all (R11).
  const marked = markedVgs()
  const isTakenBack = ({ vg }: RecordedVolume): boolean => !marked.has(vg) && !locks.descriptors.has(vg)
  const isLate = ({ plan }: EndedDomain): boolean =>
    plan.kind === 'deactivate' && [...plan.volumes, ...(plan.kept ?? [])].some(isTakenBack)
  const isDemoted = ({ plan }: EndedDomain): boolean =>
    plan.kind === 'deactivate' && plan.volumes.some(({ demoted }) => demoted === true)
  const locksNow = all.some(isDemoted) ? await lockState() : undefined
  const planNow = ({ plan }: EndedDomain): ReleasePlan => {
    const rest = leavingAlone(plan, (vg) => marked.has(vg))
    return locksNow === undefined ? rest : withoutPromoted(rest, locksNow, activeVolumes())
  }
  const planned = all.map((one) => (isLate(one) ? one : { ...one, plan: planNow(one) }))
  const volumes = planned.flatMap(({ plan }) => (plan.kind === 'deactivate' ? plan.volumes : []))
  const identify = await identifier(volumes)
  const ended = volumes.every(({ ids }) => ids !== undefined) ? planned : allAsTold(planned, identify, isLate)
  const wanted = ended.flatMap((one): Leaving[] => {
    const { domain, record, plan } = one
    if (plan.kind !== 'deactivate' || isLate(one)) return []
    const own = plan.volumes
    const replace = replacing(domain.uuid, record)
    const kept = plan.kept ?? []
    return putReleasing(domain, [...own, ...kept], replace) === 'changed'
      ? []
      : [{ domain, replace, wanted: own, left: own, kept, failures: [] }]
  })
  const leaving = wanted.length === 0 ? [] : await deactivateAll(wanted, locks, timeLeft, clock)
  const outcomes: Outcome[] = []
  for (const one of ended) {
    const { domain, record, plan } = one
    const own = leaving.find((each) => each.domain === domain)
    try {
      // Volumes that stay here are nobody's now. On record they would keep others out until the rest is given back.
      if (plan.kind === 'keep' && plan.hasEnded === true && record !== undefined)
        putReleasing(domain, plan.volumes, replacing(domain.uuid, record))
      outcomes.push(
        plan.kind !== 'deactivate'
          ? settle(one, plan)
          : own === undefined
            ? CHANGED
            : await conclude(own, locks, isSaid(domain)),
      )
    } catch (error) {
      // One domain's record is not the others' fault.
      outcomes.push({ kind: 'left', volumes: own?.wanted ?? [], why: messageOf(error) })
    }
  }
  return outcomes
}

/** Plans with what lvs has told of volumes whose UUIDs were not on record. */
function allAsTold(
  ended: readonly EndedDomain[],
  identify: (own: readonly RecordedVolume[]) => RecordedVolume[],
  isLate: (one: EndedDomain) => boolean,
): EndedDomain[] {
  const { known, unreadable } = readRecords()
  const facts = {
    records: { known: known.filter(({ domain }) => !ended.some((one) => one.domain.uuid === domain.uuid)), unreadable },
    devices: activeVolumes(),
  }
  return ended.map((one) =>
    one.plan.kind !== 'deactivate' || isLate(one)
      ? one
      : { ...one, plan: asTold(one.plan, identify(one.plan.volumes), facts, one.domain.uuid) },
  )
}

async function deactivateAll(
  ended: readonly Leaving[],
  locks: VgLocks,
  timeLeft: () => number,
  clock: Clock,
): Promise<readonly Leaving[]> {
  warmQueries()
  const end = clock.now() + Math.min(IN_USE_LIMIT, timeLeft())
  let leaving = ended
  for (;;) {
    const before = activeVolumes()
    const nameNow = (volume: RecordedVolume): string => fullName(deviceOf(volume, before) ?? volume)
    const all = leaving.flatMap(({ left }) => left)
    const names = new Set(all.map(nameNow))
    // A volume that two of them share is named once.
    const changes = new Map(
      all.map((volume): [string, Change] => [
        volume.ids?.lv ?? fullName(volume),
        { vg: volume.vg, lv: volume.lv, to: 'inactive', reason: 'the domain has ended', ...addressOf(volume, before) },
      ]),
    )
    const { failed } = await carryOut([...changes.values()], locks, 'go-on')
    const [state, devices] = [await lockState(), activeVolumes()]
    const failures = classify(failed?.stderr ?? '')
    leaving = leaving.map(({ domain, replace, wanted, left, kept }) => {
      // LVM's message about a volume, by its present name, belongs to the domain of that volume only.
      const own = failures.filter(
        (failure) =>
          !('volume' in failure) ||
          !names.has(failure.volume) ||
          left.some((volume) => nameNow(volume) === failure.volume),
      )
      return { domain, replace, wanted, left: stillHere(left, state, devices), kept, failures: own }
    })
    const [first] = leaving
    const isInUse = first !== undefined && first.left.length > 0 && first.failures.some(({ kind }) => kind === 'in-use')
    if (!isInUse || clock.now() + IN_USE_PAUSE > end) return leaving
    await new Promise<void>((resolve) => void clock.after(IN_USE_PAUSE, resolve))
  }
}

/** What is left stays on record. */
async function conclude(
  { domain, replace, wanted, left, kept, failures }: Leaving,
  locks: VgLocks,
  isSaid: boolean,
): Promise<Outcome> {
  if (left.length > 0) {
    putReleasing(domain, [...left, ...kept], replace)
    const isInUse = failures.some(({ kind }) => kind === 'in-use')
    return { kind: 'left', volumes: left, why: isInUse && isSaid ? await usersInWords(left) : reasonOf(failures, left) }
  }
  const bound = await releaseIdlePools(wanted, locks, domain.uuid)
  if (bound.length > 0) {
    putReleasing(domain, [...bound, ...kept], replace)
    return {
      kind: 'left',
      volumes: bound.map(({ vg, lv, pool }) => ({ vg, lv: pool?.lv ?? lv })),
      why: 'the pool came up with its volume, and does not go with it',
    }
  }
  if (kept.length === 0) replace(undefined)
  else putReleasing(domain, kept, replace)
  const marked = markedVgs()
  // What is on a VG that was cut off is said elsewhere.
  const here = kept.filter(({ vg }) => !marked.has(vg))
  return here.length > 0
    ? { kind: 'left', volumes: here, why: here.some(({ ids }) => ids === undefined) ? UNTOLD : BOUND }
    : { kind: 'done', did: 'released', volumes: wanted }
}

/** What a `release` writes into the record first, before it has the locks of the VGs. */
const announce = (
  domain: Named,
  volumes: readonly RecordedVolume[],
  known: DomainRecord | undefined,
): Replaced | 'full' =>
  putReleasing(domain, volumes, (next) => (next === undefined ? 'changed' : announceEnd(domain.uuid, known, next)))

/**
 * @returns `full`: it cannot be written. What is on record already says the same, less precisely
 */
function putReleasing({ name, uuid }: Named, volumes: readonly RecordedVolume[], replace: Replace): Replaced | 'full' {
  try {
    return replace({ format: 1, domain: { name, uuid }, state: 'releasing', volumes })
  } catch {
    return 'full'
  }
}

function reasonOf(failures: readonly Failure[], left: readonly VolumeName[]): string {
  if (failures.some(({ kind }) => kind === 'lvmlockd-down')) return 'lvmlockd is not running'
  const text = failures.map((failure) => (failure.kind === 'other' ? failure.text : failure.kind)).join('; ')
  return text === ''
    ? `LVM said nothing, and ${left.map(fullName).join(', ')} is still active or locked`
    : `LVM says '${text}'`
}

/** Who still has volumes open: `it is still in use here, mounted on /mnt`. */
async function usersInWords(left: readonly VolumeName[]): Promise<string> {
  const users = await Promise.all(
    left.map(async (volume) => ({ volume, words: (await usersNow(fullName(volume))).join(', ') })),
  )
  return users
    .map(({ volume, words }) =>
      left.length === 1 ? `it is still in use here, ${words}` : `${fullName(volume)} is still in use here, ${words}`,
    )
    .join('; ')
}

/**
 * Adds UUIDs, and the pool, to volumes that have none: of a record that a crash cut short, or of the XML. lvs is asked
 * once for all. Where it is silent, or tells of another volume that has this name by now, the device counts.
 */
async function identifier(
  all: readonly RecordedVolume[],
): Promise<(volumes: readonly RecordedVolume[]) => RecordedVolume[]> {
  const unknown = all.filter(({ ids }) => ids === undefined)
  if (unknown.length === 0) return (volumes) => [...volumes]
  const table = await volumeTable(unknown)
  const facts = { locks: await lockState(), devices: activeVolumes() }
  return (volumes) =>
    volumes.flatMap((volume) =>
      volume.ids === undefined && isGone(volume, table, facts) ? [] : [withTold(volume, table ?? NO_VOLUMES, facts)],
    )
}

/**
 * Whether nothing is left to give back of a volume without UUIDs: it has no device, and either lvs knows its VG, and no
 * such LV, or no lock of its VG can be held here.
 */
function isGone(
  volume: RecordedVolume,
  table: VolumeTable | undefined,
  { locks, devices }: { readonly locks: LockState; readonly devices: readonly Device[] },
): boolean {
  const name = fullName(volume)
  if (deviceOf(volume, devices) !== undefined || table?.volumes.has(name) === true) return false
  const isUnlocked = locks.kind === 'known' && (locks.locks.size === 0 || !locks.lockspaces.has(volume.vg))
  const isKnown =
    table !== undefined &&
    !table.missingVgs.has(volume.vg) &&
    !table.lockedOutVgs.has(volume.vg) &&
    !table.unexplained.has(name)
  return isUnlocked || isKnown
}
