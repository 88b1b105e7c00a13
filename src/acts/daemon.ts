import type { DomainRecord } from '../core/record.ts'
import { type ProcessIdentity, lives, processOf } from '../system/processes.ts'
import { perProcess, self } from '../system/self.ts'

// Asked for when the program begins (run-hook.ts): a parent that has ended is replaced by process 1, which lives for
// ever.
const caller = perProcess(() => (self().ppid === 1 ? undefined : processOf(self().ppid)))

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
 * The libvirt daemon that called this hook: the parent, since the shell stub was replaced by Node with `exec`. One that
 * had ended before it could be asked for is on record as a process that does not live.
 */
export const callingDaemon = (): Required<Pick<DomainRecord, 'daemon'>> => ({
  daemon: commandItself().value ?? caller() ?? { pid: self().ppid, start: 'ended' },
})

/**
 * Whether the daemon that called this hook has ended since: then nobody waits for it any more, and another may be at
 * work.
 */
export const callerHasEnded = (): boolean => {
  const who = commandItself().value ?? caller()
  return who === undefined || !lives(who)
}
