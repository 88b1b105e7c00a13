import { describe, expect, test } from 'vitest'
import { cutOff } from '../../../src/kill/kill.ts'
import { recordOf, recorded, uuidOf } from '../support/lvm.ts'
import { KillDouble } from '../support/kill-world.ts'

/** Cuts virtVG off; gives what is left, in one line. */
async function cut(world: KillDouble, { by = 'sanlock' as const, until = 125 } = {}): Promise<string> {
  const { left } = await cutOff({ vg: 'virtVG', by, until }, world)
  return left.map(({ kind, text }) => `${kind}: ${text}`).join('; ')
}
const kills = ({ did }: KillDouble): string[] => did.filter((each) => each.startsWith('kill'))
const wipes = ({ did }: KillDouble): string[] =>
  did.filter((each) => each.startsWith('wipe')).map((each) => each.slice('wipe '.length))

describe('a VG is cut off', () => {
  test('marked before anything else, then killed, then wiped; within a second', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.vm(2)
    expect(await cut(world)).toBe('')
    expect(world.did[0]).toBe('mark')
    expect(world.did.filter((each) => each !== 'mark')).toEqual([
      'kill 101',
      'kill 102',
      'wipe virtVG-vm1',
      'wipe virtVG-vm2',
    ])
    expect(world.time).toBeLessThan(81)
    expect(world.marks.get('virtVG')).toMatchObject({
      by: 'sanlock',
      state: 'clear',
      disks: ['vdb'],
      killed: [{ name: 'vm1', pid: 101, start: '1001', volumes: ['virtVG/vm1'] }, { name: 'vm2' }],
    })
  })

  test('of two VGs only one: the VMs and the devices of the other live on, and so does the device of the leases', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.device('otherVG', 'lvmlock', ['vdc'])
    world.vm(2, 'otherVG')
    expect(await cut(world)).toBe('')
    expect([kills(world), wipes(world)]).toEqual([['kill 101'], ['virtVG-vm1']])
  })

  test('a QEMU that does not die is waited for until its time is over, and named; the device is wiped all the same', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { killed: 'waits' })
    expect(await cut(world)).toBe('process: vm1 (process 101) was killed, and is not gone: a thread waits for I/O')
    expect([kills(world), wipes(world)]).toEqual([['kill 101'], ['virtVG-vm1']])
    expect(world.time).toBeGreaterThan(124)
    expect(world.marks.get('virtVG')?.state).toBe('left')
  })

  test('a QEMU that does not die, and devices of which nobody can prove that they fail: both are named', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { killed: 'waits' })
    world.isSilent = true
    expect(await cut(world)).toBe(
      'process: vm1 (process 101) was killed, and is not gone: a thread waits for I/O; unknown: dmsetup does not tell the tables of the devices',
    )
  })

  test('a zombie all of whose threads have ended is gone', async () => {
    const world = new KillDouble()
    const { pid } = world.vm(1, 'virtVG', { killed: 'lives' })
    world.at(81, () => Object.assign(world.processes.get(pid) ?? {}, { threads: ['Z'] }))
    expect(await cut(world)).toBe('')
  })

  test('a wipe that does not end is begun once, and is left alone', async () => {
    const world = new KillDouble()
    const { device } = world.vm(1)
    world.hanging.add('virtVG-vm1')
    device.inFlight = { reads: 0, writes: 3 }
    expect(await cut(world)).toBe('device: virtVG-vm1 is not wiped (0 reads and 3 writes in flight)')
    expect(wipes(world)).toEqual(['virtVG-vm1'])
  })

  test('one that ends when the path is back, is done', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { killed: 'waits' })
    world.hanging.add('virtVG-vm1')
    world.at(110, () => {
      world.hanging.clear()
      world.processes.clear()
    })
    expect(await cut(world)).toBe('')
    expect(world.time).toBeLessThan(112)
  })

  test('what a wiped device has in flight is waited for; where nobody counts it, nothing is known', async () => {
    const world = new KillDouble()
    const { device } = world.vm(1)
    world.at(80.1, () => Object.assign(device, { slaves: [], inFlight: { reads: 0, writes: 1 } }))
    expect(await cut(world, { until: 82 })).toBe('device: virtVG-vm1 is wiped, but 0 reads and 1 writes in flight')
    const dumb = new KillDouble()
    const other = dumb.vm(1)
    dumb.at(80.1, () => Object.assign(other.device, { inFlight: undefined }))
    expect(await cut(dumb, { until: 82 })).toBe('unknown: virtVG-vm1 is wiped, but its I/O cannot be counted')
  })

  test('a wipe that fails is tried again', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.failing.set('virtVG-vm1', 3)
    expect(await cut(world)).toBe('')
    expect(wipes(world)).toHaveLength(4)
  })

  test('nobody believes a device whose table is not error, or whose table cannot be read', async () => {
    const world = new KillDouble()
    const { device } = world.vm(1)
    world.at(80.1, () => {
      device.table = ['0 8192 error', '8192 8192 linear 252:16 2048']
    })
    expect(await cut(world)).toMatch(/^device: the table of virtVG-vm1 is not 'error'/)
    const silent = new KillDouble()
    silent.vm(1)
    silent.isSilent = true
    expect(await cut(silent)).toMatch(/^unknown: dmsetup does not tell/)
  })

  test('the layers above are begun before those below; what is above and hangs does not hold up the others for long', async () => {
    const world = new KillDouble()
    const [data, pool, thin] = [
      world.device('virtVG', 'pool', ['vdb'], { name: 'virtVG-pool_tdata', suffix: '-tdata' }),
      world.device('virtVG', 'pool', [], { name: 'virtVG-pool-tpool', suffix: '-tpool' }),
      world.device('virtVG', 'thin', []),
    ]
    pool.slaves = [data.node]
    thin.slaves = [pool.node]
    world.hanging.add('virtVG-thin')
    await cut(world, { until: 90 })
    expect(wipes(world)).toEqual(['virtVG-thin', 'virtVG-pool-tpool', 'virtVG-pool_tdata'])
  })

  test('writes that are in flight on a disk below, and on no device of the VG, are waited for; not while sanlock has its own there', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.disks.set('vdb', { reads: 0, writes: 2 })
    expect(await cut(world, { until: 90 })).toBe('disk: vdb has 2 writes in flight')
    const [leases] = world.list
    if (leases !== undefined) leases.inFlight = { reads: 1, writes: 0 }
    expect(await cut(world, { until: 90 })).toBe('')
    const reading = new KillDouble()
    reading.vm(1)
    reading.disks.set('vdb', { reads: 5, writes: 0 })
    expect(await cut(reading)).toBe('')
  })
})

