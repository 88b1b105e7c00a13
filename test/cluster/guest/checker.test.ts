import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa, execaSync } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { acknowledged, judge, type Journal } from './checker.ts'

const slot = 4096
const slots = 64 - 16 // of the volume below, without the notes

/** The guest's own code on a plain file: what the guest does to its disk and how the checker reads it. */
const compiler = ['cc', 'gcc'].find((name) => execaSync(name, ['--version'], { reject: false }).exitCode === 0)

describe.skipIf(compiler === undefined)(
  `the journal on a plain file${compiler === undefined ? ' (needs a C compiler, packages gcc and libc6-dev)' : ''}`,
  () => {
    let folder: string
    let volume: string
    let tool: string

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lvguard-journal-'))
      tool = join(folder, 'guest-journal')
      const here = dirname(fileURLToPath(import.meta.url))
      await execa(compiler ?? '', [
        '-O2',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-o',
        tool,
        join(here, 'tool.c'),
        join(here, 'journal.c'),
      ])
    })
    afterAll(() => rm(folder, { recursive: true }))
    beforeEach(async () => {
      volume = join(folder, 'volume')
      await rm(volume, { force: true })
      await writeFile(volume, '')
      await truncate(volume, 64 * slot)
    })

    const write = async (count: number): Promise<string> => (await execa(tool, ['write', volume, String(count)])).stdout
    const check = async (reported?: number): Promise<Journal> =>
      judge((await execa(tool, ['list', volume])).stdout, reported)
    const overwrite = async (at: number, bytes: Buffer): Promise<void> => {
      const file = await open(volume, 'r+')
      await file.write(bytes, 0, bytes.length, at)
      await file.close()
    }
    const kinds = ({ faults }: Journal): string[] => [...new Set(faults.map(({ kind }) => kind))].sort()

    test('an empty volume is in order', async () => {
      expect(await check()).toEqual({ last: 0, boots: [], faults: [] })
    })

    test('one boot, then the next, around the volume more than once', async () => {
      await write(30)
      await write(2 * slots)
      const console = await write(7)
      const journal = await check(acknowledged(console))
      expect(journal).toMatchObject({ last: 37 + 2 * slots, faults: [] })
      expect(journal.boots).toHaveLength(2)
    })

    test('two writers at once are caught, however short', async () => {
      for (const count of [40, 400]) await Promise.all([write(count), write(count)])
      expect(kinds(await check())).toEqual(expect.arrayContaining(['foreign']))
    })

    test('a second writer that came and went while the first was running is caught', async () => {
      await write(10)
      const kept = await readFileOf(volume)
      await write(5)
      const second = await readFileOf(volume)
      // The first goes on from what it knew: put its disk back to before, let it write, and bring one foreign record
      // in.
      await writeFile(volume, kept)
      await write(20)
      await overwrite(12 * slot, second.subarray(12 * slot, 13 * slot))
      expect(kinds(await check())).toContain('repeated')
    })

    test('a lost write: an old state of one slot comes back', async () => {
      await write(20)
      const old = (await readFileOf(volume)).subarray(4 * slot, 5 * slot)
      await write(slots)
      await overwrite(4 * slot, old)
      expect((await check()).faults).toEqual([{ kind: 'lost', number: 5 + slots }])
    })

    test('a lost write at the end: the console has seen more than the volume holds', async () => {
      await write(20)
      expect((await check(22)).faults.map(({ number }) => number)).toEqual([21, 22])
    })

    test('half a record, and bytes that no guest wrote', async () => {
      await write(20)
      await overwrite(3 * slot + 8, Buffer.from([0xff]))
      await overwrite(5 * slot, Buffer.alloc(slot, 'x'))
      expect(kinds(await check())).toEqual(['foreign', 'torn'])
    })

    test('a mounted file system over it', async () => {
      await write(20)
      await overwrite(40 * slot, Buffer.alloc(slot, 'x'))
      expect(kinds(await check())).toEqual(['foreign'])
    })
  },
)

async function readFileOf(path: string): Promise<Buffer> {
  const file = await open(path)
  const bytes = await file.readFile()
  await file.close()
  return bytes
}
