import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { type Found, hunt } from './hunt.ts'
import { MUTANTS, type Mutant, placeOf } from './mutants.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const SRC = join(HERE, '../../src')
const FOLDER = join(HERE, '../../node_modules/.cache/lvguard')

/**
 * The simulation around a product in which one thing is wrong. @throws Error if what is to be replaced does not stand
 * there exactly once
 */
async function hunterOf(mutant: Mutant): Promise<typeof hunt> {
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
    return ((await import(pathToFileURL(outfile).href)) as { readonly hunt: typeof hunt }).hunt
  } finally {
    rmSync(outfile, { force: true })
  }
}

/** The first schedule that breaks a rule with what is wrong, and none without it. */
async function foundBy(
  play: typeof hunt,
  first: number,
  count: number,
  focus: Mutant['focus'],
): Promise<Found | undefined> {
  for (let from = first; from < first + count; ) {
    const found = await play(from, first + count - from, focus)
    if (found === undefined || (await hunt(found.seed, 1, focus)) === undefined) return found
    from = found.seed + 1
  }
  return undefined
}

/**
 * `npm run test:mutations -- [--seeds COUNT] [--from N] [--part I/N] [PATTERN]`: a table of what finds each, and how
 * soon. One that is harmless is tried as well: what finds it shows that it is not.
 */
export async function main(words: readonly string[]): Promise<number> {
  const after = (option: string, otherwise: string): string =>
    words.includes(option) ? (words[words.indexOf(option) + 1] ?? otherwise) : otherwise
  const [first, count] = [Number(after('--from', '1')), Number(after('--seeds', '3000'))]
  const [part = 0, parts = 1] = after('--part', '0/1').split('/').map(Number)
  const pattern = new RegExp(
    words.find((word, index) => !word.startsWith('--') && words[index - 1]?.startsWith('--') !== true) ?? '',
  )
  const chosen = MUTANTS.filter(({ name }, index) => index % parts === part && pattern.test(name))
  const counted = { found: 0, harmless: 0, 'not found': 0 }
  for (const mutant of chosen) {
    const play = await hunterOf(mutant)
    const found = await foundBy(play, first + (mutant.after ?? 0), count, mutant.focus)
    const row =
      found !== undefined
        ? ([
            'found',
            `seed ${String(found.seed).padStart(4)}${mutant.focus === undefined ? '' : ` of '${mutant.focus}'`}`,
            `${found.violation.rule}: ${found.violation.text.split('\n')[0]}`,
          ] as const)
        : mutant.harmless !== undefined
          ? (['harmless', 'harmless ', mutant.harmless] as const)
          : (['not found', 'NOT FOUND', ''] as const)
    counted[row[0]]++
    process.stdout.write(`${row[1]} | ${mutant.name} | ${row[2]}\n`)
  }
  process.stdout.write(`${counted.found} found, ${counted.harmless} harmless, ${counted['not found']} not found\n`)
  return counted['not found'] === 0 ? 0 : 1
}
