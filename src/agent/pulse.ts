/**
 * Seconds. A sign of life of the first thread counts for this much longer than the time between two that systemd gets.
 */
const PATIENCE = 10

/** What a pulse has of this process; `now` in seconds of the monotonic clock. */
export interface PulseBody {
  now(): number
  isFirstThreadInKernel(): boolean
  /** A lease is late or lost, or something is being cut off, or taken back. */
  readonly isBusy: () => boolean
  /** Seconds between two signs of life for systemd; undefined where it waits for none. */
  readonly watchdog: number | undefined
  tell(): void
}

/**
 * The agent's signs of life for systemd, given by the watch over the leases. Without them systemd ends the agent and
 * starts it again (WatchdogSec). That helps if the first thread has a fault. It does not help while that thread waits
 * for a disk: the new agent would wait too, and the watch would be gone. And a kill must not be ended half-way.
 */
export class Pulse {
  readonly #body: PulseBody
  #alive: number
  #told = Number.NEGATIVE_INFINITY

  constructor(body: PulseBody) {
    this.#body = body
    this.#alive = body.now()
  }

  /** The first thread's heart has beaten. */
  alive(): void {
    this.#alive = this.#body.now()
  }

  /** Gives a sign of life, if one is due. Called after each look at the leases: a look that hangs gives none. */
  beat(): void {
    const { now, watchdog, isBusy, isFirstThreadInKernel, tell } = this.#body
    if (watchdog === undefined || now() - this.#told < watchdog) return
    if (now() - this.#alive > watchdog + PATIENCE && !isBusy() && !isFirstThreadInKernel()) return
    this.#told = now()
    tell()
  }
}
