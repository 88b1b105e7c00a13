import { describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import type { SimulatedRing } from './ring.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const devices = ({ cluster, hosts }: SimulatedRing): string[] =>
  cluster.devices
    .list(hosts[0].state)
    .map(({ name }) => name)
    .filter((name) => name !== 'virtVG-lvmlock')

describe('devices that stand on a volume', () => {
  const withDisk = (path: string, name = 'tintin'): Vm => new Vm(name, [{ path }])

  test('LUKS: the volume below is locked, whatever the device is called', async () => {
    const { hosts, cluster } = ring()
    const [a, b] = hosts
    await ring().volume('tintin')
    await a.run('lvchange', '-aey', 'virtVG/tintin')
    for (const name of ['tintin_crypt', 'virtVG-tintin_crypt']) {
      const vm = withDisk(`/dev/mapper/${name}`)
      cluster.devices.stack(a.state, 'virtVG/tintin', { name, uuid: 'CRYPT-LUKS2-4711' })
      assertPassed(await vm.prepare(a))
      expect(JSON.parse((await a.read(`/run/lvguard/${vm.uuid}.json`)) ?? '').volumes).toMatchObject([
        { vg: 'virtVG', lv: 'tintin', role: 'exclusive', mode: 'exclusive', before: 'active' },
      ])
      assertRefused(
        await withDisk('/dev/virtVG/tintin', 'milou').prepare(a),
        /virtVG\/tintin is used by the VM tintin on this host/,
      )
      // There it is not open, and a migration would find nothing.
      assertRefused(
        await vm.migrate(b),
        /there is no (logical volume virtVG\/tintin_crypt|\/dev\/mapper\/tintin_crypt on this host)/,
      )
      assertPassed(await vm.release(a))
      cluster.devices.unstack(a.state, name)
    }
  })

  test('one that is in use itself, and a volume that something else has open too', async () => {
    const {
      hosts: [a],
      cluster,
    } = ring()
    await ring().volume('tintin')
    await a.run('lvchange', '-aey', 'virtVG/tintin')
    cluster.devices.stack(a.state, 'virtVG/tintin', { name: 'tintin_crypt', uuid: 'CRYPT-LUKS2-4711', openers: 1 })
    assertRefused(
      await withDisk('/dev/mapper/tintin_crypt').prepare(a),
      /virtVG\/tintin is in use on this host: opened once/,
    )
    cluster.devices.unstack(a.state, 'tintin_crypt')
    cluster.devices.stack(a.state, 'virtVG/tintin', { name: 'tintin_crypt', uuid: 'CRYPT-LUKS2-4711' })
    cluster.devices.stack(a.state, 'virtVG/tintin', { name: 'other', uuid: 'CRYPT-LUKS2-4712' })
    assertRefused(
      await withDisk('/dev/mapper/tintin_crypt').prepare(a),
      /virtVG\/tintin is in use on this host: used by the device other/,
    )
  })

  test('a VG inside a guest, which this host sees: who names its LV has the volume below', async () => {
    const { hosts, cluster } = ring()
    const [a, b] = hosts
    await ring().volume('tintin')
    // localVG stands for the guest's.
    await ring().volume('root', { vg: 'localVG' })
    const inside = { name: 'localVG-root', uuid: `LVM-${'g'.repeat(32)}${'r'.repeat(32)}` }
    const nested = withDisk('/dev/mapper/localVG-root', 'haddock')
    // It runs here: its own VM has the volume.
    assertPassed(await vmOn('virtVG', 'tintin').prepare(a))
    cluster.devices.stack(a.state, 'virtVG/tintin', inside)
    assertRefused(await nested.prepare(a), /virtVG\/tintin is used by the VM tintin on this host/)
    cluster.devices.unstack(a.state, inside.name)
    assertPassed(await vmOn('virtVG', 'tintin').release(a))
    // It runs nowhere, and was activated for this: whoever starts on it locks it here.
    await a.run('lvchange', '-aey', 'virtVG/tintin')
    cluster.devices.stack(a.state, 'virtVG/tintin', inside)
    assertPassed(await nested.prepare(a))
    assertRefused(await vmOn('virtVG', 'tintin').prepare(a), /virtVG\/tintin is used by the VM haddock on this host/)
    assertRefused(await vmOn('virtVG', 'tintin').prepare(b), /virtVG\/tintin is held exclusively by/)
    assertPassed(await nested.release(a))
    cluster.devices.unstack(a.state, inside.name)
  })

  test('kpartx: VMs of one host have different partitions of a volume, and not the same', async () => {
    const { hosts, cluster } = ring()
    const [a, b] = hosts
    await ring().volume('disk')
    await a.run('lvchange', '-aey', 'virtVG/disk')
    for (const part of [1, 2])
      cluster.devices.stack(a.state, 'virtVG/disk', { name: `virtVG-disk${part}`, uuid: `part${part}-LVM-x` })
    assertPassed(await withDisk('/dev/mapper/virtVG-disk1').prepare(a))
    assertPassed(await withDisk('/dev/mapper/virtVG-disk2', 'milou').prepare(a))
    assertRefused(
      await withDisk('/dev/mapper/virtVG-disk2', 'haddock').prepare(a),
      /virtVG\/disk is used by the VM milou on this host/,
    )
    assertRefused(await withDisk('/dev/virtVG/disk', 'haddock').prepare(a), /virtVG\/disk is used by the VM/)
    await assertLocks(hosts, 'disk', ['ex', 'none'])
    assertRefused(await withDisk('/dev/virtVG/disk', 'haddock').prepare(b), /virtVG\/disk is held exclusively by/)
  })

  test('a device of that form which stands on nothing of LVM’s is left alone', async () => {
    const {
      hosts: [a],
    } = ring()
    await ring().volume('tintin')
    await a.write('/sys/block/dm-77/dm/name', 'virtVG-tintin\n')
    await a.write('/sys/block/dm-77/dm/uuid', 'CRYPT-PLAIN-x\n')
    await a.write('/dev/dm-77', '')
    await a.run('ln', '-s', '../dm-77', a.root.at('/dev/mapper/virtVG-tintin'))
    assertPassed(await withDisk('/dev/mapper/virtVG-tintin').prepare(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })
})

describe('thin volumes', () => {
  const pool = (): Promise<string> => ring().volume('pool', { kind: { kind: 'thin-pool' } })
  const thin = (name: string): Promise<string> => ring().volume(name, { kind: { kind: 'thin', pool: 'pool' } })

  test('one host has the whole pool, until the last of its volumes is released', async () => {
    const { hosts } = ring()
    const [a, b] = hosts
    await pool()
    for (const name of ['one', 'two']) await thin(name)
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    assertPassed(await vmOn('virtVG', 'two').prepare(a))
    await assertLocks(hosts, 'pool', ['ex', 'none'])
    assertRefused(await vmOn('virtVG', 'two').prepare(b), new RegExp(`virtVG/pool is held exclusively by ${a.name}`))
    assertPassed(await vmOn('virtVG', 'one').release(a))
    await assertLocks(hosts, 'pool', ['ex', 'none'])
    assertPassed(await vmOn('virtVG', 'two').release(a))
    await assertLocks(hosts, 'pool', ['none', 'none'])
    assertPassed(await vmOn('virtVG', 'two').prepare(b))
    assertPassed(await vmOn('virtVG', 'two').release(b))
  })

  test('a dry run knows that the lease of a thin volume is its pool’s', async () => {
    const [a, b] = ring().hosts
    await pool()
    for (const name of ['one', 'two']) await thin(name)
    const dryRun = () => b.program(['--dry-run', 'two', 'prepare'], vmOn('virtVG', 'two').xml())
    expect(await dryRun()).toMatchObject({ code: 0 })
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    expect(await dryRun()).toMatchObject({ code: 1, stdout: expect.stringMatching(/would be refused: held by host1/) })
    assertPassed(await vmOn('virtVG', 'one').release(a))
    assertPassed(await vmOn('virtVG', 'one').prepare(b))
    expect(await dryRun()).toMatchObject({ code: 0 })
    assertPassed(await vmOn('virtVG', 'one').release(b))
  })

  test('a pool that stays locked although nothing is on it is given back (FACTS 27)', async () => {
    const { hosts, cluster, log } = ring()
    const [a] = hosts
    await pool()
    await thin('one')
    cluster.locks.keepPools = true
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    log.clear()
    assertPassed(await vmOn('virtVG', 'one').release(a))
    // The pool has no device to tell its present name: it is named by its UUID (R14).
    const [volume, its] = log.commands(undefined, 'lvchange').map(({ words }) => words.join(' '))
    expect(volume).toMatch(/ virtVG\/one$/)
    expect(its).toMatch(/ --select lv_uuid=\S+ (?:-- )?virtVG$/)
    await assertLocks(hosts, 'pool', ['none', 'none'])
  })

  test('a pool stays with whoever had it before, or has another volume of it active', async () => {
    const { hosts, cluster } = ring()
    const [a] = hosts
    await pool()
    for (const name of ['one', 'two']) await thin(name)
    cluster.locks.keepPools = true
    await a.run('lvchange', '-aey', 'virtVG/pool')
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    assertPassed(await vmOn('virtVG', 'one').release(a))
    await assertLocks(hosts, 'pool', ['ex', 'none'])
    await a.run('lvchange', '-an', 'virtVG/pool')
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    await a.run('lvchange', '-aey', 'virtVG/two')
    assertPassed(await vmOn('virtVG', 'one').release(a))
    await assertLocks(hosts, 'pool', ['ex', 'none'])
    expect(devices(ring())).toContain('virtVG-two')
  })

  test('a start that fails gives the pool back too', async () => {
    const { hosts, cluster } = ring()
    const [a, b] = hosts
    await pool()
    await thin('one')
    await ring().volume('linear')
    cluster.locks.keepPools = true
    assertPassed(await vmOn('virtVG', 'linear').prepare(b))
    const vm = new Vm('tintin', [{ path: '/dev/virtVG/one' }, { path: '/dev/virtVG/linear' }])
    assertRefused(await vm.prepare(a), /virtVG\/linear is held/)
    await assertLocks(hosts, 'pool', ['none', 'none'])
    assertPassed(await vm.releaseRefused(a))
  })

  test('a migration is refused at once, with the type', async () => {
    const { hosts } = ring()
    const [a, b] = hosts
    await pool()
    await thin('one')
    assertPassed(await vmOn('virtVG', 'one').prepare(a))
    assertRefused(await vmOn('virtVG', 'one').migrate(b), /virtVG\/one cannot be shared.*thin,sparse/)
  })
})

describe('a migration of what cannot be shared', () => {
  const KINDS = ['thin', 'raid1', 'cache', 'snapshot', 'origin'] as const
  test.each(KINDS)(
    '%s: passes where nobody holds it, as with --offline, and is refused while anybody does',
    async (kind) => {
      const { hosts } = ring()
      const [a, b] = hosts
      if (kind === 'thin') await ring().volume('pool', { kind: { kind: 'thin-pool' } })
      if (kind === 'snapshot') await ring().volume('base')
      if (kind === 'thin') await ring().volume('tintin', { kind: { kind: 'thin', pool: 'pool' } })
      else if (kind === 'snapshot') await ring().volume('tintin', { kind: { kind: 'snapshot', origin: 'base' } })
      else if (kind === 'origin') await ring().volume('tintin')
      else await ring().volume('tintin', { kind: { kind } })
      if (kind === 'origin') await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'tintin' } })
      await ring().volume('linear')
      const vm = new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path: '/dev/virtVG/linear' }])
      // Without an agent too: nothing will have to be made exclusive.
      const offline = await b.hook({ name: 'tintin', operation: 'migrate', xml: vm.xml() })
      assertPassed(offline)
      expect(offline.stdout).toBe('')
      expect(await b.read(`/run/lvguard/${vm.uuid}.json`)).toBeUndefined()
      // What follows, if anything, is a start.
      assertPassed(await vm.prepare(b))
      await assertLocks(hosts, 'linear', ['none', 'ex'])
      assertRefused(
        await vm.migrate(a),
        /virtVG\/tintin cannot be shared, as a live migration needs/,
        /Shut tintin down/,
      )
      assertPassed(await vm.release(b))
      // Some of it is held: it may run there, on what is left.
      a.act('lvchange -asy virtVG/linear')
      assertRefused(await vm.migrate(b), /virtVG\/tintin cannot be shared/)
    },
  )
})

