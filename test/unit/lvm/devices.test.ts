import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { activeVolumes } = await import('../../../src/lvm/devices.ts')

afterAll(() => root.remove())

test('the volumes that are active, those of them that lead to no storage (FACTS 49), and those with a snapshot', () => {
  const device = (node: string, lv: string, slaves: readonly string[], suspended = '0'): void => {
    root.write(`sys/block/${node}/dm/name`, `virtVG-${lv}\n`)
    root.write(`sys/block/${node}/dm/uuid`, `LVM-${lv}\n`)
    root.write(`sys/block/${node}/dm/suspended`, `${suspended}\n`)
    for (const slave of ['', ...slaves])
      mkdirSync(join(root.path, `sys/block/${node}/slaves`, slave), { recursive: true })
  }
  device('dm-0', 'whole', ['vdb'])
  device('dm-1', 'wiped', [])
  device('dm-2', 'waiting', ['vdb'], '1')
  device('dm-3', 'wiping', [], '1')
  // An origin of a snapshot has a layer below it.
  device('dm-4', 'origin', ['dm-5'])
  device('dm-5', 'origin-real', ['vdb'])
  expect(activeVolumes().map(({ lv, dead, hasSnapshot }) => [lv, dead, hasSnapshot])).toEqual([
    ['whole', undefined, undefined],
    ['wiped', 'error', undefined],
    ['waiting', 'suspended', undefined],
    ['wiping', 'suspended', undefined],
    ['origin', undefined, true],
  ])
})
