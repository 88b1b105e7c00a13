import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/** The rooms of src, from the bottom to the top, and from which others each may import. `src/README.md` shows it. */
const ROOMS = `
core     -
system   core
state    core system
sanlock  core system
lvm      core system sanlock
libvirt  core system
drbd     core system state lvm
kill     core system state sanlock lvm libvirt
check    core system state sanlock lvm libvirt drbd kill
acts     core system state sanlock lvm libvirt drbd kill
hook     core system acts
agent    core system state lvm libvirt drbd kill check acts
cli      core system state sanlock lvm libvirt drbd kill check acts agent
main.ts  core system hook cli
`.trim()

const TABLE: ReadonlyMap<string, readonly string[]> = new Map(
  ROOMS.split('\n').map((line) => {
    const [room = '', ...others] = line.split(/\s+/)
    return [room, others.filter((other) => other !== '-')]
  }),
)

/** What may lie in src beside the rooms. */
const LOOSE = ['README.md', 'loader.js', 'main.ts', 'stub.sh']

interface Import {
  readonly file: string
  /** A file below src, or the name of a package. */
  readonly of: string
}

/** The import lines of a file, also those of types, and those inside a function. */
const importsOf = (file: string, text: string): Import[] =>
  [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map(([, of = '']) => ({
    file,
    of: of.startsWith('.') ? normalize(join(dirname(file), of)) : of,
  }))

const roomOf = (file: string): string => file.split('/')[0] ?? ''

/** What goes where it may not, as lines. */
const forbidden = (imports: readonly Import[]): string[] =>
  imports
    .filter(({ of }) => of.endsWith('.ts'))
    .filter(({ file, of }) => roomOf(file) !== roomOf(of) && !TABLE.get(roomOf(file))?.includes(roomOf(of)))
    .map(({ file, of }) => `${file} imports ${of}`)

/**
 * The files in circles, and between two circles: what remains when those that import none of the rest, or that none of
 * the rest imports, are left out again and again.
 */
function inCircles(all: readonly Import[]): string[] {
  let rest = all.filter(({ of }) => of.endsWith('.ts'))
  for (;;) {
    const [importers, imported] = [new Set(rest.map(({ file }) => file)), new Set(rest.map(({ of }) => of))]
    const inside = rest.filter(({ file, of }) => imported.has(file) && importers.has(of))
    if (inside.length === rest.length) return [...importers].sort()
    rest = inside
  }
}

const files = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts'))
const imports = files.flatMap((file) => importsOf(file, readFileSync(join(SRC, file), 'utf8')))

describe('the rooms', () => {
  it('are all that is in src', () => {
    const entries = readdirSync(SRC)
    expect(
      entries
        .filter((name) => !TABLE.has(name))
        .concat('main.ts')
        .sort(),
    ).toEqual(LOOSE)
  })

  it('import one another in one direction', () => {
    const names = [...TABLE.keys()]
    for (const [room, others] of TABLE)
      expect(others.filter((other) => names.indexOf(other) >= names.indexOf(room))).toEqual([])
  })

  it('import what they may', () => expect(forbidden(imports), `What may be imported:\n${ROOMS}\n`).toEqual([]))

  it('may import nothing that they do not', () => {
    const used = new Set(imports.map(({ file, of }) => `${roomOf(file)} ${roomOf(of)}`))
    const unused = [...TABLE].flatMap(([room, others]) =>
      others.filter((other) => !used.has(`${room} ${other}`)).map((other) => `${room} imports nothing of ${other}`),
    )
    expect(unused).toEqual([])
  })

  it('have no files that import one another, not even by way of others', () => expect(inCircles(imports)).toEqual([]))

  it('a circle is seen', () =>
    expect(
      inCircles([
        { file: 'a.ts', of: 'b.ts' },
        { file: 'b.ts', of: 'c.ts' },
        { file: 'c.ts', of: 'b.ts' },
        { file: 'c.ts', of: 'd.ts' },
      ]),
    ).toEqual(['b.ts', 'c.ts']))

  it('core imports nothing else: no package, and of Node only how a path is put together', () => {
    const others = imports.filter(({ file, of }) => roomOf(file) === 'core' && roomOf(of) !== 'core')
    expect([...new Set(others.map(({ of }) => of))]).toEqual(['node:path'])
  })

  it('are drawn in the README beside them', () =>
    expect(readFileSync(join(SRC, 'README.md'), 'utf8')).toContain(`\`\`\`\n${ROOMS}\n\`\`\``))

  it.each([
    ["import { a } from '../hook/run-hook.ts'", 'acts/a.ts imports hook/run-hook.ts'],
    ["import {\n  a,\n  type B,\n} from '../cli/with.ts'", 'acts/a.ts imports cli/with.ts'],
    ["import '../agent/watch.ts'", 'acts/a.ts imports agent/watch.ts'],
    ["const { a } = await import('../check/look.ts')", 'acts/a.ts imports check/look.ts'],
    ["type A = import('../main.ts').A", 'acts/a.ts imports main.ts'],
  ])('what is seen: %s', (text, line) => expect(forbidden(importsOf('acts/a.ts', text))).toEqual([line]))
})
