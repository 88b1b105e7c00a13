import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  fullName,
  isValidName,
  mapperName,
  mapperUuid,
  meaningOfMapperName,
  meaningOfPath,
} from '../../../src/core/volume.ts'
import { hostileName, hostilePath, validName, volumeName } from '../support/arbitraries.ts'

describe('what a path means', () => {
  test.each([
    ['/dev/virtVG/root', 'virtVG/root'],
    ['/dev/mapper/virtVG-root', 'virtVG/root'],
    ['/dev/mapper/virtVG-data--1', 'virtVG/data-1'],
    ['/dev/mapper/virt--VG-data--1', 'virt-VG/data-1'],
    ['/dev/mapper/a---b', 'a-/b'],
    ['/dev/virtVG/data-1', 'virtVG/data-1'],
    ['/dev//virtVG/./root', 'virtVG/root'],
    ['/dev/mapper/../virtVG/root', 'virtVG/root'],
    ['/dev/vg+1/lv_2.x', 'vg+1/lv_2.x'],
    ['/dev/1e3/1e3', '1e3/1e3'],
    ['/dev/__proto__/constructor', '__proto__/constructor'],
    ['/dev/shm/x.img', 'shm/x.img'],
  ])('%s is the volume %s', (path, name) => {
    const meaning = meaningOfPath(path)
    expect(meaning.kind === 'volume' && fullName(meaning)).toBe(name)
  })

  test.each([
    ['/dev/virtVG/-f'],
    ['/dev/virtVG/a b'],
    ['/dev/virtVG/$(id)'],
    ['/dev/virtVG/a/b'],
    ['/dev/virtVG/root/'],
    ['/dev/virtVG/a\nb'],
    ['/dev/mapper/virtVG-root-real'],
    ['/dev/mapper/virtVG-'],
    [`/dev/virtVG/${'x'.repeat(128)}`],
  ])('%j can be no volume of virtVG', (path) => {
    expect(meaningOfPath(path)).toEqual({ kind: 'impossible', vg: 'virtVG' })
  })

  test.each([
    ['/var/lib/libvirt/images/x.img'],
    ['/dev/sda'],
    ['/dev/dm-3'],
    ['/dev/mapper/mpatha'],
    ['/dev/mapper/'],
    ['/dev'],
    ['/'],
    [''],
    ['dev/virtVG/root'],
    ['/dev/-VG/root'],
    ['/dev/mapper/-VG-root'],
    ['/dev/../virtVG/root'],
    ['/dev/mapper/virtVG/root'],
    ['virtVG/root'],
    ['rbd:pool/image'],
  ])('%j is left alone', (path) => {
    expect(meaningOfPath(path)).toEqual({ kind: 'other' })
  })

  test('every valid name comes back from its device-mapper name and from both paths', () => {
    fc.assert(
      fc.property(volumeName, (name) => {
        expect(meaningOfMapperName(mapperName(name))).toEqual({ kind: 'volume', ...name })
        expect(meaningOfPath(`/dev/mapper/${mapperName(name)}`)).toEqual({ kind: 'volume', ...name })
        fc.pre(name.vg !== 'mapper')
        expect(meaningOfPath(`/dev/${name.vg}/${name.lv}`)).toEqual({ kind: 'volume', ...name })
      }),
    )
  })

  test('no path, whatever is in it, gives a name that LVM would refuse', () => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const meaning = meaningOfPath(path)
        if (meaning.kind === 'volume') expect([meaning.vg, meaning.lv].every(isValidName)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('names', () => {
  test.each(['a', '_', '+', 'a-', '..a', '...', 'x'.repeat(127), '1e3'])('%s is one', (name) =>
    expect(isValidName(name)).toBe(true),
  )
  test.each(['', '-', '-f', '.', '..', 'a b', 'a/b', 'a\n', '\na', 'a\0', 'ä', 'a$', 'a@b', 'x'.repeat(128)])(
    '%j is none',
    (name) => expect(isValidName(name)).toBe(false),
  )

  test('one that is valid needs no quotes in a shell and is no option', () => {
    fc.assert(
      fc.property(fc.oneof(validName, hostileName), (name) => {
        if (isValidName(name)) expect(name).toMatch(/^[A-Za-z0-9+_.][A-Za-z0-9+_.-]*$/)
      }),
    )
  })
})

test('the UUID of a device is that of the VG and of the LV without dashes', () => {
  expect(mapperUuid('z1lQbs-4rgS-gZ6f-Ch0J-nLjp-pO8S-W0AcDc', '1x2VbN-V0cj-dDGr-9Hzo-H8tq-jFTA-VGGKvx')).toBe(
    'LVM-z1lQbs4rgSgZ6fCh0JnLjppO8SW0AcDc1x2VbNV0cjdDGr9HzoH8tqjFTAVGGKvx',
  )
})
