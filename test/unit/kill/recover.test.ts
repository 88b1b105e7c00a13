import { describe, expect, test } from 'vitest'
import type { Lockspace } from '../../../src/core/lease.ts'
import type { Mark } from '../../../src/kill/mark.ts'
import { isLeftBehind, recover } from '../../../src/kill/recover.ts'
import { KillDouble } from '../support/kill-world.ts'
import { logicalVolume, uuidOf } from '../support/lvm.ts'

const lvOf = (lv: string): string => logicalVolume({ vg: 'virtVG', lv }).uuid
const MARK: Mark = {
  format: 1,
  vg: 'virtVG',
  by: 'sanlock',
  at: 'then',
  killed: [{ name: 'vm1', uuid: uuidOf(1), pid: 101, start: '1001', volumes: ['virtVG/vm1'] }],
  disks: ['vdb'],
  state: 'clear',
}

/** A host after a kill: its VM gone, its device wiped, sanlock out of the lockspace. */
function killed(lockspaces: readonly Partial<Lockspace>[] = []): KillDouble {
  const world = new KillDouble()
  const { device } = world.vm(1)
  world.processes.clear()
  Object.assign(device, { slaves: [], table: ['0 16384 error'], opened: 0 })
  world.marks.set('virtVG', MARK)
  says(world, lockspaces)
  return world
}
function says(world: KillDouble, lockspaces: readonly Partial<Lockspace>[]): void {
  world.asked = {
    kind: 'status',
    status: {
      now: 200,
      hasWatchdog: false,
      watchdogFire: 60,
      notUnderstood: [],
      lockspaces: lockspaces.map((each) => ({
        vg: 'virtVG',
        list: 'spaces',
        ioTimeout: 10,
        renewed: 0,
        hasFailed: true,
        ...each,
      })),
    },
  }
}

describe('a VG comes back', () => {
  test('its devices go, but that of the leases; its locking starts; the mark goes last, and where its VMs are is said', async () => {
    const world = killed()
    expect(await recover(MARK, world)).toEqual({
      kind: 'recovered',
      text: 'virtVG can be used here again; killed when it was cut off: vm1 (virtVG/vm1 is held by node2 (exclusive))',
    })
    expect(world.did).toEqual(['remove virtVG-vm1', 'lock-start virtVG', 'unmark'])
    expect(world.list.map(({ name }) => name)).toEqual(['virtVG-lvmlock'])
  })

  test('lvmlockd drops its locks first, where it has not, and sanlock leaves', async () => {
    const world = killed([{}])
    world.at(90, () => says(world, [{ list: 'rem' }]))
    world.at(100, () => says(world, []))
    expect((await recover(MARK, world)).kind).toBe('recovered')
    expect(world.did).toEqual(['remove virtVG-vm1', 'drop virtVG', 'lock-start virtVG', 'unmark'])
    expect(world.time).toBeGreaterThanOrEqual(100)
  })

  test('one that sanlock has freed by itself, and lvmlockd lists still: dropped once', async () => {
    const world = killed()
    world.managers.set('virtVG', 'sanlock')
    world.at(82, () => world.managers.clear())
    expect((await recover(MARK, world)).kind).toBe('recovered')
    expect(world.did).toEqual(['remove virtVG-vm1', 'drop virtVG', 'lock-start virtVG', 'unmark'])
  })

  test('a disk that is not there any more is not waited for', async () => {
    const world = killed()
    world.disks.clear()
    world.gone.add('vdb')
    expect((await recover(MARK, world)).kind).toBe('recovered')
  })

  test('a disk that was taken away: the device of the leases still leads there, and is made anew', async () => {
    const world = killed()
    world.disks.clear()
    world.gone.add('vdb')
    await recover(MARK, world)
    expect(world.did).toEqual(['remove virtVG-vm1', 'remove virtVG-lvmlock', 'lock-start virtVG', 'unmark'])
  })

  test('one of another lock manager is not dropped', async () => {
    const world = killed()
    world.managers.set('virtVG', 'dlm')
    await recover(MARK, world)
    expect(world.did).not.toContain('drop virtVG')
  })

  test('a lease that is in force stays as it is', async () => {
    const world = killed([{ hasFailed: false, renewed: 190 }])
    expect((await recover(MARK, world)).kind).toBe('recovered')
    expect(world.did).not.toContain('drop virtVG')
  })
})

// The agent has started the locking, and was told that it had not.
describe('what a person has activated since', () => {
  const AGAIN: Partial<Lockspace> = { hasFailed: false, renewed: 190, isEnding: false }
  function activated(lockspace: Partial<Lockspace>): { world: KillDouble; device: { slaves: readonly string[] } } {
    const world = killed([lockspace])
    const device = world.device('virtVG', 'data', ['vdb'])
    world.locks = [lvOf('data')]
    return { world, device }
  }
  test('stays, also while it is open, and what was wiped goes', async () => {
    const { world, device } = activated(AGAIN)
    Object.assign(device, { opened: 1 })
    expect((await recover(MARK, world)).kind).toBe('recovered')
    expect(world.did).toEqual(['remove virtVG-vm1', 'lock-start virtVG', 'unmark'])
  })
  test.each<[string, Partial<Lockspace>, (world: KillDouble, device: object) => void]>([
    ['is not locked', AGAIN, (world) => void Object.assign(world, { locks: [] })],
    ['was wiped', AGAIN, (_, device) => void Object.assign(device, { slaves: [] })],
    ['has a lock that sanlock may have given up', { hasFailed: true, list: 'rem' }, () => undefined],
    ['has a lock that sanlock is about to end', { ...AGAIN, isEnding: true }, () => undefined],
  ])('goes if it %s', async (_, lockspace, spoil) => {
    const { world, device } = activated(lockspace)
    spoil(world, device)
    await recover(MARK, world)
    expect(world.did).toContain('remove virtVG-data')
  })
})

