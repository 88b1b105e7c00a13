import { readFileSync } from 'node:fs'
import type { DomainRecord } from '../core/record.ts'

/**
 * The libvirt daemon that called this hook: the parent, since the shell stub was replaced by Node with `exec`. Its start time tells it
 * from a later process of the same number (proc(5), /proc/PID/stat, field 22, clock ticks since boot).
 */
export function callingDaemon(): Pick<DomainRecord, 'daemon'> {
  try {
    const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8')
    // The second field is a name in parentheses that may contain anything.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return start === undefined ? {} : { daemon: { pid: process.ppid, start } }
  } catch {
    return {}
  }
}
