import type { Violation } from './engine.ts'
import { play, scheduleOf } from './play.ts'

/** What a hunt has found: the first schedule that breaks a rule. */
export interface Found {
  readonly seed: number
  readonly violation: Violation
}

/** Plays schedules until one breaks a rule. */
export async function hunt(from: number, count: number): Promise<Found | undefined> {
  for (let seed = from; seed < from + count; seed++) {
    const { violation } = await play(scheduleOf(seed))
    if (violation !== undefined) return { seed, violation }
  }
  return undefined
}
