// Builds dist/qemu: one executable file, shell and JavaScript at once, with everything in it that it needs.
// The same sources give the same bytes.
import { createHash } from 'node:crypto'
import { chmod, mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'

const { build } = await import('esbuild').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  process.stderr.write('build.mjs: the packages that this needs are not here yet: run `npm ci` first.\n')
  process.exit(1)
})

const ROOT = dirname(fileURLToPath(import.meta.url))
const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))

/** Modules that are loaded only when they are asked for with import(): each becomes a chunk of its own. */
const CHUNKS = {
  log: 'src/system/log.ts',
  config: 'src/state/config.ts',
  admin: 'src/cli/admin.ts',
  watch: 'src/agent/run-watch.ts',
  paths: 'src/lvm/paths.ts',
  pools: 'src/libvirt/storage-pools.ts',
  qcow2: 'src/acts/qcow2.ts',
}

const separateChunks = {
  name: 'separate-chunks',
  setup({ onResolve }) {
    onResolve({ filter: /\.ts$/ }, ({ kind, path, resolveDir }) => {
      const found = Object.entries(CHUNKS).find(([, source]) => join(resolveDir, path) === join(ROOT, source))
      return kind === 'dynamic-import' && found !== undefined
        ? { path: `chunk:${found[0]}`, external: true }
        : undefined
    })
  },
}

/**
 * Parts of packages that lvguard never uses but that would be set up at each call: together 6 ms of it (npm run bench).
 * execa's names of signals (human-signals; Node's own will do) and its `verbose` mode (figures, pretty-ms);
 * fast-xml-parser's opinion of the entities that a DOCTYPE defines (is-unsafe; domain-xml.ts refuses every DOCTYPE, and
 * here each counts as unsafe).
 */
const REPLACED = {
  'human-signals': `import { constants } from 'node:os'
    export const signalsByName = Object.fromEntries(Object.keys(constants.signals).map((name) => [name, { name, description: name }]))`,
  figures: 'export default {}',
  'pretty-ms': 'export default String',
  'is-unsafe': 'export const HTML = [], XML = [], isUnsafe = () => true',
}

