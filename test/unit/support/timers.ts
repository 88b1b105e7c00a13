import type { Clock } from '../../../src/system/clock.ts'

/** A clock that stands still until nothing is left to do, and then goes on to the next timer. */
export class TimersOfTest {
  #now = 0
  readonly #timers = new Set<{ readonly at: number; readonly work: () => void }>()
  readonly #clock: Clock = {
    now: () => this.#now,
    after: (pause, work) => {
      const timer = { at: this.#now + pause, work }
      this.#timers.add(timer)
      return () => void this.#timers.delete(timer)
    },
  }

  /** Plays an act to its end. @returns what it gives, and the milliseconds that it took by this clock */
  async play<T>(act: (clock: Clock) => Promise<T>): Promise<{ readonly value: T; readonly at: number }> {
    let ended: { readonly value: T; readonly at: number } | undefined
    let failed: unknown
    act(this.#clock).then(
      (value) => {
        ended = { value, at: this.#now }
      },
      (error: unknown) => {
        failed = error
      },
    )
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (ended !== undefined) return ended
      if (failed !== undefined) throw failed
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at)
      if (next === undefined) continue
      this.#timers.delete(next)
      this.#now = next.at
      next.work()
    }
  }
}
