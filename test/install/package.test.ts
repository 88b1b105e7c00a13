/**
 * The Debian package and install.sh beside each other. What dpkg itself does with the package is played on a bare
 * Debian: .ci/package.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { updates } from '../../src/core/check/domains.ts'
import { RECORD_FORMAT } from '../../src/core/record.ts'
import { privateHost, program, read, run, snapshot, source, testWith, write } from './place.ts'

const UUID = '00000000-0000-4000-8000-000000000001'
const onHost = testWith('namespaces')
const debian = join(source, 'debian')

/**
 * A host on which dpkg has put lvguard, as far as install.sh can tell: `dpkg --remove` takes the program and the links,
 * and notes what the hook is by then.
 */
function packagedHost() {
  const host = privateHost()
  write(host.command, program('of the package'), 0o755)
  mkdirSync(join(host.root, 'etc/libvirt/hooks'), { recursive: true })
  mkdirSync(join(host.root, 'etc/logrotate.d'), { recursive: true })
  symlinkSync('/usr/sbin/lvguard', host.hook)
  symlinkSync('/usr/share/lvguard/logrotate', host.rotation)
  write(host.service, 'of the package')
  host.tool('dpkg-query', 'printf installed')
  host.tool(
    'dpkg',
    `[ "$*" = '--remove lvguard' ] || exit 2
cat /etc/libvirt/hooks/qemu > /hook-meanwhile
rm /usr/sbin/lvguard /etc/logrotate.d/lvguard /usr/lib/systemd/system/lvguard.service`,
  )
  return host
}

describe('install.sh on a host with the package', () => {
  onHost('takes its place, and there is a hook of its own before the package goes', () => {
    const host = packagedHost()
    const { code, stdout, stderr } = host.install()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /^updated {4}\/etc\/libvirt\/hooks\/qemu\nremoved {4}the package lvguard, .* do not purge it/,
    )
    expect(read(join(host.root, 'hook-meanwhile'))).toBe(program())
    expect(
      [host.hook, host.rotation, host.service].map(
        (path) => snapshot(join(path, '..'))[path.slice(path.lastIndexOf('/') + 1)],
      ),
    ).toEqual([
      `755 ${program()}`,
      `644 ${read(join(source, 'lvguard.logrotate'))}`,
      `644 ${read(join(source, 'lvguard.service'))}`,
    ])
  })

  onHost('a dpkg that fails: the new hook is in place, and that is said', () => {
    const host = packagedHost()
    host.tool('dpkg', 'exit 2')
    const { code, stderr } = host.install()
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: dpkg did not remove the package lvguard .* The new hook is in place.*\nRemove it \(dpkg --remove lvguard\) and run this again\.\n$/,
    )
    expect(read(host.hook)).toBe(program())
  })

  onHost('--uninstall is refused, with what to type', () => {
    const host = packagedHost()
    const before = snapshot(join(host.root, 'etc'))
    const { code, stderr } = host.install(['--uninstall'])
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: lvguard is installed as a package; nothing was changed\.\napt remove lvguard; or apt purge/,
    )
    expect(snapshot(join(host.root, 'etc'))).toEqual(before)
  })

  onHost('one that was removed and not purged is none', () => {
    const host = privateHost()
    host.tool('dpkg-query', 'printf config-files')
    expect(host.install().stdout).not.toContain('the package')
    expect(host.install(['--uninstall']).code).toBe(0)
  })
})

describe('records of a newer lvguard', () => {
  onHost('install.sh refuses, in words, and changes nothing', () => {
    const host = privateHost()
    write(join(host.root, `run/lvguard/${UUID}.json`), `{"format":${RECORD_FORMAT + 1},"domain":{}}\n`)
    const { code, stderr } = host.install()
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^install\.sh: \/run\/lvguard\/.*\.json was written by a newer lvguard \(format \d+; this one reads up to \d+\); nothing was changed\.\nStop the VMs/,
    )
    expect(existsSync(host.hook)).toBe(false)
    write(join(host.root, `run/lvguard/${UUID}.json`), `{"format":${RECORD_FORMAT},"domain":{}}\n`)
    expect(host.install().code).toBe(0)
  })

  test('install.sh and the package know which format this version reads', () => {
    for (const file of ['install.sh', 'debian/preinst'])
      expect(read(join(source, file))).toContain(`\nrecord_format=${RECORD_FORMAT}\n`)
  })
})

describe('the files of the package', () => {
  testWith('shellcheck')('the scripts are clean for shellcheck', () => {
    const scripts = readdirSync(debian)
      .filter((name) => /^(pre|post)/.test(name))
      .map((name) => join(debian, name))
    expect(scripts).toHaveLength(4)
    expect(run('shellcheck', ['-s', 'sh', ...scripts])).toMatchObject({ code: 0, stdout: '' })
  })

  test('lvguard check finds needrestart kept from what it must not restart', () => {
    expect(updates({ needrestart: read(join(source, 'lvguard.needrestart')), unattended: undefined })).toEqual([])
    expect(updates({ needrestart: '', unattended: undefined })).toHaveLength(1)
  })
})
