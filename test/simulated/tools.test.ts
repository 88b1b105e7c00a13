import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SimulatedHost } from './host.ts'
import { SimulatedRing } from './ring.ts'

/** Says how it was called. */
const STAND_IN = `#!/usr/bin/env node
const { LVGUARD_ROOT, PATH, ...others } = process.env
console.log(JSON.stringify({ words: process.argv.slice(2), stdin: require('node:fs').readFileSync(0, 'utf8'), others }))
console.error('said')
process.exit(7)
`

let folder: string
let ring: SimulatedRing
let host: SimulatedHost
let other: SimulatedHost

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lvguard-'))
  writeFileSync(join(folder, 'qemu'), STAND_IN, { mode: 0o755 })
  ring = await SimulatedRing.create({ program: join(folder, 'qemu') })
  ;[host, other] = ring.hosts
})
beforeEach(async () => {
  for (const name of ['a', 'b']) await ring.volume(name)
})
afterEach(() => ring.reset())
afterAll(async () => {
  await ring.close()
  rmSync(folder, { recursive: true })
})

/** A shell command on a host, as one of its programs would run it. */
const shell = (script: string) => host.run('sh', '-c', script)

describe('a simulated tool', () => {
  it('gives output, messages and exit status', async () => {
    await other.run('lvchange', '-aey', 'virtVG/b')
    expect(await host.run('lvchange', '--yes', '--activate', 'ey', '--', 'virtVG/a', 'virtVG/b')).toEqual({
      code: 5,
      stdout: '',
      stderr: '  LV locked by other host: virtVG/b\n  Failed to lock logical volume virtVG/b.\n',
    })
    expect((await host.run('lvs', '--nolocking', '--noheadings', '-o', 'name', 'virtVG')).stdout).toBe('  a\n  b\n')
    expect([await host.lock('a'), await host.lock('virtVG/b'), await other.lock('b')]).toEqual(['ex', 'none', 'ex'])
  })

  it('takes any words, and any length of answer', async () => {
    const stdout = `${'é$ \n'.repeat(100_000)}`
    host.faults.answer('virsh', { stdout, stderr: stdout, code: 3 })
    const words = ["it's", 'a\nb', '', '$(false)', 'é']
    expect(await host.run('virsh', ...words)).toEqual({ code: 3, stdout, stderr: stdout })
    expect(ring.log.commands('host1')[0]?.words).toEqual(words)
  })
})

