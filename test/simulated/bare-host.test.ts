import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { vmOn } from '../scenarios/vm.ts'
import { type Ended, isRoot, withBuiltFile } from './built-file.ts'

const tintin = vmOn('virtVG', 'tintin')

let folder: string
beforeAll(() => {
  folder = withBuiltFile()
  chmodSync(folder, 0o755)
  for (const name of ['root/etc/libvirt', 'root/run/libvirt/qemu', 'bin'])
    mkdirSync(join(folder, name), { recursive: true })
  chmodSync(join(folder, 'qemu'), 0o755)
  // A host with what every Debian has, and no LVM.
  for (const [name, path] of [
    ['node', process.execPath],
    ['flock', '/usr/bin/flock'],
    ['test', '/usr/bin/test'],
    ['id', '/usr/bin/id'],
    ['true', '/usr/bin/true'],
  ] as const)
    symlinkSync(path, join(folder, 'bin', name))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

const bare = (words: readonly string[], input: string): Promise<Ended> =>
  execa(process.execPath, [join(folder, 'qemu'), ...words], {
    env: { PATH: join(folder, 'bin'), LVGUARD_ROOT: join(folder, 'root') },
    extendEnv: false,
    input,
    reject: false,
  })

describe('a host without LVM', () => {
  test('a dry run gives the plan, and says that the real call would be refused, and what to install', async () => {
    const { exitCode, stdout } = await bare(['--dry-run', 'tintin', 'prepare'], tintin.xml())
    expect(stdout).toMatch(/^# would be refused: tintin was not started: lvs was not found on this host/m)
    expect(stdout).toMatch(/^# {3}Install it: apt install lvm2 lvm2-lockd; then start tintin again\.$/m)
    expect(stdout).toMatch(/^# unknown here whether it would be done: LVM is not installed/m)
    expect(stdout).toMatch(/^lvchange --yes --activate ey --ignoreactivationskip -- virtVG\/tintin {4}# disk vda$/m)
    expect(exitCode).toBe(1)
  })

  test('the hook refuses in two lines', async () => {
    const { exitCode, stderr } = await bare(['tintin', 'prepare', 'begin', '-'], tintin.xml())
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr:
        'lvguard: tintin was not started: lvs was not found on this host, so no volume can be locked.\nlvguard: Install it: apt install lvm2 lvm2-lockd; then start tintin again.',
    })
  })
})

describe('check-config where the names in the file cannot be looked for', () => {
  const file = (): string => {
    const path = join(folder, 'named.conf')
    writeFileSync(path, 'volume_groups = [ "virtVg" ]\npolicy = [ "virtVg/debian = shared" ]\nlog_file = ""\n')
    return path
  }

  test('without LVM that is said: no all-clear', async () => {
    expect(await bare(['check-config', file()], '')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/ is right, but see the warnings$/),
      stderr: 'lvguard: warning: whether this host has virtVg cannot be told: lvs gives no answer, or is not installed',
    })
  })

  test.skipIf(!isRoot)('by anyone but root too', async () => {
    const { stderr } = await execa(
      'setpriv',
      [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        process.execPath,
        join(folder, 'qemu'),
        'check-config',
        file(),
      ],
      { reject: false, stdin: 'ignore' },
    )
    expect(stderr).toBe('lvguard: warning: whether this host has virtVg cannot be told: only root can look')
  })
})

/** The agents of this test that run, by their numbers. */
const agents = (): string[] =>
  readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(`${folder}/qemu\0agent`))

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    // It has ended.
    return ''
  }
}

