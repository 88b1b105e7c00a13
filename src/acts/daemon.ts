import type { DomainRecord } from '../core/record.ts'
import { isDaemonFirst } from '../libvirt/daemon-alive.ts'
import { type ProcessIdentity, lives, processOf } from '../system/processes.ts'
import { perProcess, self } from '../system/self.ts'

// Looked up when the program begins (run-hook.ts). Later it may be too late: when a parent ends, process 1 takes its
// place, and that one never ends.
const caller = perProcess(() => (self().ppid === 1 && !isDaemonFirst() ? undefined : processOf(self().ppid)))

/** To be called when the program begins: looks who has called it. */
export const noteCaller = (): void => void caller()

/**
 * A command that takes volumes for itself, and no libvirt daemon: its record lasts as long as this very process
 * (cli/with.ts).
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
