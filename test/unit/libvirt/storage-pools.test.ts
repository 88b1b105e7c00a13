import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { findVolume, logicalPoolOn } = await import('../../../src/libvirt/storage-pools.ts')
const { parseXml } = await import('../../../src/libvirt/xml.ts')

const CAPTURED = readFileSync(new URL('../../captures/debian-12/hook-stdin-pool/virtpool.xml', import.meta.url), 'utf8')
const define = (text: string, name = 'p'): void => root.write(`etc/libvirt/storage/${name}.xml`, text)
const running = (text: string, name = 'p'): void =>
  root.write(`run/libvirt/storage/${name}.xml`, `<poolstate>\n${text}</poolstate>\n`)
const pool = (type: string, inside: string): string => `<pool type='${type}'><name>p</name>${inside}</pool>`

beforeEach(() => {
  for (const folder of ['etc', 'run']) rmSync(join(root.path, folder), { recursive: true, force: true })
})
afterAll(() => root.remove())

describe('where a volume of a pool is', () => {
  const found = (volume = 'v', name = 'p'): string => {
    const place = findVolume(name, volume, parseXml)
    return place.kind === 'path'
      ? place.path + (place.partition ? ' (part)' : '')
      : place.kind === 'elsewhere'
        ? 'elsewhere'
        : `? ${place.detail}`
  }
  test('as libvirt really wrote it', () => {
    define(CAPTURED, 'virtpool')
    expect(found('vol1', 'virtpool')).toBe('/dev/virtVG/vol1')
  })
  test.each<[string, string, string]>([
    ['logical without a source: called like the VG', pool('logical', ''), '/dev/p/v'],
    [
      'logical with another target, which libvirt does not heed',
      pool('logical', '<source><name>virtVG</name></source><target><path>/srv</path></target>'),
      '/dev/virtVG/v',
    ],
    ['dir', pool('dir', '<target><path>/dev/virtVG</path></target>'), '/dev/virtVG/v'],
    [
      'fs',
      pool('fs', "<source><device path='/dev/virtVG/images'/></source><target><path>/srv</path></target>"),
      '/srv/v',
    ],
    ['netfs', pool('netfs', '<target><path>/srv</path></target>'), '/srv/v'],
    [
      'disk: its device',
      pool('disk', "<source><device path='/dev/virtVG/disk'/></source><target><path>/dev</path></target>"),
      '/dev/virtVG/disk (part)',
    ],
    ['iscsi', pool('iscsi', '<target><path>/dev/disk/by-path</path></target>'), 'elsewhere'],
    ['rbd', pool('rbd', '<source><name>pool</name></source>'), 'elsewhere'],
    ['a type of the future', pool('quantum', ''), 'elsewhere'],
    ['dir without a target', pool('dir', ''), '? the storage pool p has no target path'],
    ['disk without a device', pool('disk', ''), '? the storage pool p has no source device'],
    ['something else', '<network/>', '? the definition of the storage pool p is not one'],
    ['cut off', '<pool type=', '? the definition of the storage pool p is cut off'],
    ['empty', '', '? the definition of the storage pool p'],
  ])('%s', (_, text, expected) => {
    define(text)
    expect(found().startsWith(expected)).toBe(true)
  })
  test('a running pool is as it runs, whatever its definition says by now; a transient one has none', () => {
    running(pool('logical', '<source><name>virtVG</name></source>'))
    expect(found()).toBe('/dev/virtVG/v')
    define(pool('logical', '<source><name>otherVG</name></source>'))
    expect(found()).toBe('/dev/virtVG/v')
  })
  test.each([
    ['x', '? there is no storage pool x'],
    ['../../../etc/passwd', '? no storage pool can be called'],
    ['', '? there is no storage pool'],
  ])('no pool %j', (name, expected) => expect(found('v', name).startsWith(expected)).toBe(true))
})

describe('the logical pool that takes every volume of a VG', () => {
  test('running or only defined', () => {
    expect([logicalPoolOn('virtVG', false, parseXml), logicalPoolOn('virtVG', true, parseXml)]).toEqual([
      undefined,
      undefined,
    ])
    define(CAPTURED, 'virtpool')
    define(pool('dir', '<source><name>virtVG</name></source>'), 'other')
    define('broken', 'broken')
    expect([
      logicalPoolOn('virtVG', false, parseXml),
      logicalPoolOn('virtVG', true, parseXml),
      logicalPoolOn('otherVG', false, parseXml),
    ]).toEqual(['virtpool', undefined, undefined])
    running(CAPTURED.replace(/<!--[\s\S]*?-->/, ''), 'virtpool')
    expect(logicalPoolOn('virtVG', true, parseXml)).toBe('virtpool')
  })
})