describe('an lvm tool and inherited descriptors', () => {
  const lock = (): string => host.root.at('run/lvguard/virtVG.lock')
  const isLocked = async (): Promise<boolean> => (await host.run('flock', '-n', lock(), 'true')).code !== 0
  /** A program that takes the lock, starts lvchange, and ends without waiting for it. */
  const leaveBehind = (environment: string) =>
    shell(`exec 3> ${lock()}; flock 3; ${environment} lvchange -aey virtVG/a < /dev/null > /dev/null 2>&1 &`)

  it('keeps the flock of LVM_REPORT_FD until it ends, whoever started it', async () => {
    const gate = host.faults.block('lvchange')
    await leaveBehind('LVM_REPORT_FD=3')
    await gate.reached
    expect(await isLocked()).toBe(true)
    gate.open()
    expect((await host.run('flock', '-w', '10', lock(), 'true')).code).toBe(0)
    expect(await host.lock('a')).toBe('ex')
  })

  it('closes every other descriptor, and says so', async () => {
    const gate = host.faults.block('lvchange')
    await leaveBehind('')
    await gate.reached
    expect(await isLocked()).toBe(false)
    gate.open()
    const { stderr } = await shell('exec 5> /dev/null; lvs --nolocking')
    expect(stderr).toMatch(/^File descriptor 5 \(\/dev\/null\) leaked on lvs invocation\. Parent PID \d+: sh\n$/)
    expect((await shell('exec 5> /dev/null; LVM_SUPPRESS_FD_WARNINGS=1 lvs --nolocking')).stderr).toBe('')
  })

  // Measured on lvm2 2.03.16.
  it.each([
    [
      'exec 3< /dev/null; LVM_REPORT_FD=3',
      '  File descriptor 3 already open in read-only mode, expected write-only or read-write mode.\n',
    ],
    ['LVM_REPORT_FD=99', '  Failed to open stream for file descriptor 99.\n'],
    ['LVM_REPORT_FD=x', '  LVM_REPORT_FD: invalid file descriptor.\n'],
  ])('does nothing with a report descriptor that it cannot write to: %s', async (how, stderr) => {
    expect(await shell(`${how} lvchange -aey virtVG/a`)).toEqual({ code: 4, stdout: '', stderr })
    expect(await host.lock('a')).toBe('none')
  })

  it('writes its report there', async () => {
    const { stdout, code } = await shell(
      `exec 3> ${lock()}; LVM_REPORT_FD=3 lvs --nolocking --noheadings -o name virtVG/a`,
    )
    expect({ stdout, code, report: await host.read('/run/lvguard/virtVG.lock') }).toEqual({
      stdout: '',
      code: 0,
      report: '  a\n',
    })
  })

  it('has no such habits outside lvm', async () => {
    expect(await shell('exec 5< /dev/null; LVM_REPORT_FD=5 lvmlockctl --info')).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('a host', () => {
  const active = async (on: SimulatedHost): Promise<(string | undefined)[]> =>
    Promise.all((await on.list('/sys/block')).map((node) => on.read(`/sys/block/${node}/dm/name`)))

  it('shows its active volumes in /sys and /dev', async () => {
    ring.fill('virtVG/a', 'QFI')
    await host.run('lvchange', '-aey', 'virtVG/a')
    host.open('virtVG/a')
    expect([await active(host), await active(other)]).toEqual([
      ['virtVG-lvmlock\n', 'virtVG-a\n'],
      ['virtVG-lvmlock\n'],
    ])
    const { uuid } = ring.cluster.volumes.get('virtVG/a')
    expect(await host.read('/sys/block/dm-1/dm/uuid')).toBe(
      `LVM-${`${ring.cluster.volumes.groups[0]?.uuid}${uuid}`.replaceAll('-', '')}\n`,
    )
    expect(await host.read('/sys/block/dm-1/dev')).toBe('253:1\n')
    for (const path of ['/dev/virtVG/a', '/dev/mapper/virtVG-a', '/dev/dm-1', '/dev/disk/by-id/dm-name-virtVG-a'])
      expect(await host.read(path)).toBe('QFI')
    expect(
      (await host.run('dmsetup', 'info', '-c', '--noheadings', '--separator', ':', '-o', 'name,open')).stdout,
    ).toBe('virtVG-a:1\nvirtVG-lvmlock:1\n')
    host.close('virtVG/a')
    await host.run('lvchange', '-an', 'virtVG/a')
    expect([await active(host), await host.read('/dev/virtVG/a')]).toEqual([['virtVG-lvmlock\n'], undefined])
  })

  it('shows what stands on a device', async () => {
    await host.run('lvchange', '-aey', 'virtVG/a')
    ring.cluster.devices.stack(host.state, 'virtVG/a', { name: 'virtVG-a1', uuid: 'part1-LVM-x' })
    expect(await host.list('/sys/block/dm-1/holders')).toEqual(['dm-2'])
    expect(await host.read('/sys/block/dm-1/holders/dm-2/dm/name')).toBe('virtVG-a1\n')
  })

  it('runs the program as libvirtd does', async () => {
    const answer = await host.hook({ name: 'tintin', operation: 'prepare', xml: '<domain/>' })
    expect({ ...answer, stdout: JSON.parse(answer.stdout) }).toEqual({
      code: 7,
      stderr: 'said\n',
      stdout: { words: ['tintin', 'prepare', 'begin', '-'], stdin: '<domain/>', others: { LC_ALL: 'C' } },
    })
    const release = await host.hook({
      name: 'tintin',
      operation: 'release',
      extra: 'destroyed',
      xml: '',
      options: ['--dry-run'],
    })
    expect(release.stdout).toContain('["--dry-run","tintin","release","end","destroyed"]')
    expect((await host.program(['status'])).stdout).toContain('["status"]')
  })

  it('can have another Node', async () => {
    const nodeFolder = join(folder, 'node18')
    mkdirSync(nodeFolder)
    writeFileSync(join(nodeFolder, 'node'), '#!/bin/sh\necho another\n')
    chmodSync(join(nodeFolder, 'node'), 0o755)
    const otherRing = await SimulatedRing.create({ program: join(folder, 'qemu'), nodeFolder })
    expect((await otherRing.hosts[0].program([])).stdout).toBe('another\n')
    await otherRing.close()
  })
})

describe('faults', () => {
  const activate = (...volumes: string[]) => host.run('lvchange', '-aey', ...volumes)

  it('happen before or after the nth command that matches', async () => {
    host.faults.before(
      /^lvchange -aey/,
      () => {
        other.act('lvchange -aey virtVG/b')
      },
      2,
    )
    host.faults.after('lvmlockctl', () => host.killLocking(), 1)
    expect([(await activate('virtVG/a')).code, (await activate('virtVG/b')).code]).toEqual([0, 5])
    expect([(await host.run('lvmlockctl', '-i')).code, (await host.run('lvmlockctl', '-i')).code]).toEqual([0, 255])
  })

  it('answer in the place of a tool, or change what it says', async () => {
    host.faults.answer((command) => command.words.includes('virtVG/a'), { code: 5, stderr: '  no\n' }, 1)
    const rule = host.faults.answer('lvmlockctl', (_command, perform) => ({ ...perform(), stdout: 'LK LV ??' }))
    expect(await activate('virtVG/a')).toEqual({ code: 5, stdout: '', stderr: '  no\n' })
    expect((await activate('virtVG/a')).code).toBe(0)
    expect((await host.run('lvmlockctl', '-i')).stdout).toBe('LK LV ??')
    rule.remove()
    expect((await host.run('lvmlockctl', '-i')).stdout).toContain('LK LV ex')
  })

  it('hold a command up: before it works, or after that', async () => {
    for (const [when, lock] of [
      ['before', 'none'],
      ['after', 'ex'],
    ] as const) {
      const gate = host.faults.block('lvchange', { when, nth: 1 })
      const answer = activate('virtVG/a')
      await gate.reached
      expect(await host.lock('a')).toBe(lock)
      gate.open()
      expect((await answer).code).toBe(0)
      host.act('lvchange -an virtVG/a')
    }
  })

  it('keep one change of a host at a time, as LVM does, and show who waited', async () => {
    const gate = host.faults.block('lvchange', { nth: 1 })
    const [first, second] = [activate('virtVG/a'), gate.reached.then(() => activate('virtVG/b'))]
    await gate.reached
    expect((await host.run('lvmlockctl', '-i')).code).toBe(0)
    gate.open()
    expect((await Promise.all([first, second])).map(({ code }) => code)).toEqual([0, 0])
    expect(ring.log.lines('host1', 'lvchange')).toEqual(['lvchange -aey virtVG/a', 'lvchange -aey virtVG/b'])
    expect(ring.log.commands('host1', 'lvchange').every(({ result }) => result?.code === 0)).toBe(true)
    ring.log.clear()
    await activate('virtVG/a')
    await activate('virtVG/b')
    expect(ring.log.overlaps('host1')).toEqual([])
  })

  it('do not carry out what was killed while it waited', async () => {
    const gate = host.faults.block('lvchange')
    const answer = activate('virtVG/a')
    process.kill((await gate.reached).pid, 'SIGKILL')
    expect((await answer).code).toBe(137)
    gate.open()
    await activate('virtVG/b')
    expect([await host.lock('a'), await host.lock('b')]).toEqual(['none', 'ex'])
  })

  it('stop lvmlockd: who asks it waits', async () => {
    await host.pauseLocking()
    const change = activate('virtVG/a')
    expect((await host.run('lvs', '--nolocking')).code).toBe(0)
    expect((await host.run('sanlock', 'client', 'gets')).code).toBe(0)
    expect(
      await Promise.race([
        change.then(() => 'done'),
        new Promise((resolve) => {
          setTimeout(resolve, 100, 'waits')
        }),
      ]),
    ).toBe('waits')
    await host.resumeLocking()
    expect((await change).code).toBe(0)
  })

  it('end with a reset, and nothing that waited is done', async () => {
    const gate = host.faults.block('lvchange')
    const change = activate('virtVG/a')
    await gate.reached
    await host.write('/run/lvguard/record', 'x')
    await host.write('/etc/libvirt/lvguard.conf', '')
    await ring.reset()
    expect((await change).code).not.toBe(0)
    expect([
      await host.lock('a'),
      await host.list('/run/lvguard'),
      await host.read('/etc/libvirt/lvguard.conf'),
      ring.log.lines(),
    ]).toEqual(['none', [], '', []])
  })
})
