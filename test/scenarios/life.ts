import assert from 'node:assert/strict'
import type { Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

/** The number of no process: more than the kernel gives (proc(5), pid_max). */
const GONE = 4_999_999

/** A VM's life on two hosts, one that starts and stops. */
export const life: readonly Scenario[] = [
  {
    name: 'start on A, start on B refused by name, stop on A, start on B',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertRefused(
        await tintin.prepare(b),
        new RegExp(`virtVG/tintin is held exclusively by ${a.name}, last alive \\d+ s ago`),
        new RegExp(a.name),
      )
      assertPassed(await tintin.releaseRefused(b))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await tintin.release(a))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      assertPassed(await tintin.prepare(b))
      await assertLocks(ring.hosts, 'tintin', ['none', 'ex'])
      assertPassed(await tintin.release(b))
    },
  },
  {
    name: 'the records follow the VM and are gone with it',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      const record = JSON.parse((await a.read(`/run/lvguard/${tintin.uuid}.json`)) ?? '') as {
        state: string
        volumes: { ids?: unknown }[]
      }
      assert.equal(record.state, 'prepared')
      assert.equal(record.volumes.length, 1)
      assert.ok(record.volumes[0]?.ids)
      assertPassed(await tintin.release(a))
      assert.deepEqual(
        (await a.list('/run/lvguard')).filter((name) => name.endsWith('.json')),
        [],
      )
    },
  },
  {
    name: 'a release gives back what other VMs that have ended wait to give back, and nothing else',
    play: async (ring) => {
      const [a] = ring.hosts
      const names = ['tintin', 'milou', 'haddock', 'nestor', 'zette']
      const vms = names.map((name) => vmOn(ring.volumeGroup, name))
      const [tintin, milou, , nestor, zette] = vms as [Vm, Vm, Vm, Vm, Vm]
      for (const vm of vms) {
        await ring.volume(vm.name)
        assertPassed(await vm.prepare(a))
      }
      // As a `release` leaves it that ran out of time, or waits for its turn. zette runs again all the same.
      const recordOf = (vm: Vm): string => `/run/lvguard/${vm.uuid}.json`
      for (const vm of [milou, nestor, zette])
        await a.write(recordOf(vm), ((await a.read(recordOf(vm))) ?? '').replace('"prepared"', '"releasing"'))
      await a.write(
        '/run/libvirt/qemu/zette.xml',
        `<domstatus state='running' pid='0'><domain type='qemu'><name>zette</name><uuid>${zette.uuid}</uuid></domain></domstatus>`,
      )
      assertPassed(await tintin.release(a))
      for (const [name, lock] of [
        ['tintin', 'none'],
        ['milou', 'none'],
        ['haddock', 'ex'],
        ['nestor', 'none'],
        ['zette', 'ex'],
      ] as const)
        await assertLocks(ring.hosts, name, [lock, 'none'])
      assert.deepEqual(
        (await a.list('/run/lvguard')).filter((name) => name.endsWith('.json')),
        [vms[2], zette].map((vm) => `${vm?.uuid}.json`).sort(),
      )
      // Their own comes a moment later.
      assertPassed(await milou.release(a))
      await a.write('/run/libvirt/qemu/zette.xml', undefined)
      for (const vm of vms) assertPassed(await vm.release(a))
    },
  },
  {
    name: 'status files that nobody understands keep no other VM from its start and its end, and a stale one hides none that lives',
    play: async (ring) => {
      const [a] = ring.hosts
      const [tintin, milou] = ['tintin', 'milou'].map((name) => vmOn(ring.volumeGroup, name)) as [Vm, Vm]
      const status = (vm: Vm, pid: number): string =>
        `<domstatus state='running' pid='${pid}'><domain type='qemu'><name>${vm.name}</name><uuid>${vm.uuid}</uuid></domain></domstatus>`
      await a.write('/run/libvirt/qemu/haddock.xml', '<domstatus state=')
      for (const vm of [tintin, milou]) {
        await ring.volume(vm.name)
        assertPassed(await vm.prepare(a))
      }
      assertPassed(await tintin.release(a))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      // Of a daemon that died, with a QEMU that is gone: it is read before, or after, the one that counts.
      for (const stale of ['a', 'z']) {
        await a.write(`/run/libvirt/qemu/${stale}.xml`, status(milou, GONE))
        await a.write('/run/libvirt/qemu/milou.xml', status(milou, 0))
        assertRefused(await milou.release(a), /virtVG\/milou stays active .*: its status file says that it runs/)
        await assertLocks(ring.hosts, 'milou', ['ex', 'none'])
        await a.write('/run/libvirt/qemu/milou.xml', undefined)
        await a.write(`/run/libvirt/qemu/${stale}.xml`, undefined)
      }
      await a.write('/run/libvirt/qemu/a.xml', status(milou, GONE))
      assertPassed(await milou.release(a))
      await assertLocks(ring.hosts, 'milou', ['none', 'none'])
      for (const name of ['a', 'haddock']) await a.write(`/run/libvirt/qemu/${name}.xml`, undefined)
    },
  },
  {
    name: 'a volume that only reads or is shared is shared by both hosts',
    play: async (ring) => {
      await ring.volume('iso')
      await ring.volume('quorum')
      const vm = (name: string): Vm =>
        new Vm(name, [
          { path: '/dev/virtVG/iso', inside: '<readonly/>' },
          { path: '/dev/mapper/virtVG-quorum', inside: '<shareable/>' },
        ])
      const [a, b] = ring.hosts
      assertPassed(await vm('tintin').prepare(a))
      assertPassed(await vm('milou').prepare(b))
      await assertLocks(ring.hosts, 'iso', ['sh', 'sh'])
      await assertLocks(ring.hosts, 'quorum', ['sh', 'sh'])
      assertRefused(await vmOn('virtVG', 'quorum').prepare(b), /virtVG\/quorum is used by the VM milou/)
      assertPassed(await vm('tintin').release(a))
      assertPassed(await vm('milou').release(b))
      await assertLocks(ring.hosts, 'iso', ['none', 'none'])
    },
  },
  {
    name: 'what two VMs of one host share is released with the last of them',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('iso')
      const vm = (name: string): Vm => new Vm(name, [{ path: '/dev/virtVG/iso', inside: '<readonly/>' }])
      assertPassed(await vm('tintin').prepare(a))
      assertPassed(await vm('milou').prepare(a))
      assertPassed(await vm('tintin').release(a))
      await assertLocks(ring.hosts, 'iso', ['sh', 'none'])
      assertPassed(await vm('milou').release(a))
      await assertLocks(ring.hosts, 'iso', ['none', 'none'])
    },
  },
  {
    name: 'sixteen disks with one held elsewhere are undone exactly',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const names = Array.from({ length: 16 }, (_, index) => `disk${index}`)
      for (const name of names) await ring.volume(name)
      const big = new Vm(
        'big',
        names.map((name) => ({ path: `/dev/virtVG/${name}` })),
      )
      assertPassed(await vmOn('virtVG', 'disk9').prepare(b))
      assertRefused(await big.prepare(a), new RegExp(`virtVG/disk9 is held exclusively by ${b.name}`))
      for (const name of names) await assertLocks(ring.hosts, name, ['none', name === 'disk9' ? 'ex' : 'none'])
      assertPassed(await big.releaseRefused(a))
      assertPassed(await vmOn('virtVG', 'disk9').release(b))
      assertPassed(await big.prepare(a))
      for (const name of names) await assertLocks(ring.hosts, name, ['ex', 'none'])
      assertPassed(await big.release(a))
      for (const name of names) await assertLocks(ring.hosts, name, ['none', 'none'])
    },
  },
  {
    name: 'a volume that is missing, and a VG that is, are refused by name and change nothing',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const vm = new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path: '/dev/virtVG/nope' }])
      assertRefused(await vm.prepare(a), /there is no logical volume virtVG\/nope/, /lvs virtVG/)
      assertPassed(await vm.releaseRefused(a))
      assertRefused(
        await new Vm('milou', [{ path: '/dev/nopeVG/x' }]).prepare(a),
        /there is no volume group nopeVG/,
        /storage connected/,
      )
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'the release after a refused prepare leaves what a person activated',
    not: { locks: 'nothing is active there, so that nothing can have been active before' },
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      await ring.volume('milou')
      await a.run('lvchange', '-aey', 'virtVG/tintin')
      const vm = new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path: '/dev/virtVG/milou' }])
      assertPassed(await vmOn('virtVG', 'milou').prepare(b))
      assertRefused(await vm.prepare(a), /virtVG\/milou is held/)
      assertPassed(await vm.releaseRefused(a))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await vmOn('virtVG', 'milou').release(b))
      assertPassed(await vm.prepare(a))
      assertPassed(await vm.release(a))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      await assertLocks(ring.hosts, 'milou', ['none', 'none'])
      await a.run('lvchange', '-an', 'virtVG/tintin')
    },
  },
]
