/** Seconds of CLOCK_MONOTONIC, by which sanlock stamps its hosts. `performance` would cost 3 ms to load. */
export const monotonic = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds + nanoseconds / 1e9
}

/** Milliseconds of the same clock. */
export const milliseconds = (): number => monotonic() * 1000

/** The clock and the timers of an act that may not take long, so that tests bring their own. */
export interface Clock {
  /** Milliseconds. */
  readonly now: () => number
  /** Does something after so many milliseconds. @returns what cancels it */
  readonly after: (milliseconds: number, work: () => void) => () => void
}

export const CLOCK: Clock = {
  now: milliseconds,
  after: (pause, work) => {
    const timer = setTimeout(work, pause)
    return () => clearTimeout(timer)
  },
}
