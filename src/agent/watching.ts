import { every, monotonic, pause } from '../system/clock.ts'
import type { Line } from '../core/agent-words.ts'
import { messageOf } from '../system/error-message.ts'
import type { ThreadEvents, Thread } from '../system/thread.ts'
import { startThread } from '../system/thread.ts'
import { leaseBody } from './lease-body.ts'
import { LEASE_PERIOD, LeaseWatch } from './lease-watch.ts'
import type { FromWatch, ToWatch, WatchData, WatchSettings } from './lease-thread.ts'

/** Seconds before a thread that has ended is started again. */
const RESTART = 1
/** Seconds without a look after which the watch counts as hung: its one question to sanlock is given up after 4. */
const SILENCE = 60

/** The watch over the leases, as the rest of the agent has it. */
export interface Watching {
  /** Whether it is a thread of its own, which gives the signs of life for systemd (agent/pulse.ts). */
  readonly isOwnThread: boolean
  settings(settings: WatchSettings): void
  /** The agent's heart has beaten. */
  alive(): void
  /** Something in /run/lvguard has changed. */
  look(): void
  /** What is wrong with it now; undefined: nothing. */
  trouble(): Line | undefined
}

/** Starts the thread of the watch. @returns undefined where no thread can be had (startThread) */
export type StartWatch = (data: WatchData, events: ThreadEvents) => Thread | undefined

/**
 * Starts the watch: in a thread of its own, or, where none can be had, in this one.
 * @param watchdog seconds between two signs of life for systemd; undefined where it waits for none
 */
export function watchLeases(
  first: WatchSettings,
  watchdog: number | undefined,
  say: (line: Line) => void,
  start: StartWatch = (data, events) => startThread('watch', data, events),
): Watching {
  let current = first
  let thread: Thread | undefined
  let lookedAt = monotonic()
  let silent = 0
  const events: ThreadEvents = {
    message: (message) => {
      if ((message as FromWatch).kind === 'looked') lookedAt = monotonic()
    },
    ended: (why) => {
      thread = undefined
      say({ priority: 2, text: `the watch over the leases has ended, and is started again: ${why.split('\n')[0]}` })
      void pause(RESTART * 1000).then(begin)
    },
  }
  const begin = (): void => {
    lookedAt = monotonic()
    try {
      thread = start({ settings: current, watchdog }, events)
    } catch (error) {
      say({ priority: 2, text: `the watch over the leases cannot be started again yet: ${messageOf(error)}` })
      void pause(RESTART * 10_000).then(begin)
    }
  }
  try {
    thread = start({ settings: first, watchdog }, events)
  } catch (error) {
    say({
      priority: 3,
      text: `the watch over the leases has no thread of its own, and stands still when the agent does: ${messageOf(error)}`,
    })
  }
  if (thread === undefined) return inThisThread(first, say)
  const post = (message: ToWatch): void => thread?.post(message)
  return {
    isOwnThread: true,
    settings: (settings) => {
      current = settings
      post({ kind: 'settings', settings })
    },
    alive: () => post({ kind: 'alive' }),
    look: () => undefined,
    trouble: () => {
      const seconds = monotonic() - lookedAt
      // Once does not count: this thread itself may be late, and may not have read yet what the other one has said.
      silent = seconds > SILENCE ? silent + 1 : 0
      return silent < 2
        ? undefined
        : {
            priority: 2,
            text: `the watch over the leases has not looked for ${Math.round(seconds)} s: a lost lease is not acted on here until systemd has started the agent anew, or: systemctl restart lvguard`,
          }
    },
  }
}

function inThisThread(first: WatchSettings, say: (line: Line) => void): Watching {
  let current = first
  const leases = new LeaseWatch(leaseBody(() => current, { say }))
  const look = (): void => void leases.look()
  look()
  every(LEASE_PERIOD * 1000, look)
  return {
    isOwnThread: false,
    look,
    alive: () => undefined,
    trouble: () => undefined,
    settings: (settings) => {
      current = settings
    },
  }
}
