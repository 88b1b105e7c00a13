import type { Violation } from './engine.ts'
import { play, scheduleOf } from './play.ts'
import type { SequenceName } from './sequences.ts'

/** What a hunt has found: the first schedule that breaks a rule. */
export interface Found {
  readonly seed: number
  readonly violation: Violation
}

/** Plays schedules until one breaks a rule. @param focus as of scheduleOf */
export async function hunt(from: number, count: number, focus?: SequenceName): Promise<Found | undefined> {
  for (let seed = from; seed < from + count; seed++) {
    const { violation } = await play(scheduleOf(seed, focus))
    if (violation !== undefined) return { seed, violation }
  }
  return undefined
}
