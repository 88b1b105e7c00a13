import { readFileSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

/** What of a source file was run. */
export interface FileCoverage {
  /** Below src. */
  readonly file: string
  /** Lines of code, as esbuild writes them: without comments and types. */
  readonly lines: number
  readonly run: number
  /** Functions that were never called, by their names. */
  readonly uncalled: readonly string[]
}

/**
 * Counts, in this process, what is run of the bundle that it was made of. Other tools count by a source map, or load
 * each file by itself, which brings another order into the simulation. This one needs neither: esbuild says above each
 * file's code where it comes from.
 */
export class Coverage<Module> {
  readonly #session = new Session()
  // The bundle knows its own address only from a stack: test/run.mjs gives each source file its own `import.meta.url`.
  readonly #address = /file:\S+?\.mjs/.exec(new Error().stack ?? '')?.[0] ?? ''

  /** @returns the bundle, loaded once more: V8 does not tell what was never called of what was there before it counted */
  async start(): Promise<Module> {
    this.#session.connect()
    await this.#post('Profiler.enable')
    await this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
    return (await import(`${this.#address}?counted`)) as Module
  }

  #post(method: string, parameters: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.#session.post(method, parameters, (error, answer) => (error === null ? resolve(answer) : reject(error))),
    )
  }

  async take(): Promise<FileCoverage[]> {
    const { result } = (await this.#post('Profiler.takePreciseCoverage')) as Profiler.TakePreciseCoverageReturnType
    this.#session.disconnect()
    const script = result.find(({ url }) => url === `${this.#address}?counted`)
    if (script === undefined) throw new Error('V8 has counted nothing of the bundle')
    const counts = new Counts(readFileSync(fileURLToPath(this.#address), 'utf8'))
    counts.add(script.functions)
    return counts.files()
  }
}

/** What was run of a text that esbuild has made, in one program or in many. */
export class Counts {
  readonly #text: string
  readonly #isRun: Uint8Array
  /** Functions by where they begin: name, and whether anybody called them. */
  readonly #functions = new Map<number, { readonly name: string; isCalled: boolean }>()

  constructor(text: string) {
    this.#text = text
    this.#isRun = new Uint8Array(text.length)
  }

  /** What V8 has counted in one program. */
  add(functions: readonly Profiler.FunctionCoverage[]): void {
    /** What V8 says of a place last, from the outside to the inside, is true of it. */
    const isRun = new Uint8Array(this.#text.length)
    for (const { functionName: name, ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) isRun.fill(count > 0 ? 1 : 0, startOffset, endOffset)
      const [whole] = ranges
      if (whole === undefined || name === '') continue
      const known = this.#functions.get(whole.startOffset) ?? { name, isCalled: false }
      known.isCalled ||= whole.count > 0
      this.#functions.set(whole.startOffset, known)
    }
    for (const [at, is] of isRun.entries()) if (is === 1) this.#isRun[at] = 1
  }

  files(): FileCoverage[] {
    const text = this.#text
    return [...partsOf(text)].map(({ file, from, to }) => {
      let [lines, run, at] = [0, 0, from]
      for (const line of text.slice(from, to).split('\n')) {
        const first = line.search(/[^\s{}()[\];,]/)
        if (first >= 0) {
          lines++
          run += this.#isRun[at + first] ?? 0
        }
        at += line.length + 1
      }
      const uncalled = [...this.#functions].flatMap(([where, { name, isCalled }]) =>
        !isCalled && where >= from && where < to ? [name] : [],
      )
      return { file, lines, run, uncalled }
    })
  }
}

/** The parts of the bundle that come from src. */
function* partsOf(text: string): Generator<{ readonly file: string; readonly from: number; readonly to: number }> {
  const heads = [...text.matchAll(/^\/\/ (\S+\.[jt]s)$/gm)]
  for (const [index, head] of heads.entries()) {
    const file = /^src\/(.*)$/.exec(head[1] ?? '')?.[1]
    if (file !== undefined)
      yield { file, from: head.index + head[0].length, to: heads[index + 1]?.index ?? text.length }
  }
}

const share = (run: number, lines: number): string => `${((run * 100) / lines).toFixed(1).padStart(5)} %`

/** A table by rooms and files, and what was never called. */
export function* coverageLines(files: readonly FileCoverage[]): Generator<string> {
  const rooms = new Map<string, FileCoverage[]>()
  for (const file of files) {
    const room = file.file.includes('/') ? (file.file.split('/')[0] as string) : '.'
    rooms.set(room, [...(rooms.get(room) ?? []), file])
  }
  for (const [room, inIt] of [...rooms].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const lines = inIt.reduce((sum, file) => sum + file.lines, 0)
    const run = inIt.reduce((sum, file) => sum + file.run, 0)
    yield `${share(run, lines)}  src/${room}, ${lines} lines`
    for (const { file, lines: all, run: some, uncalled } of inIt)
      if (some < all)
        yield `  ${share(some, all)}  ${file}${uncalled.length === 0 ? '' : `   never called: ${uncalled.join(', ')}`}`
  }
}
