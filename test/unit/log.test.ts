import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'lvguard-log-'))
const program = join(folder, 'program.cjs')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// A program like the hook: nothing else keeps it alive while it logs, and its own status comes after that.
beforeAll(async () => {
  const contents = `import { openLog } from './src/log.ts'
    const entry = { level: 'warn', message: 'm', domain: 'tintin', operation: 'prepare', volumes: ['virtVG/root'], outcome: 'refused', milliseconds: 1 }
    openLog({ logFile: process.argv[2], logLevel: 'info' }).write(entry).then(() => process.exit(7))`
  await build({ stdin: { contents, resolveDir: fileURLToPath(new URL('../..', import.meta.url)), loader: 'ts' }, bundle: true, platform: 'node', format: 'cjs', outfile: program, logLevel: 'error' })
  mkdirSync(join(folder, 'folder'))
  writeFileSync(join(folder, 'file'), '')
})

const log = (path: string): Promise<number | null> => new Promise((resolve) => {
  const child = spawn(process.execPath, [program, path], { stdio: 'ignore', timeout: 8000, killSignal: 'SIGKILL' })
  child.on('exit', resolve)
})

describe('a log changes nothing about how the program ends (R10)', () => {
  test.concurrent.each([
    ['a full disk', () => '/dev/full'],
    ['a folder where the file should be', () => join(folder, 'folder')],
    ['a file where the folder should be', () => join(folder, 'file/new.log')],
    ['a file system that takes no files', () => '/sys/lvguard.log'],
  ])('%s', async (_, path) => expect(await log(path())).toBe(7), 10_000)

  test('one JSON object a line', async () => {
    const path = join(folder, 'entries.log')
    expect([await log(path), await log(path)]).toEqual([7, 7])
    const entries = readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    expect(entries).toHaveLength(2)
    expect(entries[0]).toMatchObject({ level: 'warn', domain: 'tintin', operation: 'prepare', volumes: ['virtVG/root'], outcome: 'refused' })
    expect(entries[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  })
})
