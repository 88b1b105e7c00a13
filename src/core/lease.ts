import type { Line } from './agent-words.ts'

/**
 * What this host's sanlock says of its lease in the lockspace of a volume group. Times in seconds of the monotonic
 * clock.
 */
export interface Lockspace {
  readonly vg: string
  /** `spaces`: in force; `add`: about to be joined; `rem`: being left, in order or after a loss. */
  readonly list: 'spaces' | 'add' | 'rem'
  /** sanlock's unit of time, in seconds; 10 unless somebody has changed it. */
  readonly ioTimeout: number
  /** When the lease was renewed last; 0: never. */
  readonly renewed: number
  /** sanlock has given the lease up (check_our_lease failed). */
  readonly hasFailed: boolean
  /** sanlock ends whatever uses the lockspace (killing_pids), after a loss or on its way out. Absent: it does not say. */
  readonly isEnding?: boolean
}

/** All that this host's sanlock says. Times in seconds. */
export interface SanlockStatus {
  /** sanlock's own clock when it answered. */
  readonly now: number
  /** Undefined where it does not say. */
  readonly hasWatchdog: boolean | undefined
  /** Seconds from the loss of a lease until the watchdog of its host has fired: only then do others take the locks. */
  readonly watchdogFire: number
  readonly lockspaces: readonly Lockspace[]
  /** VGs of which it says something that is not understood: nothing is decided about them (R9). */
  readonly notUnderstood: readonly string[]
}

/** What a lease comes to. `age`: seconds since the last renewal. */
export type LeaseState =
  | { readonly kind: 'fine'; readonly age: number }
  /** `left`: seconds until it is lost. */
  | { readonly kind: 'late'; readonly age: number; readonly left: number }
  | { readonly kind: 'lost'; readonly age: number }
  /** Nothing is to be said of it: the lockspace is not joined yet, or is being left in order. */
  | { readonly kind: 'none' }

/** In units of io_timeout: from this age on a lease counts as late. sanlock renews it every 2. */
export const LATE = 3
/** In units of io_timeout: at this age sanlock gives its lease up (id_renewal_fail_seconds in its timeouts.h). */
export const LOST = 8
/** Seconds: sanlock's own, where it does not say (DEFAULT_WATCHDOG_FIRE_TIMEOUT; fixed in sanlock 3). */
export const WATCHDOG_FIRE = 60

type Times = Pick<Lockspace, 'ioTimeout'> & Pick<SanlockStatus, 'watchdogFire'>

/** Seconds from the last renewal until another host may take the locks (FACTS 32). */
export const takenAfter = ({ ioTimeout, watchdogFire }: Times): number => LOST * ioTimeout + watchdogFire

/**
 * Seconds from the last renewal until a kill gives up (DESIGN 8). The rest of the time until others may take the locks
 * is for a reset of the host.
 */
export const killEnds = (times: Times): number => takenAfter(times) - Math.min(15, times.watchdogFire / 4)

/**
 * Decides by sanlock's own clear word, and nothing else. `killing_pids` is not clear: sanlock sets it (and
 * `space_dead`) also when a lockspace is left in order, as `vgchange --lock-stop` does (measured, sanlock 3.8.5;
 * main.c: external_remove). `renew_fail` says which of the two it is. A lockspace that is being left in order has no
 * lease of a volume any more, however old its own lease gets.
 * @param now seconds of sanlock's clock, from the same answer
 */
export function leaseState({ list, ioTimeout, renewed, hasFailed }: Lockspace, now: number): LeaseState {
  const age = Math.max(0, now - renewed)
  if (hasFailed) return { kind: 'lost', age }
  if (list !== 'spaces' || renewed === 0) return { kind: 'none' }
  if (age >= LOST * ioTimeout) return { kind: 'lost', age }
  return age >= LATE * ioTimeout ? { kind: 'late', age, left: LOST * ioTimeout - age } : { kind: 'fine', age }
}