describe('nobody is killed who is not a QEMU with a volume of that VG (R9)', () => {
  test('a process that has the number by now', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { words: ['/usr/bin/postgres', '-D', '/var'], comm: 'postgres' })
    expect(await cut(world)).toBe('')
    expect(kills(world)).toEqual([])
  })

  test('the QEMU of another domain', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { words: ['/usr/bin/qemu-system-x86_64', '-uuid', uuidOf(7)] })
    await cut(world)
    expect(kills(world)).toEqual([])
  })

  test('a process whose memory cannot be read: said, and its device is wiped', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { words: undefined })
    expect(await cut(world)).toBe('')
    expect([kills(world), wipes(world)]).toEqual([[], ['virtVG-vm1']])
    expect(world.said.join()).toMatch(/<2>vm1 was not killed: whether process 101 is its QEMU cannot be told/)
  })

  test('a VM that has nothing of it on record and nothing open; but one that has, without a record', async () => {
    const world = new KillDouble()
    world.vm(1, 'otherVG')
    const { device } = world.vm(2)
    world.known.length = 0
    expect(await cut(world)).toBe('')
    expect([kills(world), wipes(world)]).toEqual([['kill 102'], [device.name]])
  })

  test('a domain whose start was refused', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { opens: [] })
    world.known.splice(0, 1, recordOf(1, 'refused', []))
    await cut(world)
    expect(kills(world)).toEqual([])
  })

  test('a status file that cannot be read: its VM is found by its pid file if it is on record, else it is said', async () => {
    const world = new KillDouble()
    const { pid } = world.vm(1)
    world.status.clear()
    world.unreadable = ['/run/libvirt/qemu/vm1.xml']
    world.pidFiles.set('vm1', pid)
    expect(await cut(world)).toBe('')
    expect(kills(world)).toEqual(['kill 101'])
    expect(world.said.join()).toMatch(/<3>\/run\/libvirt\/qemu\/vm1\.xml cannot be read/)
  })

  test('where the UUID of the VG cannot be told, no device is touched, and it is not done', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.list.shift()
    const [record] = world.known
    if (record !== undefined)
      world.known.push({
        ...record,
        domain: { name: 'old', uuid: uuidOf(9) },
        volumes: [recorded({ vg: 'virtVG', lv: 'x' }, { ids: { lv: 'a', vg: 'another', lock: 'a' } })],
      })
    expect(await cut(world, { until: 81 })).toMatch(/^unknown: which devices belong to virtVG cannot be told/)
    expect(wipes(world)).toEqual([])
  })
})

