import type { DomainRecord } from '../core/record.ts'
import { isDaemonFirst } from '../libvirt/daemon-alive.ts'
import { type ProcessIdentity, lives, processOf } from '../system/processes.ts'
import { perProcess, self } from '../system/self.ts'

// Looked up when the program begins (run-hook.ts). Later may be too late: when a parent ends, process 1 takes its
// place, and process 1 never ends.
const caller = perProcess(() => (self().ppid === 1 && !isDaemonFirst() ? undefined : processOf(self().ppid)))

/** Notes which process has called this program. To be called when the program begins. */
export const noteCaller = (): void => void caller()

/**
 * Set if this process is a command that takes volumes for itself, with no libvirt daemon. Its record lasts as long as
 * this process (cli/with.ts).
 */
const commandItself = perProcess((): { value?: ProcessIdentity } => ({}))

/** To be called before such a command's `prepare`. @throws Error if this process cannot be seen in /proc */
export function actAsOwnCaller(): void {
  const own = processOf(self().pid)
  if (own === undefined) throw new Error('/proc cannot be read')
  commandItself().value = own
}

/**
 * The libvirt daemon that called this hook. It is the parent, because the shell stub was replaced by Node with `exec`.
 * If it had ended before it could be looked up, the record gets a process that does not live.
 */
export const callingDaemon = (): Required<Pick<DomainRecord, 'daemon'>> => ({
  daemon: commandItself().value ?? caller() ?? { pid: self().ppid, start: 'ended' },
})

/**
 * Whether the daemon that called this hook has ended since. Then nobody waits for the hook any more, and another daemon
 * may be at work.
 */
export const callerHasEnded = (): boolean => {
  const who = commandItself().value ?? caller()
  return who === undefined || !lives(who)
}
