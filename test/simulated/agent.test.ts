import { describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { Agent, until } from './agent.ts'
import { Libvirt } from './libvirt.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')
/** tintin with a second disk. */
const withData = (disk: { inside?: string } = {}): Vm =>
  new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data', ...disk }])
const recordFile = `/run/lvguard/${tintin.uuid}.json`
const recordOn = async (host: {
  read(path: string): Promise<string | undefined>
}): Promise<{
  state: string
  volumes: { lv: string; role: string; mode: string; ids?: unknown }[]
  migration?: unknown
}> => JSON.parse((await host.read(recordFile)) ?? '{}') as never
const locksAre = (here: string, there: string) => async (): Promise<boolean> => {
  const [a, b] = ring().hosts
  return (await a.lock('tintin')) === here && (await b.lock('tintin')) === there
}

/** The agent of the first host has read the lease, in a doubtful phase. */
const leaseIsCounted = (): Promise<unknown> =>
  until(() =>
    ring()
      .log.commands(ring().hosts[0].name, 'sanlock')
      .some(({ line, ended }) => line.includes('read_leader -r') && ended !== undefined),
  )

/** tintin runs on the first host, whose agent has seen it, and the second host has an agent too. */
async function running({ isMade = false, vm = tintin } = {}) {
  const [a, b] = ring().hosts
  if (!isMade)
    for (const disk of vm.disks) if ('path' in disk) await ring().volume(disk.path.replace('/dev/virtVG/', ''))
  const [here, there] = [new Libvirt(a), new Libvirt(b)]
  here.startDaemon()
  there.startDaemon()
  assertPassed(await vm.prepare(a))
  here.put(vm)
  const agent = await Agent.start(ring(), a)
  await until(async () => (await recordOn(a)).state === 'running')
  return { a, b, here, there, agent }
}

describe('a live migration with nothing typed', () => {
  test('the source demotes, the destination promotes, and the record follows', async () => {
    const { a, b, here, there, agent } = await running()
    const other = await Agent.start(ring(), b)
    here.out(tintin, undefined)
    const migrating = tintin.migrate(b)
    here.out(tintin, 'begin3')
    const letIn = await migrating
    assertPassed(letIn)
    await assertLocks(ring().hosts, 'tintin', ['sh', 'none'])
    assertPassed(await tintin.prepare(b, letIn.stdout))
    there.put(tintin, { state: 'paused', reason: 'migration', async: 'migration in', phase: 'finish3', flags: 9 })
    here.out(tintin, 'perform3_done', { state: 'paused', reason: 'migration' })
    there.put(tintin, { reason: 'migrated' })
    here.out(tintin, 'confirm3', { state: 'shutdown', reason: 'unknown' })
    here.remove(tintin)
    assertPassed(await tintin.release(a))
    await until(locksAre('none', 'ex'))
    expect(
      agent.said(/tintin: virtVG\/tintin exclusive -> shared: the domain is migrating out \(\d+ ms\)/),
    ).toHaveLength(1)
    await until(() => other.said(/<6>tintin: virtVG\/tintin shared -> exclusive: the domain runs here/).length === 1)
    await other.quiet()
    expect(await recordOn(b)).toMatchObject({ state: 'running', volumes: [{ lv: 'tintin', mode: 'exclusive' }] })
    expect(await a.list('/run/lvguard')).not.toContain(`${tintin.uuid}.json`)
  })

  test('a migration that is cancelled: the source promotes', async () => {
    const { a, here, agent } = await running()
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    here.out(tintin, 'perform3')
    here.put(tintin)
    await until(locksAre('ex', 'none'))
    await agent.quiet()
    expect(await recordOn(a)).toMatchObject({ state: 'running', volumes: [{ mode: 'exclusive' }] })
  })

  test('a volume that was active before goes with its VM, and only with it', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    const { here } = await running({ isMade: true })
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    here.put(tintin)
    await until(locksAre('ex', 'none'))
    await until(async () => (await recordOn(a)).volumes[0]?.mode === 'exclusive')
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    here.remove(tintin)
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('a volume that was active before, and whose migration failed, stays active when its VM stops', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    const { here, agent } = await running({ isMade: true })
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    here.put(tintin)
    await until(locksAre('ex', 'none'))
    await agent.quiet()
    here.remove(tintin)
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })

  test('the agent is killed at every step and does at its start what was left to do', async () => {
    const { here, agent } = await running()
    await agent.kill()
    here.out(tintin, 'begin3')
    await agent.restart()
    await until(locksAre('sh', 'none'))
    await agent.kill()
    here.put(tintin)
    await agent.restart()
    await until(locksAre('ex', 'none'))
  })

  test('before the phase is written nothing is demoted; with storage or offline neither, and it says why once', async () => {
    const { here, agent } = await running()
    here.out(tintin, undefined)
    await agent.passTwice()
    here.out(tintin, 'begin3', { flags: 0x141 })
    await agent.passTwice()
    expect(agent.said(/<4>tintin migrates with --copy-storage/)).toHaveLength(1)
    here.out(tintin, 'begin3', { flags: 0x40b })
    await agent.passTwice()
    expect(agent.said(/tintin migrates --offline while it runs/)).toHaveLength(1)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    expect(ring().log.lines(undefined, 'virsh')).toEqual([])
  })

  test('a job that copies storage onto a volume that is still shared is aborted', async () => {
    const { b, here } = await running()
    here.answerVirsh(tintin)
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    here.put(tintin)
    here.out(tintin, 'begin3', { flags: 0x141 })
    await until(() => here.asked.includes('domjobabort tintin'))
  })

  test('a volume that was renamed meanwhile goes along, and another one that has got its name stays as it is', async () => {
    const { a, b, here, agent } = await running()
    a.act('lvrename virtVG tintin renamed')
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    const locks = async (): Promise<string> => `${await a.lock('renamed')} ${await a.lock('tintin')}`
    here.out(tintin, 'begin3')
    await until(async () => (await locks()) === 'sh ex')
    b.act('lvchange -asy virtVG/renamed')
    here.out(tintin, 'perform3')
    here.put(tintin)
    await until(
      () =>
        ring()
          .log.lines(a.name, 'lvchange')
          .filter((line) => line.includes('ey')).length > 3,
    )
    expect(await locks()).toBe('sh ex')
    b.act('lvchange -an virtVG/renamed')
    await until(async () => (await locks()) === 'ex ex')
    here.remove(tintin)
    await agent.passTwice()
    await until(async () => (await locks()) === 'none ex' && (await a.read(recordFile)) === undefined)
  })

  test('a folder that comes later, and one that is replaced, are watched', async () => {
    const { a, here } = await running()
    a.root.write('/run/libvirt/qemu', undefined)
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
  })
})

