import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Change } from '../../../src/core/start.ts'
import { batchesOf } from '../../../src/acts/changes.ts'

const change = (vg: string, lv: string, to: Change['to']): Change => ({ vg, lv, to, reason: '' })
const batches = (...changes: Change[]): string[] =>
  batchesOf(changes).map(({ vg, to, changes: batch }) => `${vg} ${to}: ${batch.map(({ lv }) => lv).join(' ')}`)

describe('as few lvchange as can be', () => {
  test.each<[string, Change[], string[]]>([
    ['none', [], []],
    [
      'sixteen disks in one',
      Array.from({ length: 16 }, (_, number) => change('v', `d${number}`, 'exclusive')),
      [`v exclusive: ${Array.from({ length: 16 }, (_, number) => `d${number}`).join(' ')}`],
    ],
    [
      'one a mode, exclusive first',
      [change('v', 'a', 'shared'), change('v', 'b', 'exclusive'), change('v', 'c', 'shared')],
      ['v exclusive: b', 'v shared: a c'],
    ],
    ['one a VG', [change('w', 'a', 'exclusive'), change('v', 'b', 'exclusive')], ['v exclusive: b', 'w exclusive: a']],
    [
      'what is most likely to fail comes first',
      [
        change('v', 'a', 'inactive'),
        change('v', 'b', 'local'),
        change('w', 'c', 'shared'),
        change('w', 'd', 'exclusive'),
      ],
      ['w exclusive: d', 'w shared: c', 'v local: b', 'v inactive: a'],
    ],
  ])('%s', (_, changes, expected) => expect(batches(...changes)).toEqual(expected))

  test('every change is in just one batch, with its own VG and mode, and no two batches are alike', () => {
    const any: fc.Arbitrary<Change> = fc.record(
      {
        vg: fc.constantFrom('u', 'v', 'w'),
        lv: fc.constantFrom('a', 'b', 'c', 'd'),
        to: fc.constantFrom('exclusive', 'shared', 'local', 'inactive'),
        reason: fc.constant(''),
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(fc.array(any), (changes) => {
        const made = batchesOf(changes)
        expect(made.flatMap((batch) => batch.changes)).toHaveLength(changes.length)
        for (const { vg, to, changes: batch } of made)
          expect(batch.every((each) => each.vg === vg && each.to === to && changes.includes(each))).toBe(true)
        expect(new Set(made.map(({ vg, to }) => `${vg} ${to}`)).size).toBe(made.length)
      }),
    )
  })
})
