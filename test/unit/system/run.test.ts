import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { change } = await import('../../../src/system/run.ts')
const folder = join(root.path, 'run/lvguard')
beforeEach(() => {
  root.clear()
  mkdirSync(folder, { recursive: true })
})
afterAll(() => root.remove())

test('what lvchange says is read from a file without a name, and a name that another thread has is left alone', async () => {
  const lock = openSync(join(folder, 'virtVG.lock'), 'a+')
  try {
    const said = (): Promise<string> =>
      change('sh', ['-c', 'echo in use >&2; exit 5'], lock).then(({ exitCode, stderr }) => `${exitCode} ${stderr}`)
    expect(await said()).toBe('5 in use\n')
    expect(readdirSync(folder)).toEqual(['virtVG.lock'])
    // The other one is between making and unlinking it.
    writeFileSync(join(folder, `.stderr-${process.pid}-0`), 'of another')
    expect(await said()).toBe('5 in use\n')
    expect(readdirSync(folder).sort()).toEqual([`.stderr-${process.pid}-0`, 'virtVG.lock'])
  } finally {
    closeSync(lock)
  }
})
