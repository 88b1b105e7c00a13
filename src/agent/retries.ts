import { CLOCK } from '../system/clock.ts'
import { releasePause, retryPause } from '../core/retry.ts'

/** Timers, so that tests bring their own. @returns what cancels it */
export type Schedule = (work: () => void, milliseconds: number) => () => void

/** The program's own timers. */
export const schedule: Schedule = (work, pause) => CLOCK.after(pause, work)

interface Retry {
  attempts: number
  /** Undefined while it is being tried. */
  cancel: (() => void) | undefined
}

/** What is to be tried again, by domain. */
export class Retries {
  readonly #schedule: Schedule
  readonly #retries = new Map<string, Retry>()

  constructor(timers: Schedule = schedule) {
    this.#schedule = timers
  }

  /** Tries again after a pause that grows with each attempt. @param isSlow rarely: each try costs others */
  later(uuid: string, isSlow: boolean, work: () => void): void {
    const retry = this.#retries.get(uuid) ?? { attempts: 0, cancel: undefined }
    retry.cancel?.()
    const pause = isSlow ? releasePause(retry.attempts) : retryPause(retry.attempts)
    retry.attempts += 1
    retry.cancel = this.#schedule(() => {
      retry.cancel = undefined
      work()
    }, pause)
    this.#retries.set(uuid, retry)
  }

  isPending(uuid: string): boolean {
    return this.#retries.get(uuid)?.cancel !== undefined
  }

  forget(uuid: string): void {
    this.#retries.get(uuid)?.cancel?.()
    this.#retries.delete(uuid)
  }

  keepOnly(uuids: readonly string[]): void {
    for (const uuid of this.#retries.keys()) if (!uuids.includes(uuid)) this.forget(uuid)
  }
}
