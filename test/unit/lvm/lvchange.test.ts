import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Candidates, candidatesOf } from '../../../src/core/domain.ts'
import { isValidName } from '../../../src/core/volume.ts'
import { BadXml, parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { type Target, lvchangeArguments } from '../../../src/lvm/lvchange.ts'
import { lvsArguments } from '../../../src/lvm/lvs.ts'
import { hostileName, hostilePath } from '../support/arbitraries.ts'
import { domainXml } from '../support/xml.ts'

test.each<[Target, string]>([
  ['exclusive', '--yes --activate ey --ignoreactivationskip -- virtVG/a virtVG/b'],
  ['shared', '--yes --activate sy --ignoreactivationskip -- virtVG/a virtVG/b'],
  ['local', '--yes --activate y --ignoreactivationskip -- virtVG/a virtVG/b'],
  ['inactive', '--yes --activate n -- virtVG/a virtVG/b'],
])('to make volumes %s: lvchange %s', (target, words) => {
  expect(
    lvchangeArguments(target, [
      { vg: 'virtVG', lv: 'a' },
      { vg: 'virtVG', lv: 'b' },
    ]).join(' '),
  ).toBe(words)
})

describe('a domain whose XML means harm (R8)', () => {
  const disk = fc.record({
    type: fc.constantFrom('block', 'file'),
    target: hostileName,
    path: fc.oneof(
      hostilePath,
      hostileName.map((name) => `/dev/virtVG/${name}`),
    ),
    readonly: fc.boolean(),
  })
  const target = fc.constantFrom<Target>('exclusive', 'shared', 'local', 'inactive')

  test('no word after -- begins with a hyphen, none has a character that LVM does not take, whatever the paths are', () => {
    fc.assert(
      fc.property(hostileName, fc.array(disk, { maxLength: 5 }), target, (name, disks, to) => {
        let volumes: Candidates['volumes']
        try {
          volumes = candidatesOf(parseDomain(domainXml({ name, disks })), DEFAULTS).volumes
        } catch (error) {
          expect(error).toBeInstanceOf(BadXml)
          return
        }
        for (const words of [lvchangeArguments(to, volumes), lvsArguments(volumes)]) {
          const names = words.slice(words.indexOf('--') + 1)
          expect(names).toHaveLength(volumes.length)
          for (const word of names)
            expect(word).toMatch(/^[A-Za-z0-9+_.][A-Za-z0-9+_.-]*\/[A-Za-z0-9+_.][A-Za-z0-9+_.-]*$/)
          for (const part of names.flatMap((word) => word.split('/'))) expect(isValidName(part)).toBe(true)
        }
      }),
      { numRuns: 100 },
    )
  })
})
