import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { leadsToOthers } = await import('../../../src/lvm/other-hosts.ts')

beforeAll(() => {
  root.write(
    'proc/1/mountinfo',
    [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '30 22 0:25 / /mnt/nfs rw shared:9 - nfs4 filer:/images rw,hard',
      '31 22 0:26 / /mnt/with\\040space rw - cifs //filer/x rw',
      '32 22 8:2 / /srv rw - xfs /dev/sda2 rw',
      '33 30 8:3 / /mnt/nfs/local rw - ext4 /dev/sda3 rw',
      '34 22 0:30 / /home/x/.gvfs rw - fuse.gvfsd-fuse x rw',
      '',
    ].join('\n'),
  )
  for (const folder of ['srv', 'mnt/nfs']) mkdirSync(join(root.path, folder), { recursive: true })
  for (const [path, target] of [
    ['srv/images', '/mnt/nfs/images'],
    ['srv/relative', '../mnt/nfs'],
    ['srv/ring', 'ring'],
    ['srv/vm', '/dev/virtVG/vm'],
  ] as const)
    symlinkSync(target, join(root.path, path))
})
afterAll(() => root.remove())

test.each([
  ['/mnt/nfs', true],
  ['/mnt/nfs/x.qcow2', true],
  ['/mnt/nfsx', false],
  ['/mnt/with space/x', true],
  ['/srv/x', false],
  ['/srv/images/x', true],
  ['/srv/relative', true],
  ['/srv/../mnt/./nfs/x', true],
  ['/home/x/.gvfs/y', true],
  ['/srv/vm', false],
  ['/dev/virtVG/vm', false],
  ['/srv/ring', false],
  ['/', false],
])('%s leads to another host: %s', (path, expected) => expect(leadsToOthers(path)).toBe(expected))
