import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { recordOf as made, recorded, uuidOf } from './support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('./support/root.ts')).Root())
const { readRecords, recordOf, removeRecord, writeRecord } = await import('../../src/record-store.ts')

const folder = join(root.path, 'run/lvguard')
const file = join(folder, `${uuidOf(1)}.json`)
beforeEach(() => root.clear())
afterAll(() => root.remove())

const volume = recorded({ vg: 'virtVG', lv: 'root' }, { ids: { lv: 'L', vg: 'V', lock: 'K' } })
const record = made(1, 'prepared', [volume], { daemon: { pid: 1, start: '2' } })

describe('records', () => {
  test('come back as they were written', () => {
    writeRecord(record)
    writeRecord(made(2, 'incoming', [], { incoming: { id: 'x', at: 1.5 } }))
    const records = readRecords()
    expect(recordOf(uuidOf(1), records)).toEqual(record)
    expect(recordOf(uuidOf(2), records)?.incoming).toEqual({ id: 'x', at: 1.5 })
    expect([records.known.length, records.unreadable, recordOf(uuidOf(3), records)]).toEqual([2, [], undefined])
  })

  test('take the place of the last one, leave nothing beside them, and go', () => {
    for (const state of ['prepared', 'running', 'releasing'] as const) writeRecord({ ...record, state })
    expect(readRecords().known.map(({ state }) => state)).toEqual(['releasing'])
    expect(readdirSync(folder)).toEqual([`${uuidOf(1)}.json`])
    removeRecord(uuidOf(1))
    removeRecord(uuidOf(1))
    expect(readdirSync(folder)).toEqual([])
  })

  test('no folder is no records, and a file instead of it is one that cannot be read', () => {
    expect(readRecords()).toEqual({ known: [], unreadable: [] })
    mkdirSync(join(root.path, 'run'))
    writeFileSync(folder, '')
    expect(readRecords()).toEqual({ known: [], unreadable: [folder] })
  })

  test('a write that fails says so and leaves the old record', () => {
    writeRecord(record)
    const before = readFileSync(file, 'utf8')
    rmSync(file)
    mkdirSync(join(file, 'x'), { recursive: true })
    expect(() => writeRecord(record)).toThrow()
    expect(readdirSync(folder)).toEqual([`${uuidOf(1)}.json`])
    rmSync(file, { recursive: true })
    writeFileSync(file, before)
    expect(readRecords().known).toEqual([record])
  })
})

describe('what is no record cannot be read, and is not taken for none (R9)', () => {
  const changed = (change: Readonly<Record<string, unknown>>): string => JSON.stringify({ ...record, ...change })
  const withVolume = (change: Readonly<Record<string, unknown>>): string => changed({ volumes: [{ ...volume, ...change }] })
  test.each<[string, string]>([
    ['nothing', ''],
    ['cut off', changed({}).slice(0, 50)],
    ['null', 'null'],
    ['a list', '[]'],
    ['a later format', changed({ format: 2 })],
    ['no domain', changed({ domain: undefined })],
    ['another UUID than its name', changed({ domain: { name: 'a', uuid: uuidOf(2) } })],
    ['no name', changed({ domain: { uuid: uuidOf(1) } })],
    ['a state that nobody knows', changed({ state: 'sleeping' })],
    ['volumes that are no list', changed({ volumes: {} })],
    ['a volume that is none', changed({ volumes: [null] })],
    ['a mode that nobody knows', withVolume({ mode: 'read-only' })],
    ['a role that nobody knows', withVolume({ role: 'owner' })],
    ['not known whether it was active', withVolume({ before: undefined })],
    ['no VG', withVolume({ vg: undefined })],
    // `lvchange -an virtVG/` would be the whole VG.
    ['an LV without a name', withVolume({ lv: '' })],
    ['a VG with a name that LVM would not take', withVolume({ vg: '../x' })],
  ])('%s', (_, text) => {
    root.write(`run/lvguard/${uuidOf(1)}.json`, text)
    expect(readRecords()).toEqual({ known: [], unreadable: [file] })
  })

  test('other files are none of it', () => {
    for (const name of ['virtVG.lock', `.${uuidOf(1)}-7`, 'notes.json', `${uuidOf(1)}.json.bak`]) root.write(`run/lvguard/${name}`, 'x')
    expect(readRecords()).toEqual({ known: [], unreadable: [] })
  })
})
