import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { LocksRing, available } from './ring.ts'
import type { Running } from './running.ts'

const reason = await available()

const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20))
}

// In front of the real lvchange: each activation says that it has come, and waits while its file is there: the first
// for /run/hold1, the second for /run/hold2.
const GATE = `#!/bin/sh
case " $* " in *' --activate ey '*)
  echo "$*" >> /run/activations
  n=$(wc -l < /run/activations)
  : > "/run/arrived$n"
  while [ -e "/run/hold$n" ]; do sleep 0.05; done;;
esac
exec /usr/sbin/lvchange "$@"
`

const NAMES = ['tintin', 'milou', 'haddock', 'castafiore'] as const

describe.skipIf(reason !== undefined)(
  reason === undefined ? 'starts that wait, on real locks' : `starts that wait, on real locks: ${reason}`,
  () => {
    let ring: LocksRing
    let front: string
    beforeAll(async () => {
      front = mkdtempSync(join(tmpdir(), 'lvguard-front-'))
      writeFileSync(join(front, 'lvchange'), GATE, { mode: 0o755 })
      ring = await LocksRing.create({ nodeFolder: front })
      for (const name of NAMES) await ring.volume(name)
    })
    afterAll(async () => {
      await ring?.close()
      rmSync(front, { recursive: true })
    })
    beforeEach(async () => {
      await ring.reset()
      const [a] = ring.hosts
      for (const file of ['activations', 'arrived1', 'arrived2', 'hold1', 'hold2'])
        await a.write(`/run/${file}`, undefined)
    })

    const [first, ...others] = NAMES.map((name) => vmOn('virtVG', name)) as [Vm, ...Vm[]]
    const start = (vm: Vm): Running => ring.hosts[0].startHook({ name: vm.name, operation: 'prepare', xml: vm.xml() })
    const activations = async (): Promise<string[]> =>
      ((await ring.hosts[0].read('/run/activations')) ?? '').split('\n').filter((line) => line !== '')
    const record = async (vm: Vm): Promise<{ state: string } | undefined> => {
      const text = await ring.hosts[0].read(`/run/lvguard/${vm.uuid}.json`)
      return text === undefined ? undefined : JSON.parse(text)
    }

    /** One `prepare` is at work, and these wait for it and have said so. */
    const waitFor = async (vms: readonly Vm[]): Promise<{ leader: Running; waiting: Running[] }> => {
      const [a] = ring.hosts
      await a.write('/run/hold1', '')
      const leader = start(first)
      await until(async () => (await a.read('/run/arrived1')) !== undefined)
      const waiting = vms.map(start)
      await until(
        async () =>
          (await a.list('/run/lvguard/waiting')).filter((name) => name.endsWith('.json')).length === vms.length,
      )
      return { leader, waiting }
    }

    test('whoever has the lock takes the volumes of all that wait, in one lvchange, and each finds its own', async () => {
      const [a, b] = ring.hosts
      const { leader, waiting } = await waitFor(others)
      await a.write('/run/hold1', undefined)
      for (const running of [leader, ...waiting]) assertPassed(await running.result)
      expect(await activations()).toHaveLength(2)
      for (const vm of [first, ...others]) {
        await assertLocks(ring.hosts, vm.name, ['ex', 'none'])
        expect(await record(vm)).toMatchObject({ state: 'prepared', volumes: [{ lv: vm.name, before: 'inactive' }] })
        assertRefused(await vm.prepare(b), /held exclusively by/)
        await vm.releaseRefused(b)
      }
      expect(await a.list('/run/lvguard/waiting')).toEqual([])
      for (const vm of [first, ...others]) {
        assertPassed(await vm.release(a))
        await assertLocks(ring.hosts, vm.name, ['none', 'none'])
      }
    })

    test('one whose volume another host holds is refused in its own words, and the others start', async () => {
      const [a, b] = ring.hosts
      const [milou, ...rest] = others as [Vm, ...Vm[]]
      assertPassed(await milou.prepare(b))
      const { leader, waiting } = await waitFor(others)
      await a.write('/run/hold1', undefined)
      const [refused, ...passed] = await Promise.all(waiting.map(({ result }) => result))
      assertPassed(await leader.result)
      for (const result of passed) assertPassed(result)
      assertRefused(
        refused as Awaited<Running['result']>,
        /milou was not started: virtVG\/milou is held exclusively by/,
      )
      assertPassed(await milou.releaseRefused(a))
      expect(await record(milou)).toBeUndefined()
      await assertLocks(ring.hosts, milou.name, ['none', 'ex'])
      for (const vm of [first, ...rest]) assertPassed(await vm.release(a))
      assertPassed(await milou.release(b))
    })

    test('one that is killed after it was served has a record, and its release gives the volume back', async () => {
      const [a] = ring.hosts
      await a.write('/run/hold2', '')
      const { leader, waiting } = await waitFor(others)
      await a.write('/run/hold1', undefined)
      await until(async () => (await a.read('/run/arrived2')) !== undefined)
      const [milou, ...rest] = others as [Vm, ...Vm[]]
      expect(await record(milou)).toMatchObject({ state: 'prepared' })
      waiting[0]?.kill('SIGKILL')
      await waiting[0]?.exited
      await a.write('/run/hold2', undefined)
      for (const running of [leader, ...waiting.slice(1)]) assertPassed(await running.result)
      await assertLocks(ring.hosts, milou.name, ['ex', 'none'])
      // libvirt calls it when a hook has ended by a signal.
      assertPassed(await milou.releaseRefused(a))
      expect(await record(milou)).toBeUndefined()
      await assertLocks(ring.hosts, milou.name, ['none', 'none'])
      for (const vm of [first, ...rest]) assertPassed(await vm.release(a))
    })

    test('one that was killed while it waited is not served, and leaves nothing', async () => {
      const [a] = ring.hosts
      const { leader, waiting } = await waitFor(others)
      const [milou, ...rest] = others as [Vm, ...Vm[]]
      waiting[0]?.kill('SIGKILL')
      await waiting[0]?.exited
      await a.write('/run/hold1', undefined)
      for (const running of [leader, ...waiting.slice(1)]) assertPassed(await running.result)
      expect(await record(milou)).toBeUndefined()
      await assertLocks(ring.hosts, milou.name, ['none', 'none'])
      expect(await a.list('/run/lvguard/waiting')).toEqual([])
      for (const vm of [first, ...rest]) assertPassed(await vm.release(a))
    })

    test('whoever serves is killed: its lvchange goes on under the lock, and those that wait start all the same', async () => {
      const [a] = ring.hosts
      await a.write('/run/hold2', '')
      const { leader, waiting } = await waitFor(others)
      await a.write('/run/hold1', undefined)
      await until(async () => (await a.read('/run/arrived2')) !== undefined)
      leader.kill('SIGKILL')
      await leader.exited
      await a.write('/run/hold2', undefined)
      for (const { result } of waiting) assertPassed(await result)
      for (const vm of others) {
        await assertLocks(ring.hosts, vm.name, ['ex', 'none'])
        assertPassed(await vm.release(a))
      }
      await assertLocks(ring.hosts, first.name, ['ex', 'none'])
      assertPassed(await first.releaseRefused(a))
      await assertLocks(ring.hosts, first.name, ['none', 'none'])
    })
  },
)