describe('COW snapshots', () => {
  test('come up and go with their origin, which another VM keeps', async () => {
    const { hosts } = ring()
    const [a, b] = hosts
    await ring().volume('origin')
    await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'origin' } })
    const [origin, snap] = [vmOn('virtVG', 'origin'), vmOn('virtVG', 'snap')]
    assertPassed(await snap.prepare(a))
    await assertLocks(hosts, 'origin', ['ex', 'none'])
    assertRefused(await origin.prepare(b), /virtVG\/origin is held/)
    assertPassed(await origin.releaseRefused(b))
    assertPassed(await origin.prepare(a))
    assertPassed(await snap.release(a))
    await assertLocks(hosts, 'origin', ['ex', 'none'])
    expect(devices(ring())).toContain('virtVG-origin')
    assertPassed(await origin.release(a))
    expect(devices(ring())).toEqual([])
    await assertLocks(hosts, 'origin', ['none', 'none'])
  })

  test('in the other order', async () => {
    const { hosts } = ring()
    const [a] = hosts
    await ring().volume('origin')
    await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'origin' } })
    const [origin, snap] = [vmOn('virtVG', 'origin'), vmOn('virtVG', 'snap')]
    assertPassed(await origin.prepare(a))
    assertPassed(await snap.prepare(a))
    assertPassed(await origin.release(a))
    await assertLocks(hosts, 'origin', ['ex', 'none'])
    assertPassed(await snap.release(a))
    await assertLocks(hosts, 'origin', ['none', 'none'])
    expect(devices(ring())).toEqual([])
  })

  test.each(['snap', 'origin'])('a migration of %s is refused at once', async (name) => {
    const [a, b] = ring().hosts
    await ring().volume('origin')
    await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'origin' } })
    assertPassed(await vmOn('virtVG', name).prepare(a))
    assertRefused(
      await vmOn('virtVG', name).migrate(b),
      new RegExp(`virtVG/${name} cannot be shared`),
      /Shut .* down and start it on the other host/,
    )
  })
})

