import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { isValidName } from '../../../src/core/volume.ts'
import { hostilePath } from '../support/arbitraries.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { findPath } = await import('../../../src/lvm/paths.ts')
const { clarityOf } = await import('../../../src/lvm/plain-path.ts')
const { isPoolInUse } = await import('../../../src/lvm/devices.ts')

const VG = 'z1lQbs4rgSgZ6fCh0JnLjppO8SW0AcDc'
const LV = 'QRc8Pr9MNYqat1aHSiYKbAaSSMRKYlzz'
const link = (path: string, target: string): void => {
  mkdirSync(dirname(join(root.path, path)), { recursive: true })
  symlinkSync(target, join(root.path, path))
}
const device = (node: string, name: string, uuid: string): void => {
  root.write(`sys/block/${node}/dm/name`, `${name}\n`)
  root.write(`sys/block/${node}/dm/uuid`, `${uuid}\n`)
  root.write(`dev/${node}`, '')
}

beforeEach(() => {
  for (const folder of ['dev', 'sys', 'srv', 'a', 'b'])
    rmSync(join(root.path, folder), { recursive: true, force: true })
  // virtVG/root is active, with everything that udev makes; virtVG/data is not.
  device('dm-3', 'virtVG-root', `LVM-${VG}${LV}`)
  link('dev/virtVG/root', '../dm-3')
  link('dev/mapper/virtVG-root', '../dm-3')
  link('dev/disk/by-id/dm-uuid-LVM-x', '../../dm-3')
  link('dev/block/253:3', '../dm-3')
  device('dm-4', 'mpatha', 'mpath-36001')
  link('dev/mapper/mpatha', '../dm-4')
  device('dm-5', 'virtVG-root1', `part1-LVM-${VG}${LV}`)
  link('sys/block/dm-5/slaves/dm-3', '../../dm-3')
  device('dm-7', 'root_crypt', 'CRYPT-LUKS2-1')
  link('sys/block/dm-7/slaves/dm-5', '../../dm-5')
  device('dm-8', 'virtVG-data', 'CRYPT-PLAIN-1')
  link('sys/block/dm-8/slaves/sdb1', '../../sdb1')
  root.write('sys/block/loop0/loop/backing_file', '/dev/virtVG/root\n')
  device('dm-9', 'looped', 'linear')
  link('sys/block/dm-9/slaves/loop0', '../../loop0')
  root.write('sys/block/loop1/loop/backing_file', '/dev/dm-7\n')
  device('dm-12', 'looped-crypt', 'linear')
  link('sys/block/dm-12/slaves/loop1', '../../loop1')
  // guestVG is a VG inside a guest: its PV is virtVG/root.
  device('dm-10', 'guestVG-swap', `LVM-${'g'.repeat(32)}${'s'.repeat(32)}`)
  link('dev/guestVG/swap', '../dm-10')
  link('dev/mapper/guestVG-swap', '../dm-10')
  link('sys/block/dm-10/slaves/dm-3', '../../dm-3')
  // virtVG/thin is on its pool, which is on disks.
  device('dm-11', 'virtVG-thin', `LVM-${VG}${'t'.repeat(32)}`)
  link('dev/virtVG/thin', '../dm-11')
  link('sys/block/dm-11/slaves/dm-6', '../../dm-6')
  link('sys/block/dm-6/slaves/sda', '../../sda')
  device('dm-6', 'virtVG-pool-tpool', `LVM-${VG}${LV}-tpool`)
  for (const file of [
    'dev/virtVG/file',
    'dev/mapper/virtVG-file',
    'dev/disk/by-id/dm-name-virtVG-file',
    'dev/virtVG/folder/x',
    'srv/image',
  ])
    root.write(file, '')
  root.write('dev/sda', '')
  root.write('dev/shm/x', '')
  link('dev/disk/by-path/pci-1', '../../sda')
})
afterAll(() => root.remove())