/** Whether this host's lease holds, and sanlock ends nothing there. */
export const isInForce = (lockspace: Lockspace | undefined, now: number): boolean =>
  lockspace?.isEnding === false && ['fine', 'late'].includes(leaseState(lockspace, now).kind)

/** What sanlock has answered; `silent`: it has not, or not in its own form. */
export type SanlockAnswer =
  | { readonly kind: 'status'; readonly status: SanlockStatus }
  | { readonly kind: 'silent'; readonly why: string }

/** A VG whose lease is lost (`isKnown`), or of which nobody can tell. */
export interface Unvouched {
  readonly vg: string
  readonly isKnown: boolean
}

/**
 * VGs for whose locks this host cannot vouch: its lease is lost, or nobody can tell. lvmlockd goes on listing its locks
 * then (FACTS 46b), and only a command that takes a lock would find out.
 * @param status undefined: sanlock does not answer, or is not understood
 */
export const unvouched = (vgs: readonly string[], status: SanlockStatus | undefined): Unvouched[] =>
  vgs.flatMap((vg): Unvouched[] => {
    if (status === undefined || status.notUnderstood.includes(vg)) return [{ vg, isKnown: false }]
    const lockspace = status.lockspaces.find((each) => each.vg === vg)
    const state = lockspace === undefined ? undefined : leaseState(lockspace, status.now)
    return state?.kind === 'fine' || state?.kind === 'late' ? [] : [{ vg, isKnown: true }]
  })

/** What happens to the VMs of a VG whose lease is lost (lvguard.conf, on_lost_lease). */
export type OnLostLease = 'kill' | 'alert'

const named = (domains: readonly string[]): string => domains.join(', ')

/** A lease that is late, in words; `domains` have a volume of the VG. */
export const lateLine = (
  vg: string,
  { age, left }: Extract<LeaseState, { kind: 'late' }>,
  domains: readonly string[],
  on: OnLostLease,
): Line => ({
  priority: 2,
  text:
    `${vg}: this host has not renewed its lease for ${Math.round(age)} s: does the storage answer? In ${Math.round(left)} s it is lost, and ` +
    (on === 'kill'
      ? `these VMs are killed here: ${named(domains)}`
      : `these VMs run on without a lock (on_lost_lease = "alert"): ${named(domains)}`),
})

/** The lease is renewed again. @param longest its greatest age, in seconds */
export const overLine = (vg: string, longest: number): Line => ({
  priority: 2,
  text: `${vg}: this host renews its lease again, after ${Math.round(longest)} s. Nothing was changed`,
})

/** A lost lease that nobody acts on. @param age seconds since the last renewal */
export const alertLine = (vg: string, age: number, times: Times, domains: readonly string[]): Line => {
  const left = Math.round(takenAfter(times) - age)
  const when = left > 0 ? `in ${left} s another host may take its locks` : 'another host may have taken its locks'
  return {
    priority: 2,
    text: `${vg}: the lease of this host is lost, and ${when} and start these VMs, which run here still: ${named(domains)}. Stop them now: lvguard kill ${vg} (on_lost_lease is "alert")`,
  }
}

/**
 * sanlock answers, but no longer has a lease that it had: it was restarted, or somebody has taken the lease away. It
 * renews nothing, and does not say that the lease is lost.
 */
export const goneLine = (vg: string, times: Times, domains: readonly string[]): Line => ({
  priority: 2,
  text: `${vg}: sanlock has no lease of this host any more, so that another host may take its locks within ${takenAfter(times)} s and start these VMs, which run here still: ${named(domains)}. Nothing is done. Was sanlock restarted? Stop them now: lvguard kill ${vg}`,
})

/** sanlock does not answer: never taken for a loss. @param seconds for how long */
export const silentLine = (why: string, seconds: number, vgs: readonly string[]): Line => ({
  priority: 2,
  text: `sanlock does not answer (${why}), since ${Math.round(seconds)} s: whether this host still has its lease on ${named(vgs)} cannot be told, and nothing is done. See 'systemctl status sanlock'`,
})
