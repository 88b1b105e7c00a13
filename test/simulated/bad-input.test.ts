import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import { describe, expect, test } from 'vitest'
import { Vm, announceAgent, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')

/** Every file that a host's programs may write, with its time and size. */
const filesOf = (root: string): string[] =>
  ['etc', 'run', 'var'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .sort()
      .map((name) => {
        const { mtimeMs, size } = statSync(join(root, top, name))
        return `${top}/${name} ${mtimeMs} ${size}`
      }),
  )

describe('bad input gets two lines, exit 1, and changes nothing', () => {
  test.each([
    ['nothing', '', /the domain XML is empty/],
    ['cut off', tintin.xml().slice(0, -30), /the domain XML is cut off: it does not end with <\/domain>/],
    ['not well-formed', tintin.xml().replace('</name>', '</nam>'), /the domain XML is not well-formed \(line \d+\)/],
    ['50 MB', `${tintin.xml()}<!-- ${'x'.repeat(50_000_000)} -->`, /longer than 8 MiB/],
    [
      'an entity bomb',
      `<!DOCTYPE domain [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>${tintin.xml().replace('tintin<', '&b;<')}`,
      /DOCTYPE/,
    ],
    ['no domain', '<network/>', /not a <domain>/],
    ['no UUID', tintin.xml().replace(/<uuid>.*<\/uuid>/, ''), /no <uuid>/],
    [
      'a UUID that is a path',
      tintin.xml().replace(/<uuid>.*<\/uuid>/, '<uuid>../../../etc/passwd</uuid>'),
      /no <uuid>/,
    ],
    ['__proto__', tintin.xml().replace('<devices>', '<devices><__proto__><disk/></__proto__>'), /cannot be read/],
    ['binary', '\u0000\u0001\u0002', /the domain XML is no XML/],
    [
      'that of another domain',
      vmOn('virtVG', 'milou').xml(),
      /the XML is that of milou, not of a domain called tintin/,
    ],
  ])('%s', async (_what, xml, message) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    for (const operation of ['prepare', 'migrate', 'release']) {
      const result = await a.hook({ name: 'tintin', operation, xml })
      // What a release gives back is what the domain of the XML has on record, whatever it is called.
      if (operation === 'release' && xml.includes('<name>milou<')) assertPassed(result)
      else assertRefused(result, message)
      expect(result.stderr).not.toMatch(/ENOENT|tag '|Invalid|code/)
    }
    // A question to lvmlockctl changes nothing.
    expect(
      ring()
        .log.lines('host1')
        .filter((line) => line !== 'lvmlockctl --info'),
    ).toEqual([])
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

  test.each(['prepare', '--dry-run', '--help', 'release', '__proto__', 'constructor'])(
    'a domain called %s starts and stops',
    async (name) => {
      const [a] = ring().hosts
      await ring().volume('tintin')
      const vm = new Vm(name, [{ path: '/dev/virtVG/tintin' }])
      assertPassed(await vm.prepare(a))
      await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
      assertPassed(await vm.release(a))
      await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    },
  )

  test('an unknown operation passes, with one warning in the log', async () => {
    const [a] = ring().hosts
    expect(await a.hook({ name: 'tintin', operation: 'hibernate', xml: 'not even XML' })).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    })
    await expect
      .poll(async () => JSON.parse((await a.read('/var/log/libvirt/lvguard.log')) ?? '{}') as unknown)
      .toMatchObject({ level: 'warn', message: 'unknown operation hibernate begin', domain: 'tintin' })
  })

  test('a wrong configuration refuses with all errors at once; release goes on with the defaults', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.write('/etc/libvirt/lvguard.conf', '# a comment\nmigrate_wait = -1\ncolour = "red"\nlog_level = 3\n')
    assertRefused(
      await tintin.prepare(a),
      /line 2: migrate_wait must be .*; line 3: unknown key colour; line 4: log_level must be/,
      /Correct \/etc\/libvirt\/lvguard\.conf/,
    )
    assertRefused(await tintin.migrate(a), /line 2: /)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('a mistake in a key that locks nothing leaves it at its default, and is said at each event', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await a.write('/etc/libvirt/lvguard.conf', 'migrate_wait: 30\nlog_level = 3\n')
    assertPassed(await tintin.prepare(a))
    assertPassed(await tintin.release(a))
    await expect
      .poll(async () =>
        (await a.read('/var/log/libvirt/lvguard.log'))
          ?.trim()
          .split('\n')
          .map((line) => JSON.parse(line) as unknown),
      )
      .toMatchObject(
        ['locked', 'released'].map((outcome) => ({
          level: 'warn',
          outcome,
          message: expect.stringMatching(
            /configuration: line 1: write key = value, such as migrate_wait = 30; line 2: log_level must be/,
          ),
        })),
      )
  })

  test('a VM on a volume group that volume_groups leaves out starts, and the log says so', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await a.write('/etc/libvirt/lvguard.conf', 'volume_groups = [ "virtVg" ]\n')
    assertPassed(await tintin.prepare(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    await expect
      .poll(async () => JSON.parse((await a.read('/var/log/libvirt/lvguard.log')) ?? '{}') as unknown)
      .toMatchObject({
        level: 'warn',
        outcome: 'nothing',
        message: expect.stringMatching(/virtVG has a lock manager, and volume_groups in lvguard\.conf leaves it out/),
      })
    // A path that only looks like one is not worth a word.
    await a.write('/var/log/libvirt/lvguard.log', undefined)
    assertPassed(await new Vm('bare', [{ path: '/dev/shm/x' }]).prepare(a))
    expect(await a.read('/var/log/libvirt/lvguard.log')).toBeUndefined()
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

  test.skipIf(process.getuid?.() !== 0)(
    'a full /run refuses a start and keeps nobody from ending (needs root)',
    async () => {
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
    },
  )

  test('a record that cannot be read refuses every start here, and keeps what a release would give back', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.write('/run/lvguard/00000000-0000-4000-8000-000000000000.json', '{"format":2}')
    assertRefused(await vmOn('virtVG', 'tintin').prepare(a), /what runs here cannot be told/)
    assertRefused(
      await tintin.release(a),
      /virtVG\/tintin stays active and locked on this host: other VMs may use the same volumes/,
    )
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    await a.write('/run/lvguard/00000000-0000-4000-8000-000000000000.json', undefined)
  })
})

describe('a dry run', () => {
  const dryRun = (words: readonly string[], xml: string): ReturnType<ReturnType<typeof ring>['hosts'][0]['program']> =>
    ring().hosts[0].program(['--dry-run', ...words], xml)

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

  test('a lease that cannot be read is no all-clear', async () => {
    await ring().volume('tintin')
    ring().hosts[0].faults.answer(/^sanlock direct/, { code: 1 })
    const { code, stdout } = await dryRun(['tintin', 'prepare'], tintin.xml())
    expect([code, stdout]).toEqual([
      3,
      expect.stringMatching(/^# unknown here whether another host holds virtVG\/tintin/m),
    ])
  })

  test('--json gives the plan', async () => {
    await ring().volume('tintin')
    await announceAgent(ring().hosts[0])
    const { stdout } = await dryRun(['--json', 'tintin', 'migrate'], tintin.xml())
    expect(JSON.parse(stdout)).toMatchObject({
      domain: 'tintin',
      uuid: tintin.uuid,
      operation: 'migrate',
      outcome: 'proceed',
      lockState: 'known',
      steps: [
        { command: ['lvchange', '--yes', '--activate', 'sy', '--ignoreactivationskip', '--', 'virtVG/tintin'] },
        { command: ['lvchange', '--yes', '--activate', 'n', '--', 'virtVG/tintin'] },
      ],
    })
  })

  test('of a release, of an operation with nothing to do, of bad XML', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    expect((await dryRun(['tintin', 'release'], tintin.xml())).stdout).toMatch(
      /^lvchange --yes --activate n -- virtVG\/tintin/m,
    )
    expect((await dryRun(['tintin', 'started'], '')).stdout).toMatch(/does nothing at started/)
    expect(await dryRun(['tintin', 'prepare'], '<domain>')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('the domain XML on standard input is cut off'),
    })
    expect(await dryRun(['tintin'], '')).toMatchObject({ code: 2 })
  })
})

describe('no false all-clear of a dry run', () => {
  const dryRun = (words: readonly string[], xml = ''): ReturnType<ReturnType<typeof ring>['hosts'][0]['program']> =>
    ring().hosts[0].program(words, xml)

  test.each<[string, string[]]>([
    ['the options at the end', ['--dry-run', 'tintin', 'prepare', '--xml', 'FILE', '--json']],
    ['the options in the middle', ['tintin', '--json', '--dry-run', 'prepare', '--xml=FILE']],
    ['all options behind the name', ['tintin', 'prepare', '--dry-run', '--json', '--xml', 'FILE']],
    [
      'four words, of which libvirt could have given each',
      ['tintin', 'prepare', 'begin', '--xml', 'FILE', '--json', '--dry-run'],
    ],
  ])('%s', async (_what, words) => {
    const [a, b] = ring().hosts
    await ring().volume('tintin')
    b.act('lvchange -aey virtVG/tintin')
    await a.write('/tmp/tintin.xml', tintin.xml())
    const { code, stdout } = await dryRun(words.map((word) => word.replace('FILE', a.root.at('tmp/tintin.xml'))))
    expect(JSON.parse(stdout)).toMatchObject({
      domain: 'tintin',
      operation: 'prepare',
      outcome: 'refuse',
      problems: [{ kind: 'held' }],
    })
    expect(code).toBe(1)
    expect(ring().log.lines('host1', 'lvchange')).toEqual([])
  })

  test.each<[string, string[], RegExp]>([
    ['a misspelt operation', ['--dry-run', 'tintin', 'prepaer'], /no operation prepaer; did you mean prepare\?/],
    ['an operation in upper case', ['--dry-run', 'tintin', 'PREPARE'], /did you mean prepare\?/],
    [
      'name and operation exchanged',
      ['--dry-run', 'prepare', 'tintin'],
      /did you mean lvguard --dry-run tintin prepare\?/,
    ],
    ['a sub-operation that does nothing', ['--dry-run', 'tintin', 'prepare', 'end'], /is begin, not end/],
    ['an unknown verb', ['statsu'], /no command statsu/],
  ])('%s is wrong usage, in one line', async (_what, words, message) => {
    const { code, stdout, stderr } = await dryRun(words, tintin.xml())
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/^[^\n]+--help\n$/)
  })

  test.each<[string, (folder: string) => string, RegExp]>([
    ['is not there', (folder) => `${folder}/tmp/none.xml`, /there is no file \S+none\.xml/],
    ['is a folder', (folder) => `${folder}/etc`, /\/etc is a folder, not a file/],
    ['is below a file', (folder) => `${folder}/etc/libvirt/hooks/qemu/x`, /a part of its path is no folder/],
  ])('a file that %s', async (_what, path, message) => {
    const [a] = ring().hosts
    const { code, stdout, stderr } = await dryRun(['--dry-run', 'tintin', 'prepare', '--xml', path(a.root.path)])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/^[^\n]+virsh dumpxml tintin > FILE\n$/)
    expect(stderr).not.toMatch(/E[A-Z]{4,}|at .*:\d+:/)
  })

  test.each<[string, string, RegExp]>([
    ['empty', '', /the domain XML in \S+ is empty/],
    ['cut off', tintin.xml().slice(0, -30), /the domain XML in \S+ is cut off: it does not end with <\/domain>/],
    ['no XML', 'tintin\n', /the domain XML in \S+ is no XML/],
    ['of a network', '<network><name>x</name></network>', /the domain XML in \S+ is not a <domain>/],
    ['of another domain', vmOn('virtVG', 'milou').xml(), /the XML is that of milou, not of a domain called tintin/],
  ])('a file that is %s', async (_what, xml, message) => {
    const [a] = ring().hosts
    await a.write('/tmp/bad.xml', xml)
    const { code, stdout } = await dryRun(['--dry-run', 'tintin', 'prepare', '--xml', a.root.at('tmp/bad.xml')])
    expect(code).toBe(1)
    expect(stdout).toMatch(message)
    expect(stdout).not.toMatch(/standard input|ENOENT/)
  })

  test('a UUID in the place of the name is right, too', async () => {
    await ring().volume('tintin')
    expect(await dryRun(['--dry-run', tintin.uuid, 'prepare'], tintin.xml())).toMatchObject({ code: 0 })
  })

  test('names in the configuration that this host does not have, and what it leaves out', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await a.write(
      '/etc/libvirt/lvguard.conf',
      'volume_groups = [ "virtVg" ]\npolicy = [ "virtVG/tintni = shared" ]\nlog_file = "/var/log/libvrit/x.log"\nlog_level = 1\n',
    )
    const { stdout } = await dryRun(['--dry-run', 'tintin', 'prepare'], tintin.xml())
    expect(stdout).toMatch(
      /^# warning: configuration: volume_groups names virtVg, which this host does not have; did you mean virtVG\?$/m,
    )
    expect(stdout).toMatch(
      /^# warning: configuration: policy 'virtVG\/tintni = shared' counts for nothing: volume_groups leaves virtVG out$/m,
    )
    expect(stdout).toMatch(
      /^# warning: configuration: log_file is in the folder \/var\/log\/libvrit, which does not exist$/m,
    )
    expect(stdout).toMatch(/^# warning: configuration: line 4: log_level must be/m)
    expect(stdout).toMatch(/^# warning: virtVG has a lock manager, and volume_groups in lvguard\.conf leaves it out/m)
  })

  test('a policy in the <metadata> for a disk that the domain does not have', async () => {
    await ring().volume('tintin')
    const xml = tintin
      .xml()
      .replace(
        '<devices>',
        "<metadata><policy xmlns='urn:lvguard:policy:1'><disk target='vdaa' mode='shared'/></policy></metadata><devices>",
      )
    expect((await dryRun(['--dry-run', 'tintin', 'prepare'], xml)).stdout).toMatch(
      /^# warning: the policy in its <metadata> names the disk vdaa, which it does not have; did you mean vda\?$/m,
    )
  })
})

describe('lvguard check-config', () => {
  const check = async (
    text: string | undefined,
    words: readonly string[] = [],
  ): Promise<{ code: number | null; stdout: string; stderr: string }> => {
    const [a] = ring().hosts
    await a.write('/etc/libvirt/lvguard.conf', text)
    return a.program(['check-config', ...words])
  }

  test('a right one, one that is not there, and the installed one', async () => {
    expect(await check('volume_groups = [ "virtVG" ]\n')).toEqual({
      code: 0,
      stdout: '/etc/libvirt/lvguard.conf is right\n',
      stderr: '',
    })
    expect(await check(undefined)).toMatchObject({ code: 0 })
    expect(await check('', [new URL('../../install/lvguard.conf', import.meta.url).pathname])).toMatchObject({
      code: 0,
    })
  })

  test('all that is wrong at once, each with its line, and what that means', async () => {
    const { code, stdout, stderr } = await check('start_wait: 30\nlog_level = "all"\nvolume_group = []\n')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr.split('\n').slice(0, 3)).toEqual([
      expect.stringMatching(/lvguard\.conf: line 1: write key = value, such as start_wait = 30$/),
      expect.stringMatching(/line 2: log_level must be/),
      expect.stringMatching(/line 3: unknown key volume_group; did you mean volume_groups\?$/),
    ])
    expect(stderr).toMatch(/no VM starts here/)
    expect(await check('log_level = "all"\n')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/these keys have their defaults/),
    })
  })

  test('what this host does not have is a warning', async () => {
    await ring().volume('iso')
    const { code, stderr } = await check(
      'volume_groups = [ "virtVG", "goneVG" ]\npolicy = [ "virtVG/iso = shared", "virtVG/isoo = shared", "virtVG = exclusive" ]\nlog_file = "/no/such/x.log"\nfence_command = [ "/no/such/off", "%h" ]\n',
    )
    expect(code).toBe(0)
    expect(stderr.trim().split('\n')).toEqual([
      'lvguard: warning: volume_groups names goneVG, which this host does not have',
      "lvguard: warning: policy 'virtVG/isoo = shared' names virtVG/isoo, which does not exist; did you mean iso?",
      'lvguard: warning: log_file is in the folder /no/such, which does not exist',
      'lvguard: warning: fence_command names /no/such/off, which this host does not have, or which is no program',
    ])
  })

  test('--json, and a file that is not there', async () => {
    const { stdout } = await check('log_level = "all"\n', ['--json'])
    expect(JSON.parse(stdout)).toMatchObject({ usable: true, errors: [expect.stringMatching(/line 1/)], warnings: [] })
    expect(await check('', ['/no/such.conf'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/there is no file \/no\/such\.conf/),
    })
    expect(await check('', ['/etc'])).toMatchObject({ code: 1, stderr: expect.stringMatching(/\/etc is a folder/) })
  })
})