test.each(['raid1', 'cache', 'striped', 'linear'] as const)(
  '%s: started, stopped, refused elsewhere, and in a migration where LVM cannot share it',
  async (kind) => {
    const { hosts } = ring()
    const [a, b] = hosts
    await ring().volume('tintin', { kind: { kind } })
    const vm = vmOn('virtVG', 'tintin')
    const isShareable = kind === 'striped' || kind === 'linear'
    assertPassed(await vm.prepare(a))
    assertRefused(await vm.prepare(b), /is held exclusively by/)
    assertPassed(await vm.releaseRefused(b))
    if (isShareable) {
      await a.run('lvchange', '-asy', 'virtVG/tintin')
      assertPassed(await vm.migrate(b))
    } else assertRefused(await vm.migrate(b), new RegExp(`cannot be shared.*${kind}`))
    assertPassed(await vm.release(a))
    await assertLocks(hosts, 'tintin', ['none', 'none'])
  },
)

test('a thin snapshot, which LVM activates only when told to ignore its flag', async () => {
  const { hosts } = ring()
  const [a, b] = hosts
  await ring().volume('pool', { kind: { kind: 'thin-pool' } })
  await ring().volume('one', { kind: { kind: 'thin', pool: 'pool' } })
  await ring().volume('snap', { kind: { kind: 'thin', pool: 'pool', origin: 'one' }, skipActivation: true })
  const vm = vmOn('virtVG', 'snap')
  assertPassed(await vm.prepare(a))
  expect(devices(ring())).toContain('virtVG-snap')
  assertRefused(await vmOn('virtVG', 'one').prepare(b), /virtVG\/pool is held exclusively by/)
  assertPassed(await vm.release(a))
  await assertLocks(hosts, 'pool', ['none', 'none'])
})

