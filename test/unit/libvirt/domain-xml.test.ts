import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Disk, candidatesOf } from '../../../src/core/domain.ts'
import { NO_POLICY } from '../../../src/core/policy.ts'
import { BadXml, parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { hookInputs } from '../support/captures.ts'
import { UUID, domainXml } from '../support/xml.ts'

const disk = (target: string, path: string | undefined, element?: 'readonly' | 'shareable'): Disk =>
  ({ target, path, readonly: element === 'readonly', shareable: element === 'shareable' })
const below = (path: string): Disk => ({ ...disk('vda', path, 'readonly'), part: 'backing file' })
const DISKS: readonly Disk[] = [
  disk('vda', '/dev/virtVG/root'), disk('vdb', '/dev/mapper/virtVG-data--1'), disk('vdc', '/dev/virtVG/overlay'), { ...disk('vdd', undefined), pool: { name: 'virtpool', volume: 'vol1' } }, disk('vde', '/dev/virtVG/quorum', 'shareable'),
  disk('vdf', '/var/lib/libvirt/images/x.img', 'shareable'), disk('vdg', '/dev/disk/by-id/dm-name-virtVG-byid'), disk('hda', '/dev/virtVG/iso', 'readonly'), disk('hdc', undefined, 'readonly'),
]

/** libvirt writes the backing files that it has found from `start` on, and after a managed save also for the `prepare` (FACTS 17). */
const chainIn = (xml: string): readonly Disk[] =>
  DISKS.flatMap((each): Disk[] => {
    if (each.target !== 'vdc') return [each]
    return xml.includes('/dev/virtVG/golden') ? [each, { ...disk('vdc', '/dev/virtVG/golden', 'readonly'), part: 'backing file' }] : [{ ...each, image: true }]
  })

describe('what libvirt really gave to the hook', () => {
  test.each(hookInputs.map((input) => [input.file, input] as const))('%s', (_, { xml, pool, operation }) => {
    const domain = parseDomain(xml)
    expect(domain).toEqual({
      name: 'milou', uuid: UUID, incomingId: undefined, policy: NO_POLICY,
      // vdd is the disk of type volume, in the second set only.
      disks: chainIn(xml).filter(({ target }) => pool || target !== 'vdd'),
      gotPastPrepare: !['prepare', 'migrate', 'restore'].includes(operation),
    })
    expect(candidatesOf(domain, DEFAULTS).volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`))
      .toEqual(['virtVG/root exclusive', 'virtVG/data-1 exclusive', 'virtVG/overlay exclusive', ...(xml.includes('/dev/virtVG/golden') ? ['virtVG/golden shared'] : []), 'virtVG/quorum shared', 'virtVG/iso shared'])
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
  test.each<[string, string, ...Disk[]]>([
    ['no source', "<disk type='block' device='cdrom'><target dev='hda'/></disk>", disk('hda', undefined)],
    ['an empty source', "<disk type='block'><source dev=''/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a source with children', "<disk type='block'><source dev='/dev/v/l'><reservations managed='yes'/></source><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['a source of another type', "<disk type='network'><source protocol='rbd' name='v/l' dev='/dev/v/l' file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['the file of type block does not count', "<disk type='block'><source file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a file under /dev', "<disk type='file'><source file='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['readonly with an end tag', "<disk type='block'><source dev='/dev/v/l'/><target dev='hda'/><readonly></readonly></disk>", disk('hda', '/dev/v/l', 'readonly')],
    ['shareable', "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><shareable/></disk>", disk('vda', '/dev/v/l', 'shareable')],
    ['the readonly of a mirror is not that of the disk', "<disk type='block'><source dev='/dev/v/l'/><mirror><readonly/></mirror><target dev='vda'/></disk>", disk('vda', '/dev/v/l'), { ...disk('vda', undefined), part: 'mirror' }],
    ['a volume of a pool', "<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>", { ...disk('vda', undefined), pool: { name: 'p', volume: 'v' } }],
    ['a volume of no pool', "<disk type='volume'><source volume='v'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a vhost-user disk', "<disk type='vhostuser'><source type='unix' path='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['NVMe', "<disk type='nvme'><source type='pci' namespace='1'/><target dev='vda'/></disk>", disk('vda', undefined)],
    ['a LUN', "<disk type='block' device='lun'><source dev='/dev/v/l'/><target dev='sda'/></disk>", disk('sda', '/dev/v/l')],
    ['a floppy that may be missing', "<disk type='block' device='floppy'><source dev='/dev/v/l' startupPolicy='optional'/><target dev='fda'/></disk>", { ...disk('fda', '/dev/v/l'), optional: true }],
    ['one that must be there at a start', "<disk type='block' device='cdrom'><source dev='/dev/v/l' startupPolicy='requisite'/><target dev='hda'/><readonly/></disk>", disk('hda', '/dev/v/l', 'readonly')],
    ['transient: QEMU writes elsewhere, but libvirt locks it', "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><transient/></disk>", disk('vda', '/dev/v/l')],
    ['transient, and shared by VMs that only read it', "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><transient shareBacking='yes'/></disk>", disk('vda', '/dev/v/l', 'readonly')],
    ['qcow2: its own header tells the rest', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><target dev='vda'/></disk>", { ...disk('vda', '/dev/v/l'), image: true }],
    ['raw: whatever stands in it, a guest may have written', "<disk type='block'><driver type='raw'/><source dev='/dev/v/l'/><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['qcow2 that has nothing below', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore/><target dev='vda'/></disk>", disk('vda', '/dev/v/l')],
    ['a chain, open at its end', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='file'><format type='qcow2'/><source file='/dev/v/m'/><backingStore type='block'><format type='qcow2'/><source dev='/dev/v/n'/></backingStore></backingStore><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'), below('/dev/v/m'), { ...below('/dev/v/n'), image: true }],
    ['a chain that ends in a raw image', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='block'><format type='raw'/><source dev='/dev/v/m'/></backingStore><target dev='vda'/></disk>", disk('vda', '/dev/v/l'), below('/dev/v/m')],
    ['a chain over a network', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='network'><format type='raw'/><source protocol='nbd' name='x'/><backingStore/></backingStore><target dev='vda'/></disk>", disk('vda', '/dev/v/l'), { ...below(''), path: undefined }],
    ['a mirror', "<disk type='block'><source dev='/dev/v/l'/><mirror type='block' job='copy'><format type='raw'/><source dev='/dev/v/m'/></mirror><target dev='vda'/></disk>", disk('vda', '/dev/v/l'), { ...disk('vda', '/dev/v/m'), part: 'mirror' }],
    ['an external data file', "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'><dataStore type='block'><format type='raw'/><source dev='/dev/v/d'/></dataStore></source><backingStore/><target dev='vda'/></disk>", disk('vda', '/dev/v/l'), { ...disk('vda', '/dev/v/d'), part: 'data file' }],
    ['no target', "<disk type='block'><source dev='/dev/v/l'/></disk>", disk('?', '/dev/v/l')],
    ['escaped signs', "<disk type='block'><source dev='/dev/v/&quot;&apos;&#x41;&lt;&amp;'/><target dev='vda'/></disk>", disk('vda', '/dev/v/"\'A<&')],
  ])('%s', (_, xml, ...expected) => expect(only(xml)).toEqual(expected))

  test('a chain of ten thousand is read to its end, or refused as a whole', () => {
    const deep = (levels: number): string => `<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/>${"<backingStore type='block'><format type='qcow2'/><source dev='/dev/v/m'/>".repeat(levels)}${'</backingStore>'.repeat(levels)}<target dev='vda'/></disk>`
    expect(only(deep(90))).toHaveLength(91)
    expect(() => only(deep(10_000))).toThrow(BadXml)
  })

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

describe('what is no disk', () => {
  const element = (target: string, path: string, readonly: boolean): Disk => ({ target, part: 'element', path, readonly, shareable: false })
  const inOs = (xml: string): readonly Disk[] => parseDomain(domainXml({ inside: `<os>${xml}</os>` })).disks
  const inDevices = (xml: string): readonly Disk[] => parseDomain(domainXml({ inside: '@' }).replace(/@ *<devices>\n/, () => `<devices>${xml}`)).disks
  test.each<[string, readonly Disk[], Disk[]]>([
    ['firmware and its variables', inOs("<loader readonly='yes' type='pflash'>/dev/v/code</loader><nvram template='/x'>/dev/v/vars</nvram>"), [element('loader', '/dev/v/code', true), element('nvram', '/dev/v/vars', false)]],
    ['variables as a source', inOs("<nvram type='block'><source dev='/dev/v/vars'/></nvram>"), [element('nvram', '/dev/v/vars', false)]],
    ['variables over a network', inOs("<nvram type='network'><source protocol='iscsi' name='x'/></nvram>"), [{ ...element('nvram', '', false), path: undefined }]],
    ['firmware that is written to', inOs("<loader type='pflash'>/dev/v/code</loader>"), [element('loader', '/dev/v/code', false)]],
    ['firmware of type rom', inOs('<loader>/dev/v/code</loader>'), [element('loader', '/dev/v/code', true)]],
    ['firmware that libvirt picks itself', inOs("<loader secure='no'/>"), [{ ...element('loader', '', true), path: undefined }]],
    ['a filesystem on a block device', inDevices("<filesystem type='block'><source dev='/dev/v/fs'/><target dir='data'/><readonly/></filesystem>"), [element('filesystem data', '/dev/v/fs', true)]],
    ['a folder of the host', inDevices("<filesystem type='mount'><source dir='/dev/v/fs'/><target dir='data'/></filesystem>"), []],
    ['an NVDIMM', inDevices("<memory model='nvdimm'><source><path>/dev/v/nv</path></source><target><size>1</size></target></memory>"), [element('memory nvdimm', '/dev/v/nv', false)]],
    ['an NVDIMM that is only read', inDevices("<memory model='nvdimm'><source><path>/dev/v/nv</path></source><target><readonly/></target></memory>"), [element('memory nvdimm', '/dev/v/nv', true)]],
    ['virtio-pmem', inDevices("<memory model='virtio-pmem' access='shared'><source><path>/dev/v/pm</path></source></memory>"), [element('memory virtio-pmem', '/dev/v/pm', false)]],
    ['ordinary memory', inDevices("<memory model='dimm'><source><pagesize>4096</pagesize></source></memory>"), []],
  ])('%s', (_, found, expected) => expect(found).toEqual(expected))
})
