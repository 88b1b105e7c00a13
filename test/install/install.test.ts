import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { describe, expect, test } from 'vitest'
import { KEYS } from '../../src/state/config.ts'
import { DEFAULTS } from '../../src/core/configuration.ts'
import {
  folder,
  DOCS,
  README,
  UNITS,
  foreign,
  orderSource,
  place,
  program,
  read,
  run,
  snapshot,
  source,
  testWith,
  toolsWithoutNode,
  write,
} from './place.ts'

/** Forms of dist/qemu that differ, so that the second replaces the first. */
const [old, newer] = [program('0.1.0'), program('0.2.0')]
const lines = (text: string) => text.trimEnd().split('\n')

describe('a fresh installation', () => {
  test('puts every file in its place', () => {
    const it = place()
    const { code, stdout, stderr } = it.install()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(snapshot(it.destdir)).toEqual({
      etc: 'folder 755',
      'etc/libvirt': 'folder 755',
      'etc/libvirt/hooks': 'folder 755',
      'etc/libvirt/hooks/qemu': `755 ${program()}`,
      'etc/libvirt/lvguard.conf': `644 ${read(join(source, 'lvguard.conf'))}`,
      'etc/logrotate.d': 'folder 755',
      'etc/logrotate.d/lvguard': `644 ${read(join(source, 'lvguard.logrotate'))}`,
      usr: 'folder 755',
      'usr/lib': 'folder 755',
      'usr/lib/systemd': 'folder 755',
      'usr/lib/systemd/system': 'folder 755',
      ...Object.fromEntries(
        ['lvguard.service', 'lvguard-check.service', 'lvguard-check.timer', 'lvguard-evacuate.service'].map((unit) => [
          `usr/lib/systemd/system/${unit}`,
          `644 ${read(join(source, unit))}`,
        ]),
      ),
      ...Object.fromEntries(
        UNITS.flatMap((unit) => [
          [`usr/lib/systemd/system/${unit}.service.d`, 'folder 755'],
          [`usr/lib/systemd/system/${unit}.service.d/lvguard.conf`, `644 ${orderSource(unit)}`],
        ]),
      ),
      'usr/share': 'folder 755',
      'usr/share/doc': 'folder 755',
      'usr/share/doc/lvguard': 'folder 755',
      'usr/share/doc/lvguard/README.md': `644 ${README}`,
      ...Object.fromEntries(
        ['man', 'man/man5', 'man/man8', 'bash-completion', 'bash-completion/completions'].map((each) => [
          `usr/share/${each}`,
          'folder 755',
        ]),
      ),
      ...Object.fromEntries(DOCS.map(([name, path]) => [`usr/share/${path}`, `644 ${read(join(source, name))}`])),
      'usr/sbin': 'folder 755',
      'usr/sbin/lvguard': '-> /etc/libvirt/hooks/qemu',
    })
    expect(lines(stdout)).toEqual([
      `installed  ${it.conf}`,
      `installed  ${it.rotation}`,
      `installed  ${it.service}`,
      ...it.check.map((file) => `installed  ${file}`),
      ...it.order.map((file) => `installed  ${file}`),
      ...it.docs.map((file) => `installed  ${file}`),
      `installed  ${it.readme}`,
      `installed  ${it.hook}`,
      `installed  ${it.command}`,
      expect.stringMatching(/^next {7}on the host .* systemctl reload libvirtd/),
      expect.stringContaining('systemctl enable --now lvguard.service'),
    ])
  })

  test('with another umask, a folder with spaces and signs, a relative --destdir, from another folder', () => {
    const base = join(folder(), "it's a $(touch x) `y` *")
    mkdirSync(base)
    const it = place(program(), base)
    const script = join(it.project, 'install/install.sh')
    expect(run('sh', ['-c', 'umask 077; exec "$0" --destdir=dest//', script], { cwd: base }).code).toBe(0)
    expect(statSync(it.hook).mode & 0o777).toBe(0o755)
    expect(readdirSync(base).sort()).toEqual(['dest', 'project'])
    const before = snapshot(it.destdir)
    expect(run('sh', ['install.sh', '--destdir', '../../dest'], { cwd: join(it.project, 'install') }).code).toBe(0)
    expect(snapshot(it.destdir)).toEqual(before)
    expect(it.install(['--uninstall']).code).toBe(0)
    expect(existsSync(it.hook)).toBe(false)
  })

  testWith('root')('as an ordinary user below --destdir, and refused without it', () => {
    const it = place()
    mkdirSync(it.destdir)
    chownSync(it.destdir, 65534, 65534)
    expect(it.install([], { uid: 65534 }).code).toBe(0)
    expect(lines(it.install([], { uid: 65534 }).stdout).slice(0, 9)).toEqual(
      Array(9).fill(expect.stringMatching(/^unchanged/)),
    )
    for (const words of [[], ['--uninstall'], ['--destdir', '/']]) {
      const { code, stderr } = run(join(it.project, 'install/install.sh'), words, { uid: 65534 })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^install\.sh: only root can .*; nothing was changed\.\n.*sudo.*\n$/)
    }
  })
})

