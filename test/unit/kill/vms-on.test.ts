import { describe, expect, test } from 'vitest'
import { vmsOn } from '../../../src/kill/vms-on.ts'
import { KillDouble } from '../support/kill-world.ts'
import { recorded, uuidOf } from '../support/lvm.ts'

/** Two VMs on virtVG and one on otherVG. */
function host(): KillDouble {
  const world = new KillDouble()
  world.device('otherVG', 'lvmlock', ['vdc'])
  world.vm(1)
  world.vm(2)
  world.vm(3, 'otherVG')
  return world
}
/** Takes the record of a VM away, as one that cannot be read. */
const forget = (world: KillDouble, ...names: readonly string[]): void =>
  void world.known.splice(
    0,
    world.known.length,
    ...world.known.filter(
      ({ domain }) => !names.includes(world.status.get(`vm${domain.name.replace(/\D/g, '')}`)?.name ?? ''),
    ),
  )

describe('the VMs that use a VG', () => {
  test('by their records', () => expect(vmsOn('virtVG', host())).toEqual(['vm1', 'vm2']))

  test('one whose record cannot be read, by what it has open, also where it is the only one on its VG', () => {
    const world = host()
    forget(world, 'vm1', 'vm3')
    expect([world.known.length, vmsOn('virtVG', world), vmsOn('otherVG', world)]).toEqual([1, ['vm1', 'vm2'], ['vm3']])
  })

  test('a command of lvguard with, which writes as a VM does', () => {
    const world = host()
    const [first] = world.known
    if (first !== undefined)
      world.known.push({
        ...first,
        domain: { name: 'lvguard with dd (process 7)', uuid: uuidOf(7) },
        state: 'prepared',
        command: 'keeps',
        volumes: [recorded({ vg: 'thirdVG', lv: 'data' })],
      })
    expect(vmsOn('thirdVG', world)).toEqual(['lvguard with dd (process 7)'])
  })

  test('not one that has ended, recorded or not', () => {
    const world = host()
    forget(world, 'vm3')
    for (const { pid } of world.status.values()) Object.assign(world.processes.get(pid) ?? {}, { threads: ['Z'] })
    expect([vmsOn('virtVG', world), vmsOn('otherVG', world)]).toEqual([[], []])
  })

  test('not one that has nothing of it open', () => {
    const world = host()
    forget(world, 'vm3')
    Object.assign(world.processes.get(103) ?? {}, { opens: [] })
    expect(vmsOn('otherVG', world)).toEqual([])
  })
})
