import type { DomainStatus } from './reconcile.ts'
import type { MigrationMemory, RecordedVolume } from './record.ts'

/**
 * Phases of a migration out after which the destination may run the domain even though this host runs it again: the reply of the
 * Finish phase was lost, or a cancelled one's (FACTS 19).
 */
const DOUBTFUL = new Set(['perform3_done', 'confirm3_cancelled'])

/**
 * libvirt let the CPUs of the source run again after a migration had stopped them (virDomainRunningReason). It stays in the status file
 * when the job is gone.
 */
export const hasReasonOfMigration = ({ state, reason }: DomainStatus): boolean => state === 'running' && reason === 'migration canceled'

/** libvirt knows that the destination runs it, and this host's QEMU goes. */
export const isSettledBy = (phase: string): boolean => phase === 'confirm3'

/**
 * What is to be remembered of a domain's migration: the last doubtful phase, until exclusive is granted or the destination has confirmed.
 * @param volumes as its record names them: still shared there, no promotion was tried since, so that a doubtful phase may have come and
 *   gone while no agent looked
 */
export function remembered(status: DomainStatus, before: MigrationMemory | undefined, volumes: readonly RecordedVolume[] = []): MigrationMemory | undefined {
  const isUntried = volumes.some(({ role, mode }) => role === 'exclusive' && mode === 'shared')
  if (before === undefined && isUntried && status.async === 'none' && hasReasonOfMigration(status)) return { phase: status.reason }
  if (status.async !== 'migration out' || status.phase === undefined) return before
  // A new migration settles nothing: both may run still.
  if (!DOUBTFUL.has(status.phase)) return isSettledBy(status.phase) ? undefined : before
  return before?.phase === status.phase ? before : { phase: status.phase }
}

/** What is known when the promotion of a domain that runs here has been tried. */
export interface PromotionResult {
  readonly status: DomainStatus
  readonly memory: MigrationMemory | undefined
  /** Read back from lvmlockd. Why it was not granted counts for nothing: LVM's words are no evidence (R15). */
  readonly promotion: 'granted' | 'refused'
  readonly onContested: 'suspend' | 'alert'
}

/**
 * - `suspend`: `virsh suspend`, since the domain may be running on the other host too, and two shared locks stop neither;
 * - `resume`: exclusive was granted, and it was the agent that suspended it;
 * - `forget`: exclusive was granted, nothing else to do;
 * - `alert`: contested, and only to be said;
 * - `none`: an ordinary promotion, or nothing new.
 */
export type ContestedStep = 'suspend' | 'resume' | 'forget' | 'alert' | 'none'

/** The lost reply (DESIGN 4). A domain is suspended once: whoever resumes it by hand has decided. */
export function contestedStep({ status, memory, promotion, onContested }: PromotionResult): ContestedStep {
  if (memory === undefined || status.async !== 'none') return 'none'
  const isPaused = status.state === 'paused'
  if (promotion === 'granted') return memory.suspend !== undefined && isPaused && status.reason === 'user' ? 'resume' : 'forget'
  if (isPaused) return 'none'
  if (memory.suspend === 'done') return 'alert'
  return onContested === 'suspend' && status.state === 'running' ? 'suspend' : 'alert'
}