describe('again', () => {
  test('the second run changes nothing and says so', () => {
    const it = place()
    it.install()
    const before = snapshot(it.destdir)
    const inode = statSync(it.hook).ino
    const { code, stdout } = it.install()
    expect(code).toBe(0)
    expect(lines(stdout).slice(0, 15)).toEqual(
      [it.conf, it.rotation, it.service, ...it.check, ...it.order, ...it.docs, it.readme, it.hook, it.command].map(
        (path) => `unchanged  ${path}`,
      ),
    )
    expect(snapshot(it.destdir)).toEqual(before)
    expect(statSync(it.hook).ino).toBe(inode)
  })

  test('a new program replaces the old one by a new file, not by writing into it', () => {
    const it = place(old)
    it.install()
    linkSync(it.hook, join(it.destdir, 'running'))
    write(join(it.project, 'dist/qemu'), newer)
    expect(it.install().stdout).toContain(`updated    ${it.hook}`)
    expect(read(it.hook)).toBe(newer)
    expect(statSync(it.hook).mode & 0o777).toBe(0o755)
    expect(read(join(it.destdir, 'running'))).toBe(old)
  })

  test('a lost mode, a link in place of the hook and a copy in place of the command are put right', () => {
    const it = place()
    it.install()
    const right = snapshot(it.destdir)
    chmodSync(it.hook, 0o644)
    expect(it.install().stdout).toContain(`updated    ${it.hook}`)
    expect(snapshot(it.destdir)).toEqual(right)
    rmSync(it.hook)
    symlinkSync(join(it.project, 'dist/qemu'), it.hook)
    rmSync(it.command)
    write(it.command, old, 0o755)
    it.install()
    expect(snapshot(it.destdir)).toEqual(right)
    expect(read(join(it.project, 'dist/qemu'))).toBe(program())
  })

  test.each(['conf', 'rotation'] as const)('an existing %s is kept as it is', (which) => {
    const it = place()
    write(it[which], '# my own\n', 0o600)
    const { code, stdout } = it.install()
    expect(code).toBe(0)
    expect(stdout).toContain(`kept       ${it[which]}, which is not as delivered`)
    expect(snapshot(it.destdir)[it[which].slice(it.destdir.length + 1)]).toBe('600 # my own\n')
  })

  test('a configuration that is a link, even a dangling one, is kept', () => {
    const it = place()
    mkdirSync(join(it.destdir, 'etc/libvirt'), { recursive: true })
    symlinkSync('/nowhere/lvguard.conf', it.conf)
    expect(it.install().stdout).toContain(`kept       ${it.conf}`)
    expect(readlinkSync(it.conf)).toBe('/nowhere/lvguard.conf')
  })
})

describe('units', () => {
  const own = (it: ReturnType<typeof place>, name: string) => join(it.destdir, 'etc/systemd/system', name)

  test('what an administrator has in /etc is left as it is, and named; the delivered ones follow', () => {
    const it = place()
    it.install()
    const mine = ['lvguard.service', 'lvguard.service.d/override.conf', 'libvirt-guests.service.d/lvguard.conf'].map(
      (name) => own(it, name),
    )
    for (const file of mine) write(file, '# mine\n')
    write(it.service, '# of before\n')
    const { code, stdout } = it.install()
    expect(code).toBe(0)
    expect(stdout).toContain(`updated    ${it.service}`)
    expect(lines(stdout).filter((line) => line.startsWith('yours'))).toEqual([
      `yours      ${mine[0]}, which systemd takes instead (to have the delivered one: systemctl revert lvguard, then this again)`,
      `yours      ${mine[1]}, which systemd adds`,
      `yours      ${mine[2]}, which systemd takes instead`,
    ])
    expect(mine.map(read)).toEqual(Array(3).fill('# mine\n'))
    expect(read(it.service)).toBe(read(join(source, 'lvguard.service')))
  })

  test.each(['', '--uninstall'])(
    'what lvguard itself had put into /etc before goes, as long as it is as it was delivered (%s)',
    (word) => {
      const it = place()
      it.install()
      const before =
        '# Of lvguard: VMs start after the lockspaces of their volumes, and the lockspaces stop after the VMs. Without lvmlocks this means nothing.\n' +
        '[Unit]\nAfter=lvmlockd.service lvmlocks.service sanlock.service\n'
      write(own(it, 'libvirtd.service.d/lvguard.conf'), before)
      write(own(it, 'virtqemud.service.d/lvguard.conf'), `${before}# mine\n`)
      const { stdout } = it.install(word === '' ? [] : [word])
      expect(stdout).toContain(`removed    ${own(it, 'libvirtd.service.d/lvguard.conf')}`)
      expect(existsSync(own(it, 'libvirtd.service.d'))).toBe(false)
      expect(read(own(it, 'virtqemud.service.d/lvguard.conf'))).toContain('# mine')
    },
  )

  test('a folder that was copied without its README: named, since the unit names it', () => {
    const it = place()
    rmSync(join(it.project, 'README.md'))
    expect(it.install()).toMatchObject({ code: 0, stdout: expect.stringContaining(`missing    ${it.readme}`) })
    expect(read(it.service)).toContain('Documentation=file:/usr/share/doc/lvguard/README.md\n')
  })
})

