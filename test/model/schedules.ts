import fc from 'fast-check'
import { LAYOUTS } from './domains.ts'
import type { Schedule } from './explore.ts'
import { MOVE_KINDS, type MoveKind } from './faults.ts'
import { CHOICES, OPENING_COUNT } from './player.ts'

const ALL_KINDS = (1 << MOVE_KINDS.length) - 1

/** Schedules, with some kinds of moves left out of most of them, so that rare ones meet. */
export function schedules(only: readonly MoveKind[] = []): fc.Arbitrary<Schedule> {
  const others =
    only.length === 0
      ? 0
      : MOVE_KINDS.reduce((mask, kind, index) => (only.includes(kind) ? mask : mask | (1 << index)), 0)
  const some = fc.tuple(fc.nat(ALL_KINDS), fc.nat(ALL_KINDS)).map(([one, other]) => one & other)
  return fc.noBias(
    fc.record({
      layout: fc.nat(LAYOUTS.length - 1),
      opening: fc.nat(OPENING_COUNT - 1),
      without: only.length === 0 ? fc.oneof(fc.constant(0), some) : fc.constant(others),
      choices: fc.array(fc.nat(CHOICES - 1), { minLength: 10, maxLength: 70, size: 'max' }),
    }),
  )
}
