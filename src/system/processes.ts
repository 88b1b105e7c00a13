import { isErrno } from './error-message.ts'
import { readFileSync } from './files.ts'

/**
 * A process of this host. Its number alone does not name it, because numbers are used again; its start time does, in
 * clock ticks since boot (proc(5), /proc/PID/stat, field 22).
 */
export interface ProcessIdentity {
  readonly pid: number
  readonly start: string
}

/**
 * The process that has this number now. Always from the real /proc, below LVGUARD_ROOT too: the identities that are
 * kept are those of real processes.
 */
export function processOf(pid: number): ProcessIdentity | undefined {
  try {
    const start = startOf(pid)
    return start === undefined ? undefined : { pid, start }
  } catch {
    return undefined
  }
}

/** @throws what the file system throws */
function startOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is a name in parentheses that may contain anything.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

/** Whether that very process still lives. One that cannot be looked at counts as alive (R9). */
export function lives({ pid, start }: ProcessIdentity): boolean {
  try {
    return startOf(pid) === start
  } catch (error) {
    return !isErrno(error, 'ENOENT', 'ESRCH')
  }
}