describe('what stands on it or below it stays too', () => {
  const layers = ['raid', 'thin', 'snapshot'] as const
  test.each(layers)('%s', async (layer) => {
    const world = killed([{ hasFailed: false, renewed: 190, isEnding: false }])
    const on = (lv: string, slaves: readonly string[], suffix = '', opened = 0) =>
      Object.assign(world.device('virtVG', lv, slaves, { suffix, name: `virtVG-${lv}${suffix}` }), { opened })
    if (layer === 'raid') on('raid', [on('raid_rimage_0', ['vdb'], '', 1).node])
    else if (layer === 'thin') on('thin', [on('pool', [on('pool_tdata', ['vdb'], '', 1).node], '-tpool', 1).node])
    else {
      const real = on('root', ['vdb'], '-real', 2)
      on('snap', [real.node, on('snap', ['vdb'], '-cow', 1).node])
      on('root', [real.node])
    }
    world.locks = [lvOf({ raid: 'raid', thin: 'pool', snapshot: 'root' }[layer])]
    expect((await recover(MARK, world)).kind).toBe('recovered')
    expect(world.did).toEqual(['remove virtVG-vm1', 'lock-start virtVG', 'unmark'])
  })
  test('R9: lvmlockd does not tell: nothing goes, and it stays marked', async () => {
    const world = killed([{ hasFailed: false, renewed: 190, isEnding: false }])
    world.device('virtVG', 'data', ['vdb'])
    world.locks = undefined
    expect([(await recover(MARK, world)).kind, world.did]).toEqual(['not-yet', []])
  })
})

describe('it stays marked while', () => {
  const cases: readonly [string, RegExp, (world: KillDouble) => void][] = [
    [
      'a process that was killed is not gone',
      /vm1 \(process 101\) was killed, and is not gone yet/,
      (world) =>
        void world.processes.set(101, {
          start: '1001',
          comm: 'qemu',
          threads: ['Z', 'D'],
          words: [],
          opens: [],
          killed: 'waits',
        }),
    ],
    ['a disk does not answer', /vdb, on which virtVG stands, does not answer/, (world) => void world.disks.clear()],
    [
      'the device of the leases is dead, and open',
      /virtVG-lvmlock does not answer, and is open still/,
      (world) => {
        world.disks.clear()
        world.gone.add('vdb')
        Object.assign(world.list[0] ?? {}, { opened: 1 })
      },
    ],
    [
      'somebody has a device open',
      /virtVG-vm1 is open still: see/,
      (world) => void Object.assign(world.list[1] ?? {}, { opened: 1 }),
    ],
    [
      'somebody has a device open that was not wiped',
      /virtVG-vm1 is open still, and not wiped/,
      (world) => void Object.assign(world.list[1] ?? {}, { opened: 1, slaves: ['vdb'] }),
    ],
    ['nobody can tell what is open', /dmsetup does not tell/, (world) => void Object.assign(world, { isSilent: true })],
    [
      'sanlock is silent',
      /sanlock does not answer \(x\)/,
      (world) => void Object.assign(world, { asked: { kind: 'silent', why: 'x' } }),
    ],
    ['sanlock does not leave', /sanlock has not left the lockspace/, (world) => says(world, [{ list: 'rem' }])],
    [
      'lvmlockd does not drop',
      /lvmlockd does not give up its locks of virtVG: down/,
      (world) => {
        says(world, [{}])
        world.dropping = 'down'
      },
    ],
    [
      'lvmlockd lists what sanlock has left',
      /lvmlockd has not dropped virtVG yet/,
      (world) => void world.managers.set('virtVG', 'sanlock'),
    ],
    [
      'the locking does not start',
      /the locking of virtVG cannot be started: why/,
      (world) => void Object.assign(world, { locking: 'why' }),
    ],
  ]
  test.each(cases)('%s', async (_, words, spoil) => {
    const world = killed()
    spoil(world)
    const recovery = await recover(MARK, world)
    expect(recovery.kind === 'not-yet' ? recovery.why : recovery.text).toMatch(words)
    expect(world.marks.has('virtVG')).toBe(true)
    expect(world.did).not.toContain('unmark')
  })
})

test('without a mark only what lvmlockd lists and sanlock has left is taken back', async () => {
  const seen = async (
    manager: string | undefined,
    spoil: (world: KillDouble) => void = () => undefined,
  ): Promise<boolean> => {
    const world = killed()
    if (manager !== undefined) world.managers.set('virtVG', manager)
    spoil(world)
    return isLeftBehind('virtVG', world)
  }
  expect(await seen('sanlock')).toBe(true)
  expect(await seen(undefined)).toBe(false)
  expect(await seen('dlm')).toBe(false)
  expect(await seen('sanlock', (world) => says(world, [{ hasFailed: false, renewed: 190 }]))).toBe(false)
  expect(await seen('sanlock', (world) => says(world, [{ list: 'add', hasFailed: false }]))).toBe(false)
  expect(await seen('sanlock', (world) => void Object.assign(world, { asked: { kind: 'silent', why: 'x' } }))).toBe(
    false,
  )
})