describe('several VGs in one VM', () => {
  const both = new Vm('tintin', [{ path: '/dev/virtVG/shared' }, { path: '/dev/localVG/local' }])
  test.each([
    ['ignore', []],
    ['activate', ['localVG-local']],
  ])('a local one beside a shared one: %s', async (policy, expected) => {
    const { hosts, cluster } = ring()
    const [a] = hosts
    await ring().volume('shared')
    cluster.create('local', { vg: 'localVG' })
    await a.write('/etc/libvirt/lvguard.conf', `local_volume_groups = "${policy}"\n`)
    assertPassed(await both.prepare(a))
    expect(devices(ring())).toEqual([...expected, 'virtVG-shared'])
    assertPassed(await both.release(a))
    expect(devices(ring())).toEqual([])
  })
})

test('a pool of type disk on a volume: VMs of one host have its partitions, another host has none', async () => {
  const { hosts, cluster } = ring()
  const [a, b] = hosts
  await ring().volume('disk')
  const pool =
    "<pool type='disk'><name>parts</name><source><device path='/dev/virtVG/disk'/></source><target><path>/dev/mapper</path></target></pool>"
  for (const host of hosts) await host.write('/etc/libvirt/storage/parts.xml', pool)
  const vm = (name: string, volume: string): Vm => new Vm(name, [{ pool: 'parts', volume }])
  // What an administrator does before libvirt can start the pool.
  await a.run('lvchange', '-aey', 'virtVG/disk')
  cluster.devices.stack(a.state, 'virtVG/disk', { name: 'virtVG-disk1', uuid: 'part1-LVM-x' })
  assertPassed(await vm('tintin', 'virtVG-disk1').prepare(a))
  assertPassed(await vm('milou', 'virtVG-disk2').prepare(a))
  assertRefused(await vm('haddock', 'virtVG-disk2').prepare(a), /virtVG\/disk is used by the VM milou on this host/)
  assertRefused(await vm('tintin', 'virtVG-disk1').prepare(b), /virtVG\/disk is held exclusively by/)
  assertPassed(await vm('tintin', 'virtVG-disk1').releaseRefused(b))
  for (const [name, volume] of [
    ['tintin', 'virtVG-disk1'],
    ['milou', 'virtVG-disk2'],
  ] as const)
    assertPassed(await vm(name, volume).release(a))
  // It was active before.
  await assertLocks(hosts, 'disk', ['ex', 'none'])
})

