import { describe, expect, test } from 'vitest'
import type { SanlockStatus } from '../../../src/core/lease.ts'
import { refusalOf } from '../../../src/kill/refusal.ts'
import type { SanlockAnswer } from '../../../src/core/lease.ts'
import { KillDouble } from '../support/kill-world.ts'

const says = (changed: Partial<SanlockStatus>): SanlockAnswer => ({
  kind: 'status',
  status: { now: 200, hasWatchdog: false, watchdogFire: 60, lockspaces: [], notUnderstood: [], ...changed },
})
const SILENT: SanlockAnswer = { kind: 'silent', why: 'x' }
const NOTHING = says({})

/** Of a host on which there is a local VG, otherVG, with a VM on it, and virtVG with the device of its leases. */
async function refused(
  vg: string,
  asked: SanlockAnswer,
  change: (world: KillDouble) => void = () => undefined,
): Promise<string | undefined> {
  const world = new KillDouble()
  world.vm(1, 'otherVG')
  change(world)
  const refusal = await refusalOf(vg, asked, world)
  expect(world.did).toEqual([])
  return refusal?.[0]
}

describe('a VG that may be cut off', () => {
  test.each<[string, string, SanlockAnswer, ((world: KillDouble) => void)?]>([
    [
      'sanlock names it',
      'otherVG',
      says({ lockspaces: [{ vg: 'otherVG', list: 'rem', ioTimeout: 10, renewed: 0, hasFailed: true }] }),
    ],
    ['sanlock says something of it', 'otherVG', says({ notUnderstood: ['otherVG'] })],
    ['the device of its leases is here, and sanlock silent', 'virtVG', SILENT],
    ['the device of its leases is here, and lvmlockd silent', 'virtVG', NOTHING],
    ['lvmlockd lists it', 'otherVG', NOTHING, (world) => void world.managers.set('otherVG', 'sanlock')],
    [
      'it is marked already',
      'otherVG',
      SILENT,
      (world) =>
        void world.marks.set('otherVG', {
          format: 1,
          vg: 'otherVG',
          by: 'sanlock',
          at: '',
          killed: [],
          disks: [],
          state: 'left',
        }),
    ],
  ])('%s', async (_, vg, asked, change) => expect(await refused(vg, asked, change)).toBeUndefined())
})

describe('one that may not', () => {
  test.each([
    ['a local one', 'otherVG'],
    ['one that is not here', 'virtVg'],
    ['one whose name is the beginning of another', 'virt'],
  ])('%s', async (_, vg) => {
    for (const asked of [NOTHING, SILENT])
      expect(await refused(vg, asked)).toMatch(
        new RegExp(`there is nothing of a shared volume group ${vg} on this host; nothing was changed`),
      )
  })

  test('one of another lock manager, which recover could not take back', async () =>
    expect(await refused('otherVG', NOTHING, (world) => void world.managers.set('otherVG', 'dlm'))).toBe(
      'otherVG has lock type dlm, and lvguard kill is for sanlock; nothing was changed.',
    ))
})
