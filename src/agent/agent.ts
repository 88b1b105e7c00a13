import { monotonic } from '../system/clock.ts'
import { isAsRecorded, planDrive } from '../core/drive.ts'
import { isOnTheWayOut } from '../core/drive-step.ts'
import type { LockState } from '../core/lock-state.ts'
import { lineOf } from '../core/agent-words.ts'
import { RELEASE_PATIENCE } from '../core/retry.ts'
import { isErrno, messageOf } from '../system/error-message.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { markedVgs } from '../kill/mark.ts'
import { lockState } from '../lvm/lvm.ts'
import { readRecords, recordOf } from '../state/record-store.ts'
import { VgBusy } from '../state/vg-lock.ts'
import { type ActResult, act } from '../acts/drive.ts'
import { type AgentHost, type SeenDomain, vgsOfView, vgsOfAct } from '../acts/seen-domains.ts'
import type { Aftermath } from './aftermath.ts'
import { type Retries, type Schedule, schedule } from './retries.ts'

/** Domains whose VGs are the same, and which are acted on together. */
interface Group {
  readonly vgs: readonly string[]
  readonly waiting: Set<string>
  /** Those of the act that is at work. */
  acting: readonly string[]
}

/**
 * Compares what should be with what is, whenever something may have changed, and acts on the difference. What it keeps
 * in memory may be lost at any time.
 */
export class Agent {
  readonly #host: AgentHost
  readonly #aftermath: Aftermath
  readonly #retries: Retries
  readonly #groups = new Map<string, Group>()
  /**
   * Domains whose records were seen to say that they have ended. Each is acted on once because of that, and then only
   * as a retry.
   */
  readonly #ended = new Set<string>()
  readonly #schedule: Schedule
  #waiting: string[] = []
  #passing = false
  #asked = false
  /** When a pass ended last, in seconds of the monotonic clock; before the first one, when this was made. */
  lastPass = monotonic()

  constructor(host: AgentHost, aftermath: Aftermath, retries: Retries, timers: Schedule = schedule) {
    this.#schedule = timers
    this.#host = host
    this.#aftermath = aftermath
    this.#retries = retries
    aftermath.actAgain = (view) => this.#enqueue(view)
    host.resolved = () => this.lookAtChanges()
  }

  /**
   * A status file is new, changed, or gone. The domains concerned are acted on at once, and lvmlockd is not asked
   * first.
   */
  lookAtChanges(): void {
    try {
      this.#actOnChanges()
    } catch (error) {
      this.#sayFailed(error)
    }
  }

