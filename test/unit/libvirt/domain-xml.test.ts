import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Disk, candidatesOf } from '../../../src/core/domain.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { hookInputs } from '../support/captures.ts'
import { UUID, domainXml } from '../support/xml.ts'

const disk = (target: string, path: string | undefined, element?: 'readonly' | 'shareable'): Disk =>
  ({ target, path, readonly: element === 'readonly', shareable: element === 'shareable' })
const DISKS: readonly Disk[] = [
  disk('vda', '/dev/virtVG/root'), disk('vdb', '/dev/mapper/virtVG-data--1'), disk('vdc', '/dev/virtVG/overlay'), disk('vdd', undefined), disk('vde', '/dev/virtVG/quorum', 'shareable'),
  disk('vdf', '/var/lib/libvirt/images/x.img', 'shareable'), disk('vdg', '/dev/disk/by-id/dm-name-virtVG-byid'), disk('hda', '/dev/virtVG/iso', 'readonly'), disk('hdc', undefined, 'readonly'),
]

describe('what libvirt really gave to the hook', () => {
  test.each(hookInputs.map((input) => [input.file, input] as const))('%s', (_, { xml, pool, operation }) => {
    const domain = parseDomain(xml)
    expect(domain).toEqual({
      name: 'milou', uuid: UUID, incomingId: undefined,
      // vdd is the disk of type volume, in the second set only.
      disks: DISKS.filter(({ target }) => pool || target !== 'vdd'),
      gotPastPrepare: !['prepare', 'migrate', 'restore'].includes(operation),
    })
    expect(candidatesOf(domain, DEFAULTS).volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`))
      .toEqual(['virtVG/root exclusive', 'virtVG/data-1 exclusive', 'virtVG/overlay exclusive', 'virtVG/quorum shared', 'virtVG/iso shared'])
  })

  test('there are captures of every operation', () => {
    expect([...new Set(hookInputs.map(({ operation }) => operation))].sort()).toEqual(['migrate', 'prepare', 'reconnect', 'release', 'restore', 'start', 'started', 'stopped'])
  })
})

describe('names', () => {
  test.each([
    '1e3', '0x10', 'true', 'null', '007', '1.0', '-0', '__proto__', 'constructor', 'prepare', '--help', '$(reboot)', '`id`', ';id', 'a b', "it's", '"', 'a&b', '<b>', '&amp;', '日本', 'a\\b', '{}', '[]',
    '%s', '\\n',
  ])('%s', (name) => expect(parseDomain(domainXml({ name })).name).toBe(name))

  test.each<[string, string, string]>([
    ['a numeric reference', '&#116;intin', 'tintin'],
    ['a comment inside', 'tin<!-- x -->tin', 'tintin'],
    ['a CDATA section', '<![CDATA[tin&tin]]>', 'tin&tin'],
    ['one that looks escaped twice', '&amp;lt;', '&lt;'],
  ])('%s', (_, inside, name) => expect(parseDomain(domainXml({ name: '@' }).replace('@', () => inside)).name).toBe(name))

  test('a UUID in capitals is the same', () => expect(parseDomain(domainXml({ uuid: UUID.toUpperCase() })).uuid).toBe(UUID))
})

describe('disks', () => {
  const only = (xml: string): readonly Disk[] => parseDomain(domainXml({ inside: '@' }).replace(/@ *<devices>\n/, () => `<devices>${xml}`)).disks
  test.each<[string, string, Disk]>([
    ['no source', "<disk type='block' device='cdrom'><target dev='hda'/></disk>", disk('hda', undefined)],
    ['an empty source', "<disk type='block'><source dev=''/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a source with children', "<disk type='block'><source dev='/dev/v/l'><reservations managed='yes'/></source><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['a source of another type', "<disk type='network'><source protocol='rbd' name='v/l' dev='/dev/v/l' file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['the file of type block does not count', "<disk type='block'><source file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a file under /dev', "<disk type='file'><source file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['readonly with an end tag', "<disk type='block'><source dev='/dev/v/l'/><target dev='hda'/><readonly></readonly></disk>", disk('hda', '/dev/v/l', 'readonly')],
    ['shareable', "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><shareable/></disk>", disk('vda', '/dev/v/l', 'shareable')],
    ['the readonly of a mirror is not that of the disk', "<disk type='block'><source dev='/dev/v/l'/><mirror><readonly/></mirror><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['no target', "<disk type='block'><source dev='/dev/v/l'/></disk>", disk('?', '/dev/v/l')],
    ['escaped signs', "<disk type='block'><source dev='/dev/v/&quot;&apos;&#x41;&lt;&amp;'/><target dev='vda'/></disk>", disk('vda', '/dev/v/"\'A<&')],
  ])('%s', (_, xml, expected) => expect(only(xml)).toEqual([expected]))

  test('one disk or two, both are found', () => {
    const disks = [{ type: 'block', target: 'vda', path: '/dev/v/a' }, { type: 'file', target: 'vdb', path: '/dev/v/b' }]
    expect([1, 2].map((count) => parseDomain(domainXml({ disks: disks.slice(0, count) })).disks.length)).toEqual([1, 2])
  })

  test.each<[string, string[], boolean]>([
    ['libvirt has named the devices', ['virtio-disk0'], true],
    ['it has named nothing', [], false],
    ['the user has', ['ua-root'], false],
    ['both', ['ua-root', 'virtio-disk1'], true],
  ])('got past its prepare: %s', (_, aliases, expected) => {
    const disks = aliases.length === 0 ? [{ type: 'block', target: 'vda', path: '/dev/v/l' }] : aliases.map((alias, index) => ({ type: 'block', target: `vd${index}`, path: '/dev/v/l', alias }))
    expect(parseDomain(domainXml({ disks })).gotPastPrepare).toBe(expected)
  })
})
