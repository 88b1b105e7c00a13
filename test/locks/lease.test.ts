import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { fakeQemu } from '../support/fake-qemu.ts'
import { LocksRing, available } from './ring.ts'

const reason = await available()
const tintin = vmOn('virtVG', 'tintin')
const milou = vmOn('virtVG', 'milou')

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 100))
}

describe.skipIf(reason !== undefined)(
  reason === undefined ? 'the lease of a real sanlock' : `the lease of a real sanlock: ${reason}`,
  () => {
    let ring: LocksRing
    beforeAll(async () => {
      ring = await LocksRing.create()
      for (const volume of ['tintin', 'milou']) await ring.volume(volume)
    })
    afterAll(() => ring?.close())

    test('locking that is stopped in order kills nobody; a lease that is lost does, and lvmlockd drops its locks', async () => {
      const [a, b] = ring.hosts
      // This machine is not to be reset, whatever happens.
      for (const host of [a, b]) await host.write('/etc/libvirt/lvguard.conf', 'kill_fallback = "none"\n')
      const [here, there] = [fakeQemu(tintin.uuid), fakeQemu(milou.uuid)]
      const runs = async (vm: typeof tintin, host: typeof a, pid: number): Promise<void> => {
        assertPassed(await vm.prepare(host))
        await host.write(
          `/run/libvirt/qemu/${vm.name}.xml`,
          `<domstatus state='running' reason='booted' pid='${pid}'>\n${vm.xml({ aliases: true })}</domstatus>\n`,
        )
      }
      await runs(tintin, a, here.pid)
      await runs(milou, b, there.pid)
      const agents = [a.startAgent(), b.startAgent()]
      await until(() => agents.every((agent) => agent.stderr().includes('watches')))
      // The record of milou stays, though nothing is locked for it any more.
      await b.must('lvchange', '-an', 'virtVG/milou')
      await b.must('vgchange', '--lock-stop', 'virtVG')
      await until(async () => !(await b.must('lvmlockctl', '-i')).includes('lvm_virtVG'))
      await new Promise((resolve) => setTimeout(resolve, 11_000))
      // On a slow machine it may say that a renewal is late, and what would be killed then.
      expect([there.ended(), agents[1]?.stderr().includes('was killed') ?? true]).toEqual([false, false])

      // The disk ends right behind the VG's metadata: I/O on the leases fails.
      truncateSync(join(ring.folder, 'disk'), 1024 * 1024)
      await until(here.ended)
      await until(() => /<2>virtVG: cut off\. Nothing here can write on it any more/.test(agents[0]?.stderr() ?? ''))
      expect(agents[0]?.stderr()).toMatch(/<2>virtVG: the lease of this host is lost \(not renewed for \d+ s\)/)
      expect(agents[0]?.stderr()).toMatch(
        /<2>tintin was killed here \(process \d+\): this host has lost its lease on virtVG/,
      )
      await until(async () => !(await a.must('lvmlockctl', '-i')).includes('lvm_virtVG'))
      await assertRefused(await tintin.prepare(a), /the VMs of volume group virtVG were cut off on this host/)
      expect(there.ended()).toBe(false)
    })
  },
)
