/**
 * `npm run deb`: makes dist/lvguard_VERSION_all.deb of dist/qemu and of what is in install/. It needs dpkg-deb, gzip
 * and xz, no root and no network. The same sources give the same bytes. DEBFULLNAME and DEBEMAIL name who makes it, as
 * for Debian's own tools.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { copyright } from './copyright.mjs'
import { ROOT, VERSION, epoch, releases } from './source.mjs'

/** Who answers for the package. */
const MAINTAINER = `${process.env.DEBFULLNAME ?? 'lvguard developers'} <${process.env.DEBEMAIL ?? 'lvguard@example.org'}>`

/** What is copied as it is: from, to. A new unit is one more line. */
const FILES = [
  ['dist/qemu', 'usr/sbin/lvguard'],
  ['install/lvguard.conf', 'etc/libvirt/lvguard.conf'],
  ['install/lvguard.service', 'usr/lib/systemd/system/lvguard.service'],
  ['install/lvguard-check.service', 'usr/lib/systemd/system/lvguard-check.service'],
  ['install/lvguard-check.timer', 'usr/lib/systemd/system/lvguard-check.timer'],
  // postinst starts neither this one nor stops it: its stop sends the VMs away.
  ['install/lvguard-evacuate.service', 'usr/lib/systemd/system/lvguard-evacuate.service'],
  ['install/lvguard-order.conf', 'usr/lib/systemd/system/libvirtd.service.d/lvguard.conf'],
  ['install/lvguard-order.conf', 'usr/lib/systemd/system/virtqemud.service.d/lvguard.conf'],
  ['install/lvguard-order-guests.conf', 'usr/lib/systemd/system/libvirt-guests.service.d/lvguard.conf'],
  ['install/lvguard.bash-completion', 'usr/share/bash-completion/completions/lvguard'],
  ['install/lvguard.tmpfiles', 'usr/lib/tmpfiles.d/lvguard.conf'],
  // postinst links them into /etc: they go with the program.
  ['install/lvguard.logrotate', 'usr/share/lvguard/logrotate'],
  ['install/lvguard.needrestart', 'usr/share/lvguard/needrestart.conf'],
  ['install/debian/lintian-overrides', 'usr/share/lintian/overrides/lvguard'],
  ['README.md', 'usr/share/doc/lvguard/README.md'],
  ['NEWS.md', 'usr/share/doc/lvguard/NEWS.md'],
]
/** Empty: of libvirt, which may come later. */
const FOLDERS = ['etc/libvirt/hooks']
const EXECUTABLE = ['usr/sbin/lvguard']
const CONFFILES = ['/etc/libvirt/lvguard.conf']
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm']

/** What is made here: to, and its text. `.gz` is packed, always in the same way. */
function texts() {
  const packages = JSON.parse(readFileSync(join(ROOT, 'dist/qemu.packages.json'), 'utf8'))
  return [
    ['usr/share/doc/lvguard/copyright', copyright(packages)],
    ['usr/share/doc/lvguard/changelog.gz', changelog()],
    ['usr/share/man/man8/lvguard.8.gz', readFileSync(join(ROOT, 'install/lvguard.8'), 'utf8')],
    ['usr/share/man/man5/lvguard.conf.5.gz', readFileSync(join(ROOT, 'install/lvguard.conf.5'), 'utf8')],
  ]
}

/** NEWS.md as dpkg reads it: lines of 80 columns. */
function changelog() {
  return releases()
    .map(({ version, date, body }) => {
      const items = body
        .split(/^- /m)
        .slice(1)
        .map((item) =>
          filled(item.replaceAll('`', '').trim().split(/\s+/))
            .map((line, at) => `  ${at === 0 ? '*' : ' '} ${line}`)
            .join('\n'),
        )
      const when = date.toUTCString().replace('GMT', '+0000')
      return `lvguard (${version}) unstable; urgency=medium\n\n${items.join('\n')}\n\n -- ${MAINTAINER}  ${when}\n`
    })
    .join('\n')
}

function filled(words, width = 74) {
  const lines = ['']
  for (const word of words) {
    const last = lines.at(-1)
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines
}

const tree = (folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()

/** Fills a folder with what dpkg-deb packs. */
function fill(folder) {
  const put = (to, data) => {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    writeFileSync(join(folder, to), to.endsWith('.gz') ? execFileSync('gzip', ['-9n'], { input: data }) : data)
  }
  for (const [from, to] of FILES) put(to, readFileSync(join(ROOT, from)))
  for (const [to, text] of texts()) put(to, text)
  for (const each of FOLDERS) mkdirSync(join(folder, each), { recursive: true })

  const files = tree(folder).filter((name) => lstatSync(join(folder, name)).isFile())
  const kibibytes = files.reduce((sum, name) => sum + Math.ceil(lstatSync(join(folder, name)).size / 1024), 0)
  const md5 = (name) =>
    createHash('md5')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
  put(
    'DEBIAN/md5sums',
    files
      .filter((name) => !CONFFILES.includes(`/${name}`))
      .map((name) => `${md5(name)}  ${name}\n`)
      .join(''),
  )
  put('DEBIAN/conffiles', CONFFILES.map((name) => `${name}\n`).join(''))
  const fields = { VERSION, MAINTAINER, SIZE: String(kibibytes) }
  put(
    'DEBIAN/control',
    readFileSync(join(ROOT, 'install/debian/control'), 'utf8').replace(/@(\w+)@/g, (_, name) => fields[name]),
  )
  for (const script of SCRIPTS) put(`DEBIAN/${script}`, readFileSync(join(ROOT, 'install/debian', script)))

  // Whatever the umask and the clock: last of all, and a folder after what is in it.
  const isExecutable = (name) => EXECUTABLE.includes(name) || SCRIPTS.includes(name.replace(/^DEBIAN\//, ''))
  for (const name of [...tree(folder).reverse(), '.']) {
    const path = join(folder, name)
    chmodSync(path, lstatSync(path).isDirectory() || isExecutable(name) ? 0o755 : 0o644)
    lutimesSync(path, epoch(), epoch())
  }
}

const made = mkdtempSync(join(tmpdir(), 'lvguard-deb-'))
try {
  const folder = join(made, 'lvguard')
  mkdirSync(folder)
  fill(folder)
  const name = `lvguard_${VERSION}_all.deb`
  // One thread: how xz cuts its input must not hang on this machine.
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', folder, join(made, name)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch()), DPKG_DEB_THREADS_MAX: '1' },
  })
  const target = process.env.LVGUARD_DEB ?? join(ROOT, 'dist', name)
  cpSync(join(made, name), target)
  process.stdout.write(`${target}\n`)
} finally {
  rmSync(made, { recursive: true, force: true })
}
