import { type SanlockStatus, unvouched } from '../core/lease.ts'
import type { Problem } from '../core/problem.ts'
import { query } from '../system/run.ts'
import { STATUS_ARGUMENTS, parseSanlockStatus } from './status.ts'

/** Milliseconds. sanlock answers in 5 ms, and reads no disk for it (FACTS 50). */
const LIMIT = 5000

/**
 * Asks sanlock whether this host still has its leases: for locks that lvmlockd lists and that no command has just taken
 * (FACTS 46b).
 * @param vgs whose lock manager is sanlock
 */
export async function lostLeases(vgs: readonly string[]): Promise<Problem[]> {
  if (vgs.length === 0) return []
  const { exitCode, stdout } = await query('sanlock', STATUS_ARGUMENTS, LIMIT)
  const status: SanlockStatus | undefined = exitCode === 0 ? parseSanlockStatus(stdout) : undefined
  return unvouched(vgs, status).map(({ vg, isKnown }): Problem => ({ kind: 'lease-lost', vg, isKnown }))
}
