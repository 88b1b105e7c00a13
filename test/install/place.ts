/**
 * Places to install into: a copy of install/ beside a dist/qemu of our own, a folder for --destdir, and a root of its
 * own (mount namespace and chroot) in which the installer runs as on a real host.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, test } from 'vitest'

export const source = fileURLToPath(new URL('../../install', import.meta.url))
export const root = process.getuid?.() === 0

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
  readonly uid?: number
}

export function run(command: string, words: readonly string[], options: RunOptions = {}): Outcome {
  const { uid, ...rest } = options
  const as = uid === undefined ? {} : { uid, gid: uid }
  const { status, signal, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8', ...rest, ...as })
  if (error) throw error
  return { code: status ?? 128, stdout, stderr: signal ? `${stderr}ended by ${signal}\n` : stderr }
}

const has = (command: string) => run('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin; command -v ${command}`]).code === 0

const conditions = {
  root: [root, 'needs root'],
  namespaces: [
    root && run('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).code === 0,
    'needs root and mount namespaces',
  ],
  shellcheck: [has('shellcheck'), 'needs shellcheck'],
  logrotate: [has('logrotate'), 'needs logrotate'],
} as const satisfies Record<string, readonly [boolean, string]>

/** `test`, or a skipped test that says under its own name what it needs. */
export function testWith(condition: keyof typeof conditions) {
  const [met, reason] = conditions[condition]
  return (name: string, body: () => void | Promise<void>, timeout?: number) => {
    if (met) return test(name, body, timeout)
    return test.skip(`${name} (${reason})`, body)
  }
}

// These tests wait for programs without letting go: vitest would not hear from them for too long.
afterEach(() => new Promise<void>((done) => void setImmediate(done)))

const made: string[] = []
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
})

/** A new folder that other users can reach; removed at the end. */
export function folder(name = 'lvguard-install-'): string {
  const path = mkdtempSync(join(tmpdir(), name))
  chmodSync(path, 0o755)
  made.push(path)
  return path
}

export function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
}

export const read = (path: string) => readFileSync(path, 'utf8')

/** A shell script that is taken for dist/qemu; `padding` bytes make copying it take a while. */
export const program = (version = '0.1.0', padding = 0) =>
  `#!/bin/sh\n// 2>/dev/null; # lvguard, a libvirt qemu hook\necho ${version}; exit 0\n${'#'.repeat(padding)}\n# end\n`

export const README = '# lvguard\n'

/** The hook of some other program. */
export const foreign = '#!/bin/sh\n# passthrough\nexit 0\n'

export interface Place {
  /** The folder that holds install/ and dist/. */
  readonly project: string
  /** What --destdir names. */
  readonly destdir: string
  readonly hook: string
  readonly kept: string
  readonly command: string
  readonly conf: string
  readonly rotation: string
  readonly service: string
  /** The units beside the agent's. */
  readonly check: readonly string[]
  /** Manual pages, and the completion of bash. */
  readonly docs: readonly string[]
  /** The drop-ins, in the order in which they are named. */
  readonly order: readonly string[]
  readonly readme: string
  install(words?: readonly string[], options?: RunOptions): Outcome
}

/** The units that get a drop-in, in the order in which they are named. */
export const UNITS = ['libvirtd', 'virtqemud', 'libvirt-guests'] as const
/** The units beside the agent's, in that order. */
export const CHECK_UNITS = ['lvguard-check.service', 'lvguard-check.timer', 'lvguard-evacuate.service'] as const
/** What is delivered, and its place below /usr/share, in that order. */
export const DOCS = [
  ['lvguard.8', 'man/man8/lvguard.8'],
  ['lvguard.conf.5', 'man/man5/lvguard.conf.5'],
  ['lvguard.bash-completion', 'bash-completion/completions/lvguard'],
] as const
/** What is delivered for each of them. */
export const orderSource = (unit: (typeof UNITS)[number]) =>
  read(join(source, unit === 'libvirt-guests' ? 'lvguard-order-guests.conf' : 'lvguard-order.conf'))

/** The installed paths below a folder. */
export const paths = (below: string) => ({
  hook: join(below, 'etc/libvirt/hooks/qemu'),
  kept: join(below, 'etc/libvirt/hooks/qemu.d/qemu'),
  command: join(below, 'usr/sbin/lvguard'),
  conf: join(below, 'etc/libvirt/lvguard.conf'),
  rotation: join(below, 'etc/logrotate.d/lvguard'),
  service: join(below, 'usr/lib/systemd/system/lvguard.service'),
  check: CHECK_UNITS.map((unit) => join(below, `usr/lib/systemd/system/${unit}`)),
  docs: DOCS.map(([, path]) => join(below, 'usr/share', path)),
  order: UNITS.map((unit) => join(below, `usr/lib/systemd/system/${unit}.service.d/lvguard.conf`)),
  readme: join(below, 'usr/share/doc/lvguard/README.md'),
})

export function place(built: string | undefined = program(), base = folder()): Place {
  const project = join(base, 'project')
  const destdir = join(base, 'dest')
  cpSync(source, join(project, 'install'), { recursive: true })
  write(join(project, 'README.md'), README)
  if (built !== '') write(join(project, 'dist/qemu'), built, 0o755)
  return {
    project,
    destdir,
    ...paths(destdir),
    install: (words = [], options = {}) =>
      run(join(project, 'install/install.sh'), ['--destdir', destdir, ...words], options),
  }
}

