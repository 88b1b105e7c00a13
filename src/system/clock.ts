import { uptime as systemUptime } from 'node:os'

/** What the program knows of time, and how it waits. */
export interface Time {
  /** Seconds of CLOCK_MONOTONIC, by which sanlock stamps its hosts. */
  monotonic(): number
  /** Seconds since boot, of CLOCK_BOOTTIME (whole ones on Node 18). */
  uptime(): number
  /** The present date and time. */
  date(): Date
  /** Does something after so many milliseconds. @returns what cancels it */
  after(milliseconds: number, work: () => void): () => void
  /** Does something again and again, every so many milliseconds. */
  every(milliseconds: number, work: () => void): void
  /** Does something after the events that have come so far (setImmediate of Node). */
  soon(work: () => void): void
  /** This thread stands still for so many milliseconds, and nothing else of it goes on. */
  block(milliseconds: number): void
}

/** The time of this host. */
export const REAL_TIME: Time = {
  // `performance` would cost 3 ms to load.
  monotonic: () => {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds + nanoseconds / 1e9
  },
  uptime: systemUptime,
  date: () => new Date(),
  after: (pause, work) => {
    const timer = setTimeout(work, pause)
    return () => clearTimeout(timer)
  },
  every: (pause, work) => void setInterval(work, pause),
  soon: (work) => void setImmediate(work),
  block: (length) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, length),
}

let time = REAL_TIME

/** For `enter` (system/world.ts) alone. */
export const useTime = (next: Time): void => {
  time = next
}

/** Seconds of CLOCK_MONOTONIC, by which sanlock stamps its hosts. */
export const monotonic: Time['monotonic'] = () => time.monotonic()

/** Milliseconds of the same clock. */
export const milliseconds = (): number => monotonic() * 1000

/** Seconds since boot. */
export const uptime: Time['uptime'] = () => time.uptime()

/** The present date and time. */
export const date: Time['date'] = () => time.date()

/** Resolves after so many milliseconds. */
export const pause = (length: number): Promise<void> => new Promise((resolve) => void time.after(length, resolve))

/** Does something again and again, every so many milliseconds. */
export const every: Time['every'] = (length, work) => time.every(length, work)

/** Does something after the events that have come so far (setImmediate of Node). */
export const soon: Time['soon'] = (work) => time.soon(work)

/** This thread stands still for so many milliseconds: for what cannot be awaited. */
export const block: Time['block'] = (length) => time.block(length)

/** The clock and the timers of an act that may not take long, so that tests bring their own. */
export interface Clock {
  /** Milliseconds. */
  readonly now: () => number
  /** Does something after so many milliseconds. @returns what cancels it */
  readonly after: (milliseconds: number, work: () => void) => () => void
}

/** The monotonic clock, and timers of the world that the program is in. */
export const CLOCK: Clock = { now: milliseconds, after: (length, work) => time.after(length, work) }