  #actOnChanges(): void {
    const look = this.#host.look()
    const changed = this.#host.takeChanged()
    if (changed.length === 0) return
    const records = readRecords()
    for (const uuid of changed) {
      const view = this.#host.viewOf(uuid, look, records)
      if (view.runs && isAsRecorded(view)) continue
      this.#retries.forget(uuid)
      if (view.runs && isWorthActing(view)) this.#enqueue(view)
    }
  }

  /**
   * Records are new, changed, or gone. If a record says that its domain has ended, and still says so a moment later,
   * its `release` waits behind others, or has given up: then the agent gives the volumes back.
   * @param names files in /run/lvguard; undefined: any
   */
  lookAtRecords(names: readonly string[] | undefined): void {
    try {
      this.#noteEnded(names)
    } catch (error) {
      this.#sayFailed(error)
    }
  }

  #noteEnded(names: readonly string[] | undefined): void {
    const { known } = readRecords(names)
    const ended = known.filter(({ state }) => state === 'releasing').map(({ domain }) => domain.uuid)
    for (const uuid of this.#ended)
      if ((names === undefined || names.includes(`${uuid}.json`)) && !ended.includes(uuid)) this.#ended.delete(uuid)
    const fresh = ended.filter((uuid) => !this.#ended.has(uuid))
    if (fresh.length === 0) return
    for (const uuid of fresh) this.#ended.add(uuid)
    if (this.#waiting.length === 0) this.#schedule(() => this.#releaseWaiting(), RELEASE_PATIENCE)
    this.#waiting.push(...fresh)
  }

  #releaseWaiting(): void {
    const records = readRecords()
    const look = this.#host.look()
    for (const uuid of this.#waiting) {
      if (recordOf(uuid, records)?.state !== 'releasing') continue
      this.#retries.forget(uuid)
      this.#enqueue(this.#host.viewOf(uuid, look, records))
    }
    this.#waiting = []
  }

  /**
   * A full pass: every domain that is active or on record. It costs one lvmlockctl, and no other command if all is as
   * it should be.
   */
  async pass(): Promise<void> {
    this.#asked = true
    if (this.#passing) return
    this.#passing = true
    try {
      // If a pass is asked for during another one, it is made after it.
      while (this.#asked) {
        this.#asked = false
        const locks = await lockState()
        this.#host.learn(locks)
        this.#compare(locks)
      }
    } catch (error) {
      this.#sayFailed(error)
    } finally {
      this.#passing = false
      this.lastPass = monotonic()
    }
  }

  /** Says that this program has failed. The next pass tries again. */
  #sayFailed(error: unknown): void {
    this.#aftermath.sayOfHost([{ key: 'pass', priority: 3, text: failureOf(error) }], 'pass')
  }

  /**
   * Whether a domain is left alone because of VGs that were cut off here: nothing on them is changed, and
   * agent/lease-watch.ts reports them. If the domain is gone, its volumes in other VGs are given back all the same.
   */
  #isCutOff(view: SeenDomain, marked = markedVgs()): boolean {
    const vgs = vgsOfView(view)
    const isMarked = (vg: string): boolean => marked.has(vg)
    return view.wanted.mode === 'inactive' ? vgs.length > 0 && vgs.every(isMarked) : vgs.some(isMarked)
  }

  #compare(locks: LockState): void {
    const records = readRecords()
    const look = this.#host.pass(records)
    const uuids = [...new Set([...look.active.keys(), ...records.known.map(({ domain }) => domain.uuid)])]
    const marked = markedVgs()
    const views = uuids
      .map((uuid) => this.#host.viewOf(uuid, look, records))
      .filter((view) => !this.#isCutOff(view, marked))
    const devices = activeVolumes()
    const hostWide = new Map<string, { readonly priority: 2 | 3; readonly text: string }>(
      look.unreadable.map((words) => [
        `status ${words}`,
        {
          priority: 3,
          text: `a status file of libvirt cannot be read: ${words}; whatever may belong to it stays as it is`,
        },
      ]),
    )
    for (const view of views) {
      const plan = planDrive(view, { locks, devices, records }, view.detail)
      for (const report of plan.reports) {
        if (report.kind === 'locks-unknown')
          hostWide.set('locks', {
            priority: 3,
            text: `the locks of this host cannot be read (${report.detail}); nothing is changed. See 'systemctl status lvmlockd'`,
          })
        if (report.kind === 'lockspace-lost')
          hostWide.set(`lockspace ${report.vg}`, { priority: 2, text: lineOf(report, 'at least one VM').text })
      }
      this.#aftermath.sayReports(view, plan.reports)
      const isDue =
        plan.kind === 'release' ||
        (plan.kind === 'drive' &&
          (plan.record !== undefined ||
            plan.changes.length > 0 ||
            plan.unplugged.some(({ ids }) => ids !== undefined) ||
            plan.abortJob ||
            isInDoubt(view)))
      // What lvs does not tell is asked rarely, and keeps nothing else of the VM waiting.
      const isUntold = plan.kind === 'drive' && plan.isUntold
      const isPending = this.#retries.isPending(view.domain.uuid)
      const isAsked = isPending || this.#isActedOn(view)
      if (isDue ? isUntold || !isPending : isUntold && !isAsked) this.#enqueue(view)
    }
    this.#retries.keepOnly(uuids)
    this.#aftermath.sayOfHost(
      [...hostWide].map(([key, line]) => ({ key, ...line })),
      'host',
    )
  }

  #isActedOn({ domain }: SeenDomain): boolean {
    return [...this.#groups.values()].some(({ acting }) => acting.includes(domain.uuid))
  }

  #enqueue(view: SeenDomain): void {
    const marked = markedVgs()
    if (this.#isCutOff(view, marked)) return
    // The act looks whether these are all that it needs.
    const { lockspaces, knowsLockspaces } = this.#host
    const vgs = vgsOfAct(view, knowsLockspaces ? lockspaces : undefined, marked)
    // A later pass does it, once lvmlockctl answers.
    if (vgs === undefined) return
    const key = vgs.join(' ')
    const group = this.#groups.get(key)
    if (group !== undefined) {
      group.waiting.add(view.domain.uuid)
      return
    }
    const started: Group = { vgs, waiting: new Set([view.domain.uuid]), acting: [] }
    this.#groups.set(key, started)
    // What comes at the same moment is acted on together.
    queueMicrotask(() => void this.#work(key, started))
  }

  async #work(key: string, group: Group): Promise<void> {
    const { vgs, waiting } = group
    while (waiting.size > 0) {
      const uuids = [...waiting]
      waiting.clear()
      group.acting = uuids
      let results: ActResult[]
      try {
        results = await act(uuids, vgs, this.#host)
      } catch (error) {
        this.#aftermath.sayOfHost([{ key, priority: 3, text: failureOf(error) }], `group ${key}`)
        for (const uuid of uuids) this.#again(uuid)
        continue
      }
      this.#aftermath.sayOfHost([], `group ${key}`)
      for (const result of results) {
        const next = this.#aftermath.follow(result)
        if (next === 'done') this.#retries.forget(result.view.domain.uuid)
        else this.#again(result.view.domain.uuid, next === 'later' || result.released !== undefined)
      }
    }
    this.#groups.delete(key)
  }

  #again(uuid: string, isSlow = false): void {
    this.#retries.later(uuid, isSlow, () => {
      const view = this.#host.viewOf(uuid, this.#host.look(), readRecords())
      if (view.runs || view.record !== undefined) this.#enqueue(view)
    })
  }
}

/** Why an act was ended by an error, in a line. Each VM of it is tried again. */
function failureOf(error: unknown): string {
  if (error instanceof VgBusy) return `${error.message}: see 'ps -ef | grep lvchange'`
  return isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS')
    ? `a file in /run/lvguard cannot be written (${messageOf(error)}): some VMs stay as they are; make room in /run (df /run)`
    : `lvguard failed: ${messageOf(error)}`
}

const isInDoubt = ({ memory, wanted }: SeenDomain): boolean => memory !== undefined && wanted.mode === 'exclusive'

/** Whether the state in its status file can call for a change at all. */
const isWorthActing = ({ wanted, record, live }: SeenDomain): boolean =>
  (record !== undefined || live.length > 0) &&
  (wanted.mode === 'exclusive' ||
    isOnTheWayOut(wanted) ||
    (wanted.mode === 'unchanged' && wanted.why === 'storage-copy'))
