import { agentState } from '../state/agent-presence.ts'
import type { DomainName } from '../core/domain-name.ts'
import { type Clock, CLOCK } from '../system/clock.ts'
import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { type Domain, candidatesOf } from '../core/domain.ts'
import { type DomainRecord, type RecordedVolume, IN_USE, mayRunElsewhere } from '../core/record.ts'
import { leavingAlone, planRelease } from '../core/release.ts'
import { activeHere, isActiveHere } from '../libvirt/status.ts'
import { markedVgs } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState } from '../lvm/lvm.ts'
import { type Replaced, announceEnd, readRecords, recordOf } from '../state/record-store.ts'
import { forgetGivenBack, wasGivenBack } from '../state/late-release.ts'
import { managedSave } from '../state/saved-images.ts'
import { type VgLocks, VgBusy, lockVgs } from '../state/vg-lock.ts'
import { lives } from '../system/processes.ts'
import { callerHasEnded } from './daemon.ts'
import { messageOf } from '../system/error-message.ts'
import { scopeFor, subjectOf } from './host.ts'
import type { Outcome } from '../core/outcome.ts'
import { forgetSaved, noteFailedRestore, noteSaved, unnoted } from './saved.ts'
import { type EndedDomain, asksLvs, putReleasing, releaseAllUnderLock, settle } from './give-back.ts'
import { uuidsFor } from './identify.ts'

/** Milliseconds for the whole of a `release`: the stops of all VMs share one thread of libvirt (FACTS 9). */
export const RELEASE_LIMIT = 5000
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
  const call = new ReleaseCall(domain, configuration, reason, clock)
  let cancel = (): void => undefined
  const timeOver = new Promise<'time is over'>((resolve) => {
    cancel = clock.after(call.timeLeft(), () => resolve('time is over'))
  })
  try {
    const ended = await Promise.race([call.work(), timeOver])
    // `work` may still be writing the note of a saved memory, and has not said yet that the domain has ended. A record
    // of state `prepared` would stay until libvirt's daemon ends.
    if (ended === 'time is over') call.sayEnded()
    const outcome = ended === 'time is over' ? call.unfinished('LVM is still at work on it') : ended
    return call.warning === undefined ? outcome : { ...outcome, warning: call.warning }
  } catch (error) {
    return error instanceof VgBusy
      ? call.unfinished(`another act on ${error.vg} is still at work`)
      : { kind: 'left', volumes: call.volumes, why: messageOf(error) }
  } finally {
    cancel()
    forgetGivenBack(domain.uuid)
  }
}

/** One call of `release`, and what can be said of it when its time is over in the middle of its work. */
class ReleaseCall {
  readonly #domain: Domain
  readonly #configuration: Configuration | undefined
  readonly #reason: string
  readonly #clock: Clock
  readonly #start: number
  #isOnRecord = false
  /** What is being given back; empty until that is decided. */
  volumes: readonly RecordedVolume[] = []
  /** Said with the outcome, whatever that is. */
  warning: string | undefined
  /** Says on record that the domain has ended, unless somebody else has changed that since. */
  sayEnded: () => void = () => undefined

  constructor(domain: Domain, configuration: Configuration | undefined, reason: string, clock: Clock) {
    this.#domain = domain
    this.#configuration = configuration
    this.#reason = reason
    this.#clock = clock
    this.#start = clock.now()
  }

