import assert from 'node:assert/strict'
import type { Host, Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

const CONFIGURATION = '/etc/libvirt/lvguard.conf'

/** The UUIDs of a volume and of its VG as device-mapper joins them. */
async function mapperUuid(host: Host, volume: string): Promise<string> {
  const { stdout } = await host.run('lvs', '--nolocking', '--noheadings', '-o', 'vg_uuid,lv_uuid', volume)
  return `LVM-${stdout.replace(/[\s-]/g, '')}`
}

const logicalPool = (name: string): string =>
  `<pool type='logical'><name>${name}</name><source><name>virtVG</name><format type='lvm2'/></source><target><path>/dev/virtVG</path></target></pool>`
const policyXml = (disks: string): string =>
  `<metadata><other:thing xmlns:other="urn:other"/><lvguard:policy xmlns:lvguard="urn:lvguard:policy:1">${disks}</lvguard:policy></metadata>`

/** How a VM can name a volume, and what decides about its lock. */
export const volumes: readonly Scenario[] = [
  {
    name: 'a volume is locked whatever path names it, active or not',
    play: async (ring) => {
      const [a, b] = ring.hosts
      for (const name of ['one', 'two-2', 'three', 'four']) await ring.volume(name)
      const vm = new Vm('tintin', [
        { path: '/dev//virtVG/../virtVG/./one' },
        { path: '/dev/mapper/virtVG-two--2' },
        { path: '/dev/disk/by-id/dm-name-virtVG-three' },
        { path: `/dev/disk/by-id/dm-uuid-${await mapperUuid(a, 'virtVG/four')}` },
      ])
      for (let turn = 0; turn < 2; turn++) {
        assertPassed(await vm.prepare(a))
        for (const name of ['one', 'two-2', 'three', 'four']) await assertLocks(ring.hosts, name, ['ex', 'none'])
        assertRefused(await vm.prepare(b), /is held exclusively by/)
        assertPassed(await vm.releaseRefused(b))
        assertPassed(await vm.release(a))
        for (const name of ['one', 'two-2', 'three', 'four']) await assertLocks(ring.hosts, name, ['none', 'none'])
      }
    },
  },
  {
    name: 'a volume that is renamed while its VM runs is released all the same, and another one that has got its name is left alone',
    play: async (ring) => {
      const [a, b] = ring.hosts
      if (ring.kind !== 'simulated') await a.run('lvremove', '-y', 'virtVG/renamed')
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      assert.equal((await a.run('lvrename', 'virtVG', 'tintin', 'renamed')).code, 0)
      await ring.volume('tintin')
      assert.equal((await a.run('lvchange', '-aey', 'virtVG/tintin')).code, 0)
      assertPassed(await tintin.release(a))
      await assertLocks(ring.hosts, 'renamed', ['none', 'none'])
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assert.deepEqual(
        (await a.list('/run/lvguard')).filter((name) => name.endsWith('.json')),
        [],
      )
      assert.equal((await b.run('lvchange', '-aey', 'virtVG/renamed')).code, 0)
      await b.run('lvchange', '-an', 'virtVG/renamed')
      await a.run('lvchange', '-an', 'virtVG/tintin')
      if (ring.kind !== 'simulated') await a.run('lvremove', '-y', 'virtVG/renamed')
    },
  },
  {
    name: 'a path that looks like a volume and is none is refused, and one that is nothing of LVM’s is left alone',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const withDisk = (path: string): Vm => new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path }])
      assertRefused(
        await withDisk('/dev/disk/by-id/dm-name-virtVG-nope').prepare(a),
        /there is no logical volume virtVG\/nope \(disk vdb\)/,
      )
      assertRefused(
        await withDisk(`/dev/disk/by-id/dm-uuid-LVM-${'x'.repeat(64)}`).prepare(a),
        /no logical volume has the UUID of \S+ \(disk vdb\)/,
      )
      assertRefused(
        await withDisk('/dev/dm-4711').prepare(a),
        /there is no \/dev\/dm-4711 on this host \(disk vdb\), and device numbers change/,
      )
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      const vm = withDisk('/dev/null')
      assertPassed(await vm.prepare(a))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await vm.release(a))
    },
  },
  {
    name: 'a file in the place of a volume is refused, at a start and in a migration, until it is gone',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const vm = vmOn(ring.volumeGroup, 'tintin')
      await b.write('/dev/virtVG/tintin', 'as dd leaves it')
      for (const path of ['/dev/virtVG/tintin', '/dev/disk/../virtVG/tintin']) {
        assertRefused(
          await new Vm('tintin', [{ path }]).prepare(b),
          /\/dev\/virtVG\/tintin is not the volume but a regular file, which no lock protects \(disk vda\)/,
          /rm \/dev\/virtVG\/tintin/,
        )
        assertPassed(await vm.releaseRefused(b))
      }
      assertPassed(await vm.prepare(a))
      assert.equal((await a.run('lvchange', '-asy', 'virtVG/tintin')).code, 0)
      assertRefused(await vm.migrate(b), /\/dev\/virtVG\/tintin is not the volume but a regular file/)
      await assertLocks(ring.hosts, 'tintin', ['sh', 'none'])
      await b.write('/dev/virtVG/tintin', undefined)
      assertPassed(await vm.migrate(b))
      assertPassed(await vm.release(a))
      assertPassed(await vm.prepare(b))
      await assertLocks(ring.hosts, 'tintin', ['none', 'ex'])
      assertPassed(await vm.release(b))
    },
  },
  {
    name: 'a drive that may be empty keeps a VM neither from starting nor from migrating, but is locked if it is there',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const vm = new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path: '/dev/virtVG/floppy' }])
      // With `requisite` libvirt itself refuses a start, and drops it at a migration.
      const withPolicy = (policy: string): string =>
        vm.xml().replace("dev='/dev/virtVG/floppy'", (source) => `${source} startupPolicy='${policy}'`)
      const xml = withPolicy('optional')
      if (ring.kind !== 'simulated') await a.run('lvremove', '-y', 'virtVG/floppy')
      for (const [policy, vg] of [
        ['optional', 'virtVG'],
        ['optional', 'nopeVG'],
        ['requisite', 'virtVG'],
        ['requisite', 'nopeVG'],
      ] as const) {
        const missing = withPolicy(policy).replace('virtVG/floppy', `${vg}/floppy`)
        assertPassed(await vm.prepare(a, missing))
        await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
        assertPassed(await vm.release(a))
        const letIn = await vm.migrate(a, missing)
        assertPassed(letIn)
        assertPassed(await vm.prepare(a, letIn.stdout))
        await assertLocks(ring.hosts, 'tintin', ['sh', 'none'])
        assertPassed(await vm.release(a))
      }
      assertRefused(await vm.prepare(a, withPolicy('mandatory')), /there is no logical volume virtVG\/floppy/)
      assertPassed(await vm.releaseRefused(a))
      await ring.volume('floppy')
      assertPassed(await vm.prepare(a, xml))
      await assertLocks(ring.hosts, 'floppy', ['ex', 'none'])
      assertPassed(await vm.release(a))
      await assertLocks(ring.hosts, 'floppy', ['none', 'none'])
      if (ring.kind !== 'simulated') await a.run('lvremove', '-y', 'virtVG/floppy')
    },
  },
  {
    name: 'a volume of a storage pool: defined, running only, unknown',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const vm = new Vm('tintin', [{ pool: 'virtpool', volume: 'tintin' }])
      assertRefused(await vm.prepare(a), /there is no storage pool virtpool on this host \(disk vda\)/)
      assertPassed(await vm.releaseRefused(a))
      const files = {
        '/etc/libvirt/storage/virtpool.xml': logicalPool('virtpool'),
        '/run/libvirt/storage/virtpool.xml': `<poolstate>${logicalPool('virtpool')}</poolstate>`,
      }
      for (const [file, text] of Object.entries(files)) {
        await a.write(file, text)
        assertPassed(await vm.prepare(a))
        await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
        await b.write(file, text)
        assertRefused(
          await vm.prepare(b),
          /virtVG\/tintin is held exclusively by/,
          new RegExp(`the logical storage pool virtpool may have taken it: .*${a.name}.* pool-destroy virtpool`),
        )
        await b.write(file, undefined)
        await a.write(file, undefined)
        // The record knows what the pool's definition said.
        assertPassed(await vm.release(a))
        await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      }
    },
  },
  {
    name: 'a policy in the metadata, and one in the configuration, say how a disk is locked',
    play: async (ring) => {
      const [a, b] = ring.hosts
      for (const name of ['root', 'data', 'scratch']) await ring.volume(name)
      const vm = new Vm(
        'tintin',
        ['root', 'data', 'scratch'].map((name) => ({ path: `/dev/virtVG/${name}` })),
      )
      const metadata = policyXml('<lvguard:disk target="vdb" mode="shared"/><lvguard:disk target="vdz" mode="ignore"/>')
      await a.write(
        CONFIGURATION,
        'policy = [ "virtVG = shared", "virtVG/root = exclusive", "virtVG/scratch = ignore" ]\n',
      )
      assertPassed(await vm.prepare(a, vm.xml({ metadata })))
      await assertLocks(ring.hosts, 'root', ['ex', 'none'])
      await assertLocks(ring.hosts, 'data', ['sh', 'none'])
      await assertLocks(ring.hosts, 'scratch', ['none', 'none'])
      // What was said at the start counts at the end.
      await a.write(CONFIGURATION, undefined)
      assertPassed(await vm.release(a))
      await assertLocks(ring.hosts, 'data', ['none', 'none'])
      const other = new Vm('milou', [{ path: '/dev/virtVG/data' }])
      const shared = other.xml({ metadata: policyXml('<lvguard:disk target="vda" mode="shared"/>') })
      for (const host of [a, b]) assertPassed(await other.prepare(host, shared))
      await assertLocks(ring.hosts, 'data', ['sh', 'sh'])
      for (const host of [a, b]) assertPassed(await other.release(host))
      assertRefused(
        await other.prepare(a, other.xml({ metadata: policyXml('<lvguard:disk target="vda" mode="share"/>') })),
        /policy in its <metadata> is wrong: disk vda has mode 'share'/,
      )
      assertPassed(await other.prepare(a, other.xml({ metadata: policyXml('') })))
      await assertLocks(ring.hosts, 'data', ['ex', 'none'])
      assertPassed(await other.release(a))
    },
  },
  {
    name: 'a disk that becomes a backing file while its VM runs keeps its lock to the end',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      const snapshot = `<source dev='/dev/virtVG/overlay'/><backingStore type='block'><format type='raw'/><source dev='/dev/virtVG/tintin'/></backingStore>`
      const after = tintin.xml({ aliases: true }).replace("<source dev='/dev/virtVG/tintin'/>", snapshot)
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await a.hook({ name: 'tintin', operation: 'release', xml: after }))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'the same volume twice in one VM is exclusive, and exclusive here and shared there is refused by the other’s name',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('both')
      const writer = new Vm('tintin', [
        { path: '/dev/virtVG/both', inside: '<readonly/>' },
        { path: '/dev/mapper/virtVG-both' },
      ])
      const reader = new Vm('milou', [{ path: '/dev/virtVG/both', inside: '<readonly/>' }])
      assertPassed(await writer.prepare(a))
      await assertLocks(ring.hosts, 'both', ['ex', 'none'])
      assertRefused(await reader.prepare(a), /virtVG\/both is used by the VM tintin on this host/)
      assertPassed(await reader.releaseRefused(a))
      assertPassed(await writer.release(a))
      assertPassed(await reader.prepare(a))
      await assertLocks(ring.hosts, 'both', ['sh', 'none'])
      assertRefused(await writer.prepare(a), /virtVG\/both is used by the VM milou on this host/)
      assertPassed(await writer.releaseRefused(a))
      assertPassed(await reader.release(a))
      await assertLocks(ring.hosts, 'both', ['none', 'none'])
    },
  },
  {
    name: 'a start waits for the locking of its VG, and no longer than it is told',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assert.equal((await a.run('vgchange', '--lock-stop', 'virtVG')).code, 0)
      assertRefused(await tintin.prepare(a), /the locking of volume group virtVG is not started/)
      await a.write(CONFIGURATION, 'start_wait = 1\n')
      assertRefused(await tintin.prepare(a), /the locking of volume group virtVG is not started/)
      await a.write(CONFIGURATION, 'start_wait = 120\n')
      const starting = tintin.prepare(a)
      await a.run('vgchange', '--lock-start', 'virtVG')
      assertPassed(await starting)
      await a.write(CONFIGURATION, undefined)
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await tintin.release(a))
    },
  },
]
