import type { DomainRecord } from '../core/record.ts'
import { lives, processOf } from '../processes.ts'

// Asked for when the program begins (run-hook.ts): a parent that has ended is replaced by process 1, which lives for ever.
const CALLER = process.ppid === 1 ? undefined : processOf(process.ppid)

/**
 * The libvirt daemon that called this hook: the parent, since the shell stub was replaced by Node with `exec`. One that had ended
 * before it could be asked for is on record as a process that does not live.
 */
export const callingDaemon = (): Required<Pick<DomainRecord, 'daemon'>> => ({ daemon: CALLER ?? { pid: process.ppid, start: 'ended' } })

/** Whether the daemon that called this hook has ended since: then nobody waits for it any more, and another may be at work. */
export const callerHasEnded = (): boolean => CALLER === undefined || !lives(CALLER)