  /** Milliseconds until this call has to say what came of it: 500 of RELEASE_LIMIT are kept for that. */
  readonly timeLeft = (): number => Math.max(0, RELEASE_LIMIT - 500 - (this.#clock.now() - this.#start))

  get #lockWait(): number {
    return this.#configuration?.lockWait ?? DEFAULTS.lockWait
  }

  async work(): Promise<Outcome> {
    const domain = this.#domain
    const record = recordOf(domain.uuid, readRecords())
    this.#isOnRecord = record !== undefined
    if (record?.daemon !== undefined && callerHasEnded() && lives(record.daemon)) return STARTED_AGAIN
    // The next daemon may have refused a start of it since, and that took the record away. The XML does not say what
    // was active before (R4).
    if (record === undefined && callerHasEnded()) return RELEASED_MEANWHILE
    const cutOff = cutOffHere(domain, record)
    // A note of a saved memory names all of its volumes, or it is not written.
    if (cutOff !== undefined && (record === undefined || record.restored === true || isSaved(domain, this.#reason)))
      return this.#leaveAlone(record, cutOff)
    const decided = await decideRelease(domain, this.#configuration)
    const { plan } = decided
    if (cutOff !== undefined && plan.kind !== 'deactivate') return this.#leaveAlone(record, cutOff)
    if (cutOff !== undefined && plan.kind === 'deactivate' && plan.kept !== undefined)
      this.warning = releasedLater(cutOff)
    const recorded = record?.volumes ?? (plan.kind === 'deactivate' ? plan.volumes : [])
    // Noted while this host still holds the locks, so that no other host can have changed the counts. As soon as the
    // record says that the domain has ended, others may give the locks back.
    const isNoted =
      isSaved(domain, this.#reason) && hasLived(domain, this.#reason, record) && isActiveHere(domain) !== true
    const hasEnded = plan.kind !== 'keep' || plan.hasEnded === true
    if (hasEnded && recorded.length > 0) {
      this.sayEnded = () => {
        if (announce(domain, recorded, record) === 'replaced') this.#isOnRecord = true
      }
    }
    if (isNoted) await this.#noteMemory(record, recorded)
    else if (hasEnded && record?.restored === true && hasFailed(domain, this.#reason, record))
      await noteFailedRestore(domain, 'failed')
    else if (hasRun(record) && isNoteUsedUp(domain, this.#reason)) forgetSaved(domain)
    if (plan.kind === 'keep') this.sayEnded()
    if (plan.kind === 'keep' || (plan.kind === 'forget' && record === undefined)) return settle(decided, plan)
    // The note took a moment. The daemon may have ended in that time, and the next one may have started the domain
    // again.
    if (isNoted && isNewLife(recordOf(domain.uuid, readRecords()), record)) return STARTED_AGAIN
    // If this program is ended here, the record tells: the agent that the domain has ended, and the next start that
    // these volumes are leftovers. If somebody has changed the record just now, the look under the locks shows it.
    this.sayEnded()
    if (plan.kind === 'forget') return this.#forget(record)
    this.volumes = plan.volumes
    return this.#giveBack(record)
  }

  /**
   * Says on record that the domain has ended, and changes nothing else: its volumes are released when the VG can be
   * used again.
   */
  #leaveAlone(record: DomainRecord | undefined, cutOff: string): Outcome {
    if (record !== undefined && record.volumes.length > 0) announce(this.#domain, record.volumes, record)
    return { kind: 'nothing', reason: releasedLater(cutOff) }
  }

  /** Writes the note of a saved memory, or the warning that it cannot be written (noteSaved, R12). */
  async #noteMemory(record: DomainRecord | undefined, recorded: readonly RecordedVolume[]): Promise<void> {
    const domain = this.#domain
    if ((record === undefined || record.state === 'releasing') && wasGivenBack(domain.uuid)) {
      // Others may have locked its volumes since the agent gave them back: what is counted now says nothing (R12).
      forgetSaved(domain)
      this.warning = unnoted(domain, 'its volumes were given back before')
      return
    }
    // This warning is said if the time is over before the note is written.
    this.warning = unnoted(domain, 'to note it took too long')
    const told = (await uuidsFor(recorded))(recorded)
    this.warning = await noteSaved(domain, told, record !== undefined && mayRunElsewhere(record))
  }

  /**
   * Removes the record under the locks of the VGs that it, or the XML, names: a `migrate` of the same domain may be at
   * its trial.
   */
  async #forget(record: DomainRecord | undefined): Promise<Outcome> {
    const { vgsToLock } = await subjectOf(this.#domain, this.#configuration ?? DEFAULTS, false)
    const seconds = Math.min(this.#lockWait, FORGET_WAIT)
    let locks: VgLocks
    try {
      locks = await lockVgs([...vgsToLock, ...(record?.volumes ?? []).map(({ vg }) => vg)], seconds, seconds)
    } catch (error) {
      if (error instanceof VgBusy)
        return { kind: 'nothing', reason: `its record stays for now: another act on ${error.vg} is at work` }
      throw error
    }
    try {
      const now = recordOf(this.#domain.uuid, readRecords())
      if (isNewLife(now, record)) return STARTED_AGAIN
      if (now === undefined) return RELEASED_MEANWHILE
      return await this.#endUnderLock(locks, () => 0)
    } finally {
      locks.release()
    }
  }

  /** Deactivates its volumes under the locks of their VGs. */
  async #giveBack(record: DomainRecord | undefined): Promise<Outcome> {
    const seconds = this.timeLeft() / 1000
    const locks = await lockVgs(
      this.volumes.map(({ vg }) => vg),
      Math.min(this.#lockWait, seconds),
      seconds,
    )
    try {
      // R11: what was seen before the lock was taken may not be true any more.
      const now = recordOf(this.#domain.uuid, readRecords())
      if (isNewLife(now, record)) return STARTED_AGAIN
      // The agent was quicker. Without a record only the XML is left, and it does not say what was active before.
      if (record !== undefined && now === undefined) return RELEASED_MEANWHILE
      return await this.#endUnderLock(locks, this.timeLeft)
    } finally {
      locks.release()
    }
  }

  /** Decides anew, and carries that out, for this domain and for others that have ended meanwhile. */
  async #endUnderLock(locks: VgLocks, timeLeft: () => number): Promise<Outcome> {
    const own = await decideRelease(this.#domain, this.#configuration)
    const others = own.plan.kind === 'deactivate' ? endedMeanwhile(own, locks) : []
    const isOwn = (domain: DomainName): boolean => domain === own.domain
    const [outcome] = await releaseAllUnderLock([own, ...others], locks, timeLeft, isOwn, this.#clock)
    return outcome ?? { kind: 'nothing', reason: 'it was released' }
  }

  /**
   * The outcome where an act is still at work. The agent may have given the volumes back in the meantime: those that
   * are not on record any more are left out.
   */
  unfinished(why: string): Outcome {
    const records = readRecords()
    const now = recordOf(this.#domain.uuid, records)
    if (this.#isOnRecord && now === undefined && records.unreadable.length === 0) return RELEASED_MEANWHILE
    return { kind: 'unfinished', volumes: now?.volumes ?? this.volumes, why, agent: agentState().kind }
  }
}

const releasedLater = (vg: string): string => `${vg} was cut off here: its volumes are released when that is over`

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
const isSaved = (domain: DomainName, reason: string): boolean =>
  reason === '-' ? managedSave(domain) === 'new' : reason === 'saved'

/**
 * Whether this is the end of a domain that was started, and not of a start that `prepare` refused. libvirt before 10.5
 * does not tell the two apart. After a refused start the file of a managed save may look new: `virsh managedsave-edit`
 * writes it again. The note of that memory must not be lost.
 */
const hasLived = ({ gotPastPrepare }: Domain, reason: string, record: DomainRecord | undefined): boolean =>
  reason !== '-' || (gotPastPrepare && record?.state !== 'refused')

/** Whether a restored domain never ran. libvirt says so; before 10.5 only the image that it has kept shows it. */
const hasFailed = (domain: DomainName, reason: string, { state }: DomainRecord): boolean =>
  reason === '-' ? state === 'prepared' && managedSave(domain) === 'noted' : reason === 'failed'

/**
 * Whether the note of a saved memory is used up. libvirt before 10.5 shows only managed saves, by an image that it
 * keeps until it is restored. Without that image the noted memory no longer exists. If the note stayed, it would be
 * taken for that of a memory that `virsh save` may just have written into a file.
 */
const isNoteUsedUp = (domain: DomainName, reason: string): boolean => reason === '-' && managedSave(domain) === 'none'

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

/** What a `release` writes into the record first, before it has the locks of the VGs. */
const announce = (
  domain: DomainName,
  volumes: readonly RecordedVolume[],
  known: DomainRecord | undefined,
): Replaced | 'full' =>
  putReleasing(domain, volumes, (next) => (next === undefined ? 'changed' : announceEnd(domain.uuid, known, next)))
