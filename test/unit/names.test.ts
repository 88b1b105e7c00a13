import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

const DECLARED = /^export (?:async |abstract )*(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm

/** Which files of src declare and export each name. What a file exports of another one is not told twice. */
function exportsOf(files: ReadonlyMap<string, string>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>()
  for (const [file, text] of files)
    for (const [, name = ''] of text.matchAll(DECLARED)) found.set(name, (found.get(name) ?? new Set()).add(file))
  return new Map([...found].map(([name, where]) => [name, [...where].sort()]))
}

/** Names that stand for two things, as lines. */
const doubled = (files: ReadonlyMap<string, string>): string[] =>
  [...exportsOf(files)].filter(([, where]) => where.length > 1).map(([name, where]) => `${name}: ${where.join(', ')}`)

const sources: ReadonlyMap<string, string> = new Map(
  readdirSync(SRC, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => [name, readFileSync(join(SRC, name), 'utf8')]),
)

test('one exported name stands for one thing', () => {
  expect(exportsOf(sources).size).toBeGreaterThan(500)
  expect(doubled(sources)).toEqual([])
})

test.each([
  ['export const a = 1', 'export function a() {}'],
  ['export type a = 1', 'export interface a {}'],
  ['export async function a() {}', 'export class a {}'],
])('%s and %s are two', (one, other) =>
  expect(
    doubled(
      new Map([
        ['x.ts', one],
        ['y.ts', other],
      ]),
    ),
  ).toEqual(['a: x.ts, y.ts']),
)
