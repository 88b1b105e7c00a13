import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { eventsWith } from '../support/drbd.ts'
import { until } from './agent.ts'
import { onDrbd } from './drbd.ts'
import type { SimulatedHost } from './host.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')
// What drbdadm sets with DRBD 8.4.
const ENV = {
  DRBD_RESOURCE: 'r0',
  DRBD_PEER: 'host2',
  DRBD_PEERS: 'host2',
  DRBD_PEER_AF: 'ipv4',
  DRBD_PEER_ADDRESS: '10.0.128.2',
  DRBD_MINOR: '0',
}
const CONFIRMATION = '/var/lib/lvguard/confirm-off/r0+0.json'

/**
 * The first host waits for its handler; its fence_command is this script. `calls` are the words that it was called
 * with.
 */
async function frozen(script: string, { words = ['--plug=%h', '; reboot $(reboot)'], more = '' } = {}) {
  const [a] = ring().hosts
  const put = await onDrbd(a)
  await ring().volume('tintin')
  put(eventsWith({ suspended: 'fencing' }))
  const file = a.root.at('/etc/switch-off')
  writeFileSync(
    file,
    `#!/bin/sh\nfor word; do printf '<%s>' "$word"; done >> '${file}.calls'; echo >> '${file}.calls'\n${script}\n`,
  )
  chmodSync(file, 0o755)
  writeFileSync(`${file}.calls`, '')
  await a.write('/etc/libvirt/lvguard.conf', `fence_command = ${JSON.stringify([file, ...words])}\n${more}`)
  return {
    a,
    put,
    file,
    calls: () =>
      readFileSync(`${file}.calls`, 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
  }
}

/** sanlock of this host says that its lease is so old. */
function lease(host: SimulatedHost, age: number): void {
  const [seconds] = process.hrtime()
  const fields = ['list=spaces', 'io_timeout=10', 'renew_fail=0', `renewal_last_success=${seconds - age}`]
    .map((field) => `    ${field}\n`)
    .join('')
  host.faults.answer('sanlock', {
    stdout: `daemon host1\n    use_watchdog=0\n    monotime=${seconds}\ns lvm_virtVG:1:/dev/mapper/virtVG-lvmlock:0\n${fields}`,
  })
}

describe('lvguard fence-peer', () => {
  test('7 when fence_command says that the host is off: one argument is one argument; and it counts as confirm-off does', async () => {
    const { a, put, calls } = await frozen('exit 0')
    expect(await a.startFence(ENV).result).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/r0 goes on without host2, which is off \(fence_command\)/),
    })
    expect(calls()).toEqual(['<--plug=host2><; reboot $(reboot)>'])
    await until(() => existsSync(a.root.at(CONFIRMATION)))
    expect(JSON.parse(readFileSync(a.root.at(CONFIRMATION), 'utf8'))).toMatchObject({
      resource: 'r0',
      peer: '0',
      host: 'host2',
      by: 'fence',
    })
    // DRBD itself keeps it, too.
    put(eventsWith({ peerDisk: 'Outdated' }))
    assertPassed(await tintin.prepare(a))
    assertPassed(await tintin.release(a))
    put(eventsWith())
    expect(await tintin.prepare(a)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(
        /r0 does not see host2, which counts as off since fence_command has switched it off, at .* UTC, until it is seen again or this host boots/,
      ),
    })
  })

  test('1 when it does not, before the lease of this host runs out; nothing is put down, and nothing starts', async () => {
    const { a, put, calls } = await frozen('echo no route to the switch >&2; exit 1')
    lease(a, 58)
    expect(await a.startFence(ENV).result).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /r0 stays frozen .*: fence_command has not said that host2 is off before the lease of this host runs out: exit status 1, no route to the switch/,
      ),
    })
    expect(calls().length).toBeGreaterThan(0)
    expect([
      existsSync(a.root.at(CONFIRMATION)),
      await a.list('/run/lvguard').then((names) => names.includes('fence:host2')),
    ]).toEqual([false, false])
    put(eventsWith())
    assertRefused(await tintin.prepare(a), /has not seen host2/)
  })

  test('one that hangs is ended in time, with its children', async () => {
    const { a, file } = await frozen(`sleep 1000 & echo $! > "$0.pid"; wait`)
    lease(a, 58)
    expect(await a.startFence(ENV).result).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/it did not end within/),
    })
    const child = readFileSync(`${file}.pid`, 'utf8').trim()
    await until(() => !existsSync(`/proc/${child}`) || readFileSync(`/proc/${child}/stat`, 'utf8').includes(') Z'))
  })

  test('what it leaves behind is not waited for', async () => {
    const { a } = await frozen('sleep 20 & exit 0')
    const began = Date.now()
    expect((await a.startFence(ENV).result).code).toBe(7)
    expect(Date.now() - began).toBeLessThan(15_000)
  })

  test('two at once, as DRBD calls it: one shot, and the same answer', async () => {
    const { a, calls } = await frozen('sleep 1; exit 0')
    const both = await Promise.all([a.startFence(ENV).result, a.startFence(ENV).result])
    expect(both.map(({ code }) => code)).toEqual([7, 7])
    expect(calls()).toHaveLength(1)
    expect(both.map(({ stderr }) => /which is off \((.*)\)/.exec(stderr)?.[1]).sort()).toEqual([
      'an answer of a moment ago',
      'fence_command',
    ])
  })

  test.each<[string, Record<string, string>, string, RegExp]>([
    ['called by a person', {}, '', /DRBD_RESOURCE is not set/],
    ['a host that DRBD’s configuration does not have', { ...ENV, DRBD_PEER: 'host3' }, '', /calls it host2/],
    [
      'a mistake in fence_delay',
      ENV,
      'fence_delay = "ten"\n',
      /lvguard\.conf is wrong: line 2: fence_delay must be a whole number of seconds from 0 to 30/,
    ],
    ['a file that cannot be used', ENV, 'policy = 1\n', /lvguard\.conf cannot be used/],
  ])('%s: 1, and nobody is switched off', async (_, env, more, words) => {
    const { a, calls } = await frozen('exit 0', { more })
    expect(await a.startFence(env).result).toMatchObject({ code: 1, stderr: expect.stringMatching(words) })
    expect(calls()).toEqual([])
  })

  test('an empty configuration: 1', async () => {
    const { a } = await frozen('exit 0')
    await a.write('/etc/libvirt/lvguard.conf', undefined)
    expect(await a.startFence(ENV).result).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/fence_command is not set/),
    })
  })
})
