import { beforeEach, expect, test, vi } from 'vitest'

const read = vi.hoisted(() => vi.fn<(path: string) => string>())
vi.mock('../../../src/system/files.ts', () => ({ readFileSync: read }))
const { lives } = await import('../../../src/system/processes.ts')

const SELF = { pid: 7, start: '42' }
const stat = (start: string): string => `7 (a ) b) S ${'0 '.repeat(18)}${start} 0`

beforeEach(() => void read.mockReset())

test.each([
  ['the same start', true, stat('42')],
  ['another start: the number is used again', false, stat('43')],
  ['no such process', false, 'ENOENT'],
  ['one that ends while it is read', false, 'ESRCH'],
  // R9: who cannot look takes nothing for dead.
  ['no descriptor left to look with', true, 'EMFILE'],
  ['no right to look', true, 'EACCES'],
])('a process lives: %s', (_, expected, told) => {
  read.mockImplementation(() => {
    if (told.startsWith('E')) throw Object.assign(new Error(told), { code: told })
    return told
  })
  expect(lives(SELF)).toBe(expected)
})
