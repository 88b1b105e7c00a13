import type { LockState, VolumeTable } from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { type Failure, classify } from '../lvm/failures.ts'
import { heldProblem, usersNow } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import type { CommandResult } from '../system/run.ts'
import type { VgBusy } from '../state/vg-lock.ts'
import type { Subject } from './host.ts'
import type { Outcome } from '../core/outcome.ts'

/**
 * What went wrong in an lvchange, for a message. Asks the lease who holds a volume: that takes no VG lock, and may be
 * slow. If lvchange failed, and nothing that it said is known here, that is a problem too (R9).
 */
export async function problemsOf(
  outcome: CommandResult,
  table: VolumeTable | undefined,
  locks: LockState,
): Promise<Problem[]> {
  if (outcome.isAbsent) return [{ kind: 'not-installed', command: 'lvchange', packages: 'lvm2 lvm2-lockd' }]
  if (outcome.timedOut) return [{ kind: 'other', detail: 'lvchange did not end within its time' }]
  const failures = classify(outcome.stderr)
  const precise = failures.filter(({ kind }) => kind !== 'other')
  const worth = precise.length > 0 ? precise : failures
  if (worth.length === 0)
    return [{ kind: 'other', detail: `lvchange exited with ${outcome.exitCode ?? 'a signal'} and said nothing` }]
  // If lvmlockd was killed, LVM says the same as of a VG whose locking is not started.
  const isDown = locks.kind === 'unknown' && locks.why === 'down' && worth.some(({ kind }) => kind === 'not-started')
  return isDown ? [{ kind: 'lvmlockd-down' }] : Promise.all(worth.map((failure) => problemOf(failure, table)))
}

async function problemOf(failure: Failure, table: VolumeTable | undefined): Promise<Problem> {
  switch (failure.kind) {
    case 'held':
      return heldProblem(failure.volume, table)
    case 'missing-volume':
      return { ...failure, disk: 'see the domain XML' }
    case 'missing-vg':
      return { ...failure, disk: 'see the domain XML' }
    case 'in-use':
      return { kind: 'open', volume: failure.volume, users: await usersNow(failure.volume) }
    case 'vg-lock':
      return { kind: 'other', detail: `the lock of volume group ${failure.vg} could not be had (${failure.text})` }
    case 'lock-left':
      return { kind: 'other', detail: `LVM could not change the lock of ${failure.volume}` }
    case 'other':
      return { kind: 'other', detail: `LVM says '${failure.text}'` }
    default:
      return failure
  }
}

/** The problems with the disks that missing volumes and VGs belong to: the XML tells that, and LVM does not. */
export function withDisks(
  problems: readonly Problem[],
  volumes: readonly (VolumeName & { readonly reason: string })[],
): Problem[] {
  return problems.map((problem) => {
    if (problem.kind !== 'missing-volume' && problem.kind !== 'missing-vg' && problem.kind !== 'volume-unknown')
      return problem
    const own = volumes.filter((volume) =>
      problem.kind === 'missing-vg' ? volume.vg === problem.vg : fullName(volume) === problem.volume,
    )
    return own.length === 0 ? problem : { ...problem, disk: [...new Set(own.map(({ reason }) => reason))].join('; ') }
  })
}

/**
 * The outcome of a hook call that is refused.
 * @param incoming whether it belongs to a migration
 */
export const refused = ({ candidates }: Subject, problems: readonly Problem[], incoming = false): Outcome => ({
  kind: 'refused',
  problems: withDisks(problems, candidates.volumes),
  attempt: incoming ? 'migration' : 'start',
  volumes: candidates.volumes,
})

/** The problem of a VG's lock that could not be had in time. */
export const problemOfBusy = ({ vg, seconds, isQueue }: VgBusy): Problem => ({ kind: 'vg-busy', vg, seconds, isQueue })

/** What went wrong on the way: a file of /run/lvguard, or anything else. */
export const problemOfError = (error: unknown): Problem =>
  error instanceof Error && 'syscall' in error
    ? { kind: 'record-unwritable', detail: messageOf(error) }
    : { kind: 'other', detail: messageOf(error) }

/** Writes something to /run that an event can do without: what is on record already says the same, less precisely. */
export function unlessFull(write: () => void): void {
  try {
    write()
  } catch {
    // A full /run changes nothing about the outcome of the event.
  }
}
