import { chmodSync, existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { hookFile, putAt } = await import('../../../src/check/hook-file.ts')

beforeEach(() => root.clear())
afterAll(() => root.remove())

const MAIN = '/etc/libvirt/hooks/qemu'
const lvguard = (build: string) => `#!/bin/sh\n":" /* lvguard, a libvirt qemu hook\n// lvguard ${build}\n`
const FOREIGN = '#!/bin/sh\n# passthrough\n'
function put(path: string, text: string, mode = 0o755): void {
  root.write(path, text)
  chmodSync(join(root.path, path), mode)
}

test.each<[string, () => void, ReturnType<typeof hookFile>]>([
  ['nothing', () => {}, { file: 'missing', others: [] }],
  ['lvguard', () => put(MAIN, lvguard('1')), { file: 'same', others: [] }],
  ['an older one', () => put(MAIN, lvguard('0')), { file: 'different', others: [] }],
  ['one that cannot be run', () => put(MAIN, lvguard('1'), 0o644), { file: 'not executable', others: [] }],
  ['another program', () => put(MAIN, FOREIGN), { file: 'other', others: [] }],
  [
    'lvguard, and others after it',
    () => [put(MAIN, lvguard('1')), put(`${MAIN}.d/b`, FOREIGN), put(`${MAIN}.d/a`, FOREIGN)],
    { file: 'same', others: [`${MAIN}.d/a`, `${MAIN}.d/b`] },
  ],
  [
    'another program, and lvguard after it, as the package does it',
    () => [put(MAIN, FOREIGN), put(`${MAIN}.d/50-lvguard`, lvguard('1')), put(`${MAIN}.d/60-net`, FOREIGN)],
    { file: 'same', others: [MAIN, `${MAIN}.d/60-net`] },
  ],
  [
    'lvguard, and what libvirt does not run',
    () => [put(MAIN, lvguard('1')), put(`${MAIN}.d/README`, 'text', 0o644), put(`${MAIN}.d/old/x`, FOREIGN)],
    { file: 'same', others: [] },
  ],
  [
    'another program, and an older lvguard after it',
    () => [put(MAIN, FOREIGN), put(`${MAIN}.d/50-lvguard`, lvguard('0'))],
    { file: 'different', others: [MAIN] },
  ],
])('%s', (_, make, expected) => {
  make()
  expect(hookFile('1')).toEqual(expected)
})

test('a link counts as what it leads to, and what it leads to as put there', () => {
  put('etc/program', lvguard('1'))
  root.write(`${MAIN}.d/x`, '')
  symlinkSync(join(root.path, 'etc/program'), join(root.path, MAIN))
  expect(existsSync(join(root.path, MAIN))).toBe(true)
  expect(hookFile('1').file).toBe('same')
  expect(putAt('1')).toBeGreaterThan(Date.now() - 60_000)
})