describe('what a path comes to', () => {
  const short = (path: string): string => {
    const found = findPath(path)
    return found.kind === 'volume'
      ? `${found.vg}/${found.lv}`
      : found.kind === 'uuid'
        ? `uuid ${found.lvUuid}`
        : found.kind === 'stand-in'
          ? `${found.is} at ${found.path} for ${found.vg}/${found.lv}`
          : found.kind === 'stack'
            ? (found.itself?.kind === 'volume' ? `${found.itself.vg}/${found.itself.lv}: ` : '') +
              found.below
                .map(
                  ({ meaning, holder, partition }) =>
                    `${holder}${partition === undefined ? '' : ` (${partition})`} on ${meaning.kind === 'volume' ? `${meaning.vg}/${meaning.lv}` : meaning.kind}`,
                )
                .join(', ')
            : found.kind
  }
  const links = (...pairs: (readonly [string, string])[]): void => {
    for (const [path, target] of pairs) link(path, target)
  }
  test.each<[string, string, string, (readonly [string, string])[]?]>([
    ['an active volume', '/dev/virtVG/root', 'virtVG/root'],
    ['one that is not', '/dev/virtVG/data', 'virtVG/data'],
    ['one on layers of its own VG', '/dev/virtVG/thin', 'virtVG/thin'],
    ['one of a VG inside a guest', '/dev/guestVG/swap', 'guestVG/swap: dm-10 on virtVG/root'],
    ['the same by its device-mapper name', '/dev/mapper/guestVG-swap', 'guestVG/swap: dm-10 on virtVG/root'],
    ['the same by its number', '/dev/dm-10', 'guestVG/swap: dm-10 on virtVG/root'],
    ['by its device-mapper name', '/dev/mapper/virtVG-data--1', 'virtVG/data-1'],
    ['by the name under by-id', '/dev/disk/by-id/dm-name-virtVG-data', 'virtVG/data'],
    ['by its UUID', `/dev/disk/by-id/dm-uuid-LVM-${VG}${LV}`, `uuid ${LV}`],
    ['by the UUID of a layer of LVM’s own', `/dev/disk/by-id/dm-uuid-LVM-${VG}${LV}-tpool`, 'other'],
    ['by the UUID of something else', '/dev/disk/by-id/dm-uuid-mpath-36001', 'other'],
    ['by its number', '/dev/dm-3', 'virtVG/root'],
    ['by its major and minor', '/dev/block/253:3', 'virtVG/root'],
    ['multipath by number', '/dev/dm-4', 'other'],
    ['multipath by name', '/dev/mapper/mpatha', 'other'],
    ['a partition of a volume', '/dev/dm-5', 'dm-5 (virtVG-root1) on virtVG/root'],
    ['LUKS on that', '/dev/dm-7', 'dm-5 (virtVG-root1) on virtVG/root'],
    [
      'by its name',
      '/dev/mapper/root_crypt',
      'dm-5 (virtVG-root1) on virtVG/root',
      [['dev/mapper/root_crypt', '../dm-7']],
    ],
    [
      'a device called like a volume, on something else',
      '/dev/mapper/virtVG-data',
      'other',
      [['dev/mapper/virtVG-data', '../dm-8']],
    ],
    ['a device on a loop device on a volume', '/dev/dm-9', 'loop0 on virtVG/root'],
    ['a device on a loop device on LUKS on a volume', '/dev/dm-12', 'dm-5 (virtVG-root1) on virtVG/root'],
    ['a name of device-mapper that is not there', '/dev/mapper/nothing', 'absent'],
    [
      'a regular file at the path of a volume',
      '/dev/virtVG/file',
      'a regular file at /dev/virtVG/file for virtVG/file',
    ],
    ['one under /dev/mapper', '/dev/mapper/virtVG-file', 'a regular file at /dev/mapper/virtVG-file for virtVG/file'],
    [
      'one in udev’s folder',
      '/dev/disk/by-id/dm-name-virtVG-file',
      'a regular file at /dev/disk/by-id/dm-name-virtVG-file for virtVG/file',
    ],
    ['a folder', '/dev/virtVG/folder', 'a folder at /dev/virtVG/folder for virtVG/folder'],
    [
      'a link to a regular file at the path of a volume',
      '/srv/vm',
      'a regular file at /dev/virtVG/file for virtVG/file',
      [['srv/vm', '/dev/virtVG/file']],
    ],
    [
      'a link from the path of a volume to a file',
      '/dev/virtVG/away',
      'a regular file at /dev/virtVG/away for virtVG/away',
      [['dev/virtVG/away', '/srv/image']],
    ],
    [
      'and to nowhere',
      '/dev/virtVG/away',
      'a link that leads nowhere at /dev/virtVG/away for virtVG/away',
      [['dev/virtVG/away', '/nowhere']],
    ],
    ['a layer by number', '/dev/dm-6', 'impossible'],
    ['a number that is not there', '/dev/dm-99', 'absent'],
    ['slashes and dots', '//dev///virtVG/./../virtVG/root', 'virtVG/root'],
    ['dots above the root', '/../../dev/virtVG/root', 'virtVG/root'],
    ['a disk', '/dev/sda', 'other'],
    ['a disk by its path', '/dev/disk/by-path/pci-1', 'other'],
    ['an iSCSI disk that is not there', '/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-x-lun-1', 'other'],
    ['a file in a folder of /dev', '/dev/shm/x', 'other'],
    ['a file that could be there', '/dev/shm/y', 'shm/y'],
    ['a link to a volume', '/srv/vm', 'virtVG/root', [['srv/vm', '/dev/virtVG/root']]],
    ['a link to one that is not active', '/srv/vm', 'virtVG/data', [['srv/vm', '/dev/virtVG/data']]],
    [
      'a link to a link to a link',
      '/srv/vm',
      'virtVG/data',
      [
        ['srv/vm', '../a/x'],
        ['a/x', '/b/y'],
        ['b/y', '../dev/mapper/virtVG-data'],
      ],
    ],
    ['a link in /dev that is not LVM’s', '/dev/virtVG/odd', 'virtVG/root', [['dev/virtVG/odd', 'root']]],
    ['a name that udev was told to give a volume', '/dev/vms/tintin', 'virtVG/root', [['dev/vms/tintin', '../dm-3']]],
    ['what stands on one', '/dev/vms/tintin', 'dm-5 (virtVG-root1) on virtVG/root', [['dev/vms/tintin', '../dm-7']]],
    ['a device of another kind', '/dev/vms/tintin', 'vms/tintin', [['dev/vms/tintin', '../dm-4']]],
    ['LVM’s own link, left over', '/dev/virtVG/data', 'virtVG/data', [['dev/virtVG/data', '../dm-99']]],
    ['a link to a folder on the way', '/srv/disks/data', 'virtVG/data', [['srv/disks', '/dev/virtVG']]],
    ['.. behind a link to a folder', '/srv/disks/../otherVG/data', 'otherVG/data', [['srv/disks', '/dev/virtVG']]],
    ['a link to a number', '/srv/vm', 'virtVG/root', [['srv/vm', '/dev/dm-3']]],
    ['a link to itself', '/srv/vm', 'other', [['srv/vm', 'vm']]],
    [
      'two links in a ring',
      '/srv/vm',
      'other',
      [
        ['srv/vm', '/a/x'],
        ['a/x', '/srv/vm'],
      ],
    ],
    ['a link that leads nowhere', '/srv/vm', 'other', [['srv/vm', '/nowhere']]],
    ['a name that no LV can have', '/dev/virtVG/-f', 'impossible'],
    ['the root', '/', 'other'],
    ['nothing', '', 'other'],
  ])('%s', (_, path, expected, made = []) => {
    links(...made)
    expect(short(path)).toBe(expected)
  })

  // Only root makes nodes.
  test.runIf(process.getuid?.() === 0).each([
    ['where LVM makes the nodes itself', '/dev/virtVG/old'],
    ['under /dev/mapper', '/dev/mapper/virtVG-root--1'],
    ['of mknod', '/srv/node'],
    ['in a folder of /dev', '/dev/vms/node'],
  ])('a node that is no /dev/dm-N: %s', (_, path) => {
    const nodes = ['dev/mapper/virtVG-root--1', 'srv/node', 'dev/vms/node']
    for (const node of nodes) {
      mkdirSync(dirname(join(root.path, node)), { recursive: true })
      execFileSync('mknod', [join(root.path, node), 'b', '253', '3'])
    }
    link('sys/dev/block/253:3', '../../block/dm-3')
    link('dev/virtVG/old', '/dev/mapper/virtVG-root--1')
    expect([clarityOf(path), short(path)]).toEqual(['unclear', 'virtVG/root'])
  })

  test('hostile paths: no name that LVM does not take', () => {
    fc.assert(
      fc.property(hostilePath, (path) => {
        const found = findPath(path)
        if (found.kind === 'volume') expect([found.vg, found.lv].every(isValidName)).toBe(true)
        if (found.kind === 'uuid') expect(found.lvUuid).toMatch(/^[A-Za-z0-9]{32}$/)
      }),
      { numRuns: 500 },
    )
  })
})