describe('repairs', () => {
  test('a lock that is missing under a running VM is taken again', async () => {
    const { a, agent } = await running()
    await a.killLocking()
    await agent.passTwice()
    expect(agent.said(/<3>the locks of this host cannot be read \(lvmlockd does not answer\)/)).toHaveLength(1)
    await a.restartLocking({ adopt: false })
    // The leases of the old lvmlockd are cleared; the device that the VM has open has never gone.
    ring().cluster.locks.reset()
    await agent.passTwice()
    await until(
      () =>
        agent.said(/<5>tintin: virtVG\/tintin none -> exclusive: its lock is missing under a running domain/).length ===
        1,
    )
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })

  test('where the lockspace is gone nothing is changed, and the alarm is raised once', async () => {
    const { a, agent } = await running()
    ring().cluster.locks.setLockspace(a.state, 'virtVG', 'stopped')
    const before = ring().log.lines(a.name, 'lvchange').length
    await agent.passTwice()
    await agent.passTwice()
    expect(agent.said(/<2>at least one VM runs here, but volume group virtVG has no lockspace here/)).toHaveLength(1)
    expect(ring().log.lines(a.name, 'lvchange')).toHaveLength(before)
  })

  test('a domain that is gone without a release is released, after two passes and not before', async () => {
    const { here, agent } = await running()
    here.remove(tintin)
    here.killDaemon()
    await agent.passTwice()
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    expect(agent.said(/no libvirt daemon runs that could tell/)).toHaveLength(1)
    here.startDaemon()
    await agent.passTwice()
    await until(() => agent.said(/<5>tintin is gone: virtVG\/tintin released/).length === 1)
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('a start in progress is left alone for as long as its daemon lives', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    new Libvirt(a).startDaemon()
    assertPassed(await tintin.prepare(a))
    const agent = await Agent.start(ring(), a)
    await agent.passTwice()
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    await a.write(recordFile, JSON.stringify({ ...(await recordOn(a)), daemon: { pid: process.pid, start: '1' } }))
    await agent.passTwice()
    await until(locksAre('none', 'none'))
  })

  test('what a release could not finish is finished, and said once', async () => {
    const { a, here, agent } = await running()
    a.open('virtVG/tintin')
    here.remove(tintin)
    expect((await tintin.release(a)).code).toBe(1)
    await agent.passTwice()
    await agent.passTwice()
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    expect(agent.said(/tintin has ended, but virtVG\/tintin stays active/)).toHaveLength(1)
    a.close('virtVG/tintin')
    await agent.restart()
    await agent.passTwice()
    await until(locksAre('none', 'none'))
  })

  test('a start whose XML has moved to another volume group keeps its record while the old one is released', async () => {
    const [a] = ring().hosts
    await a.write('/etc/libvirt/lvguard.conf', 'local_volume_groups = "activate"\n')
    await ring().volume('tintin')
    await ring().volume('tintin', { vg: 'localVG' })
    new Libvirt(a).startDaemon()
    a.act('lvchange -aey virtVG/tintin')
    const volumes = [{ vg: 'virtVG', lv: 'tintin', role: 'exclusive', mode: 'exclusive', before: 'inactive' }]
    await a.write(
      recordFile,
      JSON.stringify({ format: 1, domain: { name: 'tintin', uuid: tintin.uuid }, state: 'releasing', volumes }),
    )
    const gate = a.faults.block(/^lvchange .*--activate n/)
    const agent = await Agent.start(ring(), a)
    process.kill(agent.pid, 'SIGHUP')
    await gate.reached
    const preparing = new Vm('tintin', [{ path: '/dev/localVG/tintin' }]).prepare(a)
    // Time enough to be through, if nothing made it wait.
    await Promise.race([preparing, new Promise((resolve) => setTimeout(resolve, 3000))])
    gate.open()
    assertPassed(await preparing)
    await agent.passTwice()
    expect(await recordOn(a)).toMatchObject({ state: 'prepared', volumes: [{ vg: 'localVG', lv: 'tintin' }] })
    expect(await a.lock('tintin')).toBe('none')
  })

  test('domains that have ended are given back together, at once, and what is in use is tried no more often for that', async () => {
    const { a, agent } = await running()
    const names = ['vm1', 'vm2', 'vm3', 'vm4']
    for (const name of names) {
      await ring().volume(name)
      assertPassed(await vmOn('virtVG', name).prepare(a))
    }
    await agent.quiet()
    ring().log.clear()
    a.open('virtVG/vm1')
    /** As a `release` leaves it that ran out of time behind others. */
    const giveUp = async (name: string): Promise<void> => {
      const file = `/run/lvguard/${vmOn('virtVG', name).uuid}.json`
      await a.write(file, ((await a.read(file)) ?? '').replace('"prepared"', '"releasing"'))
    }
    for (const name of names.slice(0, 3)) await giveUp(name)
    await until(async () => (await a.lock('vm2')) === 'none' && (await a.lock('vm3')) === 'none')
    await until(() => agent.said(/vm1 has ended, but virtVG\/vm1 stays active/).length === 1)
    const changes = ring().log.lines(a.name, 'lvchange')
    expect(changes.length).toBeLessThan(3)
    // What the agent has written itself is no news: when it has done what comes next, it has done nothing more about
    // that one.
    await giveUp('vm4')
    await until(async () => (await a.lock('vm4')) === 'none')
    expect(
      ring()
        .log.lines(a.name, 'lvchange')
        .filter((line) => line.includes('vm1')),
    ).toEqual(changes.filter((line) => line.includes('vm1')))
    await assertLocks(ring().hosts, 'vm1', ['ex', 'none'])
    expect(await a.list('/run/lvguard')).toContain(`${vmOn('virtVG', 'vm1').uuid}.json`)
  })

  test('two that end together and share a volume do not keep it from each other', async () => {
    const { a, here, agent } = await running()
    await ring().volume('iso')
    const [one, two] = ['one', 'two'].map(
      (name) => new Vm(name, [{ path: '/dev/virtVG/iso', inside: '<readonly/>' }]),
    ) as [Vm, Vm]
    for (const vm of [one, two]) {
      assertPassed(await vm.prepare(a))
      here.put(vm)
      await until(async () => (await a.read(`/run/lvguard/${vm.uuid}.json`))?.includes('running') === true)
    }
    here.remove(one)
    here.remove(two)
    await agent.passTwice()
    await until(async () => (await a.lock('iso')) === 'none')
  })

  test('an incoming record that nothing followed goes, with what a migrate that died left locked', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    new Libvirt(a).startDaemon()
    const agent = await Agent.start(ring(), a)
    a.act('lvchange -asy virtVG/tintin')
    const volumes = [{ vg: 'virtVG', lv: 'tintin', role: 'exclusive', mode: 'shared', before: 'inactive' }]
    const domain = { name: 'tintin', uuid: tintin.uuid }
    await a.write(recordFile, JSON.stringify({ format: 1, domain, state: 'incoming', volumes }))
    await agent.passTwice()
    await until(locksAre('none', 'none'))
    assertPassed(await tintin.migrate(a))
    await agent.passTwice()
    const young = await recordOn(a)
    expect(young.state).toBe('incoming')
    await a.write(recordFile, JSON.stringify({ ...young, incoming: { id: 'x', at: 1 } }))
    await agent.passTwice()
    expect(await a.read(recordFile)).toBeUndefined()
  })

  test('a volume plugged into a running VM is locked and put on record, and goes with it', async () => {
    const { a, here, agent } = await running()
    await ring().volume('data')
    // By hand: libvirt plugs nothing in that is not there.
    a.act('lvchange -asy virtVG/data')
    const grown = new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data' }])
    here.put(grown)
    await until(async () => (await a.lock('data')) === 'ex')
    await agent.quiet()
    expect((await recordOn(a)).volumes).toMatchObject([{ lv: 'tintin' }, { lv: 'data', ids: expect.anything() }])
    here.remove(tintin)
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'data', ['none', 'none'])
  })

  // libvirt writes no <mirror> for it.
  const between = new Vm('tintin', [
    {
      path: '/dev/virtVG/tintin',
      inside:
        "<backingStore type='block' index='3'><format type='qcow2'/><source dev='/dev/virtVG/middle'/><backingStore type='block' index='4'><format type='raw'/><source dev='/dev/virtVG/data'/><backingStore/></backingStore></backingStore>",
    },
  ])
  const BETWEEN =
    "<blockjobs active='yes'>\n<blockjob name='commit-vda-libvirt-3-format' type='commit' state='running' jobflags='0x0'>\n<disk dst='vda'/>\n<base node='libvirt-4-format'/>\n<top node='libvirt-3-format'/>\n<topparent node='libvirt-1-format'/>\n</blockjob>\n</blockjobs>\n"

  test.each<[string, Vm, Vm, string?]>([
    ['a commit between two backing files', between, between, BETWEEN],
    ['a disk that was read-only is attached for writing', withData({ inside: '<readonly/>' }), withData()],
    [
      'a commit into a backing file',
      withData({ inside: '<readonly/>' }),
      new Vm('tintin', [
        {
          path: '/dev/virtVG/tintin',
          inside: "<mirror type='block' job='active-commit'><source dev='/dev/virtVG/data'/></mirror>",
        },
        { path: '/dev/virtVG/data', inside: '<readonly/>' },
      ]),
    ],
  ])('a volume that it comes to write is made exclusive: %s', async (_, before, after, inside = '') => {
    if (before === between) for (const name of ['middle', 'data']) await ring().volume(name)
    const { a, b, here, agent } = await running({ vm: before })
    await assertLocks(ring().hosts, 'data', ['sh', 'none'])
    b.act('lvchange -asy virtVG/data')
    here.put(after, {}, inside)
    await until(async () => (await recordOn(a)).volumes.some(({ lv, role }) => lv === 'data' && role === 'exclusive'))
    await until(
      () =>
        agent.said(/<2>tintin runs here, and virtVG\/data cannot be made exclusive: held by .*host2 \(shared/)
          .length === 1,
    )
    b.act('lvchange -an virtVG/data')
    await until(async () => (await a.lock('data')) === 'ex')
    // R3: never down while it runs.
    here.put(before)
    await agent.passTwice()
    await assertLocks(ring().hosts, 'data', ['ex', 'none'])
    here.remove(before)
    assertPassed(await before.release(a))
    await assertLocks(ring().hosts, 'data', ['none', 'none'])
  })

  test.each(['by udev’s name', 'by a link', 'in a storage pool'])('one that is named %s', async (how) => {
    const { a, here, agent } = await running()
    await ring().volume('data')
    a.act('lvchange -asy virtVG/data')
    await a.write(
      '/etc/libvirt/storage/pool.xml',
      "<pool type='logical'><name>pool</name><source><name>virtVG</name></source></pool>",
    )
    await a.run('mkdir', '-p', a.root.at('/srv'))
    await a.run('ln', '-s', '/dev/virtVG/data', a.root.at('/srv/data'))
    const disk =
      how === 'in a storage pool'
        ? { pool: 'pool', volume: 'data' }
        : { path: how === 'by a link' ? '/srv/data' : '/dev/disk/by-id/dm-name-virtVG-data' }
    here.put(new Vm('tintin', [...tintin.disks, disk]))
    await until(async () => (await a.lock('data')) === 'ex' && (await recordOn(a)).volumes[1]?.ids !== undefined)
    await agent.quiet()
    expect((await recordOn(a)).volumes).toMatchObject([{ lv: 'tintin' }, { lv: 'data', ids: expect.anything() }])
  })

  test('one on storage of another host is not looked at', async () => {
    const { a, here, agent } = await running()
    await ring().volume('data')
    a.act('lvchange -asy virtVG/data')
    await a.write('/proc/1/mountinfo', '30 22 0:25 / /srv rw - nfs4 filer:/x rw\n')
    await a.run('mkdir', '-p', a.root.at('/srv'))
    await a.run('ln', '-s', '/dev/virtVG/data', a.root.at('/srv/data'))
    here.put(new Vm('tintin', [...tintin.disks, { path: '/srv/data' }]))
    await agent.passTwice()
    await assertLocks(ring().hosts, 'data', ['sh', 'none'])
    expect((await recordOn(a)).volumes).toMatchObject([{ lv: 'tintin' }])
  })

  test('one that another VM of this host has is said', async () => {
    const { a, here, agent } = await running()
    await ring().volume('data')
    assertPassed(await vmOn('virtVG', 'data').prepare(a))
    here.put(new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data' }]))
    await until(() => agent.said(/<2>tintin and data both use virtVG\/data on this host/).length === 1)
    assertPassed(await vmOn('virtVG', 'data').release(a))
    await assertLocks(ring().hosts, 'data', ['ex', 'none'])
  })

  test('one that is taken out again is released as soon as nobody has it open', async () => {
    const { a, b, here, agent } = await running()
    const data = await ring().volume('data')
    a.act('lvchange -aey virtVG/data')
    here.put(new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data' }]))
    await until(async () => (await recordOn(a)).volumes.length === 2)
    ring().cluster.devices.open(a.state, data)
    here.put(tintin)
    await agent.passTwice()
    await assertLocks(ring().hosts, 'data', ['ex', 'none'])
    expect((await recordOn(a)).volumes).toHaveLength(2)
    // While a job is under way nothing is taken away.
    here.put(tintin, { async: 'backup' })
    // An act that has looked before ends.
    await agent.passTwice()
    ring().cluster.devices.close(a.state, data)
    await agent.passTwice()
    await assertLocks(ring().hosts, 'data', ['ex', 'none'])
    here.put(tintin)
    await agent.passTwice()
    await until(() => agent.said(/<5>tintin: virtVG\/data is not plugged in any more: released/).length === 1)
    await assertLocks(ring().hosts, 'data', ['none', 'none'])
    expect((await recordOn(a)).volumes).toMatchObject([{ lv: 'tintin' }])
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await vmOn('virtVG', 'data').prepare(b))
  })

  test('one that was there before its VM, or that cannot be told, stays', async () => {
    const { a, here, agent } = await running()
    const record = await recordOn(a)
    for (const name of ['before', 'data']) {
      await ring().volume(name)
      a.act(`lvchange -aey virtVG/${name}`)
    }
    await a.write(
      recordFile,
      JSON.stringify({
        ...record,
        volumes: [
          ...record.volumes,
          { vg: 'virtVG', lv: 'before', role: 'exclusive', mode: 'exclusive', before: 'active' },
          { vg: 'virtVG', lv: 'data', role: 'exclusive', mode: 'exclusive', before: 'inactive' },
        ],
      }),
    )
    here.put(new Vm('tintin', [...tintin.disks, { pool: 'nowhere', volume: 'data' }]))
    await agent.passTwice()
    for (const name of ['before', 'data']) await assertLocks(ring().hosts, name, ['ex', 'none'])
    here.put(tintin)
    await agent.passTwice()
    await until(() => agent.said(/<5>tintin: virtVG\/data is not plugged in any more: released/).length === 1)
    await assertLocks(ring().hosts, 'before', ['ex', 'none'])
    await assertLocks(ring().hosts, 'data', ['none', 'none'])
  })

  test('one that another host holds is said, by name', async () => {
    const { a, b, here, agent } = await running()
    const data = await ring().volume('data')
    b.act('lvchange -aey virtVG/data')
    // Active without a lock, as after a lockspace that was lost.
    ring().cluster.devices.activate(a.state, ring().cluster.volumes.get(data))
    here.put(new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data' }]))
    await until(
      () =>
        agent.said(/<2>tintin runs here without a lock on virtVG\/data, which is held by host2 \(exclusive/).length ===
        1,
    )
  })

  test('one that was plugged out and deactivated is left to whoever takes it', async () => {
    const { a, b, here, agent } = await running()
    await ring().volume('data')
    a.act('lvchange -aey virtVG/data')
    here.put(new Vm('tintin', [...tintin.disks, { path: '/dev/virtVG/data' }]))
    await until(async () => (await recordOn(a)).volumes.length === 2)
    here.put(tintin)
    a.act('lvchange -an virtVG/data')
    await agent.passTwice()
    expect((await recordOn(a)).volumes).toMatchObject([{ lv: 'tintin' }])
    b.act('lvchange -aey virtVG/data')
    await agent.passTwice()
    await assertLocks(ring().hosts, 'data', ['none', 'ex'])
  })

  test('a VM that is older than lvguard is adopted', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    const libvirt = new Libvirt(a)
    libvirt.startDaemon()
    libvirt.put(tintin)
    await Agent.start(ring(), a)
    await until(async () => (await recordOn(a)).state === 'running')
    libvirt.remove(tintin)
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })
})

describe('the lost reply', () => {
  /** The memory has gone over, the destination shares the volume, and no answer of it has come yet. */
  const inDoubt = async (): ReturnType<typeof running> => {
    const vm = await running()
    vm.here.answerVirsh(tintin)
    vm.here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    vm.b.act('lvchange -asy virtVG/tintin')
    vm.here.out(tintin, 'perform3_done', { state: 'paused', reason: 'migration' })
    return vm
  }

  test('a domain that runs here after a migration in doubt, and whose volume is held, is suspended, and stays so', async () => {
    const { a, b, here, agent } = await inDoubt()
    await until(async () => (await recordOn(a)).migration !== undefined)
    await agent.restart()
    here.put(tintin)
    await until(() => here.asked.includes('suspend tintin'))
    await until(
      () =>
        agent.said(
          /<2>tintin stays suspended here after a migration whose end is in doubt \(last phase perform3_done\).*Holder: host2 \(shared/,
        ).length === 1,
    )
    await agent.restart()
    b.act('lvchange -an virtVG/tintin')
    await until(locksAre('ex', 'none'))
    await agent.passTwice()
    await until(
      () =>
        agent.said(
          /<2>tintin stays suspended .*: whether another host has locked its volumes since cannot be told.*virsh destroy tintin here, and start it anew\. Only if it certainly never ran there: virsh resume tintin\. Holder: host1 \(exclusive/,
        ).length === 1,
    )
    expect(here.asked).toEqual(['suspend tintin'])
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    // Said again by the next agent, and forgotten once a person has decided.
    await agent.restart()
    await agent.passTwice()
    await until(() => agent.said(/<2>tintin stays suspended/).length === 1)
    here.put(tintin, { reason: 'unpaused' })
    await until(async () => (await recordOn(a)).migration === undefined)
    expect(here.asked).toEqual(['suspend tintin'])
  })

  test.each([
    ['in words that nobody knows', { code: 5, stderr: '  The moon is in the wrong house.\n' }],
    ['nothing, and exits with 0', { code: 0 }],
  ])('it is suspended whatever LVM says of a promotion that is not granted: %s', async (_, answer) => {
    const { a, here } = await inDoubt()
    await until(async () => (await recordOn(a)).migration !== undefined)
    a.faults.answer(/^lvchange .*--activate ey/, answer)
    here.put(tintin)
    await until(() => here.asked.includes('suspend tintin'))
    await assertLocks(ring().hosts, 'tintin', ['sh', 'sh'])
  })

  test('where nobody is seen to have run it, it stays suspended all the same, and that is said', async () => {
    const { b, here, agent } = await inDoubt()
    await leaseIsCounted()
    await agent.quiet()
    here.put(tintin)
    await until(() => here.asked.includes('suspend tintin'))
    b.act('lvchange -an virtVG/tintin')
    await until(locksAre('ex', 'none'))
    await agent.passTwice()
    await until(
      () =>
        agent.said(
          /<2>tintin stays suspended .*: nobody is seen to have locked its volumes since.*Only if it certainly never ran there: virsh resume tintin\. Holder: host1 \(exclusive/,
        ).length === 1,
    )
    expect(here.asked).toEqual(['suspend tintin'])
  })

  test('it ran on the other host and has ended there before the first promotion: granted, and suspended', async () => {
    const { b, here, agent } = await inDoubt()
    await leaseIsCounted()
    await agent.quiet()
    b.act('lvchange -aey virtVG/tintin')
    b.act('lvchange -an virtVG/tintin')
    here.put(tintin)
    await until(() => here.asked.includes('suspend tintin'))
    await until(() => agent.said(/<2>tintin stays suspended .*host2 has locked its volumes since/).length === 1)
  })

  // R15: what LVM says is no evidence, only what lvmlockd holds.
  test.each<[string, (a: Awaited<ReturnType<typeof running>>['a']) => void]>([
    [
      'LVM refuses in words that nobody knows',
      (a) => a.faults.answer(/lvchange .*ey/, { code: 5, stderr: 'lvchange  Un autre h\u00f4te a virtVG/tintin\n' }),
    ],
    ['LVM says nothing, and exits with 0', (a) => a.faults.answer(/lvchange .*ey/, {})],
    ['the locks of this host cannot be read', (a) => a.faults.answer('lvmlockctl', { code: 1, stderr: 'no memory\n' })],
  ])('after a doubtful phase anything but an exclusive lock suspends: %s', async (_, spoil) => {
    const { a, here, agent } = await inDoubt()
    await agent.quiet()
    spoil(a)
    here.put(tintin)
    await until(() => here.asked.includes('suspend tintin'))
  })

  test('with on_contested = "alert" it is only said', async () => {
    const [a] = ring().hosts
    await a.write('/etc/libvirt/lvguard.conf', 'on_contested = "alert"\n')
    const { b, here, agent } = await running()
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    here.out(tintin, 'confirm3_cancelled')
    await agent.quiet()
    here.put(tintin)
    await until(() => agent.said(/<2>.*It is not suspended/).length === 1)
    expect(ring().log.lines(undefined, 'virsh')).toEqual([])
  })

  test('an ordinary promotion that stays refused suspends nobody', async () => {
    const { a, b, here, agent } = await running()
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    here.out(tintin, 'perform3')
    await agent.quiet()
    here.put(tintin)
    await until(
      () =>
        ring()
          .log.lines(a.name, 'lvchange')
          .filter((line) => line.includes('ey')).length > 4,
    )
    expect(ring().log.lines(undefined, 'virsh')).toEqual([])
    b.act('lvchange -an virtVG/tintin')
    await until(locksAre('ex', 'none'))
  })

  test('the reason that an earlier migration left is none to suspend after another one that never stopped the CPUs', async () => {
    const { a, b, here, agent } = await running()
    const old = { reason: 'migration canceled' }
    here.put(tintin, old)
    await agent.passTwice()
    here.out(tintin, 'perform3', old)
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    await agent.quiet()
    here.put(tintin, old)
    await until(
      () =>
        ring()
          .log.lines(a.name, 'lvchange')
          .filter((line) => line.includes('ey')).length > 4,
    )
    expect(ring().log.lines(undefined, 'virsh')).toEqual([])
  })

  test('but it is one if nobody watched', async () => {
    const { b, here, agent } = await running()
    here.answerVirsh(tintin)
    here.out(tintin, 'perform3')
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    await agent.kill()
    here.put(tintin, { reason: 'migration canceled' })
    await agent.restart()
    await until(() => here.asked.includes('suspend tintin'))
  })

  test('a source that was left paused while another host shares: do not resume here', async () => {
    const { b, here, agent } = await running()
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    b.act('lvchange -asy virtVG/tintin')
    here.put(tintin, { state: 'paused', reason: 'migration' })
    await agent.passTwice()
    await until(
      () =>
        agent.said(
          /<2>tintin was left paused by a migration.*Do not resume it here, virtVG\/tintin is held by host2.*virsh destroy tintin here, and start it anew\. Only if it certainly never ran there: virsh resume/,
        ).length === 1,
    )
    await assertLocks(ring().hosts, 'tintin', ['sh', 'sh'])
    b.act('lvchange -an virtVG/tintin')
    await agent.restart()
    await until(
      () =>
        agent.said(
          /<2>tintin was left paused by a migration.*No other host is seen to hold virtVG\/tintin now; whether .* cannot be told.*Only if it certainly never ran there: virsh resume/,
        ).length === 1,
    )
  })
})

describe('the configuration, at the start of the agent and when it has changed', () => {
  test('what is wrong with it, what it leaves out and what this host does not have is said once', async () => {
    const [a] = ring().hosts
    await a.write('/etc/libvirt/lvguard.conf', 'volume_groups = [ "virtVg" ]\nlog_level = "all"\n')
    const agent = await Agent.start(ring(), a)
    await until(() => agent.said(/leaves it out/).length > 0)
    await agent.passTwice()
    expect(agent.said(/configuration/)).toEqual([
      expect.stringMatching(/^<3>configuration: line 2: log_level must be .*; this key has its default$/),
      expect.stringMatching(
        /^<4>configuration: volume_groups names virtVg, which this host does not have; did you mean virtVG\?$/,
      ),
      expect.stringMatching(
        /^<4>configuration: virtVG has a lock manager, and volume_groups in lvguard\.conf leaves it out/,
      ),
    ])
    await a.write('/etc/libvirt/lvguard.conf', 'volume_groups = virtVG\n')
    await agent.passTwice()
    await until(() => agent.said(/^<3>configuration: line 1: a list stands in brackets.*no VM starts here/).length > 0)
    await agent.kill()
  })
})

describe('by hand', () => {
  test('demote: only while libvirt says so; promote: only where it runs', async () => {
    const { a, agent, here } = await running()
    await agent.kill()
    assertRefused(
      await a.program(['demote', 'tintin']),
      /tintin was not demoted: libvirt does not say that it is migrating/,
      /--force/,
    )
    here.out(tintin, 'begin3')
    const demoted = await a.program(['demote', tintin.uuid])
    expect(demoted).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^tintin: virtVG\/tintin exclusive -> shared/),
    })
    assertRefused(await a.program(['promote', 'tintin']), /it is migrating out of this host/)
    here.put(tintin)
    expect(await a.program(['promote', 'tintin'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/shared -> exclusive/),
    })
    expect(await a.program(['promote', 'tintin'])).toMatchObject({ code: 0, stdout: 'tintin: nothing to do\n' })
    const forced = await a.program(['demote', '--force', 'tintin'])
    expect(forced).toMatchObject({ code: 0, stderr: expect.stringMatching(/warning: libvirt does not say/) })
    await assertLocks(ring().hosts, 'tintin', ['sh', 'none'])
    expect((await a.program(['promote', 'milou'])).stderr).toMatch(/milou does not run on this host/)
    expect((await a.program(['promote'])).code).toBe(2)
  })

  test('promote names the holder', async () => {
    const { a, b, agent } = await running()
    await agent.kill()
    await a.program(['demote', '--force', 'tintin'])
    b.act('lvchange -asy virtVG/tintin')
    assertRefused(
      await a.program(['promote', 'tintin']),
      /virtVG\/tintin is held by host2 \(shared/,
      /It stays shared here/,
    )
  })
})

test('one agent a host', async () => {
  const { a } = await running()
  const second = await a.program(['agent'])
  expect(second).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/an agent runs on this host already \(process \d+\)/),
  })
})

