import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { RecordedVolume } from '../../../src/core/record.ts'
import type { SavedImage } from '../../../src/core/saved-image.ts'
import { uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const leaseCounts = vi.hoisted(() => vi.fn())
const held = vi.hoisted(() => new Map([['abc-1', 'exclusive']]))
vi.mock('../../../src/lvm/lvm.ts', () => ({
  leaseCounts,
  lockState: () => Promise.resolve({ kind: 'known', lockspaces: new Map(), locks: held }),
  volumesByUuid: () => Promise.resolve(undefined),
}))
const { checkSaved, noteSaved, restore } = await import('../../../src/acts/saved.ts')
const { readSavedImage, writeSavedImage } = await import('../../../src/state/saved-images.ts')

const tintin = { name: 'tintin', uuid: uuidOf(1) }
const old: SavedImage = {
  format: 1,
  domain: tintin,
  at: '2026-11-27T22:31:09.123Z',
  volumes: [{ vg: 'virtVG', lv: 'root', uuid: 'abc-1', lver: 5 }],
  spent: true,
}
beforeEach(() => {
  root.clear()
  held.set('abc-1', 'exclusive')
  leaseCounts.mockRejectedValue(new Error('no answer'))
})
afterAll(() => root.remove())

const volume: RecordedVolume = {
  vg: 'virtVG',
  lv: 'root',
  role: 'exclusive',
  mode: 'exclusive',
  before: 'inactive',
  ids: { lv: 'abc-1', vg: 'def-1', lock: 'abc-1' },
}

test('an older note is not taken for the one that cannot be made, and that is said', async () => {
  writeSavedImage(old)
  expect(await noteSaved(tintin, [volume])).toMatch(/will not be told when it is restored: no answer/)
  expect(readSavedImage(tintin.uuid)).toBeUndefined()
})

test('nor for the memory of a VM that has no volume for itself any more', async () => {
  writeSavedImage(old)
  expect(await noteSaved(tintin, [])).toBeUndefined()
  expect(readSavedImage(tintin.uuid)).toBeUndefined()
})

test.each([true, false])(
  'the memory of a VM that may have run elsewhere (%s) is not restored, whatever the leases say',
  async (isDoubtful) => {
    leaseCounts.mockResolvedValue(new Map([['abc-1', { lver: 7, owner: 1 }]]))
    expect(await noteSaved(tintin, [volume], isDoubtful)).toBeUndefined()
    const { problems } = await checkSaved(tintin)
    expect(problems.map(({ kind }) => kind)).toEqual(isDoubtful ? ['doubtful-memory'] : [])
    expect((await restore(tintin, { onStaleImage: 'refuse' })).kind).toBe(isDoubtful ? 'refused' : 'nothing')
    const insisted = await restore(tintin, { onStaleImage: 'alert' })
    expect(insisted).toMatchObject({
      kind: 'nothing',
      ...(isDoubtful && { warning: expect.stringMatching(/may have run on another host/) }),
    })
  },
)

test('a full /run cannot keep an old memory for its prepare: then the restore itself refuses, whatever libvirt does', async () => {
  writeSavedImage(old)
  root.write('var/lib/libvirt/qemu/save/tintin.save', '')
  expect((await restore(tintin, { onStaleImage: 'refuse' })).kind).toBe('nothing')
  rmSync(join(root.path, 'run/lvguard'), { recursive: true })
  root.write('run/lvguard', 'no folder')
  expect(await restore(tintin, { onStaleImage: 'refuse' })).toMatchObject({ kind: 'refused' })
  rmSync(join(root.path, 'run/lvguard'))
  rmSync(join(root.path, 'var/lib/libvirt'), { recursive: true })
})

test.each([
  ['of volumes that are known', [volume]],
  ['of volumes without UUIDs', [{ vg: 'virtVG', lv: 'root', role: 'exclusive', mode: 'shared', before: 'inactive' }]],
] as [string, RecordedVolume[]][])('that doubt stays where no lease can be read, %s', async (_, volumes) => {
  expect(await noteSaved(tintin, volumes, true)).toMatch(/will not be told when it is restored/)
  const refused = await restore(tintin, { onStaleImage: 'refuse' })
  expect(refused).toMatchObject({ kind: 'refused', problems: [{ kind: 'doubtful-memory' }] })
})

test.each(['exclusive', 'shared'])(
  'what is on record as exclusive, and held here as %s: the lock tells whether another host may have run it',
  async (mode) => {
    held.set('abc-1', mode)
    leaseCounts.mockResolvedValue(new Map([['abc-1', { lver: 7, owner: 1 }]]))
    await noteSaved(tintin, [volume])
    expect(readSavedImage(tintin.uuid)?.doubtful).toBe(mode === 'shared' ? true : undefined)
  },
)
