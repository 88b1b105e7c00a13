import type { Line } from '../core/agent-words.ts'
import { mayWrite } from '../core/cut-off.ts'
import {
  type Lockspace,
  type OnLostLease,
  type SanlockStatus,
  alertLine,
  goneLine,
  killEnds,
  lateLine,
  leaseState,
  overLine,
  silentLine,
} from '../core/lease.ts'
import { ReportBook } from '../core/report-book.ts'
import { messageOf } from '../system/error-message.ts'
import type { ProcessIdentity } from '../system/processes.ts'
import type { CutOff, Order } from '../kill/kill.ts'
import { type Mark, noMark } from '../kill/mark.ts'
import type { Recovery } from '../kill/recover.ts'
import { resetHost } from '../kill/reset.ts'
import type { SanlockAnswer } from '../core/lease.ts'

/** Seconds between two looks at the lease. */
export const LEASE_PERIOD = 5
/** Seconds after which what lasts is said again. */
const AGAIN = 60
/** Seconds between two tries to recover a VG. */
const RECOVER_PERIOD = 15
/**
 * Seconds between two rehearsals of a kill (`rehearse`). They keep its programs and files in memory, for the time when
 * the disk that they are on hangs.
 */
const REHEARSE_PERIOD = 60
/** Seconds that a kill has at least, however long ago the lease was lost. */
const LEAST = 5

/**
 * What the watch sees, and what it does. Nothing of it may wait for a disk, for LVM, for libvirt, or for a VG's lock.
 */
export interface LeaseBody {
  /** Seconds of the monotonic clock, which is sanlock's. */
  now(): number
  ask(): Promise<SanlockAnswer>
  configuration(): { readonly onLostLease: OnLostLease; readonly killFallback: 'reset' | 'none' }
  /** The VMs that use a volume of a VG, with a process that lives. */
  usersOf(vg: string): readonly string[]
  /** The VGs of sanlock that VMs of this host have on record. */
  vgsOnRecord(): readonly string[]
  /** Whether sanlock has left a lockspace that lvmlockd still lists. */
  isLeftBehind(vg: string): Promise<boolean>
  marks(): readonly Mark[]
  cutOff(order: Order): Promise<CutOff>
  /** @returns undefined if lvmlockd has given up its locks, else why not */
  drop(vg: string): Promise<string | undefined>
  recover(mark: Mark): Promise<Recovery>
  reset(why: string): void
  /** The number of this process. */
  readonly pid: number
  /** Whether that very process lives. */
  lives(process: ProcessIdentity): boolean
  sleep(seconds: number): Promise<void>
  /** Uses what a kill uses, and changes nothing. */
  rehearse(): void
  say(line: Line): void
}

/**
 * Says when this host's lease on a VG is late, cuts the VG off when it is lost, and takes it back afterwards (DESIGN
 * 8).
 */
export class LeaseWatch {
  readonly #body: LeaseBody
  readonly #book = new ReportBook()
  #isAsking = false
  /** Since when sanlock is silent. */
  #silentSince: number | undefined
  /** The greatest age of each lease that is late, by VG. */
  readonly #late = new Map<string, number>()
  /** What sanlock said last. */
  #known: SanlockStatus | undefined
  /** VGs whose lease sanlock had, and does not mention any more, with the times of that lease. */
  readonly #gone = new Map<string, Parameters<typeof killEnds>[0]>()
  /**
   * VGs whose lease was lost while no VM used them. They have no mark, and nobody else would start their locking again.
   */
  readonly #lostUnused = new Set<string>()
  /** Of these, those whose way back has begun: by now lvmlockd may have dropped what it listed. */
  readonly #takingBack = new Set<string>()
  /** VGs on which a kill or a recovery is at work. */
  readonly #busy = new Set<string>()
  readonly #recoverAt = new Map<string, number>()
  #rehearseAt = Number.NEGATIVE_INFINITY

  constructor(body: LeaseBody) {
    this.#body = body
  }

