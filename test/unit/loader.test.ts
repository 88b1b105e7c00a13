import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const LOADER = readFileSync(fileURLToPath(new URL('../../src/loader.js', import.meta.url)), 'utf8')

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lvguard-loader-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const folder = (): string => join(root, 'var/cache/lvguard')
const caches = (): string[] => (existsSync(folder()) ? readdirSync(folder()).sort() : [])

interface Call {
  readonly build?: string
  readonly operation?: string
  readonly environment?: Readonly<Record<string, string>>
}

const COMPILED = 'main compiled, more compiled'
const CACHED = 'main cached, more cached'

/** Says of each chunk whether V8 was given a cache of it and took it. And Node's binary is a file of the test's. */
const watched = (binary: string): string => `
Object.defineProperty(process, 'execPath', { value: ${JSON.stringify(binary)} })
const { Script } = require('vm')
const said = []
require('vm').Script = class extends Script {
  constructor(text, options) {
    super(text, options)
    said.push(options.filename.split(':')[1] + (options.cachedData && !this.cachedDataRejected ? ' cached' : ' compiled'))
  }
}
process.on('exit', () => require('fs').writeSync(1, said.join(', ')))
`

const chunk = (text: string): string =>
  `function(){/*(function(exports,require,module,saveCache,sourceOf){${text}\n})*/}`

/** A program as build.mjs makes them, with two chunks. @returns where each of them came from */
function call({ build = 'b1', operation = 'prepare', environment = {} }: Call = {}): string {
  const file = join(root, 'program.js')
  const chunks = `main:${chunk('if (require("chunk:more").word === "more") saveCache()')},more:${chunk('exports.word = "more"')}`
  writeFileSync(
    file,
    `${watched(join(root, 'node'))};var build='${build}';\n${LOADER}var chunks={${chunks}};\nload("main")\n`,
  )
  return execFileSync(process.execPath, [file, 'tintin', operation, 'begin', '-'], {
    encoding: 'utf8',
    env: { ...process.env, ...environment, LVGUARD_ROOT: root },
  })
}

/** Node's binary, as far as the loader looks at it. */
const install = (size: number, at: number): void => {
  writeFileSync(join(root, 'node'), 'x'.repeat(size))
  utimesSync(join(root, 'node'), at, at)
}
beforeEach(() => install(10, 1_700_000_000))

describe('compiled code is kept for the next call', () => {
  test('and is taken as it is by the next', () => {
    expect(call()).toBe(COMPILED)
    expect(caches()).toEqual([expect.stringMatching(/^main-prepare-b1-v/), expect.stringMatching(/^more-prepare-b1-v/)])
    expect(call()).toBe(CACHED)
  })

  test('one for each operation', () => {
    expect(['prepare', 'release', 'status', 'prepare'].map((operation) => call({ operation }))).toEqual([
      COMPILED,
      COMPILED,
      COMPILED,
      CACHED,
    ])
    expect(caches().map((name) => name.split('-').slice(0, 2).join('-'))).toEqual([
      'main-other',
      'main-prepare',
      'main-release',
      'more-other',
      'more-prepare',
      'more-release',
    ])
  })

  test.each<[string, () => void, Call]>([
    ['another build', () => undefined, { build: 'b2' }],
    ['a Node of another size', () => install(11, 1_700_000_000), {}],
    ['a Node that was changed since', () => install(10, 1_700_000_001), {}],
  ])('%s takes none of it, and puts its own in its place', (_, change, next) => {
    call()
    const before = caches()
    change()
    expect([call(next), call(next)]).toEqual([COMPILED, CACHED])
    expect(caches()).toHaveLength(2)
    expect(caches().filter((name) => before.includes(name))).toEqual([])
  })

  test('not where nobody can say which Node this is', () => {
    rmSync(join(root, 'node'))
    expect([call(), call()]).toEqual([COMPILED, COMPILED])
    expect(caches()).toEqual([])
  })
})

describe('what is not believed', () => {
  test('a file of which one half is damaged; it is written anew', () => {
    call()
    const path = join(folder(), caches()[0] ?? '')
    const content = readFileSync(path)
    content[100] = (content[100] ?? 0) ^ 1
    writeFileSync(path, content)
    expect([call(), call()]).toEqual(['main compiled, more cached', CACHED])
  })

  test('a folder that others may write to', () => {
    call()
    chmodSync(folder(), 0o777)
    expect(call()).toBe(COMPILED)
  })

  test('a file in the place of the folder: nothing is kept', () => {
    mkdirSync(join(root, 'var/cache'), { recursive: true })
    writeFileSync(folder(), '')
    expect([call(), call()]).toEqual([COMPILED, COMPILED])
    expect(readFileSync(folder(), 'utf8')).toBe('')
  })
})

test('LVGUARD_NO_CACHE: nothing is read, nothing is written', () => {
  const environment = { LVGUARD_NO_CACHE: '1' }
  expect(call({ environment })).toBe(COMPILED)
  expect(existsSync(folder())).toBe(false)
  call()
  const before = caches()
  expect([call({ environment }), call({ environment, build: 'b2' })]).toEqual([COMPILED, COMPILED])
  expect(caches()).toEqual(before)
})
