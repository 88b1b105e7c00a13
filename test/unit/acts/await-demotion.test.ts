import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LogicalVolume } from '../../../src/core/lock-state.ts'
import { LOOK_PAUSE, type WaitWorld, awaitDemotion } from '../../../src/acts/await-demotion.ts'
import { logicalVolume } from '../support/lvm.ts'

type Answer = 'held' | 'shared' | 'free' | 'unreadable'
const LEASES = {
  held: { exclusive: 1, shared: [] },
  shared: { exclusive: undefined, shared: [1] },
  free: { exclusive: undefined, shared: [] },
  unreadable: undefined,
}

/** A clock that only a pause and a look move, and leases that answer in turn; the last answer stays. */
class World implements WaitWorld {
  time = 1_000_000
  readonly looks: string[] = []
  readonly #answers: Map<string, Answer[]>
  constructor(
    answers: Readonly<Record<string, readonly Answer[]>>,
    readonly lookTime = 10,
  ) {
    this.#answers = new Map(Object.entries(answers).map(([lv, list]) => [lv, [...list]]))
  }
  now = (): number => this.time
  pause = (milliseconds: number): Promise<void> => {
    this.time += milliseconds
    return Promise.resolve()
  }
  leaseOf = ({ lv }: LogicalVolume): Promise<(typeof LEASES)[Answer]> => {
    this.looks.push(lv)
    this.time += this.lookTime
    const answers = this.#answers.get(lv) ?? []
    return Promise.resolve(LEASES[(answers.length > 1 ? answers.shift() : answers[0]) ?? 'free'])
  }
}
const volumes = (...names: string[]): LogicalVolume[] => names.map((lv) => logicalVolume({ vg: 'virtVG', lv }))
async function wait(answers: Readonly<Record<string, readonly Answer[]>>, limit: number): Promise<string> {
  const world = new World(answers)
  const result = await awaitDemotion(volumes(...Object.keys(answers)), limit, world)
  return `${result.kind === 'held' ? `held ${result.volume.lv}` : result.kind} after ${world.looks.length}`
}

describe('waiting for the source to demote', () => {
  test.each<[string, Readonly<Record<string, readonly Answer[]>>, number, string]>([
    ['nothing to wait for', {}, 30_000, 'free after 0'],
    ['free at once', { a: ['free'] }, 30_000, 'free after 1'],
    ['shared at once', { a: ['shared'] }, 30_000, 'free after 1'],
    ['demoted at the third look', { a: ['held', 'held', 'shared'] }, 30_000, 'free after 3'],
    ['one after the other', { a: ['held', 'shared'], b: ['held', 'shared'] }, 30_000, 'free after 4'],
    ['never', { a: ['held'] }, 1000, 'held a after 10'],
    ['the second never', { a: ['shared'], b: ['held'] }, 1000, 'held b after 11'],
    ['no time: one look', { a: ['held'] }, 0, 'held a after 1'],
    ['no time, but free', { a: ['shared'] }, 0, 'free after 1'],
    ['cannot be read', { a: ['unreadable'] }, 30_000, 'unreadable after 1'],
    ['cannot be read any more', { a: ['held', 'unreadable'] }, 30_000, 'unreadable after 2'],
    ['the second cannot be read', { a: ['shared'], b: ['unreadable'] }, 30_000, 'unreadable after 2'],
  ])('%s', async (_, answers, limit, expected) => expect(await wait(answers, limit)).toBe(expected))

  test('it never outlasts its limit by more than a look a volume, and never says free of what is held', async () => {
    const answer = fc.constantFrom<Answer>('held', 'held', 'held', 'shared', 'free', 'unreadable')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(answer, { minLength: 1, maxLength: 20 }), { maxLength: 4 }),
        fc.nat(2000),
        fc.integer({ min: 1, max: 50 }),
        async (lists, limit, lookTime) => {
          const world = new World(Object.fromEntries(lists.map((list, index) => [`lv${index}`, list])), lookTime)
          const start = world.time
          const result = await awaitDemotion(volumes(...lists.map((_, index) => `lv${index}`)), limit, world)
          expect(world.time - start).toBeLessThanOrEqual(limit + lookTime * (lists.length + 1))
          if (result.kind === 'free') expect(new Set(world.looks).size).toBe(lists.length)
          if (result.kind === 'held') expect(world.time - start).toBeGreaterThan(limit - LOOK_PAUSE)
        },
      ),
    )
  })
})
