import assert from 'node:assert/strict'
import type { Ring, Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

async function race(ring: Ring): Promise<void> {
  const vm = vmOn(ring.volumeGroup, 'tintin')
  const results = await Promise.all(ring.hosts.map((host) => vm.prepare(host)))
  const winners = results.filter(({ code }) => code === 0)
  assert.equal(winners.length, 1, results.map(({ stderr }) => stderr).join('\n'))
  const winner = results.findIndex(({ code }) => code === 0)
  assert.deepEqual(
    await Promise.all(ring.hosts.map((host) => host.lock('tintin'))),
    winner === 0 ? ['ex', 'none'] : ['none', 'ex'],
  )
  await Promise.all(ring.hosts.map((host, index) => (index === winner ? vm.release(host) : vm.releaseRefused(host))))
}

/** Two at a time. */
export const races: readonly Scenario[] = [
  {
    name: 'two hosts race for one VM again and again, with exactly one winner each',
    not: { cluster: 'the races there are those of libvirt' },
    play: async (ring) => {
      await ring.volume('tintin')
      const races = ring.kind === 'locks' ? 100 : 10
      for (let turn = 0; turn < races; turn++) await race(ring)
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'two domains of one host start on one volume at the same moment: one gets it',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const vms = ['tintin', 'milou'].map((name) => new Vm(name, [{ path: '/dev/virtVG/tintin' }]))
      const results = await Promise.all(vms.map((vm) => vm.prepare(a)))
      assert.deepEqual(results.map(({ code }) => code).sort(), [0, 1])
      const loser = results.findIndex(({ code }) => code === 1)
      assertRefused(
        results[loser] ?? { code: 0, stdout: '', stderr: '' },
        /virtVG\/tintin is used by the VM|virtVG\/tintin is in use/,
      )
      assertPassed(await (vms[loser] as Vm).releaseRefused(a))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await (vms[1 - loser] as Vm).release(a))
    },
  },
  {
    name: 'a release and a new start on each other’s heels leave the volume with the VM that runs',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      const milou = new Vm('milou', [{ path: '/dev/virtVG/tintin' }])
      for (let turn = 0; turn < 5; turn++) {
        assertPassed(await tintin.prepare(a))
        const [released, started] = await Promise.all([tintin.release(a), milou.prepare(a)])
        assertPassed(released)
        // Whoever had the VG's lock first decides: both orders are right, a start without its lock is not.
        await assertLocks(ring.hosts, 'tintin', [started.code === 0 ? 'ex' : 'none', 'none'])
        assertPassed(await (started.code === 0 ? milou.release(a) : milou.releaseRefused(a)))
        await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      }
    },
  },
  {
    name: 'starts that wait for each other are all served, each by its own lock, and end one by one',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const vms = ['tintin', 'milou', 'haddock', 'castafiore'].map((name) => vmOn(ring.volumeGroup, name))
      for (const { name } of vms) await ring.volume(name)
      // The first one's lvchange waits for lvmlockd, and the others for the first one.
      await a.pauseLocking()
      const starts = vms.map((vm) => vm.prepare(a))
      await ring.pass(ring.kind === 'cluster' ? 20_000 : 2000)
      await a.resumeLocking()
      for (const start of starts) assertPassed(await start)
      for (const { name } of vms) await assertLocks(ring.hosts, name, ['ex', 'none'])
      const [first, ...rest] = vms as [Vm, ...Vm[]]
      assertRefused(await first.prepare(b), /held exclusively by/)
      await first.releaseRefused(b)
      assertPassed(await first.release(a))
      await assertLocks(ring.hosts, first.name, ['none', 'none'])
      for (const { name } of rest) await assertLocks(ring.hosts, name, ['ex', 'none'])
      for (const vm of rest) assertPassed(await vm.release(a))
      for (const { name } of vms) await assertLocks(ring.hosts, name, ['none', 'none'])
    },
  },
]
