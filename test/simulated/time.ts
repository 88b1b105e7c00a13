/** Model time: a number of seconds that moves only when told to. */
export class Time {
  readonly #clock: (() => number) | undefined
  #now = 1000

  /**
   * @param clock CLOCK_MONOTONIC of the hosts, in seconds, for programs that compare with their own; without it, model
   *   time
   */
  constructor(clock: (() => number) | undefined) {
    this.#clock = clock
  }

  get now(): number {
    return this.#now
  }

  advance(seconds: number): void {
    this.#now += seconds
  }

  /** What the hosts' monotonic clock showed so many model seconds ago. */
  monotonic(secondsAgo = 0): number {
    return Math.floor((this.#clock?.() ?? this.#now) - secondsAgo)
  }
}
