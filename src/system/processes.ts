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
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is a name in parentheses that may contain anything.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return start === undefined ? undefined : { pid, start }
  } catch {
    return undefined
  }
}

/** Whether that very process still lives. */
export const lives = ({ pid, start }: ProcessIdentity): boolean => processOf(pid)?.start === start
