import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { RecordedVolume } from '../../../src/core/record.ts'
import type { SavedImage } from '../../../src/core/saved-image.ts'
import { uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
vi.mock('../../../src/lvm/lvm.ts', () => ({
  leaseCounts: () => Promise.reject(new Error('no answer')),
}))
const { noteSaved } = await import('../../../src/acts/saved.ts')
const { readSavedImage, writeSavedImage } = await import('../../../src/state/saved-images.ts')

const tintin = { name: 'tintin', uuid: uuidOf(1) }
const old: SavedImage = {
  format: 1,
  domain: tintin,
  at: '2026-11-27T22:31:09.123Z',
  volumes: [{ vg: 'virtVG', lv: 'root', uuid: 'abc-1', lver: 5 }],
  spent: true,
}
beforeEach(() => root.clear())
afterAll(() => root.remove())

test('an older note is not taken for the one that cannot be made, and that is said', async () => {
  writeSavedImage(old)
  const ids = { lv: 'abc-1', vg: 'def-1', lock: 'abc-1' }
  const mode = 'exclusive'
  const volume: RecordedVolume = { vg: 'virtVG', lv: 'root', role: mode, mode, before: 'inactive', ids }
  expect(await noteSaved(tintin, [volume])).toMatch(/will not be told when it is restored: no answer/)
  expect(readSavedImage(tintin.uuid)).toBeUndefined()
})

test('nor for the memory of a VM that has no volume for itself any more', async () => {
  writeSavedImage(old)
  expect(await noteSaved(tintin, [])).toBeUndefined()
  expect(readSavedImage(tintin.uuid)).toBeUndefined()
})
