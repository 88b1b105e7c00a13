import { describe, expect, test } from 'vitest'
import {
  type Lockspace,
  alertLine,
  goneLine,
  killEnds,
  lateLine,
  leaseState,
  overLine,
  takenAfter,
  unvouched,
} from '../../../src/core/lease.ts'

const NOW = 10_000
const lockspace = (age: number, changed: Partial<Lockspace> = {}): Lockspace => ({
  vg: 'virtVG',
  list: 'spaces',
  ioTimeout: 10,
  renewed: NOW - age,
  hasFailed: false,
  ...changed,
})
const state = (age: number, changed: Partial<Lockspace> = {}): string => {
  const found = leaseState(lockspace(age, changed), NOW)
  return found.kind === 'late' ? `late, ${found.left} s left` : found.kind
}

describe('what a lease comes to', () => {
  test.each<[string, string, number, Partial<Lockspace>?]>([
    ['renewed just now', 'fine', 0],
    ['renewed while sanlock answered', 'fine', -1],
    ['renewed in its turn, every 20 s', 'fine', 29],
    ['late', 'late, 50 s left', 30],
    ['nearly lost', 'late, 1 s left', 79],
    ['lost', 'lost', 80],
    ['lost long ago', 'lost', 1000],
    ['given up by sanlock, however young: what it read was corrupt', 'lost', 3, { hasFailed: true }],
    ['of another unit of time: late', 'late, 5 s left', 3, { ioTimeout: 1 }],
    ['of another unit of time: lost', 'lost', 8, { ioTimeout: 1 }],
    ['of another unit of time: fine', 'fine', 89, { ioTimeout: 30 }],
    ['being joined', 'none', 500, { list: 'add' }],
    ['never renewed yet', 'none', 1000, { renewed: 0 }],
    // vgchange --lock-stop, with its I/O hanging or not: nothing of it is locked here any more.
    ['being left in order', 'none', 500, { list: 'rem' }],
    ['being left after a loss', 'lost', 500, { list: 'rem', hasFailed: true }],
  ])('%s: %s', (_, expected, age, changed) => expect(state(age, changed)).toBe(expected))
})

describe('for whose locks this host can vouch', () => {
  const status = (...lockspaces: Lockspace[]) => ({
    now: NOW,
    hasWatchdog: true,
    watchdogFire: 60,
    lockspaces,
    notUnderstood: ['oddVG'],
  })
  const isFor = (...words: Parameters<typeof unvouched>): string[] =>
    unvouched(...words).map(({ vg, isKnown }) => `${vg} ${isKnown ? 'lost' : 'unknown'}`)

  test('its lease is renewed, or late', () => {
    expect(isFor(['virtVG'], status(lockspace(3)))).toEqual([])
    expect(isFor(['virtVG'], status(lockspace(79)))).toEqual([])
  })

  test('its lease is lost, or sanlock has left the lockspace that lvmlockd lists (FACTS 46b)', () => {
    expect(isFor(['virtVG'], status(lockspace(80)))).toEqual(['virtVG lost'])
    expect(isFor(['virtVG'], status(lockspace(3, { hasFailed: true })))).toEqual(['virtVG lost'])
    expect(isFor(['virtVG'], status(lockspace(3, { list: 'rem' })))).toEqual(['virtVG lost'])
    expect(isFor(['moreVG'], status(lockspace(3)))).toEqual(['moreVG lost'])
  })

  test('nobody can tell (R9)', () => {
    expect(isFor(['virtVG', 'moreVG'], undefined)).toEqual(['virtVG unknown', 'moreVG unknown'])
    expect(isFor(['oddVG'], status(lockspace(3)))).toEqual(['oddVG unknown'])
  })
})

test('the words name the VMs, and the seconds that are left', () => {
  const late = leaseState(lockspace(34), NOW)
  if (late.kind !== 'late') throw new Error(late.kind)
  expect(lateLine('virtVG', late, ['milou', 'tintin'], 'kill')).toEqual({
    priority: 2,
    text: 'virtVG: this host has not renewed its lease for 34 s: does the storage answer? In 46 s it is lost, and these VMs are killed here: milou, tintin',
  })
  expect(lateLine('virtVG', late, ['tintin'], 'alert').text).toMatch(
    /these VMs run on without a lock \(on_lost_lease = "alert"\): tintin$/,
  )
  expect(overLine('virtVG', 49.6).text).toBe(
    'virtVG: this host renews its lease again, after 50 s. Nothing was changed',
  )
  expect(alertLine('virtVG', 85, { ioTimeout: 10, watchdogFire: 60 }, ['tintin']).text).toMatch(
    /in 55 s another host may take its locks and start these VMs, which run here still: tintin\. Stop them now: lvguard kill virtVG/,
  )
  expect(alertLine('virtVG', 150, { ioTimeout: 10, watchdogFire: 60 }, ['tintin']).text).toMatch(
    /another host may have taken its locks/,
  )
})

test.each([
  [10, 60, 140, 125],
  [13, 60, 164, 149],
  [20, 60, 220, 205],
  [1, 60, 68, 53],
  // A watchdog_fire_timeout that somebody has set.
  [10, 20, 100, 95],
  [10, 10, 90, 87.5],
  [10, 120, 200, 185],
])(
  'io_timeout %i, watchdog_fire_timeout %i: others may take the locks after %i s, and a kill ends before, after %d s',
  (ioTimeout, watchdogFire, taken, ends) => {
    const times = { ioTimeout, watchdogFire }
    expect([takenAfter(times), killEnds(times)]).toEqual([taken, ends])
    expect(goneLine('virtVG', times, ['tintin']).text).toContain(`within ${taken} s`)
  },
)
