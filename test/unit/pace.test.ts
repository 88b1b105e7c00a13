import { describe, expect, test } from 'vitest'
import { Pace } from '../cluster/pace.ts'

describe('the ring of nodes goes with the machine', () => {
  test.each([
    ['a fast one', 0.8, 1, 180, 10],
    ['a usual one', 2.5, 1, 180, 10],
    ['Debian 13 on a usual one', 3.3, 1.32, 238, 10],
    ['a slow one', 6.7, 2.68, 483, 4],
    ['a very slow one', 25, 10, 1800, 4],
    ['one of which nothing is known yet', undefined, 4, 720, 10],
  ])('%s', (_, call, times, limit, count) => {
    const pace = new Pace(call)
    expect(pace.times).toBeCloseTo(times)
    expect(pace.limit(180)).toBe(limit)
    expect(pace.fewer(10, 4)).toBe(count)
  })

  test('never more than the usual form, whatever is the least', () => {
    expect(new Pace(25).fewer(2, 4)).toBe(2)
  })

  test('a smaller form is said, with its reason', () => {
    expect(new Pace(6.7).smallerForm('VMs', 10, 4)).toBe(
      'played with 4 VMs instead of 10: a hook call takes 6.7 s here',
    )
    expect(new Pace(2.5).smallerForm('VMs', 10, 10)).toBeUndefined()
  })
})
