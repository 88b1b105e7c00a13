import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Mark } from '../../../src/kill/mark.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { cutOffProblems, markedVgs, readMark, removeMark, writeMark } = await import('../../../src/kill/mark.ts')

beforeEach(() => root.clear())
afterAll(() => root.remove())

const MARK: Mark = {
  format: 1,
  vg: 'virtVG',
  by: 'person',
  at: '2026-11-28T11:00:00Z',
  worker: { pid: 2, start: '9' },
  killed: [{ name: 'tintin', uuid: 'u', pid: 5, start: '7', volumes: ['virtVG/tintin'] }],
  disks: ['cciss!c0d0', 'dm-1'],
  state: 'left',
}
const EMPTY = { by: 'unknown', killed: [], disks: [], state: 'started' }

describe('the mark of a VG that was cut off', () => {
  test('is read as it was written, and leaves nothing beside it', () => {
    writeMark(MARK)
    expect(readMark('virtVG')).toEqual(MARK)
    expect(readdirSync(join(root.path, 'run/lvguard'))).toEqual(['virtVG.killed'])
    removeMark('virtVG')
    removeMark('virtVG')
    expect([readMark('virtVG'), [...markedVgs()]]).toEqual([undefined, []])
  })

  // Who is at work cannot be told then.
  test.each([null, 7, { pid: 0, start: '9' }, { pid: 2 }, { pid: 2, start: '' }])('names no worker by %j', (worker) => {
    writeMark({ ...MARK, worker } as unknown as Mark)
    const { worker: _, ...rest } = MARK
    expect(readMark('virtVG')).toEqual(rest)
  })

  test.each<[string, string]>([
    ['the empty one of the shell', ''],
    ['half of one', '{"format":1,'],
    ['no object', '7'],
    ['null', 'null'],
    ['another format', JSON.stringify({ ...MARK, format: 2 })],
    ['that of another VG', JSON.stringify({ ...MARK, vg: 'otherVG' })],
    ['a disk that is a path', JSON.stringify({ ...MARK, disks: ['../../etc/shadow'] })],
    ['a process that is a group', JSON.stringify({ ...MARK, killed: [{ ...MARK.killed[0], pid: -1 }] })],
    ['no list', JSON.stringify({ ...MARK, killed: 'x' })],
  ])('%s is there, and says nothing', (_, text) => {
    root.write('run/lvguard/virtVG.killed', text)
    expect(readMark('virtVG')).toMatchObject(EMPTY)
    expect(cutOffProblems(['virtVG', 'virtVG', 'otherVG'])).toEqual([{ kind: 'cut-off', vg: 'virtVG' }])
  })

  test('a host without a folder has none', () => expect([...markedVgs()]).toEqual([]))
})
