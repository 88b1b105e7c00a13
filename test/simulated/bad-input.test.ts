import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import { describe, expect, test } from 'vitest'
import { Vm, announceAgent, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')

/** Every file that a host's programs may write, with its time and size. */
const filesOf = (root: string): string[] => ['etc', 'run', 'var'].flatMap((top) => readdirSync(join(root, top), { recursive: true, encoding: 'utf8' }).sort().map((name) => {
  const { mtimeMs, size } = statSync(join(root, top, name))
  return `${top}/${name} ${mtimeMs} ${size}`
}))

describe('bad input gets two lines, exit 1, and changes nothing', () => {
  test.each([
    ['nothing', '', /cut off or not well-formed/],
    ['cut off', tintin.xml().slice(0, -30), /cut off or not well-formed/],
    ['50 MB', `${tintin.xml()}<!-- ${'x'.repeat(50_000_000)} -->`, /longer than 8 MiB/],
    ['an entity bomb', `<!DOCTYPE domain [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>${tintin.xml().replace('tintin<', '&b;<')}`, /DOCTYPE/],
    ['no domain', '<network/>', /not a <domain>/],
    ['no UUID', tintin.xml().replace(/<uuid>.*<\/uuid>/, ''), /no <uuid>/],
    ['a UUID that is a path', tintin.xml().replace(/<uuid>.*<\/uuid>/, '<uuid>../../../etc/passwd</uuid>'), /no <uuid>/],
    ['__proto__', tintin.xml().replace('<devices>', '<devices><__proto__><disk/></__proto__>'), /cannot be read/],
    ['binary', '\u0000\u0001\u0002', /cut off or not well-formed/],
  ])('%s', async (_what, xml, message) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    for (const operation of ['prepare', 'migrate', 'release']) {
      assertRefused(await a.hook({ name: 'tintin', operation, xml }), message)
    }
    // A question to lvmlockctl changes nothing.
    expect(ring().log.lines('host1').filter((line) => line !== 'lvmlockctl --info')).toEqual([])
    expect(readdirSync(a.root.at('run/lvguard'))).toEqual([])
  })

  test.each([
    ['an LV named -f', '/dev/virtVG/-f'],
    ['a shell in the name', '/dev/virtVG/$(touch x);`touch y`'],
    ['a newline in the name', '/dev/virtVG/a&#10;b'],
    ['a layer of LVM’s own', '/dev/mapper/virtVG-tintin-real'],
  ])('%s is no volume, and is said to be none', async (_what, path) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    const result = await new Vm('tintin', [{ path }]).prepare(a)
    assertRefused(result, /no logical volume can have the path/)
    expect(ring().log.lines('host1', 'lvchange')).toEqual([])
  })

  test('a name with control characters does not reach the terminal', async () => {
    const [a] = ring().hosts
    const result = await a.hook({ name: 'tin\u001b[2Jtin', operation: 'prepare', xml: '' })
    expect(result.code).toBe(1)
    expect(result.stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
  })

  test.each(['prepare', '--dry-run', '--help', 'release', '__proto__', 'constructor'])('a domain called %s starts and stops', async (name) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    const vm = new Vm(name, [{ path: '/dev/virtVG/tintin' }])
    assertPassed(await vm.prepare(a))
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await vm.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('an unknown operation passes, with one warning in the log', async () => {
    const [a] = ring().hosts
    expect(await a.hook({ name: 'tintin', operation: 'hibernate', xml: 'not even XML' })).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(JSON.parse((await a.read('/var/log/libvirt/lvguard.log')) ?? '')).toMatchObject({ level: 'warn', message: 'unknown operation hibernate begin', domain: 'tintin' })
  })

  test('a wrong configuration refuses with all errors at once; release goes on with the defaults', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.write('/etc/libvirt/lvguard.conf', '# a comment\nmigrate_wait = -1\ncolour = "red"\nlog_level = 3\n')
    assertRefused(await tintin.prepare(a), /line 2: migrate_wait must be .*; line 3: unknown key colour; line 4: log_level must be/, /Correct \/etc\/libvirt\/lvguard\.conf/)
    assertRefused(await tintin.migrate(a), /line 2: /)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('a log folder that cannot be had loses the log, not the VM', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    for (const file of ['/no/such/folder/lvguard.log', '/etc/libvirt/lvguard.conf/lvguard.log']) {
      await a.write('/etc/libvirt/lvguard.conf', `log_file = "${file}"\n`)
      assertPassed(await tintin.prepare(a))
      assertPassed(await tintin.release(a))
    }
  })

  test.skipIf(process.getuid?.() !== 0)('a full /run refuses a start and keeps nobody from ending (needs root)', async () => {
    const [a] = ring().hosts
    const folder = a.root.at('run/lvguard')
    await ring().volume('tintin')
    mkdirSync(folder, { recursive: true })
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'lvguard-test', folder])
    try {
      assertPassed(await vmOn('virtVG', 'tintin').prepare(a))
      execaSync('sh', ['-c', `cat /dev/zero > ${folder}/filler`], { reject: false, stdio: 'ignore' })
      const milou = new Vm('milou', [{ path: `/dev/virtVG/${(await ring().volume('milou')).split('/')[1]}` }])
      assertRefused(await milou.prepare(a), /its record in \/run\/lvguard cannot be written \(ENOSPC/, /df \/run/)
      assertPassed(await milou.releaseRefused(a))
      // No volume at all: nothing of lvguard's is needed.
      await a.write('/dev/shm/x', '')
      assertPassed(await new Vm('bare', [{ path: '/dev/shm/x' }]).prepare(a))
      assertPassed(await tintin.release(a))
      await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
      await assertLocks(ring().hosts, 'milou', ['none', 'none'])
    } finally {
      await execa('umount', [folder])
    }
  })

  test('a record that cannot be read refuses every start here, and keeps what a release would give back', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.write('/run/lvguard/00000000-0000-4000-8000-000000000000.json', '{"format":2}')
    assertRefused(await vmOn('virtVG', 'tintin').prepare(a), /what runs here cannot be told/)
    assertRefused(await tintin.release(a), /virtVG\/tintin stays active and locked on this host: other VMs may use the same volumes/)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    await a.write('/run/lvguard/00000000-0000-4000-8000-000000000000.json', undefined)
  })
})