describe('an agent that hangs', () => {
  const agentFile = '/run/lvguard/agent'
  /** Stops it, and lets the time pass in which it gives no sign of life. */
  async function hang(
    agent: Agent,
    host: { read(path: string): Promise<string | undefined>; write(path: string, text: string): Promise<void> },
  ): Promise<void> {
    process.kill(agent.pid, 'SIGSTOP')
    const [pid, start, beat] = ((await host.read(agentFile)) ?? '').trim().split(' ')
    await host.write(agentFile, `${pid} ${start} ${Number(beat) - 45}\n`)
  }

  test('lets no migration in, with words, until it works again', async () => {
    const { b, here } = await running()
    const other = await Agent.start(ring(), b)
    here.out(tintin, 'begin3')
    await hang(other, b)
    try {
      assertRefused(
        await tintin.migrate(b),
        new RegExp(
          `tintin was not let in: the lvguard agent of this host hangs \\(process ${other.pid}, no sign of life for \\d+ s\\)`,
        ),
        /Here: systemctl restart lvguard/,
      )
      await assertLocks(ring().hosts, 'tintin', ['sh', 'none'])
    } finally {
      process.kill(other.pid, 'SIGCONT')
    }
    await until(async () => (await tintin.migrate(b)).code === 0)
  })

  test('is replaced by another one, and ends itself when it finds out', async () => {
    const { a, here, agent } = await running()
    // One that is stopped in the middle of an act keeps the VG's lock (R11), until systemd kills it.
    await agent.quiet()
    await hang(agent, a)
    const other = await Agent.start(ring(), a)
    expect(
      other.said(new RegExp(`<4>another agent \\(process ${agent.pid}\\) hangs, .*: this one takes its place`)),
    ).toHaveLength(1)
    here.out(tintin, 'begin3')
    await until(locksAre('sh', 'none'))
    process.kill(agent.pid, 'SIGCONT')
    await until(
      () =>
        agent.said(
          new RegExp(`<4>this agent hung, and another one \\(process ${other.pid}\\) has taken its place: it ends`),
        ).length === 1,
    )
    await until(async () => (await a.read(agentFile))?.startsWith(`${other.pid} `) === true)
  })
})