describe("another program's files", () => {
  const refusals: [string, (it: ReturnType<typeof place>) => void, RegExp][] = [
    [
      'a hook',
      (it) => write(it.hook, foreign, 0o755),
      /hooks\/qemu is another program's hook; nothing.*\n.*--keep-existing.*\n$/,
    ],
    ['an empty hook', (it) => write(it.hook, ''), /is another program's hook/],
    [
      'a hook that has our words too late',
      (it) => write(it.hook, `#!/bin/sh\n\n\n\n\n\n${program()}`),
      /is another program's hook/,
    ],
    [
      'a hook that is a dangling link',
      (it) => {
        mkdirSync(join(it.hook, '..'), { recursive: true })
        symlinkSync('gone', it.hook)
      },
      /is another program's hook/,
    ],
    [
      'a folder in place of the hook',
      (it) => mkdirSync(it.hook, { recursive: true }),
      /hooks\/qemu is a folder.*\n.*\n$/,
    ],
    ['a command', (it) => write(it.command, foreign, 0o755), /lvguard is not lvguard's; nothing.*\n.*\n$/],
    [
      'a folder in place of the configuration',
      (it) => mkdirSync(it.conf, { recursive: true }),
      /lvguard.conf is a folder/,
    ],
  ]

  test.each(refusals)('%s: refused in two lines, nothing changed', (_, prepare, message) => {
    const it = place()
    prepare(it)
    const before = snapshot(it.destdir)
    const { code, stdout, stderr } = it.install()
    expect({ code, stdout, lines: lines(stderr).length }).toEqual({ code: 1, stdout: '', lines: 2 })
    expect(stderr).toMatch(/^install\.sh: /)
    expect(stderr).toMatch(message)
    expect(snapshot(it.destdir)).toEqual(before)
  })

  test('--keep-existing gives the hook a second place, with its mode, and says so', () => {
    const it = place()
    write(it.hook, foreign, 0o750)
    const { code, stdout, stderr } = it.install(['--keep-existing'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(`moved      ${it.hook} to ${it.kept}, where libvirt runs it after lvguard`)
    const after = snapshot(it.destdir)
    expect(after['etc/libvirt/hooks/qemu']).toBe(`755 ${program()}`)
    expect(after['etc/libvirt/hooks/qemu.d/qemu']).toBe(`750 ${foreign}`)
    expect(readdirSync(join(it.hook, '..')).sort()).toEqual(['.qemu-kept', 'qemu', 'qemu.d'])
    expect(it.install(['--keep-existing']).stdout).toContain(`unchanged  ${it.hook}`)
    expect(snapshot(it.destdir)).toEqual(after)
  })

  test('--keep-existing never takes a name in qemu.d that is taken, by a file, a folder or a dangling link', () => {
    const it = place()
    write(it.hook, foreign, 0o755)
    write(it.kept, foreign, 0o755)
    mkdirSync(`${it.kept}-2`)
    symlinkSync('gone', `${it.kept}-3`)
    const { kept, destdir } = it
    const before = snapshot(join(kept, '..'))
    expect(it.install(['--keep-existing']).stdout).toContain(`to ${kept}-4,`)
    expect(snapshot(join(kept, '..'))).toEqual({ ...before, 'qemu-4': `755 ${foreign}` })
    expect(read(join(destdir, 'etc/libvirt/hooks/qemu'))).toBe(program())
  })

  test.each(['../../../opt/hook', '/proc/self/cwd/opt/hook', 'gone'])('--keep-existing with a link to %s', (target) => {
    const it = place()
    write(join(it.destdir, 'opt/hook'), foreign, 0o755)
    mkdirSync(join(it.hook, '..'), { recursive: true })
    symlinkSync(target, it.hook)
    const run = it.install(['--keep-existing'], { cwd: it.destdir })
    expect(run).toMatchObject({ code: 0, stderr: '' })
    expect(readlinkSync(it.kept)).toBe(target.startsWith('/') ? target : `../${target}`)
    if (target.startsWith('../')) expect(read(it.kept)).toBe(foreign)
    expect(read(it.hook)).toBe(program())
  })

  test('--keep-existing when a link would lead elsewhere from its new place: refused, the hook untouched', () => {
    const it = place()
    write(join(it.hook, '../mine'), foreign, 0o755)
    symlinkSync('mine', it.hook)
    mkdirSync(join(it.destdir, 'a/b/c'), { recursive: true })
    symlinkSync(join(it.destdir, 'a/b/c'), `${it.hook}.d`)
    const run = it.install(['--keep-existing'])
    expect(run.code).toBe(1)
    expect(run.stderr).toContain('it is untouched')
    expect(readlinkSync(it.hook)).toBe('mine')
    expect(readdirSync(join(it.destdir, 'a/b/c'))).toEqual([])
    expect(readdirSync(join(it.hook, '..')).sort()).toEqual(['mine', 'qemu', 'qemu.d'])
  })

  test('--keep-existing ends what an interrupted run began', () => {
    const it = place()
    write(it.hook, foreign, 0o755)
    mkdirSync(join(it.kept, '..'))
    linkSync(it.hook, it.kept)
    expect(it.install(['--keep-existing']).code).toBe(0)
    expect(readdirSync(join(it.kept, '..'))).toEqual(['qemu'])
    expect([read(it.hook), read(it.kept)]).toEqual([program(), foreign])
  })

  test('--keep-existing warns of a hook that looks for its files beside itself', () => {
    const it = place()
    write(it.hook, '#!/bin/bash\nBASEDIR="$(dirname $0)"\n', 0o755)
    const { code, stderr } = it.install(['--keep-existing'])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^warning: .*qemu\.d\/qemu asks for its own path, which is new/)
  })
})

describe('half-way', () => {
  const big = (version: string) => program(version, 4_000_000)

  /** Calls `look` again and again while the installer runs; gives the installer's exit status. */
  async function watch(it: ReturnType<typeof place>, words: string[], look: () => void): Promise<number | null> {
    const child = spawn(join(it.project, 'install/install.sh'), ['--destdir', it.destdir, ...words], {
      stdio: 'ignore',
    })
    let code: number | null | undefined
    child.on('exit', (status) => {
      code = status
    })
    while (code === undefined) {
      look()
      await new Promise(setImmediate)
    }
    return code
  }

  test('whoever opens the hook during an update finds the old one or the new one, whole', async () => {
    const versions = [big('1'), big('2')]
    const it = place(versions[0])
    it.install()
    for (const version of [versions[1], versions[0], versions[1]]) {
      write(join(it.project, 'dist/qemu'), version ?? '')
      expect(await watch(it, [], () => expect(versions.includes(read(it.hook))).toBe(true))).toBe(0)
      expect(read(it.hook) === version).toBe(true)
    }
  })

  test('with --keep-existing a main hook is there all the time, and the kept one never half', async () => {
    const other = `${foreign}${'#'.repeat(1_000_000)}\n`
    for (let round = 0; round < 5; round++) {
      const it = place(big('1'))
      write(it.hook, other, 0o755)
      const code = await watch(it, ['--keep-existing'], () => {
        const main = read(it.hook)
        expect(main === other || main === big('1')).toBe(true)
        if (main !== other) expect(read(it.kept) === other).toBe(true)
        for (const name of existsSync(`${it.hook}.d`) ? readdirSync(`${it.hook}.d`) : []) expect(name).toBe('qemu')
      })
      expect(code).toBe(0)
    }
  })

  test('killed at any moment: nothing is lost, and the next run ends it', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      for (let delay = 0; delay <= 60; delay += 4) {
        const it = place(big('1'))
        write(it.hook, foreign, 0o755)
        const child = spawn(join(it.project, 'install/install.sh'), ['--destdir', it.destdir, '--keep-existing'], {
          stdio: 'ignore',
          detached: true,
        })
        await new Promise((done) => setTimeout(done, delay))
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal)
        if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.on('exit', done))
        const main = read(it.hook)
        expect(main === foreign || main === big('1')).toBe(true)
        expect(main === foreign || read(it.kept) === foreign).toBe(true)
        if (signal === 'SIGTERM')
          expect(readdirSync(join(it.hook, '..')).filter((name) => name.endsWith('~'))).toEqual([])
        expect(it.install(['--keep-existing']).code).toBe(0)
        expect(read(it.hook) === big('1')).toBe(true)
        expect(readdirSync(join(it.kept, '..'))).toEqual(['qemu'])
        expect(read(it.kept)).toBe(foreign)
      }
    }
  })

  test.each(['>/dev/full', '>&-', '| true'])('nobody reads what it says (%s): all is done', (output) => {
    const it = place()
    write(it.hook, foreign, 0o755)
    const script = `"$0" --destdir "$1" --keep-existing ${output}`
    expect(run('sh', ['-c', script, join(it.project, 'install/install.sh'), it.destdir]).code).toBe(0)
    expect([read(it.hook), read(it.kept), readlinkSync(it.command)]).toEqual([
      program(),
      foreign,
      '/etc/libvirt/hooks/qemu',
    ])
  })

  // Prints the installer's exit status and what then lies in the folder, which is gone with the namespace.
  const inFullFolder = `
set -eu
mkdir -p "$1"; mount -t tmpfs -o size=256k none "$1"
mkdir -p "$1/etc/libvirt/hooks"; cp "$2/old" "$1/etc/libvirt/hooks/qemu"
"$2/install/install.sh" --destdir "$1" $3 >"$2/stdout" 2>"$2/stderr" && code=0 || code=$?
echo "$code"; cmp "$2/old" "$1/etc/libvirt/hooks/qemu" && cd "$1" && find . ! -type d
`
  for (const [what, existing, words] of [
    ["lvguard's own older hook", old, ''],
    ["another program's hook", foreign, '--keep-existing'],
  ] as const) {
    testWith('namespaces')(`a full disk leaves ${what} as the only hook`, () => {
      const it = place(big('2'))
      write(join(it.project, 'old'), existing, 0o755)
      const { stdout } = run('unshare', ['-m', 'sh', '-c', inFullFolder, 'sh', it.destdir, it.project, words])
      expect(lines(stdout)).toEqual(['1', './etc/libvirt/hooks/qemu'])
      expect(read(join(it.project, 'stderr'))).toMatch(
        /No space left.*\ninstall\.sh: cannot write .*untouched\.\n.*\n$/,
      )
      expect(read(join(it.project, 'stdout'))).toBe('')
    })
  }

  testWith('namespaces')('a hooks folder that cannot be written: refused, nothing changed', () => {
    const it = place(newer)
    write(it.hook, old, 0o755)
    const readOnly =
      'set -eu; mount --bind "$1/etc" "$1/etc"; mount -o remount,bind,ro "$1/etc"; exec "$2/install/install.sh" --destdir "$1"'
    const before = snapshot(it.destdir)
    const { code, stderr } = run('unshare', ['-m', 'sh', '-c', readOnly, 'sh', it.destdir, it.project])
    expect(code).toBe(1)
    expect(stderr).toMatch(/install\.sh: cannot write .*; what was installed before is untouched\.\n.*\n$/)
    expect(snapshot(it.destdir)).toEqual(before)
  })
})

