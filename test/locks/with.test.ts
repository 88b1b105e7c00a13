/** `lvguard with` on real locks: a command has volumes as a VM has them, and whatever happens they are given back. */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import type { LocksHost } from './host.ts'
import { LocksRing, available } from './ring.ts'

const reason = await available()
const BUILT = fileURLToPath(new URL('../../dist/qemu', import.meta.url))
const COMMAND = '/run/bin/lvguard'
const tintin = vmOn('virtVG', 'tintin')

describe.skipIf(reason !== undefined)(
  reason === undefined ? 'with on real locks' : `with on real locks: ${reason}`,
  () => {
    let ring: LocksRing
    let a: LocksHost
    let b: LocksHost
    beforeAll(async () => {
      ring = await LocksRing.create()
      ;[a, b] = ring.hosts
      for (const name of ['tintin', 'milou']) await ring.volume(name)
    })
    afterAll(() => ring?.close())
    beforeEach(async () => {
      await ring.reset()
      for (const host of [a, b]) {
        await host.must('mkdir', '-p', '/run/bin')
        await host.must('ln', '-sfn', BUILT, COMMAND)
      }
    })

    const records = async (host: LocksHost): Promise<string[]> =>
      (await host.list('/run/lvguard')).filter((name) => name.endsWith('.json'))
    /** A command that says that it runs, and then waits. */
    const waiting = (host: LocksHost, ...words: string[]) =>
      host.start([COMMAND, 'with', ...words, '--', 'sh', '-c', 'echo runs; sleep 60'])

    test('the command has the volumes, its exit status counts, and they are free again', async () => {
      const { code, stdout, stderr } = await a.run(
        COMMAND,
        'with',
        'virtVG/tintin',
        '/dev/virtVG/milou',
        '--',
        'sh',
        '-c',
        'lvmlockctl -i | grep -c "LK LV ex"; exit 7',
      )
      expect({ code, stdout, stderr }).toEqual({ code: 7, stdout: '2\n', stderr: '' })
      expect([await a.lock('tintin'), await a.lock('milou'), await records(a)]).toEqual(['none', 'none', []])
    })

    test('meanwhile no VM starts on them, here or there, and status says why', async () => {
      const running = waiting(a, 'virtVG/tintin')
      await expect.poll(() => running.stdout()).toBe('runs\n')
      expect(await a.lock('tintin')).toBe('ex')
      assertRefused(await tintin.prepare(a), /lvguard with sh \(process \d+\)/)
      assertRefused(await tintin.prepare(b), /virtVG\/tintin is held exclusively by host1/)
      for (const host of [a, b]) await tintin.releaseRefused(host)
      expect((await a.program(['status', 'virtVG/tintin'])).stdout).toMatch(
        /lvguard with sh \(process \d+\) {2}command {2}virtVG\/tintin {2}exclusive/,
      )
      running.kill('SIGTERM')
      expect(await running.exited).toBe(126)
      expect([await a.lock('tintin'), await records(a)]).toEqual(['none', []])
      assertPassed(await tintin.prepare(b))
    })

    test('what another host has is refused, and nothing is run', async () => {
      assertPassed(await tintin.prepare(b))
      const { code, stdout, stderr } = await a.run(
        COMMAND,
        'with',
        'virtVG/milou',
        'virtVG/tintin',
        '--',
        'echo',
        'run',
      )
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/virtVG\/tintin is held exclusively by host2.*\n.*Nothing was run/)
      expect([await a.lock('milou'), await records(a)]).toEqual(['none', []])
    })

    test('shared with another host', async () => {
      const running = waiting(a, '--shared', 'virtVG/tintin')
      await expect.poll(() => running.stdout()).toBe('runs\n')
      expect(await b.run(COMMAND, 'with', '--shared', 'virtVG/tintin', '--', 'true')).toMatchObject({ code: 0 })
      expect(await b.run(COMMAND, 'with', 'virtVG/tintin', '--', 'true')).toMatchObject({ code: 1 })
      running.kill('SIGTERM')
      await running.exited
      expect(await a.lock('tintin')).toBe('none')
    })

    test('a Ctrl-C ends the command; the volumes are given back', async () => {
      // A terminal sends it to all of them.
      const running = a.start([
        'setsid',
        'sh',
        '-c',
        `trap '' INT; ( sleep 1; kill -INT 0 ) & exec env --default-signal=INT ${COMMAND} with virtVG/tintin -- sh -c 'echo runs; sleep 60'`,
      ])
      expect(await running.exited).not.toBe(0)
      await expect.poll(() => a.lock('tintin')).toBe('none')
      await expect.poll(() => records(a)).toEqual([])
    })

    test('with nohup it goes on when its terminal hangs up, and so does the command', async () => {
      const running = a.start([
        'setsid',
        'sh',
        '-c',
        `( sleep 3; kill -HUP 0 ) & exec nohup ${COMMAND} with virtVG/tintin -- sh -c 'sleep 6; lvmlockctl -i | grep -c "LK LV ex"'`,
      ])
      expect([await running.exited, running.stdout()]).toEqual([0, '1\n'])
      expect([await a.lock('tintin'), await records(a)]).toEqual(['none', []])
    })

    test('kill -9: the agent gives the volumes back, though no libvirt daemon runs', async () => {
      const running = waiting(a, 'virtVG/tintin')
      await expect.poll(() => running.stdout()).toBe('runs\n')
      running.kill('SIGKILL')
      await running.exited
      expect([await a.lock('tintin'), (await records(a)).length]).toEqual(['ex', 1])
      const agent = a.startAgent()
      await expect.poll(() => a.lock('tintin'), { timeout: 40_000, interval: 500 }).toBe('none')
      // The record goes when the agent has read that the lock is gone.
      await expect.poll(() => records(a)).toEqual([])
      agent.kill()
    })

    test('while the command lives the agent leaves its volumes alone', async () => {
      const agent = a.startAgent()
      const running = waiting(a, 'virtVG/tintin')
      await expect.poll(() => running.stdout()).toBe('runs\n')
      await new Promise((resolve) => setTimeout(resolve, 35_000))
      expect(await a.lock('tintin')).toBe('ex')
      running.kill('SIGTERM')
      await running.exited
      expect(await a.lock('tintin')).toBe('none')
      agent.kill()
    })

    test('a VM that the command starts takes over, where it says so, and keeps the volume', async () => {
      const running = a.start([
        COMMAND,
        'with',
        '--hand-over',
        'virtVG/tintin',
        '--',
        'sh',
        '-c',
        'echo runs; while [ ! -e /run/go-on ]; do sleep 0.1; done',
      ])
      await expect.poll(() => running.stdout()).toBe('runs\n')
      assertPassed(await tintin.prepare(a))
      await a.write('/run/go-on', '')
      expect(await running.exited).toBe(0)
      expect(await a.lock('tintin')).toBe('ex')
      assertPassed(await tintin.release(a))
      expect(await a.lock('tintin')).toBe('none')
      await a.write('/run/go-on', undefined)
    })

    test.each<[readonly string[], number, RegExp]>([
      [['with', 'virtVG/tintin'], 2, /needs volumes, as VG\/LV, then -- and a command/],
      [['with', 'virtVG/tintin', 'true', 'x'], 2, /needs volumes|no volume/],
      [['with', 'tintin', '--', 'true'], 2, /tintin is no volume/],
      [['with', 'virtVG/nope', '--', 'true'], 1, /no logical volume virtVG\/nope/],
      [['with', 'virtVG/tintin', '--', '/nope'], 127, /\/nope cannot be run/],
    ])('%j', async (words, status, expected) => {
      const { code, stderr } = await a.run(COMMAND, ...words)
      expect(code).toBe(status)
      expect(stderr).toMatch(expected)
      expect([await a.lock('tintin'), await records(a)]).toEqual(['none', []])
    })
  },
)
