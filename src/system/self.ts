import { getPriority, hostname, setPriority } from 'node:os'
import { isatty } from 'node:tty'

/** The process that this program is, and what it may do to others. */
export interface Self {
  readonly pid: number
  /** Of its parent. */
  readonly ppid: number
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of the user; undefined on a system without users. */
  uid(): number | undefined
  /** The name of this host (uname(2)). */
  hostname(): string
  isTerminal(descriptor: number): boolean
  /** At least 0, less than 1. */
  random(): number
  /** SIGKILL. @throws what kill(2) says */
  kill(pid: number): void
  onHangup(work: () => void): void
  /**
   * From now on this process, and what it starts meanwhile, gets a processor before other programs, if it may.
   * @returns what ends that
   */
  hurry(): () => void
  exit(status: number): void
}

/** As nice(1) counts: as the agent's unit has it. LVM takes -18 while it activates (lvm.conf, process_priority). */
const HURRIED = -10

/** The process that this really is. */
export const REAL_SELF: Self = {
  pid: process.pid,
  ppid: process.ppid,
  environment: process.env,
  uid: () => process.getuid?.(),
  hostname,
  isTerminal: isatty,
  random: Math.random,
  kill: (pid) => void process.kill(pid, 'SIGKILL'),
  onHangup: (work) => void process.on('SIGHUP', work),
  hurry: () => {
    try {
      const before = getPriority()
      if (before <= HURRIED) return () => undefined
      setPriority(HURRIED)
      return () => setPriority(before)
    } catch {
      // Not root, or a sandbox.
      return () => undefined
    }
  },
  exit: (status) => process.exit(status),
}

let current = REAL_SELF

/** For `enter` (system/world.ts) alone. */
export const useSelf = (next: Self): void => {
  current = next
}

/** This process. */
export const self = (): Self => current

/**
 * A value that each process has for itself. A variable of a module would belong to all processes of a simulation at
 * once.
 * @param make called once a process, when it is asked for first
 */
export function perProcess<T>(make: () => T): () => T {
  const kept = new WeakMap<Self, { readonly value: T }>()
  return () => {
    const known = kept.get(current)
    if (known !== undefined) return known.value
    const value = make()
    kept.set(current, { value })
    return value
  }
}