describe('the agent, typed by a person', () => {
  test('in a terminal its lines have words for their priority, not the numbers of the journal', async () => {
    const file = join(folder, 'root/etc/libvirt/lvguard.conf')
    writeFileSync(file, 'log_level = 1\n')
    const terminal = execa('script', ['-qec', `${process.execPath} ${join(folder, 'qemu')} agent`, '/dev/null'], {
      env: { PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, SHELL: '/bin/sh', LVGUARD_ROOT: join(folder, 'root') },
      extendEnv: false,
      stdin: 'ignore',
      reject: false,
      detached: true,
    })
    let said = ''
    terminal.stdout.on('data', (data: Buffer) => {
      said += data.toString()
    })
    await expect
      .poll(() => said, { timeout: 20_000 })
      .toMatch(/error: configuration: line 1: log_level must be [\s\S]*the agent watches/)
    expect(agents()).toHaveLength(1)
    if (terminal.pid !== undefined) process.kill(-terminal.pid, 'SIGKILL')
    await terminal
    rmSync(file)
    // The terminal is gone, and the agent with it.
    await expect.poll(agents, { timeout: 20_000 }).toEqual([])
    expect(said).toMatch(/this is the agent, in the foreground.*systemctl start lvguard/)
    expect(said).not.toMatch(/<\d>/)
  })

  test.skipIf(!isRoot)('by anyone but root it is told how the service is started', async () => {
    const { exitCode, stderr } = await execa(
      'setpriv',
      ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, join(folder, 'qemu'), 'agent'],
      { reject: false, stdin: 'ignore' },
    )
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: 'lvguard: only root can run the agent, which is a service of this host: sudo systemctl start lvguard',
    })
  })
})

// Only root may look at records, leases and device-mapper.
describe.skipIf(!isRoot)('a dry run by anyone but root', () => {
  const asNobody = (words: readonly string[], input: string): Promise<Ended> =>
    execa(
      'setpriv',
      ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, join(folder, 'qemu'), ...words],
      { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, extendEnv: false, input, reject: false },
    )

  test('gives the plan, says that it is unknown here whether it would be done, and is no all-clear', async () => {
    const { exitCode, stdout, stderr } = await asNobody(['--dry-run', 'tintin', 'prepare'], tintin.xml())
    expect(stdout, stderr).toMatch(
      /^# unknown here whether it would be done: only root can look at the locks of this host$/m,
    )
    expect(stdout).toMatch(/^lvchange .* -- virtVG\/tintin/m)
    expect(exitCode).toBe(3)
    expect(
      JSON.parse((await asNobody(['--dry-run', 'tintin', 'prepare', '--json'], tintin.xml())).stdout),
    ).toMatchObject({ outcome: 'unknown', lockState: 'unknown' })
  })

  test.each<[string, string, RegExp]>([
    [
      'a policy with a wrong mode',
      tintin
        .xml()
        .replace(
          '<devices>',
          "<metadata><policy xmlns='urn:lvguard:policy:1'><disk target='vda' mode='sharde'/></policy></metadata><devices>",
        ),
      /would be refused: .*mode 'sharde'/,
    ],
    [
      'a name that no LV can have',
      tintin
        .xml()
        .replace(
          '<devices>',
          "<devices><disk type='block' device='disk'><source dev='/dev/virtVG/-f'/><target dev='vdb'/></disk>",
        ),
      /would be refused: .*no logical volume can have the path '\/dev\/virtVG\/-f'/,
    ],
  ])('sees what the XML tells by itself: %s', async (_what, xml, message) => {
    const { exitCode, stdout } = await asNobody(['--dry-run', 'tintin', 'prepare'], xml)
    expect(stdout).toMatch(message)
    expect(exitCode).toBe(1)
  })

  test('of a VM without anything that could be a volume there is nothing to do', async () => {
    expect(
      await asNobody(['--dry-run', 'tintin', 'prepare'], tintin.xml().replace(/<disk[\s\S]*<\/disk>/, '')),
    ).toMatchObject({ exitCode: 0 })
  })

  test('a file that it may not read', async () => {
    writeFileSync(join(folder, 'secret.xml'), tintin.xml(), { mode: 0o600 })
    const { exitCode, stderr } = await asNobody(
      ['--dry-run', 'tintin', 'prepare', '--xml', join(folder, 'secret.xml')],
      '',
    )
    expect(stderr).toMatch(/^lvguard: \S+secret\.xml may not be read by this user\. /)
    expect(exitCode).toBe(2)
  })
})
