import type { LeaseCount } from './lock-state.ts'
import type { DomainStatus } from './reconcile.ts'
import type { MigrationMemory, RecordedVolume } from './record.ts'

/**
 * Phases of a migration out after which the destination may run the domain, although this host runs it again: the reply
 * of the Finish phase was lost, or that of a cancelled one (FACTS 19).
 */
const DOUBTFUL = new Set(['perform3_done', 'confirm3_cancelled'])

/**
 * libvirt let the CPUs of the source run again after a migration had stopped them (virDomainRunningReason). It stays in
 * the status file when the job is gone.
 */
export const hasReasonOfMigration = ({ state, reason }: DomainStatus): boolean =>
  state === 'running' && reason === 'migration canceled'

/** libvirt knows that the destination runs it, and this host's QEMU goes. */
export const isHandedOver = (phase: string): boolean => phase === 'confirm3'

/** The job is still on, in a doubtful phase: what the destination locks for it, it has locked by now. */
export const isInDoubtfulPhase = ({ async, phase }: DomainStatus): boolean =>
  async === 'migration out' && phase !== undefined && DOUBTFUL.has(phase)

/**
 * What is to be remembered of a domain's migration: the last doubtful phase, until exclusive is granted or the
 * destination has confirmed.
 * @param volumes as its record names them. If one is still shared there, no promotion was tried since, and a doubtful
 *   phase may have come and gone while no agent looked
 */
export function remembered(
  status: DomainStatus,
  before: MigrationMemory | undefined,
  volumes: readonly RecordedVolume[] = [],
): MigrationMemory | undefined {
  const isUntried = volumes.some(({ role, mode }) => role === 'exclusive' && mode === 'shared')
  if (before === undefined && isUntried && status.async === 'none' && hasReasonOfMigration(status))
    return { phase: status.reason }
  if (status.async !== 'migration out' || status.phase === undefined) return before
  if (isHandedOver(status.phase)) return undefined
  // A new migration decides nothing: both may still run. But the locks that it takes do not say where the domain ran
  // before. And what a person has decided before does not hold for the new migration.
  if (!DOUBTFUL.has(status.phase)) return before === undefined ? undefined : only(before.phase, before)
  if (before?.phase === status.phase) return before
  return { ...only(status.phase, before), ...(before?.lvers && { lvers: before.lvers }) }
}

const only = (phase: string, before: MigrationMemory | undefined): MigrationMemory => ({
  phase,
  ...(before?.lockedBy !== undefined && { lockedBy: before.lockedBy }),
})

/**
 * Whether another host was the last to take a lease, since it was counted. A try of this host to promote makes this
 * host the last one, whether it is granted or refused. Asked before such a try, this tells what has happened since the
 * try before.
 * @param ownId host_id of this host
 */
export const isTakenByAnother = (before: number, now: LeaseCount, ownId: number): boolean =>
  now.lver > before && now.owner !== ownId

/** What is known when the promotion of a domain that runs here has been tried. */
export interface PromotionResult {
  readonly status: DomainStatus
  readonly memory: MigrationMemory | undefined
  /** Read back from lvmlockd. Why it was not granted does not count: LVM's words are no evidence (R15). */
  readonly promotion: 'granted' | 'refused'
  readonly onContested: 'suspend' | 'alert'
}

/**
 * - `suspend`: `virsh suspend`, since the domain may be running on the other host too, and two shared locks stop
 *   neither;
 * - `stay`: it is paused, and stays so: its memory may be older than its disk (R12). Said again and again, until a
 *   person has decided;
 * - `forget`: exclusive was granted, nothing else to do;
 * - `alert`: contested, and only to be said;
 * - `none`: an ordinary promotion, or nothing new.
 */
export type ContestedStep = 'suspend' | 'stay' | 'forget' | 'alert' | 'none'

/**
 * What follows from a migration whose last reply was lost (DESIGN 4). A domain is suspended once, and never resumed: a
 * person who resumes it has decided.
 */
export function contestedStep({ status, memory, promotion, onContested }: PromotionResult): ContestedStep {
  if (memory === undefined || status.async !== 'none') return 'none'
  if (status.state === 'paused') return 'stay'
  // Granted, but another host has locked it since: it ran there, and has ended there meanwhile.
  if (promotion === 'granted' && (memory.lockedBy === undefined || memory.suspend === 'done')) return 'forget'
  if (memory.suspend === 'done') return 'alert'
  return onContested === 'suspend' && status.state === 'running' ? 'suspend' : 'alert'
}
