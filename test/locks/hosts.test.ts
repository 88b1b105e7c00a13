/** What the project takes for granted of LVM, lvmlockd and sanlock, asked of the real ones. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LocksHost } from './host.ts'
import { LocksRing, available, together } from './ring.ts'

const obstacle = await available()

describe.skipIf(obstacle !== undefined)(`real locks${obstacle === undefined ? '' : ` (skipped: ${obstacle})`}`, () => {
  let ring: LocksRing
  let host1: LocksHost
  let host2: LocksHost

  beforeAll(async () => {
    ring = await LocksRing.create()
    ;[host1, host2] = ring.hosts
    for (const name of ['tintin', 'milou', 'haddock']) await ring.volume(name)
  })
  afterAll(() => ring?.close())
  beforeEach(() => ring.reset())

  const exclusive = (host: LocksHost, ...volumes: string[]) => host.run('lvchange', '-aey', ...volumes)
  const shared = (host: LocksHost, ...volumes: string[]) => host.run('lvchange', '-asy', ...volumes)
  const inactive = (host: LocksHost, ...volumes: string[]) => host.run('lvchange', '-an', ...volumes)
  const locksOn = async (volume: string) => [await host1.lock(volume), await host2.lock(volume)]
  const conflict = {
    code: 5,
    stderr: expect.stringMatching(/LV locked by other host: virtVG\/tintin( \(host_id \d+\))?$/m),
  }

  /** How long something takes, in milliseconds. */
  async function timed<T>(work: Promise<T>): Promise<[T, number]> {
    const begin = performance.now()
    return [await work, performance.now() - begin]
  }

  test('exclusive keeps exclusive out (FACTS 21, 22)', async () => {
    await exclusive(host1, 'virtVG/tintin')
    expect(await exclusive(host2, 'virtVG/tintin')).toMatchObject(conflict)
    expect(await locksOn('tintin')).toEqual(['ex', 'none'])
  })

  test('exclusive keeps shared out, after five seconds of trying (FACTS 21)', async () => {
    await exclusive(host1, 'virtVG/tintin')
    const [result, took] = await timed(shared(host2, 'virtVG/tintin'))
    expect(result).toMatchObject(conflict)
    expect(took).toBeGreaterThan(4000)
    expect(await locksOn('tintin')).toEqual(['ex', 'none'])
  })

  test('who waits for shared gets it when the holder demotes', async () => {
    await exclusive(host1, 'virtVG/tintin')
    const waiting = host2.start(['lvchange', '-asy', 'virtVG/tintin'])
    await expect.poll(() => host2.run('pgrep', '-P', String(process.pid), '-x', 'lvchange')).toMatchObject({ code: 0 })
    expect(await shared(host1, 'virtVG/tintin')).toMatchObject({ code: 0 })
    expect(await waiting.result).toMatchObject({ code: 0 })
    expect(await locksOn('tintin')).toEqual(['sh', 'sh'])
  })

  test('a shared lock goes exclusive only when nobody else shares, and is kept until then (FACTS 20)', async () => {
    await exclusive(host1, 'virtVG/tintin')
    expect(await shared(host1, 'virtVG/tintin')).toMatchObject({ code: 0 })
    expect(await shared(host2, 'virtVG/tintin')).toMatchObject({ code: 0 })
    expect(await locksOn('tintin')).toEqual(['sh', 'sh'])
    expect(await exclusive(host2, 'virtVG/tintin')).toMatchObject(conflict)
    expect(await locksOn('tintin')).toEqual(['sh', 'sh'])
    await inactive(host1, 'virtVG/tintin')
    expect(await exclusive(host2, 'virtVG/tintin')).toMatchObject({ code: 0 })
    expect(await locksOn('tintin')).toEqual(['none', 'ex'])
  })

  test('of two that want exclusive at once one wins; two that share both do (FACTS 33)', async () => {
    const both = (mode: string) =>
      together(...ring.hosts.map((host) => host.start(['lvchange', mode, 'virtVG/tintin'], { gate: true })))
    expect((await both('-aey')).map(({ code }) => code).sort()).toEqual([0, 5])
    expect((await locksOn('tintin')).sort()).toEqual(['ex', 'none'])
    await ring.reset()
    expect(await both('-asy')).toMatchObject([{ code: 0 }, { code: 0 }])
    expect(await both('-aey')).toMatchObject([conflict, conflict])
    expect(await locksOn('tintin')).toEqual(['sh', 'sh'])
  })

  test('one command for several volumes is not atomic (FACTS 23)', async () => {
    await exclusive(host2, 'virtVG/milou')
    expect(await exclusive(host1, 'virtVG/tintin', 'virtVG/milou', 'virtVG/haddock')).toMatchObject({ code: 5 })
    expect([await host1.lock('tintin'), await host1.lock('milou'), await host1.lock('haddock')]).toEqual([
      'ex',
      'none',
      'ex',
    ])
  })

  test('nor is one with a volume that does not exist', async () => {
    const result = await exclusive(host1, 'virtVG/tintin', 'virtVG/nope', 'virtVG/milou')
    expect(result).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('Failed to find logical volume "virtVG/nope"'),
    })
    expect([await host1.lock('tintin'), await host1.lock('milou')]).toEqual(['ex', 'ex'])
  })

  test('the lease on the disk says who holds, without a lock (FACTS 31)', async () => {
    await exclusive(host2, 'virtVG/tintin')
    const report = await host1.must('lvs', '--nolocking', '--noheadings', '-o', 'lv_uuid,lv_lockargs', 'virtVG/tintin')
    const [, uuid, offset] = /^ *(\S+) +1\.0\.0:(\d+)/.exec(report) ?? []
    const disk = '/dev/mapper/virtVG-lvmlock'
    const leader = () => host1.must('sanlock', 'direct', 'read_leader', '-r', `lvm_virtVG:${uuid}:${disk}:${offset}`)
    const sharers = async () =>
      [
        ...(await host1.must('sanlock', 'direct', 'dump', `${disk}:${offset}:1048576`)).matchAll(
          /^ +(\d{4}) \d{4} SH$/gm,
        ),
      ].map(([, id]) => Number(id))
    expect(await leader()).toMatch(/^owner_id +2$/m)
    expect(await leader()).not.toMatch(/^timestamp +0$/m)
    expect(await host1.must('sanlock', 'direct', 'read_leader', '-s', `lvm_virtVG:2:${disk}:0`)).toMatch(
      /^resource_name +host2$/m,
    )
    await shared(host2, 'virtVG/tintin')
    await shared(host1, 'virtVG/tintin')
    expect(await leader()).toMatch(/^timestamp +0$/m)
    expect(await sharers()).toEqual([1, 2])
  })

  test('without lvmlockd every change fails, and its locks keep the other host out (FACTS 28)', async () => {
    await exclusive(host1, 'virtVG/tintin')
    await host1.killLocking()
    expect(await exclusive(host1, 'virtVG/milou')).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(
        /lvmlockd (process is not running|connect failed)[\s\S]*Cannot access VG virtVG due to failed lock/,
      ),
    })
    expect(await host1.run('lvmlockctl', '-i')).toMatchObject({ stdout: 'Cannot connect to lvmlockd.\n' })
    expect(await exclusive(host2, 'virtVG/tintin')).toMatchObject(conflict)
    await host1.restartLocking()
    expect(await locksOn('tintin')).toEqual(['ex', 'none'])
    expect(await exclusive(host2, 'virtVG/tintin')).toMatchObject(conflict)
    expect(await exclusive(host1, 'virtVG/milou')).toMatchObject({ code: 0 })
  })

  test('while lvmlockd hangs so does lvchange, and goes on with it', async () => {
    await host1.pauseLocking()
    const waiting = host1.start(['lvchange', '-aey', 'virtVG/tintin'])
    expect(await Promise.race([waiting.exited, new Promise((resolve) => setTimeout(resolve, 1000, 'waits'))])).toBe(
      'waits',
    )
    await host1.resumeLocking()
    expect(await waiting.exited).toBe(0)
    expect(await host1.lock('tintin')).toBe('ex')
  })

  test('each host has its own /run, /etc/libvirt and logs, and the little environment of a hook (FACTS 10)', async () => {
    for (const path of ['/run/libvirt/qemu/tintin.xml', '/etc/libvirt/lvguard.conf', '/var/log/libvirt/lvguard.log']) {
      await host1.write(path, 'here')
      expect([await host1.read(path), await host2.read(path)]).toEqual(['here', undefined])
      expect((await host1.run('cat', path)).stdout).toBe('here')
      await host1.write(path, undefined)
    }
    expect([
      await host1.list('/run/libvirt'),
      await host1.list('/etc/libvirt/qemu'),
      await host1.list('/run/lvguard'),
    ]).toEqual([['qemu'], [], []])
    expect((await host1.run('env')).stdout).toMatch(/^LC_ALL=C\nPATH=\S+\n$/)
  })
})
