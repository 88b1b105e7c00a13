import { describe, expect, test } from 'vitest'
import type { LeaseCount } from '../../../src/core/lock-state.ts'
import { type SavedImage, afterFailedRestore, compare, countedVolumes } from '../../../src/core/saved-image.ts'
import { recorded, uuidOf } from '../support/lvm.ts'

const volume = (lv: string, lver = 5): SavedImage['volumes'][number] => ({ vg: 'virtVG', lv, uuid: lv, lver })
const image = (...volumes: SavedImage['volumes']): SavedImage => ({
  format: 1,
  domain: { name: 'tintin', uuid: uuidOf(1) },
  at: '2026-11-27T22:31:09.123Z',
  volumes,
})
const counts = (...leases: [lv: string, lver: number, owner?: number][]): Map<string, LeaseCount> =>
  new Map(leases.map(([lv, lver, owner = 2]) => [lv, { lver, owner }]))
const newer = (lv: string, by: number | undefined = 2) => ({ volume: `virtVG/${lv}`, vg: 'virtVG', uuid: lv, by })

describe('whether a saved memory is as new as its volumes', () => {
  test.each<[string, Map<string, LeaseCount>, ReturnType<typeof compare>, string[]?]>([
    ['nobody has locked them', counts(['a', 5], ['b', 5]), { newer: [], unknown: [] }],
    ['somebody has locked one', counts(['a', 5], ['b', 6]), { newer: [newer('b')], unknown: [] }],
    ["both are another host's now", counts(['a', 9], ['b', 6, 3]), { newer: [newer('a'), newer('b', 3)], unknown: [] }],
    ['a lease that was made anew', counts(['a', 0, 0], ['b', 5]), { newer: [newer('a', 0)], unknown: [] }],
    ['a lease that cannot be read', counts(['a', 5]), { newer: [], unknown: ['virtVG/b'] }],
    ['this prepare has locked them', counts(['a', 6], ['b', 6]), { newer: [], unknown: [] }, ['a', 'b']],
    [
      'this prepare has locked one, and the other was held here',
      counts(['a', 6], ['b', 5]),
      { newer: [], unknown: [] },
      ['a'],
    ],
    [
      'somebody was quicker than this prepare',
      counts(['a', 7], ['b', 6]),
      { newer: [{ ...newer('a'), by: undefined }], unknown: [] },
      ['a', 'b'],
    ],
  ])('%s', (_, now, expected, taken = []) =>
    expect(
      compare(image(volume('a'), volume('b')), now, {
        taken: new Set(taken),
        held: new Set(),
        ownIds: new Map([['virtVG', 1]]),
      }),
    ).toEqual(expected),
  )
})

describe('a lease that has been taken once more, by a host that holds it still', () => {
  const isNewer = (owner: number, held: readonly string[], lver = 6): boolean =>
    compare(image(volume('a')), counts(['a', lver, owner]), {
      taken: new Set(),
      held: new Set(held),
      ownIds: new Map([['virtVG', 1]]),
    }).newer.length > 0
  test('this one, as LVM does at boot', () => expect(isNewer(1, ['a'])).toBe(false))
  test('this one, but it has let go', () => expect(isNewer(1, [])).toBe(true))
  test('another one', () => expect(isNewer(2, ['a'])).toBe(true))
  test('taken twice', () => expect(isNewer(1, ['a'], 7)).toBe(true))
})

test('counted are the volumes that a domain has for itself, with a lease of their own', () => {
  const ids = { lv: 'a', vg: 'v', lock: 'a' }
  const name = { vg: 'virtVG', lv: 'a' }
  const isCounted = (...[changed]: [Parameters<typeof recorded>[1]]): boolean =>
    countedVolumes([recorded(name, { ids, ...changed })]).length === 1
  expect(isCounted({})).toBe(true)
  expect(isCounted({ mode: 'shared' })).toBe(true)
  expect(isCounted({ role: 'shared', mode: 'shared' })).toBe(false)
  expect(isCounted({ mode: 'local' })).toBe(false)
  expect(isCounted({ ids: { ...ids, lock: 'pool' } })).toBe(false)
  expect(countedVolumes([recorded(name)])).toEqual([])
})

describe('a restore that came to nothing', () => {
  const levelsAfter = (now: Map<string, LeaseCount>): unknown =>
    afterFailedRestore(image(volume('a'), volume('b')), now, new Map([['virtVG', 1]]))?.volumes.map(({ lver }) => lver)
  test('what this host alone has locked once is as good as it was', () =>
    expect(levelsAfter(counts(['a', 6, 1], ['b', 5]))).toEqual([6, 5]))
  test('not what another host has locked', () => expect(levelsAfter(counts(['a', 6, 2], ['b', 5]))).toBeUndefined())
  test('not what has been locked twice', () => expect(levelsAfter(counts(['a', 7, 1], ['b', 6, 1]))).toEqual([5, 6]))
  test('what was noted of its start goes', () =>
    expect(afterFailedRestore({ ...image(volume('a')), spent: true }, counts(['a', 5]), new Map())).toEqual(
      image(volume('a')),
    ))
  test('nothing to change', () => expect(levelsAfter(counts(['a', 5]))).toBeUndefined())
})