const replacedPackages = {
  name: 'replaced-packages',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(${Object.keys(REPLACED).join('|')})$`) }, ({ path }) => ({
      path,
      namespace: 'replaced',
    }))
    onLoad({ filter: /./, namespace: 'replaced' }, ({ path }) => ({ contents: REPLACED[path], resolveDir: ROOT }))
  },
}

/** For `npm run coverage`: not made small, and each chunk in a file of its own beside the program. */
const isReadable = process.env.LVGUARD_READABLE === '1'

const sha256 = (data) => createHash('sha256').update(data).digest('hex')

async function bundle(entry) {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(ROOT, entry)],
    bundle: true,
    write: false,
    metafile: true,
    minify: !isReadable,
    platform: 'node',
    format: 'cjs',
    target: 'node18',
    absWorkingDir: ROOT,
    legalComments: 'none',
    define: { LVGUARD_VERSION: JSON.stringify(version), LVGUARD_SOURCES: JSON.stringify(sources) },
    plugins: [separateChunks, replacedPackages],
    supported: { 'dynamic-import': false },
    logLevel: 'warning',
  })
  return { code: outputFiles[0].text, inputs: Object.keys(metafile.inputs) }
}

/**
 * The packages that went in, in the order of their folders, each with what of it did and with its licence and the text
 * of that.
 */
async function packagesOf(inputs) {
  const folderOf = (input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]
  const folders = [...new Set(inputs.flatMap((input) => folderOf(input) ?? []))].sort()
  return await Promise.all(
    folders.map(async (folder) => {
      const {
        name,
        version: packageVersion,
        license,
      } = JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8'))
      const file = (await readdir(join(ROOT, folder))).find((entry) => /^licen[cs]e/i.test(entry))
      const text =
        file === undefined ? `Licence: ${license}` : (await readFile(join(ROOT, folder, file), 'utf8')).trim()
      return {
        name,
        version: packageVersion,
        license,
        folder,
        inputs: [...new Set(inputs.filter((input) => folderOf(input) === folder))].sort(),
        text,
      }
    }),
  )
}

/** Their licence texts; packages with the same text share it. */
function licencesOf(packages) {
  const byText = new Map()
  for (const { name, version: packageVersion, text } of packages)
    byText.set(text, [...(byText.get(text) ?? []), `${name} ${packageVersion}`])
  return [...byText].map(([text, names]) => `${names.join(', ')}\n\n${text}\n`).join('\n')
}

const sources = await sourcesSum()
const bundles = { main: await bundle('src/main.ts') }
for (const [name, source] of Object.entries(CHUNKS)) bundles[name] = await bundle(source)

// A single character beyond ASCII would make V8 keep the whole file in two bytes a character.
const ascii = (text) =>
  text
    .replaceAll('\u00a9', '(c)')
    .normalize('NFD')
    .replace(/[^\0-\x7f]/g, '')

const stub = await readFile(join(ROOT, 'src/stub.sh'), 'utf8')
const loader = (await build({ entryPoints: [join(ROOT, 'src/loader.js')], write: false, minify: true, target: 'es5' }))
  .outputFiles[0].text
// Each chunk stands in a comment that is all there is of a function: Node need not even scan it as a string, and the
// loader has it from the function's own text. The end of a comment inside a chunk is written as ESCAPED_END.
const ESCAPED_END = '*<end>/'
// Packed, so that hook calls have less to read past (2 ms of each): the agent and the commands, half of the program,
// which none of them needs, and the log, which they unpack while lvchange runs.
const PACKED = ['admin', 'log', 'watch']
const texts = new Map()
const chunks = Object.entries(bundles)
  .map(([name, { code }]) => {
    if (code.includes(ESCAPED_END)) throw new Error(`chunk ${name} has ${ESCAPED_END} of its own`)
    // It runs in a thread that has no loader (src/system/thread.ts).
    if (name === 'watch' && code.includes('"chunk:')) throw new Error('the chunk watch asks for another one')
    const source = `(function(exports,require,module,saveCache,sourceOf){${ascii(code)}\n})`
    texts.set(name, source)
    if (PACKED.includes(name))
      return `${name}:function(){/*packed:${deflateRawSync(source, { level: 9 }).toString('base64').replaceAll('/', '_')}*/}`
    return `${name}:function(){/*${source.replaceAll('*/', ESCAPED_END)}*/}`
  })
  .join(',\n')
const hash = createHash('sha256').update(chunks).digest('hex').slice(0, 16)
const packages = await packagesOf(Object.values(bundles).flatMap(({ inputs }) => inputs))
const licences = licencesOf(packages)

/**
 * What install.sh compares with the sources beside it, by their content (`sources_sum` there): the sum of the lines of
 * sha256sum(1). No sum of the program itself, which only a build could tell.
 */
async function sourcesSum() {
  const below = (await readdir(join(ROOT, 'src'), { recursive: true })).map((name) => `src/${name}`)
  const names = [...below, 'build.mjs', 'package.json', 'package-lock.json']
    .filter((name) => /\.(ts|js|mjs|json|sh)$/.test(name))
    .sort()
  const lines = await Promise.all(names.map(async (name) => `${sha256(await readFile(join(ROOT, name)))}  ${name}\n`))
  return sha256(lines.join(''))
}
const head = `// lvguard ${version}, sources ${sources}\n`

const text = ascii(
  `${stub}${head};var build='${hash}';\n${loader}var chunks={${chunks}};\nload("main")\n/*\nlvguard ${version} contains these packages.\n\n${licences.replaceAll('*/', '* /')}*/\n`,
)
const target = process.env.LVGUARD_TARGET ?? join(ROOT, 'dist/qemu')
await mkdir(dirname(target), { recursive: true })
// Beside it and renamed, so that nobody ever runs half a file.
await writeFile(`${target}.new`, text)
await chmod(`${target}.new`, 0o755)
await rename(`${target}.new`, target)
if (isReadable) for (const [name, source] of texts) await writeFile(`${target}.${name}.js`, source)
// What is in it, for who packs it (install/debian).
await writeFile(`${target}.packages.json`, `${JSON.stringify(packages, undefined, 1)}\n`)
