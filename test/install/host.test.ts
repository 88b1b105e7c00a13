/** The installer without --destdir, in a root of its own that looks like a host with systemd, libvirt, Node and LVM. */
import { existsSync, lstatSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { UNITS, foreign, privateHost, program, read, snapshot, testWith, write } from './place.ts'

const onHost = testWith('namespaces')
const STARTED = [
  'daemon-reload',
  '--quiet reenable lvguard.service',
  'restart lvguard.service',
  '--quiet reenable lvguard-check.timer',
  'restart lvguard-check.timer',
]
const etc = (host: { root: string }) => snapshot(join(host.root, 'etc'))

onHost('installs, tells libvirtd and says what comes next; the second run says unchanged', () => {
  const host = privateHost()
  const first = host.install()
  expect(first).toMatchObject({ code: 0, stderr: '' })
  expect(first.stdout.split('\n')).toEqual([
    'installed  /etc/libvirt/lvguard.conf',
    'installed  /etc/logrotate.d/lvguard',
    'installed  /usr/lib/systemd/system/lvguard.service',
    'installed  /usr/lib/systemd/system/lvguard-check.service',
    'installed  /usr/lib/systemd/system/lvguard-check.timer',
    'installed  /usr/lib/systemd/system/lvguard-evacuate.service',
    ...UNITS.map((unit) => `installed  /usr/lib/systemd/system/${unit}.service.d/lvguard.conf`),
    'installed  /usr/share/man/man8/lvguard.8',
    'installed  /usr/share/man/man5/lvguard.conf.5',
    'installed  /usr/share/bash-completion/completions/lvguard',
    'installed  /usr/share/doc/lvguard/README.md',
    'installed  /etc/libvirt/hooks/qemu',
    'installed  /usr/sbin/lvguard',
    'reloaded   libvirtd, which looks for its hooks now; domains run on',
    'started    lvguard.service, the agent',
    'started    lvguard-check.timer, lvguard check every five minutes',
    'watchdog   sanlock and wdmd reset this host when it loses its storage',
    expect.stringMatching(/^next {7}on each host: .*vgchange --lock-start VG/),
    expect.stringContaining('every other host'),
    expect.stringMatching(/lvguard --dry-run DOMAIN prepare$/),
    expect.stringContaining('virsh start'),
    '',
  ])
  expect(readlinkSync(host.command)).toBe('/etc/libvirt/hooks/qemu')
  expect(lstatSync(host.hook)).toMatchObject({ uid: 0, gid: 0 })
  const before = etc(host)
  const second = host.install()
  expect(second.stdout.replaceAll('unchanged', 'installed')).toBe(first.stdout)
  expect(second.stdout.match(/^unchanged/gm)).toHaveLength(15)
  expect(etc(host)).toEqual(before)
  expect(host.units()).toEqual([...STARTED, ...STARTED])
  expect(host.reloads()).toEqual(['libvirtd', 'libvirtd'])
})

onHost('an agent that does not start is a failure, with the command to type, and the hook is in place', () => {
  const host = privateHost()
  host.tool('systemctl', 'case "$*" in *virtqemud) exit 3;; restart*) exit 1;; esac')
  const { code, stderr } = host.install()
  expect(code).toBe(1)
  expect(stderr).toMatch(
    /^install\.sh: the agent did not start: see journalctl -u lvguard\.\n.*systemctl enable --now lvguard\n$/,
  )
  expect(read(host.hook)).toBe(program())
})

onHost('tells virtqemud where that one runs, and nobody where none does', () => {
  const host = privateHost()
  host.tool('systemctl', 'case "$*" in *libvirtd) exit 3;; "reload "*) echo "$2" >> /reloads;; esac')
  expect(host.install().stdout).toContain('reloaded   virtqemud,')
  expect(host.reloads()).toEqual(['virtqemud'])
  host.tool('systemctl', 'case "$1" in is-active) exit 3;; esac')
  expect(host.install()).toMatchObject({ code: 0, stdout: expect.stringContaining('no libvirt daemon runs') })
  rmSync(join(host.root, 'run/systemd'), { recursive: true })
  expect(host.install()).toMatchObject({ code: 0, stdout: expect.stringContaining('no systemd here') })
})

onHost('a daemon that cannot be told is a failure, with the command to type', () => {
  const host = privateHost()
  host.tool('systemctl', 'case "$*" in reload*) exit 1;; *virtqemud) exit 3;; esac')
  const { code, stderr } = host.install()
  expect(code).toBe(1)
  expect(stderr).toMatch(/^install\.sh: .*systemctl reload libvirtd failed\.\nDomains start without locks until.*\n$/)
})

for (const [what, script, message] of [
  ['missing', undefined, /^install\.sh: Node is missing, .*; nothing was changed\.\nInstall Node 18\.19 or newer.*\n$/],
  [
    '18.18',
    'echo v18.18.2',
    /^install\.sh: \/usr\/local\/bin\/node is v18\.18\.2, too old .*\nInstall Node 18\.19 or newer.*\n$/,
  ],
  ['9.99', 'echo v9.99.0', /too old/],
  ['broken', 'echo oops >&2; exit 127', /too old/],
] as const) {
  onHost(`Node ${what}: refused, nothing changed`, () => {
    const host = privateHost()
    rmSync(`${host.root}.local/bin/node`)
    if (script !== undefined) write(`${host.root}.local/bin/node`, `#!/bin/sh\n${script}\n`, 0o755)
    const { code, stderr } = host.install()
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
    expect(etc(host)).toEqual({})
  })
}

onHost('Node only where the person who installs has it: refused, with the way out', () => {
  const host = privateHost()
  rmSync(`${host.root}.local/bin/node`)
  host.tool('node', 'echo v22.1.0')
  const { code, stderr } = host.install()
  expect(code).toBe(1)
  expect(stderr).toMatch(/Node is only at \/commands\/node, .*\n.*ln -s \/commands\/node \/usr\/local\/bin\/node\n$/)
})

onHost('a new hook that does not run on this host never replaces one that does', () => {
  const host = privateHost()
  host.install()
  const before = etc(host)
  write(join(host.project, 'dist/qemu'), program('2').replace('exit 0', 'exit 1'), 0o755)
  const { code, stderr } = host.install()
  expect(code).toBe(1)
  expect(stderr).toContain('does not run on this host')
  expect(etc(host)).toEqual(before)
})

for (const [version, accepted] of [
  ['libvirtd (libvirt) 6.5.0', true],
  ['virtqemud (libvirt) 11.3.0', true],
  ['libvirtd (libvirt) 6.4.0', false],
  ['libvirtd (libvirt) 5.10.0', false],
  ['who knows', false],
  [undefined, false],
] as const) {
  onHost(`--keep-existing with ${version ?? 'no libvirt'}: ${accepted ? 'moved' : 'refused, nothing changed'}`, () => {
    const host = privateHost()
    write(host.hook, foreign, 0o755)
    rmSync(join(host.root, 'commands/libvirtd'))
    if (version !== undefined)
      host.tool(version.startsWith('virtqemud') ? 'virtqemud' : 'libvirtd', `echo '${version}'`)
    const before = etc(host)
    const { code, stderr } = host.install(['--keep-existing'])
    expect(code).toBe(accepted ? 0 : 1)
    if (accepted) expect([read(host.hook), read(host.kept)]).toEqual([program(), foreign])
    else {
      expect(stderr).toMatch(/^install\.sh: --keep-existing needs libvirt 6\.5 .*; nothing was changed\.\n.*\n$/)
      expect(etc(host)).toEqual(before)
    }
  })
}

for (const [what, name, script, message] of [
  [
    'use_lvmlockd is off',
    'lvmconfig',
    'case "$*" in *host_id) echo host_id=1;; *) echo use_lvmlockd=0;; esac',
    /^warning: .*set use_lvmlockd = 1 .*\n$/,
  ],
  [
    'host_id is 0',
    'lvmconfig',
    'case "$*" in *host_id) echo host_id=0;; *) echo use_lvmlockd=1;; esac',
    /^warning: .*set host_id = N .*lvmlocal\.conf\n$/,
  ],
  [
    'host_id is not known',
    'lvmconfig',
    'case "$*" in *host_id) exit 5;; *) echo use_lvmlockd=1;; esac',
    /^warning: .*set host_id = N /,
  ],
  [
    'libvirt is missing',
    'libvirtd',
    undefined,
    /^warning: libvirt is missing \(Debian: apt install libvirt-daemon-system .*\n$/,
  ],
  ['lvmlockd does not run', 'lvmlockctl', 'exit 255', /^warning: lvmlockd does not run/],
  ['LVM is missing', 'lvmconfig', undefined, /^warning: .*apt install lvm2 lvm2-lockd sanlock/],
] as const) {
  onHost(`${what}: a warning, and the installation is done`, () => {
    const host = privateHost()
    if (script === undefined) rmSync(join(host.root, 'commands', name))
    else host.tool(name, script)
    const { code, stderr } = host.install()
    expect(code).toBe(0)
    expect(stderr).toMatch(message)
    expect(read(host.hook)).toBe(program())
  })
}

const SANLOCK_DOWN = 'exit 1'
for (const [what, sanlock, files, message] of [
  [
    'sanlock runs without it, by its options',
    'echo "    use_watchdog=0"',
    { 'etc/default/sanlock': 'sanlock_opts="-w 0"\n' },
    /\(sanlock runs without one\).*\n.*take '-w 0' out of \/etc\/default\/sanlock; .*systemctl unmask wdmd; systemctl enable wdmd/,
  ],
  [
    'sanlock will start without it, by its options',
    SANLOCK_DOWN,
    { 'etc/default/sanlock': 'enabled=1\nsanlock_opts="-R 1 -w 0"\n' },
    /\(sanlock_opts is '-w 0'\).*\n.*take '-w 0' out/,
  ],
  [
    'sanlock will start without it, by its file',
    SANLOCK_DOWN,
    { 'etc/sanlock/sanlock.conf': '#use_watchdog = 1\nuse_watchdog = 0\n' },
    /\(use_watchdog is 0\).*\n.*take use_watchdog = 0 out of \/etc\/sanlock\/sanlock\.conf/,
  ],
  ['wdmd is masked', SANLOCK_DOWN, { masked: '' }, /\(wdmd is masked\).*\n.*systemctl unmask wdmd/],
] as const) {
  onHost(`no watchdog: ${what}`, () => {
    const host = privateHost()
    host.tool('sanlock', sanlock)
    for (const [name, text] of Object.entries(files)) write(join(host.root, name), text)
    host.tool('systemctl', 'case "$*" in *virtqemud) exit 3;; "is-enabled wdmd") [ -e /masked ] && echo masked;; esac')
    const { code, stdout, stderr } = host.install()
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^warning: this host has no watchdog .* when nothing on this host runs any more\.\nwarning: to have one: .*reboot\.\n$/,
    )
    expect(stderr).toMatch(message)
    expect(stdout).not.toContain('watchdog')
  })
}

for (const [what, answer, message] of [
  ['does not know the word', 'exit 2', /^$/],
  ['finds nothing wrong', 'exit 0', /^$/],
  [
    'finds names that this host does not have',
    'echo "lvguard: warning: volume_groups names virtVg, which this host does not have; did you mean virtVG?" >&2; exit 0',
    /^warning: in the configuration: volume_groups names virtVg, which this host does not have; did you mean virtVG\?\n$/,
  ],
  [
    'finds something',
    'echo "line 3: start_wait must be a whole number" >&2; exit 1',
    /^warning: the configuration is wrong \(lvguard check-config\): line 3: start_wait must be a whole number\n$/,
  ],
] as const) {
  onHost(`check-config ${what}`, () => {
    const host = privateHost(program().replace('exit 0', `[ "$1" != check-config ] || { ${answer}; }; exit 0`))
    const { code, stderr } = host.install()
    expect(code).toBe(0)
    expect(stderr).toMatch(message)
  })
}

onHost('an agent that does not start: what this host lacks is said before', () => {
  const host = privateHost()
  host.tool('systemctl', 'case "$*" in *virtqemud) exit 3;; restart*) exit 1;; esac')
  rmSync(join(host.root, 'commands/libvirtd'))
  expect(host.install().stderr).toMatch(
    /^warning: libvirt is missing .*\ninstall\.sh: the agent did not start: .*\n.*\n$/,
  )
})

onHost('dist and install are all that a host needs of the folder, and neither npm nor Node modules', () => {
  const host = privateHost()
  rmSync(join(host.project, 'README.md'))
  expect(host.install()).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringContaining('missing    /usr/share/doc/lvguard/README.md'),
  })
  expect([read(host.hook), existsSync(host.service), existsSync(host.readme)]).toEqual([program(), true, false])
})

onHost('--uninstall tells the daemon that the hook is gone, and needs no Node', () => {
  const host = privateHost()
  host.install()
  rmSync(`${host.root}.local/bin/node`)
  expect(host.install(['--uninstall'])).toMatchObject({ code: 0, stderr: '' })
  expect([host.hook, host.command].map((path) => existsSync(path))).toEqual([false, false])
  expect(host.reloads()).toEqual(['libvirtd', 'libvirtd'])
  expect(host.units()).toEqual([
    ...STARTED,
    '--quiet disable lvguard-evacuate.service',
    '--quiet disable --now lvguard-check.timer',
    '--quiet disable --now lvguard.service',
    'daemon-reload',
  ])
  expect(existsSync(host.service) || host.order.some((path) => existsSync(path))).toBe(false)
})
