import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Decisions, PRODUCT } from './decisions.ts'
import { type Schedule, play } from './explore.ts'
import { MUTATIONS, type Mutation } from './mutations.ts'
import { schedules } from './schedules.ts'
import type { Violation } from './world.ts'

/**
 * Schedules to be played; 100,000 take some minutes: MODEL_SCHEDULES=100000, and MODEL_SEED for others than last time.
 */
const SCHEDULES = Number(process.env['MODEL_SCHEDULES'] ?? 2500)
const SEED = Number(process.env['MODEL_SEED'] ?? 4)
const PORTION = 1000
const IS_LONG = SCHEDULES >= 50_000
/** Within so many a mutation has to show. */
const MUTANT_SCHEDULES = IS_LONG ? SCHEDULES : 3000

/** A broken schedule, told step by step. */
function tell(schedule: Schedule, decisions: Decisions, { rule, text }: Violation): string {
  return [`${rule}: ${text}`, ...play(schedule, decisions, [], true).trace].join('\n')
}

describe('the protocol, explored', () => {
  const reached = new Map<string, number>()

  test(`${SCHEDULES} schedules of two hosts: no VM runs twice, and everything comes to rest with exclusive where it runs`, {
    timeout: 3_600_000,
  }, async () => {
    const property = fc.property(schedules(), (schedule) => {
      const result = play(schedule, PRODUCT)
      for (const [what, times] of result.reached) reached.set(what, (reached.get(what) ?? 0) + times)
      if (result.violation !== undefined) throw new Error(tell(schedule, PRODUCT, result.violation))
    })
    for (const { seed, numRuns } of portions(SCHEDULES)) {
      fc.assert(property, { seed, numRuns })
      await setImmediate()
    }
  })

  test('the explorer has been everywhere', () => {
    expect([...reached.keys()].sort()).toEqual(
      expect.arrayContaining([
        'daemon back in migration in finish3',
        'daemon back in migration in prepare',
        'daemon back in migration out begin3',
        'daemon back in migration out confirm3',
        'daemon back in migration out perform3',
        'daemon back in migration out perform3_done',
        'left paused',
        'let in',
        'migrated',
        'migration failed after the CPUs stopped',
        'offline migration',
        'older memory runs',
        'prepare of a migration',
        'released along',
        'released by the agent',
        'reply of Finish lost',
        'restore refused',
        'restored',
        'saved',
        'started',
        'storage copy aborted',
        'suspended by the agent',
      ]),
    )
  })
})

describe('taken out, a rule is missed', () => {
  test.each(MUTATIONS.filter(({ isRare }) => IS_LONG || !isRare).map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    { timeout: 1_800_000 },
    async (_name, mutation) => {
      expect(mutation.breaks).toContain((await firstBreach(mutation))?.rule)
    },
  )
})

/** The first breach of a rule by a program that lacks one. */
async function firstBreach({ decisions, tolerated, only }: Mutation): Promise<Violation | undefined> {
  let found: Violation | undefined
  const property = fc.property(schedules(only), (schedule) => {
    found ??= play(schedule, decisions, tolerated).violation
    return found === undefined
  })
  for (const { seed, numRuns } of portions(MUTANT_SCHEDULES)) {
    if (found !== undefined) break
    fc.check(property, { seed, numRuns, endOnFailure: true })
    await setImmediate()
  }
  return found
}

/** Runs with a seed each, between which the test's process gets a moment for others. */
const portions = (schedules: number): { readonly seed: number; readonly numRuns: number }[] =>
  Array.from({ length: Math.ceil(schedules / PORTION) }, (_, index) => ({
    seed: SEED + index,
    numRuns: Math.min(PORTION, schedules - index * PORTION),
  }))
