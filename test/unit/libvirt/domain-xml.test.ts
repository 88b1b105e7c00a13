import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Disk, candidatesOf } from '../../../src/core/domain.ts'
import { NO_POLICY } from '../../../src/core/policy.ts'
import { BadXml, parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { hookInputs } from '../support/captures.ts'
import { UUID, domainXml } from '../support/xml.ts'

const disk = (target: string, path: string | undefined, element?: 'readonly' | 'shareable'): Disk => ({
  target,
  path,
  readonly: element === 'readonly',
  shareable: element === 'shareable',
})
const below = (path: string): Disk => ({ ...disk('vda', path, 'readonly'), part: 'backing file' })
const DISKS: readonly Disk[] = [
  disk('vda', '/dev/virtVG/root'),
  disk('vdb', '/dev/mapper/virtVG-data--1'),
  disk('vdc', '/dev/virtVG/overlay'),
  { ...disk('vdd', undefined), pool: { name: 'virtpool', volume: 'vol1' } },
  disk('vde', '/dev/virtVG/quorum', 'shareable'),
  disk('vdf', '/var/lib/libvirt/images/x.img', 'shareable'),
  disk('vdg', '/dev/disk/by-id/dm-name-virtVG-byid'),
  disk('hda', '/dev/virtVG/iso', 'readonly'),
  disk('hdc', undefined, 'readonly'),
]

/**
 * libvirt writes the backing files that it has found from `start` on, and after a managed save also for the `prepare`
 * (FACTS 17).
 */
const chainIn = (xml: string): readonly Disk[] =>
  DISKS.flatMap((each): Disk[] => {
    if (each.target !== 'vdc') return [each]
    return xml.includes('/dev/virtVG/golden')
      ? [each, { ...disk('vdc', '/dev/virtVG/golden', 'readonly'), part: 'backing file' }]
      : [{ ...each, image: true }]
  })

describe('what libvirt really gave to the hook', () => {
  test.each(hookInputs.map((input) => [input.file, input] as const))('%s', (_, { xml, pool, operation }) => {
    const domain = parseDomain(xml)
    expect(domain).toEqual({
      name: 'milou',
      uuid: UUID,
      incomingId: undefined,
      policy: NO_POLICY,
      // vdd is the disk of type volume, in the second set only.
      disks: chainIn(xml).filter(({ target }) => pool || target !== 'vdd'),
      gotPastPrepare: !['prepare', 'migrate', 'restore'].includes(operation),
    })
    expect(candidatesOf(domain, DEFAULTS).volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`)).toEqual([
      'virtVG/root exclusive',
      'virtVG/data-1 exclusive',
      'virtVG/overlay exclusive',
      ...(xml.includes('/dev/virtVG/golden') ? ['virtVG/golden shared'] : []),
      'virtVG/quorum shared',
      'virtVG/iso shared',
    ])
  })

  test('there are captures of every operation', () => {
    expect([...new Set(hookInputs.map(({ operation }) => operation))].sort()).toEqual([
      'migrate',
      'prepare',
      'reconnect',
      'release',
      'restore',
      'start',
      'started',
      'stopped',
    ])
  })
})

describe('names', () => {
  test.each([
    '1e3',
    '0x10',
    'true',
    'null',
    '007',
    '1.0',
    '-0',
    '__proto__',
    'constructor',
    'prepare',
    '--help',
    '$(reboot)',
    '`id`',
    ';id',
    'a b',
    "it's",
    '"',
    'a&b',
    '<b>',
    '&amp;',
    '日本',
    'a\\b',
    '{}',
    '[]',
    '%s',
    '\\n',
  ])('%s', (name) => expect(parseDomain(domainXml({ name })).name).toBe(name))

  test.each<[string, string, string]>([
    ['a numeric reference', '&#116;intin', 'tintin'],
    ['a comment inside', 'tin<!-- x -->tin', 'tintin'],
    ['a CDATA section', '<![CDATA[tin&tin]]>', 'tin&tin'],
    ['one that looks escaped twice', '&amp;lt;', '&lt;'],
  ])('%s', (_, inside, name) =>
    expect(parseDomain(domainXml({ name: '@' }).replace('@', () => inside)).name).toBe(name),
  )

  test('a UUID in capitals is the same', () =>
    expect(parseDomain(domainXml({ uuid: UUID.toUpperCase() })).uuid).toBe(UUID))
})

describe('disks', () => {
  const only = (xml: string): readonly Disk[] =>
    parseDomain(domainXml({ inside: '@' }).replace(/@ *<devices>\n/, () => `<devices>${xml}`)).disks
  test.each<[string, string, ...Disk[]]>([
    ['no source', "<disk type='block' device='cdrom'><target dev='hda'/></disk>", disk('hda', undefined)],
    ['an empty source', "<disk type='block'><source dev=''/><target dev='vda'/></disk>", disk('vda', undefined)],
    [
      'a source with children',
      "<disk type='block'><source dev='/dev/v/l'><reservations managed='yes'/></source><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
    ],
    [
      'a source of another type',
      "<disk type='network'><source protocol='rbd' name='v/l' dev='/dev/v/l' file='/dev/v/l'/><target dev='vda'/></disk>",
      disk('vda', undefined),
    ],
    [
      'the file of type block does not count',
      "<disk type='block'><source file='/dev/v/l'/><target dev='vda'/></disk>",
      disk('vda', undefined),
    ],
    [
      'a file under /dev',
      "<disk type='file'><source file='/dev/v/l'/><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
    ],
    [
      'readonly with an end tag',
      "<disk type='block'><source dev='/dev/v/l'/><target dev='hda'/><readonly></readonly></disk>",
      disk('hda', '/dev/v/l', 'readonly'),
    ],
    [
      'shareable',
      "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><shareable/></disk>",
      disk('vda', '/dev/v/l', 'shareable'),
    ],
    [
      'the readonly of a mirror is not that of the disk',
      "<disk type='block'><source dev='/dev/v/l'/><mirror><readonly/></mirror><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      { ...disk('vda', undefined), part: 'mirror' },
    ],
    [
      'a volume of a pool',
      "<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>",
      { ...disk('vda', undefined), pool: { name: 'p', volume: 'v' } },
    ],
    [
      'a volume of no pool',
      "<disk type='volume'><source volume='v'/><target dev='vda'/></disk>",
      disk('vda', undefined),
    ],
    [
      'a vhost-user disk',
      "<disk type='vhostuser'><source type='unix' path='/dev/v/l'/><target dev='vda'/></disk>",
      disk('vda', undefined),
    ],
    ['NVMe', "<disk type='nvme'><source type='pci' namespace='1'/><target dev='vda'/></disk>", disk('vda', undefined)],
    [
      'a LUN',
      "<disk type='block' device='lun'><source dev='/dev/v/l'/><target dev='sda'/></disk>",
      disk('sda', '/dev/v/l'),
    ],
    [
      'a floppy that may be missing',
      "<disk type='block' device='floppy'><source dev='/dev/v/l' startupPolicy='optional'/><target dev='fda'/></disk>",
      { ...disk('fda', '/dev/v/l'), optional: true },
    ],
    [
      'one that must be there at a start, which libvirt sees to',
      "<disk type='block' device='cdrom'><source dev='/dev/v/l' startupPolicy='requisite'/><target dev='hda'/><readonly/></disk>",
      { ...disk('hda', '/dev/v/l', 'readonly'), optional: true },
    ],
    [
      'one that must be there always',
      "<disk type='block' device='cdrom'><source dev='/dev/v/l' startupPolicy='mandatory'/><target dev='hda'/><readonly/></disk>",
      disk('hda', '/dev/v/l', 'readonly'),
    ],
    [
      'transient: QEMU writes elsewhere, but libvirt locks it',
      "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><transient/></disk>",
      disk('vda', '/dev/v/l'),
    ],
    [
      'transient, and shared by VMs that only read it',
      "<disk type='block'><source dev='/dev/v/l'/><target dev='vda'/><transient shareBacking='yes'/></disk>",
      disk('vda', '/dev/v/l', 'readonly'),
    ],
    [
      'qcow2: its own header tells the rest',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><target dev='vda'/></disk>",
      { ...disk('vda', '/dev/v/l'), image: true },
    ],
    [
      'raw: whatever stands in it, a guest may have written',
      "<disk type='block'><driver type='raw'/><source dev='/dev/v/l'/><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
    ],
    [
      'qcow2 that has nothing below',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore/><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
    ],
    [
      'a chain, open at its end',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='file'><format type='qcow2'/><source file='/dev/v/m'/><backingStore type='block'><format type='qcow2'/><source dev='/dev/v/n'/></backingStore></backingStore><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      below('/dev/v/m'),
      { ...below('/dev/v/n'), image: true },
    ],
    [
      'a chain that ends in a raw image',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='block'><format type='raw'/><source dev='/dev/v/m'/></backingStore><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      below('/dev/v/m'),
    ],
    [
      'a chain over a network',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='network'><format type='raw'/><source protocol='nbd' name='x'/><backingStore/></backingStore><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      { ...below(''), path: undefined },
    ],
    [
      'a mirror',
      "<disk type='block'><source dev='/dev/v/l'/><mirror type='block' job='copy'><format type='raw'/><source dev='/dev/v/m'/></mirror><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      { ...disk('vda', '/dev/v/m'), part: 'mirror' },
    ],
    [
      'a mirror of a shallow copy, with what it stands on',
      "<disk type='block'><source dev='/dev/v/l'/><mirror type='block' job='copy'><format type='qcow2'/><source dev='/dev/v/m'/><backingStore type='block'><format type='raw'/><source dev='/dev/v/n'/><backingStore/></backingStore></mirror><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      { ...disk('vda', '/dev/v/m'), part: 'mirror' },
      below('/dev/v/n'),
    ],
    [
      'an external data file',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'><dataStore type='block'><format type='raw'/><source dev='/dev/v/d'/></dataStore></source><backingStore/><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      { ...disk('vda', '/dev/v/d'), part: 'data file' },
    ],
    [
      'the data file of an image below, which goes with that image',
      "<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/><backingStore type='block'><format type='qcow2'/><source dev='/dev/v/m'><dataStore type='block'><format type='raw'/><source dev='/dev/v/d'/></dataStore></source><backingStore/></backingStore><target dev='vda'/></disk>",
      disk('vda', '/dev/v/l'),
      below('/dev/v/m'),
      below('/dev/v/d'),
    ],
    ['no target', "<disk type='block'><source dev='/dev/v/l'/></disk>", disk('?', '/dev/v/l')],
    [
      'escaped signs',
      "<disk type='block'><source dev='/dev/v/&quot;&apos;&#x41;&lt;&amp;'/><target dev='vda'/></disk>",
      disk('vda', '/dev/v/"\'A<&'),
    ],
  ])('%s', (_, xml, ...expected) => expect(only(xml)).toEqual(expected))

  test('a chain of ten thousand is read to its end, or refused as a whole', () => {
    const deep = (levels: number): string =>
      `<disk type='block'><driver type='qcow2'/><source dev='/dev/v/l'/>${"<backingStore type='block'><format type='qcow2'/><source dev='/dev/v/m'/>".repeat(levels)}${'</backingStore>'.repeat(levels)}<target dev='vda'/></disk>`
    expect(only(deep(90))).toHaveLength(91)
    expect(() => only(deep(10_000))).toThrow(BadXml)
  })

  test('one disk or two, both are found', () => {
    const disks = [
      { type: 'block', target: 'vda', path: '/dev/v/a' },
      { type: 'file', target: 'vdb', path: '/dev/v/b' },
    ]
    expect([1, 2].map((count) => parseDomain(domainXml({ disks: disks.slice(0, count) })).disks.length)).toEqual([1, 2])
  })

  test.each<[string, string[], boolean]>([
    ['libvirt has named the devices', ['virtio-disk0'], true],
    ['it has named nothing', [], false],
    ['the user has', ['ua-root'], false],
    ['both', ['ua-root', 'virtio-disk1'], true],
  ])('got past its prepare: %s', (_, aliases, expected) => {
    const disks =
      aliases.length === 0
        ? [{ type: 'block', target: 'vda', path: '/dev/v/l' }]
        : aliases.map((alias, index) => ({ type: 'block', target: `vd${index}`, path: '/dev/v/l', alias }))
    expect(parseDomain(domainXml({ disks })).gotPastPrepare).toBe(expected)
  })
})

describe('what is no disk', () => {
  const element = (target: string, path: string, readonly: boolean): Disk => ({
    target,
    part: 'element',
    path,
    readonly,
    shareable: false,
  })
  const unknown = (target: string, path: string): Disk => ({ ...element(target, path, false), unknown: true })
  const inOs = (xml: string): readonly Disk[] => parseDomain(domainXml({ inside: `<os>${xml}</os>` })).disks
  const inDevices = (xml: string): readonly Disk[] =>
    parseDomain(domainXml({ inside: '@' }).replace(/@ *<devices>\n/, () => `<devices>${xml}`)).disks
  test.each<[string, readonly Disk[], Disk[]]>([
    [
      'firmware and its variables',
      inOs("<loader readonly='yes' type='pflash'>/dev/v/code</loader><nvram template='/x'>/dev/v/vars</nvram>"),
      [
        element('loader', '/dev/v/code', true),
        element('nvram', '/dev/v/vars', false),
        element('nvram template', '/x', true),
      ],
    ],
    [
      'variables as a source',
      inOs("<nvram type='block'><source dev='/dev/v/vars'/></nvram>"),
      [element('nvram', '/dev/v/vars', false)],
    ],
    [
      'variables over a network',
      inOs("<nvram type='network'><source protocol='iscsi' name='x'/></nvram>"),
      [{ ...element('nvram', '', false), path: undefined }],
    ],
    [
      'firmware that is written to',
      inOs("<loader type='pflash'>/dev/v/code</loader>"),
      [element('loader', '/dev/v/code', false)],
    ],
    ['firmware of type rom', inOs('<loader>/dev/v/code</loader>'), [element('loader', '/dev/v/code', true)]],
    [
      'firmware that libvirt picks itself',
      inOs("<loader secure='no'/>"),
      [{ ...element('loader', '', true), path: undefined }],
    ],
    [
      'a filesystem on a block device',
      inDevices("<filesystem type='block'><source dev='/dev/v/fs'/><target dir='data'/><readonly/></filesystem>"),
      [element('filesystem data', '/dev/v/fs', true)],
    ],
    [
      'a folder of the host',
      inDevices("<filesystem type='mount'><source dir='/srv/fs'/><target dir='/dev/v/fs'/></filesystem>"),
      [],
    ],
    [
      'a kernel of its own',
      inOs('<kernel>/dev/v/kernel</kernel><initrd>/dev/v/initrd</initrd><dtb>/dev/v/dtb</dtb><shim>/dev/v/shim</shim>'),
      ['kernel', 'initrd', 'dtb', 'shim'].map((name) => element(name, `/dev/v/${name}`, true)),
    ],
    [
      'ACPI tables',
      inOs("<acpi><table type='slic'>/dev/v/slic</table><table type='msdm'>/dev/v/msdm</table></acpi>"),
      ['slic', 'msdm'].map((name) => element('acpi table', `/dev/v/${name}`, true)),
    ],
    [
      'a variable store',
      inOs("<varstore path='/dev/v/vars' template='/dev/v/template'/>"),
      [element('varstore template', '/dev/v/template', true), element('varstore', '/dev/v/vars', false)],
    ],
    [
      'a TPM whose state is a source',
      inDevices(
        "<tpm model='tpm-crb'><backend type='emulator'><source type='file' path='/dev/v/tpm'/></backend></tpm>",
      ),
      [element('tpm', '/dev/v/tpm', false)],
    ],
    [
      'the same on a block device',
      inDevices("<tpm><backend type='emulator'><source type='block' dev='/dev/v/tpm'/></backend></tpm>"),
      [element('tpm', '/dev/v/tpm', false)],
    ],
    [
      'a TPM of the host, or behind a socket',
      inDevices(
        "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm><tpm><backend type='external'><source type='unix' mode='connect' path='/run/tpm'/></backend></tpm>",
      ),
      [],
    ],
    [
      'serial lines and the like',
      inDevices(
        ['serial', 'parallel', 'console', 'channel']
          .map((tag) => `<${tag} type='dev'><source path='/dev/v/${tag}'/></${tag}>`)
          .join(''),
      ),
      ['serial', 'parallel', 'console', 'channel'].map((tag) => element(tag, `/dev/v/${tag}`, false)),
    ],
    [
      'one that is a file',
      inDevices("<serial type='file'><source path='/dev/v/log' append='on'/></serial>"),
      [element('serial', '/dev/v/log', false)],
    ],
    [
      'terminals and sockets',
      inDevices(
        "<serial type='pty'><source path='/dev/pts/1'/></serial><console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console><channel type='unix'><source mode='bind' path='/run/x'/><target type='virtio' name='/dev/v/x'/></channel>",
      ),
      [],
    ],
    [
      'a store for crashes',
      inDevices("<pstore backend='acpi-erst'><path>/dev/v/pstore</path></pstore>"),
      [element('pstore', '/dev/v/pstore', false)],
    ],
    [
      'a source of chance',
      inDevices(
        "<rng model='virtio'><backend model='random'>/dev/v/rng</backend></rng><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><rng model='virtio'><backend model='egd' type='udp'><source mode='connect' host='x'/></backend></rng>",
      ),
      [element('rng', '/dev/v/rng', true)],
    ],
    [
      'a device of the host',
      inDevices(
        "<hostdev mode='capabilities' type='storage'><source><block>/dev/v/l</block></source></hostdev><hostdev mode='capabilities' type='misc'><source><char>/dev/v/c</char></source></hostdev>",
      ),
      [element('hostdev', '/dev/v/l', false), element('hostdev', '/dev/v/c', false)],
    ],
    [
      'a log beside a serial line',
      inDevices("<serial type='pty'><log file='/dev/v/log'/></serial>"),
      [unknown('serial', '/dev/v/log')],
    ],
    [
      'anything else that has a path below /dev',
      inDevices("<future><thing where='/dev/mapper/v-l'/>/dev/v/m</future>"),
      [unknown('future', '/dev/mapper/v-l'), unknown('future', '/dev/v/m')],
    ],
    [
      'the same outside of the devices',
      parseDomain(domainXml({ inside: "<sysinfo type='fwcfg'><entry name='x' file='/dev/v/x'/></sysinfo>" })).disks,
      [unknown('sysinfo', '/dev/v/x')],
    ],
    [
      'what is only spoken of',
      parseDomain(
        domainXml({
          inside:
            '<title>/dev/v/l</title><description>/dev/v/l</description><metadata><x:y xmlns:x="u" z="/dev/v/l"/></metadata><blkiotune><device><path>/dev/v/l</path></device></blkiotune>',
        }),
      ).disks,
      [],
    ],
    [
      'a lease',
      inDevices("<lease><lockspace>x</lockspace><key>y</key><target path='/dev/v/leases' offset='1'/></lease>"),
      [],
    ],
    [
      'devices of the kernel',
      inDevices(
        "<input type='evdev'><source dev='/dev/input/event1'/></input><interface><backend tap='/dev/net/tun' vhost='/dev/vhost-net'/></interface>",
      ),
      [],
    ],
    [
      'block devices without a folder, which may stand on a volume, in a part that is not known',
      parseDomain(
        domainXml({
          inside: ['dm-3', 'md127', 'md127p1', 'loop0p1', 'tpm0', 'null']
            .map((name) => `<sysinfo type='fwcfg'><entry name='opt/x' file='/dev/${name}'/></sysinfo>`)
            .join(''),
        }),
      ).disks,
      ['dm-3', 'md127', 'md127p1', 'loop0p1'].map((name) => unknown('sysinfo', `/dev/${name}`)),
    ],
    [
      'an NVDIMM',
      inDevices(
        "<memory model='nvdimm'><source><path>/dev/v/nv</path></source><target><size>1</size></target></memory>",
      ),
      [element('memory nvdimm', '/dev/v/nv', false)],
    ],
    [
      'an NVDIMM that the guest may only read: QEMU writes to it all the same',
      inDevices("<memory model='nvdimm'><source><path>/dev/v/nv</path></source><target><readonly/></target></memory>"),
      [element('memory nvdimm', '/dev/v/nv', false)],
    ],
    [
      'virtio-pmem',
      inDevices("<memory model='virtio-pmem' access='shared'><source><path>/dev/v/pm</path></source></memory>"),
      [element('memory virtio-pmem', '/dev/v/pm', false)],
    ],
    ['ordinary memory', inDevices("<memory model='dimm'><source><pagesize>4096</pagesize></source></memory>"), []],
  ])('%s', (_, found, expected) => expect(found).toEqual(expected))
})

test('a chain of 200 images, as many as libvirt takes', () => {
  const chain = `${Array.from({ length: 200 }, (_, n) => `<backingStore type='block'><format type='qcow2'/><source dev='/dev/v/image${n}'/>`).join('')}${'</backingStore>'.repeat(200)}`
  const { disks } = parseDomain(
    domainXml({
      inside: `<devices><disk type='block'><source dev='/dev/v/top'/><target dev='vda'/>${chain}</disk></devices>`,
    }),
  )
  expect([disks.length, disks.at(-1)?.path]).toEqual([201, '/dev/v/image199'])
})

test('a disk without a type is of type file, as libvirt reads it', () => {
  const { disks } = parseDomain(
    domainXml({ inside: "<devices><disk><source file='/dev/v/l'/><target dev='vda'/></disk></devices>" }),
  )
  expect(disks).toMatchObject([{ target: 'vda', path: '/dev/v/l' }])
})

describe('arguments for QEMU', () => {
  const pathsIn = (
    xml: string,
    root = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'",
  ): (string | undefined)[] =>
    parseDomain(domainXml({ inside: xml }).replace("<domain type='kvm'", `<domain type='kvm' ${root}`)).disks.map(
      ({ target, path, unknown }) => (target === 'qemu:commandline' && unknown === true ? path : 'wrong'),
    )
  test.each<[string, string, string[], string?]>([
    [
      'an option of -drive',
      "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/dev/virtVG/x,if=none,format=raw'/></qemu:commandline>",
      ['/dev/virtVG/x'],
    ],
    [
      'JSON',
      `<qemu:commandline><qemu:arg value='{"driver":"host_device","filename":"/dev/virtVG/x"}'/></qemu:commandline>`,
      ['/dev/virtVG/x'],
    ],
    [
      'a lone path, and a link',
      "<qemu:commandline><qemu:arg value='/dev/mapper/virtVG-x'/><qemu:arg value='-hdb'/><qemu:arg value='/srv/link'/></qemu:commandline>",
      ['/dev/mapper/virtVG-x', '/srv/link'],
    ],
    [
      'a variable',
      "<qemu:commandline><qemu:env name='DISK' value='/dev/virtVG/x'/></qemu:commandline>",
      ['/dev/virtVG/x'],
    ],
    [
      'another prefix',
      "<q:commandline><q:arg value='host_device:/dev/virtVG/x'/></q:commandline>",
      ['/dev/virtVG/x'],
      "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'",
    ],
    [
      'the namespace on the element itself',
      "<a:commandline xmlns:a='http://libvirt.org/schemas/domain/qemu/1.0'><a:arg value='/dev/virtVG/x'/></a:commandline>",
      ['/dev/virtVG/x'],
      '',
    ],
    [
      'a path that the XML only reads',
      "<qemu:commandline><qemu:arg value='file=/dev/v/golden'/></qemu:commandline><devices><disk type='block'><source dev='/dev/v/golden'/><readonly/></disk></devices>",
      ['wrong', '/dev/v/golden'],
    ],
    [
      'one that it writes',
      "<qemu:commandline><qemu:arg value='file=/dev/v/root'/></qemu:commandline><devices><disk type='block'><source dev='/dev/v/root'/></disk></devices>",
      ['wrong'],
    ],
    [
      'no path at all',
      "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='virtio-rng-pci,max-bytes=1/2'/></qemu:commandline>",
      [],
    ],
  ])('%s', (_, xml, expected, root) => expect(pathsIn(xml, root)).toEqual(expected))
})
