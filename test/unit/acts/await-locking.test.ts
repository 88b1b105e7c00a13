import { expect, test } from 'vitest'
import type { Problem } from '../../../src/core/problem.ts'
import { awaitLocking, isTooEarly } from '../../../src/acts/await-locking.ts'
import type { Outcome } from '../../../src/core/outcome.ts'

const refused = (...problems: Problem[]): Outcome => ({ kind: 'refused', problems, attempt: 'start', volumes: [] })
const EARLY = refused({ kind: 'starting', vg: 'virtVG' })
const DONE: Outcome = { kind: 'done', did: 'locked', volumes: [] }

test.each<[string, Outcome, boolean]>([
  ['starting', EARLY, true],
  ['stopped', refused({ kind: 'not-started', vg: 'virtVG' }), true],
  ['no lvmlockd yet', refused({ kind: 'lvmlockd-down' }), true],
  [
    'one VG starting and a volume that is held',
    refused({ kind: 'starting', vg: 'virtVG' }, { kind: 'held', volume: 'virtVG/x', holders: [] }),
    false,
  ],
  ['held', refused({ kind: 'held', volume: 'virtVG/x', holders: [] }), false],
  ['a migration', { ...EARLY, attempt: 'migration' } as Outcome, false],
  ['done', DONE, false],
])('whether waiting helps: %s', (_, outcome, expected) => expect(isTooEarly(outcome)).toBe(expected))

async function wait(
  answers: readonly Outcome[],
  limit: number,
): Promise<{ readonly outcome: Outcome; readonly tries: number; readonly passed: number }> {
  let [passed, tries] = [0, 0]
  const outcome = await awaitLocking(EARLY, async () => answers[tries++] ?? EARLY, limit, {
    now: () => passed,
    pause: async (milliseconds) => {
      passed += milliseconds
    },
  })
  return { outcome, tries, passed }
}

test('until it is ready', async () =>
  expect(await wait([EARLY, EARLY, DONE, EARLY], 60_000)).toEqual({ outcome: DONE, tries: 3, passed: 3000 }))
test('until something else is in the way', async () =>
  expect((await wait([EARLY, refused({ kind: 'held', volume: 'virtVG/x', holders: [] })], 60_000)).tries).toBe(2))
test('no longer than told', async () =>
  expect(await wait([], 2500)).toEqual({ outcome: EARLY, tries: 3, passed: 2500 }))
