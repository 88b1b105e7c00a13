import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { drbdMinors, minorsBelow } = await import('../../../src/drbd/devices.ts')

const stands = (node: string, ...slaves: readonly string[]): void => {
  for (const slave of ['', ...slaves])
    mkdirSync(join(root.path, `sys/block/${node}/slaves`, slave), { recursive: true })
}

beforeAll(() => {
  stands('drbd0')
  stands('drbd12')
  stands('sda')
  stands('dm-0', 'drbd0')
  stands('dm-1', 'sda1', 'dm-0')
  // A partition has no entry of its own below /sys/block.
  stands('dm-2', 'drbd12p3')
})
afterAll(() => root.remove())

test('the DRBD devices of this host', () => expect(drbdMinors().sort()).toEqual([0, 12]))

test.each<[string, string, readonly number[]]>([
  ['DRBD itself', 'drbd0', [0]],
  ['a partition of it', 'drbd12p3', [12]],
  ['what stands on it', 'dm-0', [0]],
  ['what stands on it through another layer, beside a disk', 'dm-1', [0]],
  ['what stands on a partition of it', 'dm-2', [12]],
  ['a disk', 'sda', []],
  ['a device that is not there', 'sdz', []],
])('what a device has below it: %s', (_, name, minors) => expect(minorsBelow(name)).toEqual(minors))