/**
 * The watch over the leases, which is a thread of its own, has tried once what it would need; only what comes from now
 * on counts.
 */
async function afterTheWatch(host: string, agent: { readonly quiet: () => Promise<void> }): Promise<void> {
  await expect.poll(() => ring().log.lines(host)).toContain('dmsetup table')
  await agent.quiet()
  ring().log.clear()
}
/** What was asked by others than the watch, which asks sanlock every 5 s, whatever the passes do. */
const askedByPasses = (host: string): string[] =>
  ring()
    .log.lines(host)
    .filter((line) => line !== 'sanlock client status -D')

test('a status file that is written again, and calls for nothing new, is no reason to ask lvmlockctl', async () => {
  const { a, here, agent } = await running()
  await afterTheWatch(a.name, agent)
  here.put(tintin, { reason: 'unpaused' })
  await agent.passTwice()
  expect(askedByPasses(a.name)).toEqual(['lvmlockctl --info', 'lvmlockctl --info'])
})

test('in a steady state a pass asks lvmlockctl once, and nothing else', async () => {
  const { a, agent } = await running()
  await afterTheWatch(a.name, agent)
  await agent.passTwice()
  expect(askedByPasses(a.name)).toEqual(['lvmlockctl --info', 'lvmlockctl --info'])
})
