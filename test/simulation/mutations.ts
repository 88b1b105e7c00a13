import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { Found } from './hunt.ts'
import { MUTANTS, type Mutant, placeOf } from './mutants.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const SRC = join(HERE, '../../src')
const FOLDER = join(HERE, '../../node_modules/.cache/lvguard')

/**
 * The simulation around a product in which one thing is wrong. @throws Error if what is to be replaced does not stand
 * there exactly once
 */
async function hunterOf(mutant: Mutant): Promise<(from: number, count: number) => Promise<Found | undefined>> {
  const { name, file, to } = mutant
  const path = join(SRC, file)
  const text = readFileSync(path, 'utf8')
  const pattern = placeOf(mutant)
  const places = text.match(pattern)?.length ?? 0
  if (places !== 1) throw new Error(`${name}: what is to be replaced stands ${places} times in ${file}`)
  const contents = text.replace(pattern, () => to)
  mkdirSync(FOLDER, { recursive: true })
  const outfile = join(FOLDER, `mutant-${process.pid}-${MUTANTS.findIndex((each) => each.name === name)}.mjs`)
  try {
    await build({
      entryPoints: [join(HERE, 'hunt.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node18',
      packages: 'external',
      outfile,
      logLevel: 'error',
      plugins: [
        {
          name: 'mutant',
          setup: ({ onLoad }) =>
            onLoad({ filter: /\.ts$/ }, (args) => (args.path === path ? { contents, loader: 'ts' } : undefined)),
        },
      ],
    })
    return ((await import(pathToFileURL(outfile).href)) as typeof import('./hunt.ts')).hunt
  } finally {
    rmSync(outfile, { force: true })
  }
}

/** `npm run test:mutations -- [--seeds COUNT] [--part I/N] [PATTERN]`: a table of what finds each, and how soon. */
export async function main(words: readonly string[]): Promise<number> {
  const after = (option: string, otherwise: string): string =>
    words.includes(option) ? (words[words.indexOf(option) + 1] ?? otherwise) : otherwise
  const count = Number(after('--seeds', '3000'))
  const [part = 0, parts = 1] = after('--part', '0/1').split('/').map(Number)
  const pattern = new RegExp(
    words.find((word, index) => !word.startsWith('--') && words[index - 1]?.startsWith('--') !== true) ?? '',
  )
  const chosen = MUTANTS.filter(({ name }, index) => index % parts === part && pattern.test(name))
  let survivors = 0
  for (const mutant of chosen) {
    const hunt = await hunterOf(mutant)
    const found = await hunt(1, count)
    if (found === undefined) survivors++
    process.stdout.write(
      `${found === undefined ? 'NOT FOUND' : `seed ${String(found.seed).padStart(4)}`} | ${mutant.name} | ${found === undefined ? '' : `${found.violation.rule}: ${found.violation.text.split('\n')[0]}`}\n`,
    )
  }
  process.stdout.write(`${chosen.length - survivors} of ${chosen.length} found\n`)
  return survivors === 0 ? 0 : 1
}