test('a volume that is active, in a VG which LVM does not see', async () => {
  const {
    hosts: [a],
  } = ring()
  await ring().volume('tintin')
  await a.write('/sys/block/dm-77/dm/name', 'hiddenVG-tintin\n')
  await a.write('/sys/block/dm-77/dm/uuid', `LVM-${'x'.repeat(64)}\n`)
  await a.write('/dev/dm-77', '')
  await a.run('mkdir', a.root.at('/dev/hiddenVG'))
  for (const path of ['/dev/mapper/hiddenVG-tintin', '/dev/hiddenVG/tintin']) {
    await a.run('ln', '-s', '../dm-77', a.root.at(path))
    assertRefused(
      await new Vm('tintin', [{ path }]).prepare(a),
      /hiddenVG\/tintin is active on this host, but LVM does not see its volume group and cannot lock it/,
      /lvmdevices/,
    )
  }
})

test('a volume that LVM locks and does not activate, as volume_list has it: refused, and given back', async () => {
  const { hosts, cluster } = ring()
  const [a, b] = hosts
  const name = await ring().volume('tintin')
  const vm = vmOn('virtVG', 'tintin')
  for (const host of [a, b]) {
    host.faults.answer(/^lvchange .*--activate [es]y/, (_, perform) => {
      const answer = perform()
      cluster.devices.deactivate(host.state, cluster.volumes.get(name))
      return answer
    })
  }
  assertRefused(await vm.prepare(a), /virtVG\/tintin did not become active on this host/, /volume_list/)
  await assertLocks(hosts, 'tintin', ['none', 'none'])
  assertPassed(await vm.releaseRefused(a))
  assertRefused(await vm.migrate(b), /virtVG\/tintin did not become active on this host/)
  await assertLocks(hosts, 'tintin', ['none', 'none'])
})

test('a release without a record does not look at what another host has to answer for', async () => {
  const { hosts } = ring()
  const [a] = hosts
  await ring().volume('tintin')
  await ring().volume('other')
  await a.run('mkdir', '-p', a.root.at('/srv'))
  await a.run('ln', '-s', '/dev/virtVG/tintin', a.root.at('/srv/tintin'))
  const vm = new Vm('tintin', [{ path: '/srv/tintin' }, { path: '/dev/virtVG/other' }])
  for (const [type, left] of [
    ['ext4', 'none'],
    ['nfs4', 'ex'],
  ] as const) {
    await a.write('/proc/1/mountinfo', `30 22 0:25 / /srv rw - ${type} filer:/x rw\n`)
    assertPassed(await vm.prepare(a))
    await a.write(`/run/lvguard/${vm.uuid}.json`, undefined)
    assertPassed(await vm.release(a))
    await assertLocks(hosts, 'other', ['none', 'none'])
    // Left as it is, for a person, rather than a hook that never ends.
    await assertLocks(hosts, 'tintin', [left, 'none'])
  }
})

