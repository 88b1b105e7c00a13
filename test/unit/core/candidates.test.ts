import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Disk, type Domain, candidatesOf } from '../../../src/core/domain.ts'
import { isValidName } from '../../../src/core/volume.ts'
import { hostilePath } from '../support/arbitraries.ts'

const disk = (path: string | undefined, element?: 'readonly' | 'shareable', target = 'vda'): Disk => ({
  target,
  path,
  readonly: element === 'readonly',
  shareable: element === 'shareable',
})
const domainWith = (...disks: Disk[]): Domain => ({
  name: 'tintin',
  uuid: '',
  disks,
  incomingId: undefined,
  gotPastPrepare: false,
})
const wanted = (...disks: Disk[]): string[] =>
  candidatesOf(domainWith(...disks), DEFAULTS).volumes.map(
    ({ vg, lv, mode, reason }) => `${vg}/${lv} ${mode}: ${reason}`,
  )

describe('the volumes of a domain', () => {
  test.each<[string, Disk[], string[]]>([
    ['a plain disk is exclusive', [disk('/dev/virtVG/root')], ['virtVG/root exclusive: disk vda']],
    ['<readonly/> is shared', [disk('/dev/virtVG/iso', 'readonly')], ['virtVG/iso shared: disk vda, <readonly/>']],
    ['<shareable/> is shared', [disk('/dev/virtVG/q', 'shareable')], ['virtVG/q shared: disk vda, <shareable/>']],
    ['an empty drive is nothing', [disk(undefined, 'readonly')], []],
    ['a file is nothing', [disk('/var/lib/x.img')], []],
    [
      'the same volume by two paths is wanted once',
      [disk('/dev/virtVG/a-b'), disk('/dev/mapper/virtVG-a--b', undefined, 'vdb')],
      ['virtVG/a-b exclusive: disk vda'],
    ],
    [
      'exclusive wins when it comes first',
      [disk('/dev/virtVG/a'), disk('/dev/virtVG/a', 'readonly', 'hda')],
      ['virtVG/a exclusive: disk vda'],
    ],
    [
      'exclusive wins when it comes last',
      [disk('/dev/virtVG/a', 'readonly', 'hda'), disk('/dev/virtVG/a')],
      ['virtVG/a exclusive: disk vda'],
    ],
    [
      'two VGs keep their order',
      [disk('/dev/z/a'), disk('/dev/a/a', undefined, 'vdb')],
      ['z/a exclusive: disk vda', 'a/a exclusive: disk vdb'],
    ],
  ])('%s', (_, disks, expected) => expect(wanted(...disks)).toEqual(expected))

  test('a path that no LV can have is told apart from one that is nothing', () => {
    expect(candidatesOf(domainWith(disk('/dev/virtVG/-f'), disk('/dev/sda', undefined, 'vdb')), DEFAULTS)).toEqual({
      volumes: [],
      standIns: [],
      images: [],
      problems: [],
      impossible: [{ vg: 'virtVG', path: '/dev/virtVG/-f', disk: 'disk vda' }],
    })
  })

  test('only VGs that the configuration lists count, if it lists any', () => {
    const domain = domainWith(
      disk('/dev/virtVG/a'),
      disk('/dev/otherVG/a', undefined, 'vdb'),
      disk('/dev/otherVG/-f', undefined, 'vdc'),
    )
    const { volumes, impossible } = candidatesOf(domain, { volumeGroups: ['virtVG'] })
    expect([volumes.map(({ vg }) => vg), impossible]).toEqual([['virtVG'], []])
  })

  test('hostile paths: only valid names, each volume once, exclusive unless every disk of it is shared', () => {
    const anyDisk = fc.record({
      target: fc.string(),
      path: fc.oneof(hostilePath, fc.constantFrom('/dev/vg/lv', '/dev/mapper/vg-lv')),
      readonly: fc.boolean(),
      shareable: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(anyDisk, { maxLength: 6 }), (disks) => {
        const { volumes } = candidatesOf(domainWith(...disks), DEFAULTS)
        expect(volumes.every(({ vg, lv }) => isValidName(vg) && isValidName(lv))).toBe(true)
        expect(new Set(volumes.map(({ vg, lv }) => `${vg}/${lv}`)).size).toBe(volumes.length)
        const exclusive = disks.some(
          ({ path, readonly, shareable }) => /^\/dev\/(mapper\/vg-lv|vg\/lv)$/.test(path) && !readonly && !shareable,
        )
        const found = volumes.find(({ vg, lv }) => vg === 'vg' && lv === 'lv')
        if (exclusive) expect(found?.mode).toBe('exclusive')
      }),
    )
  })
})
