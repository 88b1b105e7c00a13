/** Seconds of CLOCK_MONOTONIC, by which sanlock stamps its hosts. `performance` would cost 3 ms to load. */
export const monotonic = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds + nanoseconds / 1e9
}

/** Milliseconds of the same clock. */
export const milliseconds = (): number => monotonic() * 1000