describe('a dry run', () => {
  const dryRun = (words: readonly string[], xml: string): ReturnType<ReturnType<typeof ring>['hosts'][0]['program']> => ring().hosts[0].program(['--dry-run', ...words], xml)

  test('shows the commands, each with its reason, and writes nothing', async () => {
    const [a, b] = ring().hosts
    await ring().volume('tintin')
    const before = filesOf(a.root.path)
    const { code, stdout } = await dryRun(['tintin', 'prepare', 'begin', '-'], tintin.xml())
    expect(filesOf(a.root.path)).toEqual(before)
    expect(stdout).toMatch(/^lvchange --yes --activate ey --ignoreactivationskip -- virtVG\/tintin {4}# disk vda$/m)
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toHaveLength(1)
    expect(code).toBe(0)
    expect(ring().log.lines('host1', 'lvchange')).toEqual([])
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    b.act('lvchange -aey virtVG/tintin')
    const held = await dryRun(['tintin', 'prepare'], tintin.xml())
    expect(held.stdout).toMatch(/^# would be refused: held by host2$/m)
    expect(held.code).toBe(1)
  })

  test('--json gives the plan', async () => {
    await ring().volume('tintin')
    await announceAgent(ring().hosts[0])
    const { stdout } = await dryRun(['--json', 'tintin', 'migrate'], tintin.xml())
    expect(JSON.parse(stdout)).toMatchObject({
      domain: 'tintin', uuid: tintin.uuid, operation: 'migrate', outcome: 'proceed', lockState: 'known',
      steps: [{ command: ['lvchange', '--yes', '--activate', 'sy', '--ignoreactivationskip', '--', 'virtVG/tintin'] }, { command: ['lvchange', '--yes', '--activate', 'n', '--', 'virtVG/tintin'] }],
    })
  })

  test('of a release, of an operation with nothing to do, of bad XML', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    expect((await dryRun(['tintin', 'release'], tintin.xml())).stdout).toMatch(/^lvchange --yes --activate n -- virtVG\/tintin/m)
    expect((await dryRun(['tintin', 'started'], '')).stdout).toMatch(/does nothing at started/)
    expect(await dryRun(['tintin', 'prepare'], '<domain>')).toMatchObject({ code: 1, stdout: expect.stringContaining('cut off') })
    expect(await dryRun(['tintin'], '')).toMatchObject({ code: 2 })
  })
})
