import { type SanlockAnswer, unvouched } from '../core/lease.ts'
import type { Problem } from '../core/problem.ts'
import { query } from '../system/run.ts'
import { STATUS_ARGUMENTS, parseSanlockStatus } from './status.ts'

/** Milliseconds. sanlock answers in 5 ms, and reads no disk for it (FACTS 50). */
const LIMIT = 4000

/** What this host's sanlock says. Never throws; ends within its time. */
export async function askSanlock(): Promise<SanlockAnswer> {
  const { exitCode, stdout, stderr, isAbsent, timedOut } = await query('sanlock', STATUS_ARGUMENTS, LIMIT)
  const silent = (why: string): SanlockAnswer => ({ kind: 'silent', why })
  if (isAbsent) return silent('sanlock was not found')
  if (timedOut) return silent(`no answer in ${LIMIT / 1000} s`)
  if (exitCode !== 0) return silent(stderr.trim().split('\n')[0] || `exit status ${exitCode ?? 'of a signal'}`)
  const status = parseSanlockStatus(stdout)
  return status === undefined ? silent('its answer is not understood') : { kind: 'status', status }
}

/**
 * Whether this host still has its leases: for locks that lvmlockd lists and that no command has just taken (FACTS 46b).
 * @param vgs whose lock manager is sanlock
 */
export async function lostLeases(vgs: readonly string[]): Promise<Problem[]> {
  if (vgs.length === 0) return []
  const asked = await askSanlock()
  return unvouched(vgs, asked.kind === 'status' ? asked.status : undefined).map(
    ({ vg, isKnown }): Problem => ({ kind: 'lease-lost', vg, isKnown }),
  )
}