test.each([
  ['/dev/virtVG/root', 'plain'],
  ['/dev/virtVG/data', 'plain'],
  ['/dev/mapper/virtVG-root', 'plain'],
  ['/dev/mapper/virtVG-data', 'plain'],
  ['relative', 'plain'],
  ['/srv/nothing', 'plain'],
  ['/dev/virtVG/../virtVG/root', 'unclear'],
  ['/dev/disk/by-id/dm-name-virtVG-data', 'unclear'],
  ['/dev/dm-3', 'unclear'],
  ['/dev/dm-99', 'unclear'],
  ['/dev/shm/x', 'unclear'],
  ['/dev/sda', 'unclear'],
  ['/srv/link', 'unclear'],
  ['/srv/image', 'file'],
  ['/srv', 'unclear'],
  ['/srv/dev/image', 'file'],
  ['/dev/virtVG/file', 'unclear'],
  ['/dev/mapper/virtVG-other', 'unclear'],
  ['/srv/disks/data', 'unclear'],
  ['/srv/disks/file', 'unclear'],
  ['/srv/to-file', 'unclear'],
  ['/srv/folder/data', 'plain'],
  ['/dev/vms/tintin', 'unclear'],
  ['/dev/vms/crypt', 'unclear'],
  ['/dev/virtVG/left', 'plain'],
])('%s is %s', (path, clarity) => {
  link('dev/mapper/virtVG-other', '../dm-8')
  link('dev/vms/tintin', '../dm-3')
  link('dev/vms/crypt', '../dm-7')
  link('dev/virtVG/left', '../dm-99')
  link('srv/disks', '../dev/virtVG')
  link('srv/to-file', '../dev/virtVG/file')
  link('srv/folder', 'dev')
  root.write('srv/dev/image', '')
  link('srv/link', '/dev/virtVG/data')
  root.write('srv/image', '')
  expect(clarityOf(path)).toBe(clarity)
})

test('a pool is in use while anything stands on its layer', () => {
  mkdirSync(join(root.path, 'sys/block/dm-6/holders/dm-7'), { recursive: true })
  expect([
    isPoolInUse({ vg: 'virtVG', lv: 'pool', dmUuid: 'LVM-x' }),
    isPoolInUse({ vg: 'virtVG', lv: 'other', dmUuid: 'LVM-y' }),
  ]).toEqual([true, false])
  rmSync(join(root.path, 'sys/block/dm-6/holders/dm-7'), { recursive: true })
  expect(isPoolInUse({ vg: 'virtVG', lv: 'pool', dmUuid: 'LVM-x' })).toBe(false)
})