test('arguments for QEMU that name a volume: refused, until a policy says how it is locked', async () => {
  const { hosts } = ring()
  const [a] = hosts
  await ring().volume('root')
  await ring().volume('extra')
  const vm = vmOn('virtVG', 'root')
  const policy = (mode: string): string =>
    `<metadata><p:policy xmlns:p="urn:lvguard:policy:1"><p:disk target="qemu:commandline" mode="${mode}"/></p:policy></metadata>`
  const xml = (metadata = ''): string =>
    vm
      .xml({ metadata })
      .replace(
        '<devices>',
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-drive'/><q:arg value='file=/dev/virtVG/extra,if=none'/></q:commandline><devices>",
      )
  assertRefused(
    await vm.prepare(a, xml()),
    /its <qemu:commandline> names \/dev\/virtVG\/extra/,
    /a policy for 'qemu:commandline'/,
  )
  assertRefused(await vm.migrate(a, xml()), /its <qemu:commandline> names \/dev\/virtVG\/extra/)
  for (const name of ['root', 'extra']) await assertLocks(hosts, name, ['none', 'none'])
  for (const [mode, lock] of [
    ['ignore', 'none'],
    ['shared', 'sh'],
    ['exclusive', 'ex'],
  ] as const) {
    assertPassed(await vm.prepare(a, xml(policy(mode))))
    await assertLocks(hosts, 'extra', [lock, 'none'])
    assertPassed(await vm.release(a))
    for (const name of ['root', 'extra']) await assertLocks(hosts, name, ['none', 'none'])
  }
})

test('a kernel on a volume is shared, and the state of a TPM is exclusive', async () => {
  const { hosts } = ring()
  for (const name of ['root', 'kernel', 'tpm']) await ring().volume(name)
  const vm = vmOn('virtVG', 'root')
  const xml = vm
    .xml()
    .replace(
      '<devices>',
      "<os><kernel>/dev/virtVG/kernel</kernel></os><devices><tpm model='tpm-crb'><backend type='emulator'><source type='file' path='/dev/virtVG/tpm'/></backend></tpm>",
    )
  assertPassed(await vm.prepare(hosts[0], xml))
  await assertLocks(hosts, 'kernel', ['sh', 'none'])
  await assertLocks(hosts, 'tpm', ['ex', 'none'])
  assertPassed(await vm.release(hosts[0]))
  for (const name of ['root', 'kernel', 'tpm']) await assertLocks(hosts, name, ['none', 'none'])
})

const READS = { inside: '<readonly/>' }

// R3, FACTS 26: a backup VM reads a snapshot of what another VM of this host runs on.
test('a VM that reads a snapshot leaves the lock of its origin to the VM that runs on that', async () => {
  const { hosts } = ring()
  const [a, b] = hosts
  await ring().volume('origin')
  await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'origin' } })
  assertPassed(await vmOn('virtVG', 'origin').prepare(a))
  await assertLocks(hosts, 'origin', ['ex', 'none'])
  // Whether it is let in or refused: milou's lock stays what it was.
  await new Vm('backup', [{ path: '/dev/virtVG/snap', ...READS }]).prepare(a)
  // Another host is kept out: this one would write beside the VM that runs on host a.
  const cluster = new Vm('cluster', [{ path: '/dev/virtVG/origin', inside: '<shareable/>' }])
  expect.soft((await cluster.prepare(b)).stderr).toMatch(/virtVG\/origin is held exclusively by/)
  await assertLocks(hosts, 'origin', ['ex', 'none'])
})

// Left behind exclusive, since a snapshot of it is mounted; its VM reads it now.
test('a volume that was left exclusive since its snapshot is in use stays so', async () => {
  const { hosts } = ring()
  const [a] = hosts
  await ring().volume('origin')
  await ring().volume('snap', { kind: { kind: 'snapshot', origin: 'origin' } })
  const vm = vmOn('virtVG', 'origin')
  assertPassed(await vm.prepare(a))
  a.open('virtVG/snap')
  await vm.release(a)
  const again = new Vm(vm.name, [{ path: '/dev/virtVG/origin', ...READS }])
  assertPassed(await again.prepare(a))
  await assertLocks(hosts, 'origin', ['ex', 'none'])
})

// The same with kpartx: openers of another partition do not count (lvm.ts, usersOfVolume), since two may be used at once.
test('a volume that was left exclusive since one of its partitions is mounted stays so', async () => {
  const { hosts, cluster } = ring()
  const [a] = hosts
  await ring().volume('disk')
  const vm = vmOn('virtVG', 'disk')
  assertPassed(await vm.prepare(a))
  for (const part of [1, 2])
    cluster.devices.stack(a.state, 'virtVG/disk', {
      name: `virtVG-disk${part}`,
      uuid: `part${part}-LVM-x`,
      openers: part - 1,
    })
  await vm.release(a)
  await assertLocks(hosts, 'disk', ['ex', 'none'])
  assertPassed(await new Vm(vm.name, [{ path: '/dev/mapper/virtVG-disk1', ...READS }]).prepare(a))
  await assertLocks(hosts, 'disk', ['ex', 'none'])
})
