// Runs a TypeScript file of test/: `node test/run.mjs demo.ts [words]`. Bundled by esbuild first, since Node 18 reads no TypeScript.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const TEST = fileURLToPath(new URL('.', import.meta.url))
const [, , file = '', ...words] = process.argv
const folder = join(TEST, '../node_modules/.cache/lvguard')
const outfile = join(folder, `${file.replace(/\W/g, '-')}-${process.pid}.mjs`)
mkdirSync(folder, { recursive: true })
// import.meta.url of each source file stays its own: fixtures are found beside it.
const keepUrl = {
  name: 'keep-url',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const { readFile } = await import('node:fs/promises')
      const text = await readFile(path, 'utf8')
      return { contents: text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)), loader: 'ts' }
    })
  },
}
await build({
  entryPoints: [join(TEST, file)],
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node18',
  packages: 'external',
  outfile,
  plugins: [keepUrl],
  logLevel: 'warning',
})
try {
  const { main } = await import(pathToFileURL(outfile).href)
  process.exitCode = await main(words)
} finally {
  rmSync(outfile, { force: true })
}
