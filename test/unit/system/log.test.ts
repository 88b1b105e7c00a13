import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
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
  const contents = `import { openLog } from './src/system/log.ts'
    const entry = { level: 'warn', message: 'm', domain: 'tintin', operation: 'prepare', volumes: ['virtVG/root'], outcome: 'refused', milliseconds: 1 }
    openLog({ logFile: process.argv[2], logLevel: 'info' }).write(entry).then(() => process.exit(7))`
  await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL('../../..', import.meta.url)), loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: program,
    logLevel: 'error',
  })
  mkdirSync(join(folder, 'folder'))
  writeFileSync(join(folder, 'file'), '')
})

const log = (path: string): Promise<number | null> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [program, path], { stdio: 'ignore' })
    // One that hangs in the kernel does not go even by SIGKILL: it is not waited for.
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      resolve(null)
    }, 20_000)
    child.on('exit', (status) => {
      clearTimeout(timer)
      resolve(status)
    })
  })

describe('a log changes nothing about how the program ends (R10)', () => {
  test.concurrent.each([
    ['a full disk', () => '/dev/full'],
    ['a folder where the file should be', () => join(folder, 'folder')],
    ['a file where the folder should be', () => join(folder, 'file/new.log')],
    ['a file system that takes no files', () => '/sys/lvguard.log'],
  ])('%s', async (_, path) => expect(await log(path())).toBe(7))

  test('one JSON object a line', async () => {
    const path = join(folder, 'entries.log')
    for (const count of [1, 2]) {
      expect(await log(path)).toBe(7)
      await expect
        .poll(() => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0), { timeout: 20_000 })
        .toBe(count)
    }
    const lines = readFileSync(path, 'utf8').trim().split('\n')
    // Whoever reads the file sees the time first.
    for (const line of lines)
      expect(line).toMatch(
        /^\{"time":"[^"]+","level":"warn","domain":"tintin","operation":"prepare","outcome":"refused","message":"m",/,
      )
    const entries = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    expect(entries).toHaveLength(2)
    expect(entries[0]).toMatchObject({
      level: 'warn',
      domain: 'tintin',
      operation: 'prepare',
      volumes: ['virtVG/root'],
      outcome: 'refused',
    })
    expect(entries[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  })

  test('the file is for root alone, and a missing folder is made', async () => {
    const path = join(folder, 'made/new.log')
    expect(await log(path)).toBe(7)
    await expect.poll(() => (existsSync(path) ? statSync(path).size : 0), { timeout: 20_000 }).toBeGreaterThan(0)
    expect([statSync(path).mode & 0o777, statSync(join(folder, 'made')).mode & 0o777]).toEqual([0o600, 0o755])
  })
})

const run = (command: string, ...words: string[]): string =>
  execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

/**
 * A file system that can be frozen: whoever opens a file for writing then waits in the kernel, as on an NFS server that
 * is gone.
 */
function mounted(): string | undefined {
  const [image, point] = [join(folder, 'image'), join(folder, 'frozen')]
  try {
    writeFileSync(image, '')
    run('truncate', '-s', '16M', image)
    run('mkfs.ext4', '-q', image)
    mkdirSync(point)
    run('mount', '-o', 'loop', image, point)
    return point
  } catch {
    return undefined
  }
}

describe.skipIf(process.getuid?.() !== 0)('a folder that does not answer (needs root, and a loop device)', () => {
  test('the program ends with its own status while the folder hangs, and the entry comes when it answers', async (context) => {
    const point = mounted()
    if (point === undefined) return context.skip('no file system can be mounted here')
    const path = join(point, 'hanging.log')
    try {
      run('fsfreeze', '-f', point)
      // Two: one that waits keeps no other.
      expect([await log(path), await log(path)]).toEqual([7, 7])
      run('fsfreeze', '-u', point)
      await expect
        .poll(() => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0), { timeout: 20_000 })
        .toBe(2)
    } finally {
      try {
        run('fsfreeze', '-u', point)
      } catch {
        // It is not frozen any more.
      }
      run('umount', '-l', point)
    }
    return undefined
  })
})