  /** Whether a lease is late or lost, or a VG is being cut off or taken back. */
  get isBusy(): boolean {
    return (
      this.#busy.size > 0 ||
      this.#late.size > 0 ||
      (this.#known?.lockspaces.some((lockspace) => leaseState(lockspace, this.#body.now()).kind === 'lost') ?? false)
    )
  }

  /** One look. Does nothing while another one is under way. Never throws. @returns whether it has looked */
  async look(): Promise<boolean> {
    if (this.#isAsking) return false
    this.#isAsking = true
    try {
      const asked = await this.#body.ask()
      if (asked.kind === 'silent') this.#noteSilence(asked.why)
      else this.#judge(asked.status)
    } catch (error) {
      this.#say('watch', [
        { priority: 2, key: 'failed', text: `the watch over the leases failed: ${messageOf(error)}` },
      ])
    } finally {
      this.#isAsking = false
    }
    return true
  }

  #say(about: string, lines: readonly (Line & { readonly key: string })[]): void {
    for (const { priority, text } of this.#book.update(
      about,
      lines.map((line) => ({ again: AGAIN, ...line })),
      this.#body.now(),
    ))
      this.#body.say({ priority, text })
  }

  /**
   * sanlock does not answer. That never counts as a loss: it may be restarted, or get no processor time. On a host that
   * has no lease nothing is said.
   */
  #noteSilence(why: string): void {
    // An agent that has just started knows of no lease yet, but its VMs have volumes on record.
    const candidates = this.#known?.lockspaces.map(({ vg }) => vg) ?? this.#body.vgsOnRecord()
    const vgs = candidates.filter((vg) => this.#body.usersOf(vg).length > 0)
    this.#silentSince ??= this.#body.now()
    this.#say(
      'sanlock',
      vgs.length === 0 ? [] : [{ key: 'silent', ...silentLine(why, this.#body.now() - this.#silentSince, vgs) }],
    )
  }

  #judge(status: SanlockStatus): void {
    const { now, rehearse } = this.#body
    const isIn = ({ lockspaces, notUnderstood }: SanlockStatus, vg: string): boolean =>
      notUnderstood.includes(vg) || lockspaces.some((each) => each.vg === vg)
    // A lockspace that was being left has been left by now.
    const { watchdogFire } = this.#known ?? status
    for (const { vg, list, hasFailed, ioTimeout } of this.#known?.lockspaces ?? [])
      if (list === 'spaces' && !hasFailed && !isIn(status, vg)) this.#gone.set(vg, { ioTimeout, watchdogFire })
    for (const vg of this.#gone.keys()) if (isIn(status, vg)) this.#gone.delete(vg)
    this.#known = status
    this.#silentSince = undefined
    this.#say(
      'sanlock',
      status.notUnderstood.map((vg) => ({
        key: vg,
        priority: 2 as const,
        text: `what sanlock says of its lease on ${vg} is not understood, and nothing is done: sanlock client status -D`,
      })),
    )
    const marks = this.#body.marks()
    this.#say(
      'gone',
      [...this.#gone].flatMap(([vg, times]) => {
        const users = marks.some((mark) => mark.vg === vg && !this.#isEnded(mark)) ? [] : this.#body.usersOf(vg)
        return users.length === 0 ? [] : [{ key: vg, ...goneLine(vg, times, users) }]
      }),
    )
    for (const vg of this.#late.keys())
      if (!status.lockspaces.some((lockspace) => lockspace.vg === vg)) this.#late.delete(vg)
    for (const lockspace of status.lockspaces)
      this.#judgeOne(
        lockspace,
        status,
        marks.find(({ vg }) => vg === lockspace.vg),
      )
    for (const mark of marks) this.#follow(mark, status)
    for (const vg of this.#lostUnused)
      if (!isIn(status, vg))
        this.#followUnused(
          vg,
          marks.some((mark) => mark.vg === vg),
        )
    if (now() - this.#rehearseAt < REHEARSE_PERIOD) return
    this.#rehearseAt = now()
    rehearse()
  }

  #judgeOne(lockspace: Lockspace, status: SanlockStatus, mark: Mark | undefined): void {
    const { vg } = lockspace
    const state = leaseState(lockspace, status.now)
    const users = state.kind === 'late' || state.kind === 'lost' ? this.#body.usersOf(vg) : []
    const { onLostLease } = this.#body.configuration()
    if (state.kind === 'lost' && users.length === 0 && mark === undefined) this.#lostUnused.add(vg)
    else if (state.kind !== 'none') this.#lostUnused.delete(vg)
    if (state.kind === 'late' && (users.length > 0 || this.#late.has(vg)))
      this.#late.set(vg, Math.max(state.age, this.#late.get(vg) ?? 0))
    const longest = this.#late.get(vg)
    if (longest !== undefined && (state.kind === 'fine' || state.kind === 'none')) {
      this.#late.delete(vg)
      if (state.kind === 'fine') this.#body.say(overLine(vg, longest))
    }
    const isActedOn = mark !== undefined && mark.by !== 'unknown'
    if (state.kind === 'late' && users.length > 0)
      this.#say(vg, [{ key: 'late', ...lateLine(vg, state, users, onLostLease) }])
    else if (state.kind === 'lost' && users.length > 0 && onLostLease === 'alert' && !isActedOn)
      this.#say(vg, [
        {
          key: 'lost',
          ...alertLine(vg, state.age, { ioTimeout: lockspace.ioTimeout, watchdogFire: status.watchdogFire }, users),
        },
      ])
    else this.#say(vg, [])
    // Once a VG is being cut off, that goes on to the end: also if no VM can be seen any more, and whatever is
    // configured by then.
    const isBegun = isActedOn && mark.by === 'sanlock' && mark.state !== 'clear'
    if (state.kind === 'lost' && ((users.length > 0 && onLostLease === 'kill') || isBegun) && !this.#busy.has(vg))
      void this.#work(vg, () => this.#cutOff(lockspace, status, mark))
  }

  async #cutOff(lockspace: Lockspace, status: SanlockStatus, mark: Mark | undefined): Promise<void> {
    const { vg, renewed, ioTimeout } = lockspace
    const limit = killEnds({ ioTimeout, watchdogFire: status.watchdogFire })
    const { now, cutOff, drop, say, configuration, usersOf } = this.#body
    // The time of that kill was over, and the host was not reset. The VG is looked at again and again until the path is
    // back.
    const isLater = mark?.state === 'left' && usersOf(vg).length === 0
    this.#say(`${vg} cut`, [
      {
        key: 'cut',
        priority: 2,
        text: `${vg}: the lease of this host is lost (not renewed for ${Math.round(status.now - renewed)} s): its VMs here are killed, and its devices wiped`,
      },
    ])
    const until = isLater ? now() : Math.max(renewed + limit, now() + LEAST)
    const { left } = await cutOff({ vg, by: 'sanlock', until })
    if (left.length === 0) {
      say({ priority: 2, text: `${vg}: cut off. Nothing here can write on it any more` })
      const why = await drop(vg)
      if (why !== undefined) say({ priority: 2, text: `${vg}: lvmlockd does not give up its locks: ${why}` })
      return
    }
    const words = left.map(({ text }) => text).join('; ')
    // A reset only if something is seen that can still write: never for what cannot be told (R9).
    const hasWatchdog = this.#known?.hasWatchdog ?? status.hasWatchdog
    if (mayWrite(left) && configuration().killFallback === 'reset' && hasWatchdog === false)
      await resetHost(`${vg} could not be cut off within ${limit} s of its last renewal: ${words}`, this.#body)
    else
      this.#say(`${vg} left`, [
        {
          key: 'left',
          priority: 2,
          text: `${vg} is not cut off, and other hosts may take its locks: ${words}${hasWatchdog === true ? '. The watchdog of sanlock resets this host' : ''}`,
        },
      ])
  }

  /**
   * Whether a kill was ended before it was done: its mark says `started`, and who was at work on it is not any more.
   * What this process is at, it knows (#busy). Of a mark that does not name anybody it cannot be told.
   */
  #isEnded({ vg, state, worker }: Mark): boolean {
    return state === 'started' && worker !== undefined && !this.#busy.has(vg) && !this.#isAtWork(worker)
  }

  #isAtWork(worker: ProcessIdentity): boolean {
    return worker.pid !== this.#body.pid && this.#body.lives(worker)
  }

  /** There is a mark, but the lease is not lost: the way back. */
  #follow(mark: Mark, status: SanlockStatus): void {
    const { vg } = mark
    const lockspace = status.lockspaces.find((each) => each.vg === vg)
    const isLost = lockspace !== undefined && leaseState(lockspace, status.now).kind === 'lost'
    if (mark.by === 'unknown') {
      // If the lease is lost, lvmlockctl's command is about to write more into the mark.
      if (!isLost)
        this.#say(`${vg} mark`, [
          {
            key: 'mark',
            priority: 3,
            text: `nothing starts on ${vg} here: /run/lvguard/${vg}.killed is there. To use it again: lvguard recover ${vg}`,
          },
        ])
      return
    }
    // Sanlock has left, or the lockspace is in force again: by a recovery that was ended, or that waited too briefly, or
    // by hand.
    const isOver = lockspace === undefined || ['fine', 'late'].includes(leaseState(lockspace, status.now).kind)
    // What was left of a kill may have ended since, or the kill itself was ended; recovery looks at all of it again.
    const mayRecover =
      !status.notUnderstood.includes(vg) &&
      (mark.state === 'clear'
        ? // Two may do it at once, and the other one still looks for what is left.
          mark.worker === undefined || !this.#isAtWork(mark.worker)
        : isOver && (mark.state === 'left' || this.#isEnded(mark)))
    if (mark.by !== 'sanlock' || !mayRecover || this.#busy.has(vg) || (this.#recoverAt.get(vg) ?? 0) > this.#body.now())
      return
    this.#recoverAt.set(vg, this.#body.now() + RECOVER_PERIOD)
    void this.#work(vg, async () => {
      const recovery = await this.#body.recover(mark)
      if (recovery.kind === 'recovered') this.#body.say({ priority: 2, text: recovery.text })
      this.#say(
        `${vg} mark`,
        recovery.kind === 'recovered'
          ? []
          : [
              {
                key: recovery.why.replaceAll(/\d+/g, '#'),
                priority: 4,
                text: `${vg} cannot be used here again yet: ${recovery.why}`,
              },
            ],
      )
    })
  }

  /**
   * The way back of a VG that no VM used when its lease was lost: sanlock has left the lockspace by itself, and
   * lvmlockd has not.
   */
  #followUnused(vg: string, isMarked: boolean): void {
    if (isMarked) this.#lostUnused.delete(vg)
    if (isMarked || this.#busy.has(vg) || (this.#recoverAt.get(vg) ?? 0) > this.#body.now()) return
    this.#recoverAt.set(vg, this.#body.now() + RECOVER_PERIOD)
    void this.#work(vg, async () => {
      // Otherwise somebody has started it again, or has stopped it on purpose.
      if (!this.#takingBack.has(vg) && !(await this.#body.isLeftBehind(vg))) {
        this.#lostUnused.delete(vg)
        return
      }
      this.#takingBack.add(vg)
      const recovery = await this.#body.recover(noMark(vg))
      if (recovery.kind === 'recovered') {
        this.#takingBack.delete(vg)
        this.#lostUnused.delete(vg)
        this.#body.say({ priority: 4, text: `${recovery.text}: this host had lost its lease` })
      }
      this.#say(
        `${vg} unused`,
        recovery.kind === 'recovered'
          ? []
          : [
              {
                key: recovery.why.replaceAll(/\d+/g, '#'),
                priority: 4,
                text: `${vg} cannot be used here again yet: ${recovery.why}`,
              },
            ],
      )
    })
  }

  async #work(vg: string, act: () => Promise<void>): Promise<void> {
    this.#busy.add(vg)
    try {
      await act()
    } catch (error) {
      this.#body.say({ priority: 2, text: `${vg}: lvguard failed: ${messageOf(error)}` })
    } finally {
      this.#busy.delete(vg)
    }
  }
}