/** Every path below a folder with its type, mode and content: equal before and after means that nothing was changed. */
export function snapshot(below: string): Record<string, string> {
  if (!existsSync(below)) return {}
  const names = readdirSync(below, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(names.map((name) => [name, describe(join(below, name))]))
}

function describe(path: string): string {
  const status = lstatSync(path)
  if (status.isSymbolicLink()) return `-> ${readlinkSync(path)}`
  const mode = (status.mode & 0o7777).toString(8)
  return status.isDirectory() ? `folder ${mode}` : `${mode} ${read(path)}`
}

let tools: string | undefined

/** A PATH with this machine's tools, without npm and Node; scripts of one's own go before them. */
export function toolsWithoutNode(own: Readonly<Record<string, string>> = {}): string {
  tools ??= linkTools(folder())
  if (Object.keys(own).length === 0) return tools
  const first = folder()
  for (const [name, script] of Object.entries(own)) write(join(first, name), `#!/bin/sh\n${script}\n`, 0o755)
  return `${first}:${tools}`
}

function linkTools(into: string): string {
  for (const bin of ['/usr/bin', '/bin']) {
    for (const name of readdirSync(bin)) {
      const link = join(into, name)
      if (!/^(node|nodejs|npm|npx)$/.test(name) && !lstatSync(link, { throwIfNoEntry: false })) {
        symlinkSync(join(bin, name), link)
      }
    }
  }
  return into
}

export interface PrivateHost extends Omit<Place, 'destdir'> {
  /** The root that the installer sees as /. */
  readonly root: string
  /** Puts a command into the host's PATH: a shell script. */
  tool(name: string, script: string): void
  /** What systemctl was asked to reload, in order. */
  reloads(): string[]
  /** What it was asked to do with units of ours, in order. */
  units(): string[]
}

// The machine's /usr, but for what an installer writes to, which is empty as all else is, and without Node. Gone with
// the last process.
const enter = `
set -eu
root=$1; shift
mount --rbind /usr "$root/usr"
mount --bind "$root.local" "$root/usr/local"
mount --bind "$root.sbin" "$root/usr/sbin"
mount --bind "$root.units" "$root/usr/lib/systemd/system"
mount --bind "$root.doc" "$root/usr/share/doc"
mount --bind "$root.man" "$root/usr/share/man"
mount --bind "$root.completion" "$root/usr/share/bash-completion"
[ ! -e /usr/bin/node ] || mount --bind /dev/null "$root/usr/bin/node"
for name in bin sbin lib lib64; do
  if [ -L "/$name" ]; then ln -sfn "usr/$name" "$root/$name"
  elif [ -d "/$name" ]; then mkdir -p "$root/$name"; mount --rbind "/$name" "$root/$name"
  fi
done
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/commands:/usr/bin:/bin "$@"
`

/**
 * A host with systemd, libvirtd 9.0 running, Node 18.19 and LVM set up, as far as the installer can tell. Needs root.
 */
export function privateHost(built = program()): PrivateHost {
  const base = folder()
  const root = join(base, 'root')
  for (const name of ['usr', 'dev', 'commands', 'etc', 'run/systemd/system', 'tmp']) {
    mkdirSync(join(root, name), { recursive: true })
  }
  for (const name of ['local/bin', 'sbin', 'units', 'doc', 'man', 'completion'])
    mkdirSync(`${root}.${name}`, { recursive: true })
  place(built, root)
  const host: PrivateHost = {
    project: join(root, 'project'),
    root,
    ...paths(root),
    command: `${root}.sbin/lvguard`,
    service: `${root}.units/lvguard.service`,
    check: CHECK_UNITS.map((unit) => `${root}.units/${unit}`),
    docs: DOCS.map(([, path]) => `${root}.${path.replace('bash-completion/', 'completion/')}`),
    order: UNITS.map((unit) => `${root}.units/${unit}.service.d/lvguard.conf`),
    readme: `${root}.doc/lvguard/README.md`,
    tool: (name, script) => write(join(root, 'commands', name), `#!/bin/sh\n${script}\n`, 0o755),
    reloads: () => (existsSync(join(root, 'reloads')) ? read(join(root, 'reloads')).trim().split('\n') : []),
    units: () => (existsSync(join(root, 'units')) ? read(join(root, 'units')).trim().split('\n') : []),
    install: (words = []) =>
      run('unshare', ['-m', 'sh', '-c', enter, 'sh', root, '/project/install/install.sh', ...words]),
  }
  write(`${root}.local/bin/node`, '#!/bin/sh\necho v18.19.0\n', 0o755)
  host.tool(
    'systemctl',
    'case "$*" in *virtqemud) exit 3;; "reload "*) echo "$2" >> /reloads;; is-active*) ;; *) echo "$*" >> /units;; esac',
  )
  host.tool('libvirtd', 'echo "/usr/sbin/libvirtd (libvirt) 9.0.0"')
  host.tool('lvmconfig', 'case "$*" in *host_id) echo host_id=1;; *) echo use_lvmlockd=1;; esac')
  host.tool('sanlock', 'echo "    use_watchdog=1"')
  host.tool('lvmlockctl', 'exit 0')
  return host
}
