import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import type { LocksHost } from './host.ts'
import { LocksRing, available } from './ring.ts'
import type { Running } from './running.ts'

const reason = await available()

/**
 * Processes of one name, on one host, that have a file open: what the real lvm commands do with a descriptor that they
 * inherit.
 */
const holdersOn = (host: LocksHost, file: string, command: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      const isNamed = readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === command
      // Another ring may be at work at the same time.
      const isHere = readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync(host.root.replace(/root$/, 'ns/mnt'))
      return (
        isNamed &&
        isHere &&
        readdirSync(`/proc/${pid}/fd`).some((descriptor) =>
          readlinkSync(`/proc/${pid}/fd/${descriptor}`).endsWith(file),
        )
      )
    } catch {
      return false
    }
  })

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20))
}

// In front of the real lvchange: says that it has come, waits, and then becomes the real one.
const GATE = `#!/bin/sh
[ -e /run/hold ] && : > /run/arrived
while [ -e /run/hold ]; do sleep 0.05; done
exec /usr/sbin/lvchange "$@"
`

describe.skipIf(reason !== undefined)(
  reason === undefined
    ? 'the program killed with its lvchange at work, on real locks'
    : `the program killed, on real locks: ${reason}`,
  () => {
    let ring: LocksRing
    let front: string
    beforeAll(async () => {
      front = mkdtempSync(join(tmpdir(), 'lvguard-front-'))
      writeFileSync(join(front, 'lvchange'), GATE, { mode: 0o755 })
      ring = await LocksRing.create({ nodeFolder: front })
      await ring.volume('tintin')
    })
    afterAll(async () => {
      await ring?.close()
      rmSync(front, { recursive: true })
    })
    beforeEach(() => ring.reset())

    /** A prepare on the first host whose real lvchange is at work and waits for lvmlockd, which stands still. */
    const stuck = async (vm: Vm): Promise<Running> => {
      const [a] = ring.hosts
      await a.write('/run/hold', '')
      const running = a.startHook({ name: vm.name, operation: 'prepare', xml: vm.xml() })
      await until(async () => (await a.read('/run/arrived')) !== undefined)
      await a.pauseLocking()
      await a.write('/run/arrived', undefined)
      await a.write('/run/hold', undefined)
      await until(() => holdersOn(a, '/virtVG.lock', 'lvchange').length === 1)
      return running
    }

    test('the VG of this host stays locked until that lvchange has ended, and the release that follows gives the volume back (R11)', async () => {
      const [a] = ring.hosts
      const tintin = vmOn('virtVG', 'tintin')
      const running = await stuck(tintin)
      running.kill('SIGKILL')
      await running.exited
      expect(holdersOn(a, '/virtVG.lock', 'node')).toEqual([])
      expect((await a.run('flock', '-n', '/run/lvguard/virtVG.lock', 'true')).code).toBe(1)
      const other = a.startHook({ name: 'milou', operation: 'prepare', xml: new Vm('milou', tintin.disks).xml() })
      await a.resumeLocking()
      assertRefused(await other.result, /virtVG\/tintin is used by the VM tintin/)
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await tintin.releaseRefused(a))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    })

    test('lvmlockd killed between the lines: refused, and given back when it is there again', async () => {
      const [a] = ring.hosts
      const tintin = vmOn('virtVG', 'tintin')
      const running = await stuck(tintin)
      await a.killLocking()
      assertRefused(await running.result, /tintin was not started: /)
      await a.restartLocking()
      await tintin.releaseRefused(a)
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      assertPassed(await tintin.prepare(a))
      assertPassed(await tintin.release(a))
    })
  },
)
