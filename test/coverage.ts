import { readFileSync, readdirSync, rmSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { Counts, type FileCoverage, coverageLines } from './simulation/coverage.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = join(ROOT, 'coverage')
const PROGRAMS = join(FOLDER, 'programs')

/** What vitest keeps of a source file (its reporter `json`). */
interface UnitCoverage {
  readonly fnMap: Readonly<Record<string, { readonly name: string }>>
  readonly f: Readonly<Record<string, number>>
}

/**
 * `npm run coverage`: plays `npm test`, and counts what is run of the sources: by tests that load them, and in each
 * built program that a test starts. Prints a table of the latter, and which functions neither of both ever calls.
 */
export async function main(words: readonly string[]): Promise<number> {
  rmSync(FOLDER, { recursive: true, force: true })
  await execa('node', ['build.mjs'], { cwd: ROOT, env: { LVGUARD_READABLE: '1' } })
  const config = ['--config', 'test/vitest.config.mts', '--coverage']
  const { exitCode } = await execa('npx', ['vitest', 'run', ...config, ...words], {
    cwd: ROOT,
    stdio: 'inherit',
    reject: false,
    env: { LVGUARD_COVERAGE: PROGRAMS },
  })
  const files = programs()
  const called = unitTests()
  for (const line of coverageLines(files)) process.stdout.write(`${line}\n`)
  process.stdout.write('Called by no test, in a built program or as a source:\n')
  for (const { file, uncalled } of files) {
    const never = uncalled.filter((name) => !(called.get(file)?.has(name) ?? false))
    if (never.length > 0) process.stdout.write(`  ${file}: ${never.join(', ')}\n`)
  }
  for (const name of readdirSync(join(ROOT, 'dist')).filter((each) => /^qemu\.\w+\.js$/.test(each)))
    rmSync(join(ROOT, 'dist', name))
  await execa('node', ['build.mjs'], { cwd: ROOT })
  return exitCode ?? 1
}

/** What the built programs have run. A source file that stands in several chunks counts where most of it was run. */
function programs(): FileCoverage[] {
  const chunks = new Map<string, Counts>()
  for (const name of readdirSync(join(ROOT, 'dist'))) {
    const chunk = /^qemu\.(\w+)\.js$/.exec(name)?.[1]
    if (chunk !== undefined) chunks.set(chunk, new Counts(readFileSync(join(ROOT, 'dist', name), 'utf8')))
  }
  for (const name of readdirSync(PROGRAMS)) {
    const { result } = JSON.parse(readFileSync(join(PROGRAMS, name), 'utf8')) as Profiler.TakePreciseCoverageReturnType
    for (const { url, functions } of result) chunks.get(/qemu:(\w+)$/.exec(url)?.[1] ?? '')?.add(functions)
  }
  const merged = new Map<string, FileCoverage>()
  for (const each of [...chunks.values()].flatMap((counts) => counts.files())) {
    const known = merged.get(each.file)
    const [most, other] =
      known === undefined || known.run / known.lines < each.run / each.lines ? [each, known] : [known, each]
    const uncalled = most.uncalled.filter((name) => other?.uncalled.includes(name) ?? true)
    merged.set(each.file, { ...most, uncalled })
  }
  return [...merged.values()].sort((a, b) => (a.file < b.file ? -1 : 1))
}

/** Names of the functions that tests have called in the sources themselves, by file. */
function unitTests(): Map<string, ReadonlySet<string>> {
  const found = JSON.parse(readFileSync(join(FOLDER, 'coverage-final.json'), 'utf8')) as Record<string, UnitCoverage>
  return new Map(
    Object.entries(found).map(([path, { fnMap, f }]) => [
      path.slice(join(ROOT, 'src').length + 1),
      new Set(Object.entries(fnMap).flatMap(([key, { name }]) => ((f[key] ?? 0) > 0 ? [name] : []))),
    ]),
  )
}