describe('more than one is at it', () => {
  test('the second one kills and looks, and wipes nothing while the first lives', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.marks.set('virtVG', {
      format: 1,
      vg: 'virtVG',
      by: 'sanlock',
      at: 'then',
      worker: { pid: 7, start: '7' },
      killed: [],
      disks: [],
      state: 'started',
    })
    world.alive.add('7 7')
    world.at(90, () => world.alive.delete('7 7'))
    expect(await cut(world)).toBe('')
    expect([kills(world), wipes(world)]).toEqual([['kill 101'], ['virtVG-vm1']])
    expect(world.time).toBeGreaterThanOrEqual(90)
  })

  test('whoever comes later waits for those that the first one has killed', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { threads: ['Z', 'D'], words: [''] })
    world.status.clear()
    world.marks.set('virtVG', {
      format: 1,
      vg: 'virtVG',
      by: 'sanlock',
      at: 'then',
      killed: [{ name: 'vm1', uuid: uuidOf(1), pid: 101, start: '1001', volumes: [] }],
      disks: [],
      state: 'started',
    })
    expect(await cut(world, { until: 90 })).toMatch(/^process: vm1 \(process 101\) was killed, and is not gone/)
    expect(kills(world)).toEqual([])
  })

  test('a number that has passed on to another process says nothing', async () => {
    const world = new KillDouble()
    world.vm(1, 'otherVG')
    world.marks.set('virtVG', {
      format: 1,
      vg: 'virtVG',
      by: 'sanlock',
      at: 'then',
      killed: [{ name: 'vm1', uuid: uuidOf(1), pid: 101, start: '5', volumes: [] }],
      disks: [],
      state: 'started',
    })
    expect(await cut(world)).toBe('')
  })

  test('a person’s mark stays a person’s, and one that says nothing is sanlock’s', async () => {
    const world = new KillDouble()
    await cut(world, { by: 'person' as 'sanlock' })
    await cut(world)
    expect(world.marks.get('virtVG')?.by).toBe('person')
    world.marks.set('virtVG', {
      format: 1,
      vg: 'virtVG',
      by: 'unknown',
      at: '',
      killed: [],
      disks: [],
      state: 'started',
    })
    await cut(world)
    expect(world.marks.get('virtVG')?.by).toBe('sanlock')
  })

  test('a full /run is said, and the kill goes on', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.isFull = true
    expect(await cut(world)).toBe('')
    expect(kills(world)).toEqual(['kill 101'])
    expect(world.said[0]).toMatch(/^<2>virtVG: the mark .* cannot be written \(ENOSPC\)/)
  })

  test('a VM that comes up while the kill is at work is killed too', async () => {
    const world = new KillDouble()
    world.hanging.add('virtVG-vm1')
    world.vm(1)
    world.at(85, () => world.vm(2))
    world.at(90, () => world.hanging.clear())
    expect(await cut(world)).toBe('')
    expect(kills(world)).toEqual(['kill 101', 'kill 102'])
  })
})
