import { execa } from 'execa'

/** How a command is run. */
export interface Manner {
  /**
   * Its standard streams, and what it inherits beside them: `pipe` is read to its end; a number is a descriptor of this
   * process.
   */
  readonly stdio: 'ignore' | readonly ('ignore' | 'pipe' | number)[]
  /** Beside this process's own environment. */
  readonly env: Readonly<Record<string, string>>
  /** In a session of its own. */
  readonly detached?: boolean
}

/** A command that runs. */
export interface Running {
  /** Never rejects. */
  readonly ended: Promise<Ended>
  /** SIGTERM, and after 5 s SIGKILL. */
  kill(): void
  /** SIGKILL to all that have its session (`detached`), its children among them. */
  killGroup(): void
  /** This program may end before it. */
  unref(): void
}

/** What became of a command. */
export interface Ended {
  /** Undefined if it could not be started or did not end by itself. */
  readonly exitCode?: number | undefined
  /** Why it could not be started: ENOENT and the like. */
  readonly code?: string | undefined
  readonly stdout?: unknown
  readonly stderr?: unknown
}

/** Starts a command by its name in PATH. */
export type Start = (command: string, words: readonly string[], manner: Manner) => Running

// execa passes any descriptor on to spawn; its types know only the first ones.
const streamOf = (stream: 'ignore' | 'pipe' | number): 'ignore' | 'pipe' | 3 =>
  typeof stream === 'number' ? (stream as 3) : stream

type Streams = ['ignore', 'ignore' | 'pipe', 'ignore' | 'pipe', ...3[]]

/** Starts a real process, by execa. */
export const REAL_START: Start = (command, words, { stdio, env, detached = false }) => {
  const isRead = stdio !== 'ignore' && stdio.includes('pipe')
  const running = execa(command, words, {
    stdio: stdio === 'ignore' ? stdio : (stdio.map(streamOf) as Streams),
    env,
    reject: false,
    cleanup: false,
    detached,
    ...(isRead ? { stripFinalNewline: false, maxBuffer: 64 * 1024 * 1024 } : { buffer: false }),
  })
  return {
    ended: running as Promise<Ended>,
    kill: () => void running.kill(),
    killGroup: () => endGroup(running.pid),
    unref: () => running.unref(),
  }
}

function endGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL')
  } catch {
    // Ended just now.
  }
}

let current = REAL_START

/** For `enter` (system/world.ts) alone. */
export const useStart = (next: Start): void => {
  current = next
}

/** Starts a command in the world that the program is in. */
export const start: Start = (command, words, manner) => current(command, words, manner)
