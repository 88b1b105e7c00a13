/**
 * `npm run release`: what is given away of a version, in dist/release: the source tarball, the Debian package, and
 * their checksums. Made of the last commit, and refused while the tree has anything else in it. The same commit gives
 * the same bytes.
 *
 * The tarball has, below vendor/, the packages that are bundled in the program, as npm gives them: their source, not
 * minified.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ROOT, VERSION, epoch, releases } from './source.mjs'

const run = (command, words, options = {}) =>
  execFileSync(command, words, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1e9,
    ...options,
  })

function refuse(why) {
  process.stderr.write(`release: ${why}\n`)
  process.exit(1)
}

/**
 * A line of a source that somebody wrote is shorter, in characters; a regular expression of readable-stream has 506.
 */
const LONGEST_LINE = 1000

/**
 * Puts the bundled packages below vendor/, without what npm packages have minified beside their source. @throws Error
 * if a file that went in is not there, or minified
 */
function vendor(packages, folder) {
  for (const { folder: from, inputs } of packages) {
    const to = join(folder, from.replace(/^node_modules\//, '').replaceAll('/node_modules/', '/'))
    cpSync(join(ROOT, from), to, {
      recursive: true,
      filter: (path) => !/(?:\.min\.js|\.map)$/.test(path) && basename(path) !== 'node_modules',
    })
    for (const input of inputs) {
      const text = readFileSync(join(to, input.slice(from.length)), 'utf8')
      if (text.split('\n').some((line) => line.length > LONGEST_LINE))
        throw new Error(`${input} is minified: its source is not in the package`)
    }
  }
}

const changes = run('git', ['status', '--porcelain'])
if (changes !== '') refuse(`the tree is not the last commit; commit first, or put it away:\n${changes.trimEnd()}`)
// Also that NEWS.md tells of this version.
releases()

const target = join(ROOT, 'dist/release')
const made = mkdtempSync(join(tmpdir(), 'lvguard-release-'))
try {
  run('node', ['build.mjs'], { stdio: 'inherit' })
  const name = `lvguard-${VERSION}`
  const folder = join(made, name)
  mkdirSync(folder)
  run('tar', ['-x', '-C', folder], {
    input: run('git', ['archive', 'HEAD'], { encoding: 'buffer' }),
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  vendor(JSON.parse(readFileSync(join(ROOT, 'dist/qemu.packages.json'), 'utf8')), join(folder, 'vendor'))

  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  run('tar', [
    '--sort=name',
    `--mtime=@${epoch()}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u=rwX,go=rX',
    '--format=gnu',
    '-cf',
    join(made, `${name}.tar`),
    '-C',
    made,
    name,
  ])
  // One thread: how xz cuts its input must not hang on this machine.
  run('xz', ['-9', '-T1', join(made, `${name}.tar`)])
  cpSync(join(made, `${name}.tar.xz`), join(target, `${name}.tar.xz`))
  run('node', ['install/debian/deb.mjs'], {
    env: { ...process.env, LVGUARD_DEB: join(target, `lvguard_${VERSION}_all.deb`) },
  })

  const files = readdirSync(target).sort()
  writeFileSync(
    join(target, 'SHA256SUMS'),
    files
      .map(
        (file) =>
          `${createHash('sha256')
            .update(readFileSync(join(target, file)))
            .digest('hex')}  ${file}\n`,
      )
      .join(''),
  )
  for (const file of [...files, 'SHA256SUMS']) process.stdout.write(`${join('dist/release', file)}\n`)
} finally {
  rmSync(made, { recursive: true, force: true })
}