describe('--uninstall', () => {
  test('takes away what was installed, and can be repeated', () => {
    const it = place()
    it.install()
    const { code, stdout, stderr } = it.install(['--uninstall'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(lines(stdout)).toEqual([
      `removed    ${it.command}`,
      `removed    ${it.rotation}`,
      ...[it.service, ...it.check, ...it.docs, ...it.order, it.readme, it.hook, it.conf].map(
        (file) => `removed    ${file}`,
      ),
    ])
    expect(Object.values(snapshot(it.destdir)).filter((what) => !what.startsWith('folder'))).toEqual([])
    const after = snapshot(it.destdir)
    expect(lines(it.install(['--uninstall']).stdout)).toEqual([`absent     ${it.hook}`])
    expect(snapshot(it.destdir)).toEqual(after)
  })

  test("leaves another program's files and changed ones", () => {
    const it = place()
    write(it.hook, foreign, 0o755)
    write(it.command, foreign, 0o755)
    write(it.rotation, '# mine\n')
    const before = snapshot(it.destdir)
    const { code, stdout } = it.install(['--uninstall'])
    expect(code).toBe(0)
    expect(lines(stdout)).toEqual([
      `stays      ${it.command}, which is not lvguard's`,
      `stays      ${it.rotation}, which is not as delivered`,
      `stays      ${it.hook}, which is another program's`,
    ])
    expect(snapshot(it.destdir)).toEqual(before)
  })

  test.each<[string, (it: ReturnType<typeof place>) => void]>([
    ['a file', (it) => write(it.hook, foreign, 0o755)],
    [
      'a link',
      (it) => {
        write(join(it.destdir, 'opt/hook'), foreign, 0o755)
        mkdirSync(join(it.hook, '..'), { recursive: true })
        symlinkSync('../../../opt/hook', it.hook)
      },
    ],
    [
      'a dangling absolute link',
      (it) => {
        mkdirSync(join(it.hook, '..'), { recursive: true })
        symlinkSync('/nowhere/hook', it.hook)
      },
    ],
    [
      'a dangling relative link',
      (it) => {
        mkdirSync(join(it.hook, '..'), { recursive: true })
        symlinkSync('../hook', it.hook)
      },
    ],
  ])('gives a kept hook its place back: %s', (_, put) => {
    const it = place()
    put(it)
    const before = snapshot(join(it.hook, '..'))
    it.install(['--keep-existing'])
    it.install()
    expect(read(it.hook)).toBe(program())
    expect(it.install(['--uninstall']).stdout).toContain(
      `moved      ${it.kept} to ${it.hook}, where it was before lvguard`,
    )
    expect(snapshot(join(it.hook, '..'))).toEqual(before)
  })

  test('the one that was kept, and not another script beside it', () => {
    const it = place()
    write(it.kept, '#!/bin/sh\n# was here first\n', 0o755)
    write(it.hook, foreign, 0o755)
    it.install(['--keep-existing'])
    const { stdout } = it.install(['--uninstall'])
    expect(stdout).toContain(`moved      ${it.kept}-2 to ${it.hook}`)
    expect(stdout).toContain(`stays      ${it.kept}, which libvirt runs there as before`)
    expect([read(it.hook), readdirSync(join(it.kept, '..'))]).toEqual([foreign, ['qemu']])
  })

  test('a script in qemu.d that nobody kept stays, and so does a kept one whose place is taken by now', () => {
    const it = place()
    write(it.kept, foreign, 0o755)
    it.install()
    expect(it.install(['--uninstall']).stdout).toContain(`stays      ${it.kept}, which libvirt runs there as before`)
    expect([existsSync(it.hook), read(it.kept)]).toEqual([false, foreign])
    rmSync(it.kept)
    write(it.hook, foreign, 0o755)
    it.install(['--keep-existing'])
    write(it.hook, '#!/bin/sh\n# a third one\n', 0o755)
    expect(it.install(['--uninstall']).stdout).toContain(`stays      ${it.hook}, which is another program's`)
    expect(read(it.kept)).toBe(foreign)
  })

  test('removes the cache, and what is left in /run; names what is known of VMs, the logs, and what you have changed', () => {
    const it = place()
    it.install()
    const at = (path: string) => join(it.destdir, path)
    for (const path of [
      'var/cache/lvguard/main-x',
      'run/lvguard/agent',
      'run/lvguard/virtVG.lock',
      'var/lib/lvguard/saved',
      'var/log/libvirt/lvguard.log',
      'var/log/libvirt/lvguard.log.1',
    ])
      write(at(path), '')
    write(it.conf, '# mine\n')
    const mine = ['lvguard.service', 'lvguard.service.d/mine.conf', 'libvirtd.service.d/lvguard.conf'].map((name) =>
      at(`etc/systemd/system/${name}`),
    )
    for (const file of mine) write(file, '# mine\n')
    const { code, stdout, stderr } = it.install(['--uninstall'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(lines(stdout).filter((line) => /^stays|var|run/.test(line))).toEqual([
      `stays      ${it.conf}, which is not as delivered`,
      ...mine.map((file) => `stays      ${file}, which is yours`),
      `removed    ${at('var/cache/lvguard')}`,
      `stays      ${at('var/lib/lvguard')}, what is known of saved images of VMs (rm -r ${at('var/lib/lvguard')})`,
      `stays      ${at('var/log/libvirt/lvguard.log')}`,
      `stays      ${at('var/log/libvirt/lvguard.log.1')}`,
      `removed    ${at('run/lvguard')}`,
    ])
    const left = Object.entries(snapshot(it.destdir))
      .filter(([, what]) => !what.startsWith('folder'))
      .map(([name]) => at(name))
    expect(left.sort()).toEqual(
      [
        it.conf,
        ...mine,
        at('var/lib/lvguard/saved'),
        at('var/log/libvirt/lvguard.log'),
        at('var/log/libvirt/lvguard.log.1'),
      ].sort(),
    )
    rmSync(at('var/lib/lvguard/saved'))
    write(at('run/lvguard/virtVG.killed'), '')
    const second = it.install(['--uninstall']).stdout
    expect(second).toContain(`removed    ${at('var/lib/lvguard')}\n`)
    expect(second).toContain(`stays      ${at('run/lvguard')}, which is not empty`)
  })

  test('warns when domains still have records, and leaves them', () => {
    const it = place()
    it.install()
    const records = join(it.destdir, 'run/lvguard')
    write(join(records, 'a-b-c-d-e.lock'), '')
    expect(it.install(['--uninstall']).stderr).toBe('')
    write(join(records, '6695eb01-f6a4-8304-79aa-97f2502e193f'), '{}')
    const { code, stderr } = it.install(['--uninstall'])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^warning: .*records of 1 domain.*\nwarning: .*lvchange -an VG\/LV.*\n$/)
    expect(readdirSync(records)).toEqual(['6695eb01-f6a4-8304-79aa-97f2502e193f'])
  })

  test('works without dist/', () => {
    const it = place()
    it.install()
    rmSync(join(it.project, 'dist'), { recursive: true })
    expect(it.install(['--uninstall'], { env: { PATH: toolsWithoutNode() } }).code).toBe(0)
    expect(existsSync(it.hook)).toBe(false)
  })
})

describe('dist/qemu', () => {
  /** What npm would build. */
  const unbuilt = () => {
    const it = place('')
    write(join(it.project, 'package.json'), '{}\n')
    return it
  }

  test('missing, and its sources too: where to get it, whether or not there is an npm', () => {
    const it = place('')
    const { code, stderr } = it.install([], npm('true'))
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: .*dist\/qemu is missing, and its sources are not here; nothing was changed\.\nCopy dist and install from where it was built .*\n$/,
    )
    expect(existsSync(it.destdir)).toBe(false)
  })

  test('missing, and npm too: says so, nothing changed', () => {
    const it = unbuilt()
    const { code, stderr } = it.install([], { env: { PATH: toolsWithoutNode() } })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: .*dist\/qemu is missing, and npm, .*\n.*apt install npm\); or build it on another machine.*\n$/,
    )
    expect(existsSync(it.destdir)).toBe(false)
  })

  const npm = (build: string) => {
    const npm = `pwd >> npm-calls\necho "npm $*" >> npm-calls\n[ "$1" = ci ] || { ${build}; }`
    return { env: { PATH: toolsWithoutNode({ npm }), NODE_ENV: 'production' } }
  }

  test('missing: built in the project folder, whatever the current one', () => {
    const it = unbuilt()
    const words = `mkdir dist; printf '#!/bin/sh\\n# lvguard, a libvirt qemu hook\\n' > dist/qemu`
    const run = it.install([], { ...npm(words), cwd: folder() })
    expect(run.code).toBe(0)
    expect(lines(read(join(it.project, 'npm-calls')))).toEqual([
      it.project,
      'npm ci --include=dev',
      it.project,
      'npm run build',
    ])
    expect(statSync(it.hook).mode & 0o777).toBe(0o755)
  })

  test("another program's hook that came while it was built is refused too", () => {
    const it = unbuilt()
    const words = `mkdir -p dist "${join(it.hook, '..')}"; echo foreign > "${it.hook}"; printf '#!/bin/sh\\n# lvguard, a libvirt qemu hook\\n' > dist/qemu`
    const { code, stderr } = it.install([], npm(words))
    expect(code).toBe(1)
    expect(stderr).toContain("is another program's hook")
    expect(read(it.hook)).toBe('foreign\n')
  })

  test.each([
    ['fails', 'exit 7', /the build failed/],
    ['makes nothing', 'true', /dist\/qemu is missing, also after the build/],
    ['makes something else', 'mkdir dist; echo "#!/bin/sh" > dist/qemu', /is not lvguard's hook/],
  ])('a build that %s: refused, nothing installed', (_, build, message) => {
    const it = unbuilt()
    const { code, stderr } = it.install([], npm(build))
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
    expect(existsSync(it.destdir)).toBe(false)
  })
})

describe('dist/qemu beside its sources', () => {
  const sum = (it: ReturnType<typeof place>) => {
    const names = ['build.mjs', 'package-lock.json', 'package.json', 'src/core/a.ts', 'src/stub.sh']
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
    return sha256(names.map((name) => `${sha256(read(join(it.project, name)))}  ${name}\n`).join(''))
  }
  const of = (version: string, sources: string) =>
    program(version).replace('# end', `// lvguard ${version}, sources ${sources}`)
  /** A whole folder, as it was built; its files are of any age. */
  function whole() {
    const it = place('')
    for (const name of ['src/core/a.ts', 'src/stub.sh', 'build.mjs', 'package-lock.json'])
      write(join(it.project, name), `// ${name}\n`)
    write(join(it.project, 'package.json'), '{\n  "name": "lvguard",\n  "version": "0.1.0",\n}\n')
    write(join(it.project, 'dist/qemu'), of('0.1.0', sum(it)), 0o755)
    utimesSync(join(it.project, 'dist/qemu'), 0, 0)
    return it
  }
  /** An npm that builds what the sources are now, and notes how it was called. */
  const npm = (it: ReturnType<typeof place>) => {
    const npm = `echo "npm $*" >> npm-calls\n[ "$1" = ci ] || cat > dist/qemu << 'END'\n${of('0.1.0', sum(it))}END`
    return { env: { PATH: toolsWithoutNode({ npm }) } }
  }
  const without = () => ({ env: { PATH: toolsWithoutNode() } })
  const changes: [string, (it: ReturnType<typeof place>) => void, RegExp][] = [
    [
      'a changed source',
      (it) => write(join(it.project, 'src/core/a.ts'), '// newer\n'),
      /was built from other sources/,
    ],
    ['a new source', (it) => write(join(it.project, 'src/stub.sh'), '# newer\n'), /was built from other sources/],
    ['another package', (it) => write(join(it.project, 'package-lock.json'), '{}'), /was built from other sources/],
    [
      'a program that does not say what it was built from',
      (it) => write(join(it.project, 'dist/qemu'), program(), 0o755),
      /is of unknown version/,
    ],
    [
      'another version',
      (it) => write(join(it.project, 'package.json'), '{\n  "version": "0.2.0",\n}\n'),
      /is version 0\.1\.0 and package\.json says 0\.2\.0/,
    ],
  ]

  test('as it was built: installed as it is, without npm, Node modules and the files’ own times', () => {
    const it = whole()
    write(join(it.project, 'src/.a.ts.swp'), 'an editor’s')
    expect(it.install([], without())).toMatchObject({ code: 0, stderr: '' })
    expect(read(it.hook)).toBe(of('0.1.0', sum(it)))
  })

  test.each(changes)('%s, without npm: refused in two lines, nothing changed', (_, change, reason) => {
    const it = whole()
    change(it)
    const { code, stderr } = it.install([], without())
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: .*dist\/qemu .*, and npm, which would build it, is missing; nothing was changed\.\n.*copy its dist and install here, without src\.\n$/,
    )
    expect(stderr).toMatch(reason)
    expect(existsSync(it.destdir)).toBe(false)
  })

  test.each(changes.slice(0, 4))('%s: built anew, and that is said', (_, change) => {
    const it = whole()
    change(it)
    const { code, stdout } = it.install([], npm(it))
    expect(code).toBe(0)
    expect(lines(stdout)[0]).toMatch(/^building {3}.*dist\/qemu, which (was built from other|is of unknown version)/)
    expect(read(join(it.project, 'npm-calls'))).toBe('npm ci --include=dev\nnpm run build\n')
    expect(read(it.hook)).toBe(of('0.1.0', sum(it)))
  })

  test('with Node modules as package-lock.json wants them nothing is fetched', () => {
    const it = whole()
    write(join(it.project, 'src/core/a.ts'), '// newer\n')
    write(join(it.project, 'node_modules/.package-lock.json'), '')
    expect(it.install([], npm(it)).code).toBe(0)
    expect(read(join(it.project, 'npm-calls'))).toBe('npm run build\n')
  })

  test('a build that gives another version than package.json says: refused', () => {
    const it = whole()
    write(join(it.project, 'package.json'), '{\n  "version": "0.2.0",\n}\n')
    const { code, stderr } = it.install([], npm(it))
    expect(code).toBe(1)
    expect(stderr).toMatch(/is version 0\.1\.0 and package\.json says 0\.2\.0, also after the build/)
    expect(existsSync(it.destdir)).toBe(false)
  })

  test('the real one: what build.mjs writes is what install.sh finds', () => {
    const project = join(source, '..')
    const it = place(read(join(project, 'dist/qemu')))
    for (const name of ['src', 'build.mjs', 'package.json', 'package-lock.json'])
      cpSync(join(project, name), join(it.project, name), { recursive: true })
    expect(it.install([], without())).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('arguments', () => {
  test.each([
    [['--frobnicate']],
    [['qemu']],
    [['']],
    [['--destdir']],
    [['--destdir', '']],
    [['--destdir=']],
    [['--destdir', '--uninstall']],
    [['--uninstall', '--keep-existing']],
    [['--help=yes']],
  ])('%j: usage on stderr, exit 2', (words) => {
    const { code, stdout, stderr } = run(join(source, 'install.sh'), words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^install\.sh: .*\nUsage: install\.sh /)
  })

  test.each(['--help', '-h'])('%s: usage on stdout, exit 0', (word) => {
    const { code, stdout, stderr } = run(join(source, 'install.sh'), [word])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const part of ['--destdir DIR', '--uninstall', '--keep-existing', 'Exit status'])
      expect(stdout).toContain(part)
  })
})

describe('the files', () => {
  testWith('shellcheck')('install.sh is clean for shellcheck', () => {
    expect(run('shellcheck', ['-s', 'sh', join(source, 'install.sh')])).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  const conf = () => read(join(source, 'lvguard.conf'))

  test('lvguard.conf sets nothing', () => {
    expect(parse(conf())).toEqual({})
  })

  test('lvguard.conf shows each key with its default and at least a sentence', () => {
    const defaults = Object.entries(KEYS).map(([name, { field }]) => [name, DEFAULTS[field]])
    expect(parse(conf().replaceAll(/^#(?=\w+ = )/gm, ''))).toEqual(Object.fromEntries(defaults))
    for (const block of conf().trimEnd().split('\n\n').slice(1)) expect(block).toMatch(/^(# .+\n)+#\w+ = .+$/)
  })

  testWith('logrotate')('lvguard.logrotate rotates the log and makes a new one that only root reads', () => {
    const log = folder()
    const rules = join(log, 'rules')
    write(rules, read(join(source, 'lvguard.logrotate')).replaceAll('/var/log/libvirt', log), 0o644)
    const rotate = () =>
      run('sh', ['-c', 'PATH=$PATH:/usr/sbin; exec logrotate -f -s "$0" "$1"', join(log, 'state'), rules])
    expect(rotate()).toEqual({ code: 0, stdout: '', stderr: '' })
    for (const text of ['one\n', 'two\n']) {
      write(join(log, 'lvguard.log'), text, 0o640)
      expect(rotate()).toEqual({ code: 0, stdout: '', stderr: '' })
      expect(statSync(join(log, 'lvguard.log'))).toMatchObject({ size: 0, mode: 0o100600 })
    }
    expect(read(join(log, 'lvguard.log.1'))).toBe('two\n')
    expect(existsSync(join(log, 'lvguard.log.2.gz'))).toBe(true)
  })
})
