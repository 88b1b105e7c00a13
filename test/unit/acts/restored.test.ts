import { rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { INCOMING_NAMESPACE } from '../../../src/libvirt/domain-xml.ts'
import { HostDouble, ROOT_VOLUME, SAVED, xmlOf } from '../support/host-double.ts'
import { recordOf, recorded } from '../support/lvm.ts'
import { UUID, domainXml } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => ({
  ...(await import('../support/host-double.ts')).lvmOf(() => host),
  ...(await import('../support/host-double.ts')).leasesOf(() => 9, 'node2'),
}))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { handle } = await import('../../../src/acts/events.ts')
const { replaceRecord } = await import('../../../src/state/record-store.ts')
const { writeSavedImage } = await import('../../../src/state/saved-images.ts')
const { REAL_SELF, useSelf } = await import('../../../src/system/self.ts')
const { REAL_TIME, useTime } = await import('../../../src/system/clock.ts')

const SAVE = 'var/lib/libvirt/qemu/save/tintin.save'
const CONFIGURATION = 'etc/libvirt/lvguard.conf'
const XML = xmlOf([ROOT_VOLUME])

// A managed save that is older than its disk, of which `restore` says so, and which `prepare` refuses.
beforeEach(() => {
  host = new HostDouble()
  root.clear()
  root.write(CONFIGURATION, 'log_file = ""\n')
  root.write(SAVE, '')
  writeSavedImage(SAVED)
})
afterEach(() => {
  useSelf(REAL_SELF)
  useTime(REAL_TIME)
})
afterAll(() => root.remove())

const call = async (operation: string, extra = '-', xml = XML): Promise<string> => {
  const event = { name: 'tintin', operation, subOperation: operation === 'release' ? 'end' : 'begin', extra }
  return (await handle(event, () => xml)).outcome.kind
}
/** What a start from the saved memory comes to. */
const start = async (xml = XML): Promise<string[]> => [await call('restore', '-', xml), await call('prepare', '-', xml)]
const REFUSED = ['nothing', 'refused']

test.each(['failed', '-'])(
  'it is refused as often as it is tried, whatever the release after it says: %s',
  async (reason) => {
    for (let times = 0; times < 3; times++) {
      expect(await start()).toEqual(REFUSED)
      await call('release', reason)
    }
  },
)

// libvirt before 10.5, after `virsh managedsave-edit`, or where the folder's clock is ahead.
test.each([
  ['nothing is on record', () => undefined],
  [
    'an earlier life has left something',
    () =>
      replaceRecord(UUID, undefined, {
        ...recordOf(1, 'releasing', [recorded(ROOT_VOLUME)]),
        domain: { name: 'tintin', uuid: UUID },
      }),
  ],
])('a file that looks new is not taken for a save that has just been made: %s', async (_, before) => {
  before()
  const soon = new Date(Date.now() + 2000)
  utimesSync(join(root.path, SAVE), soon, soon)
  expect(await start()).toEqual(REFUSED)
  await call('release', '-')
  expect(await start()).toEqual(REFUSED)
})

test.each([
  ['its VG is left out of volume_groups now', 'volume_groups = ["otherVG"]\n', XML],
  ['its disk is another one now', '', domainXml({ disks: [{ type: 'file', target: 'vda', path: '/var/lib/x.img' }] })],
])('also where %s', async (_, configuration, xml) => {
  root.write(CONFIGURATION, `log_file = ""\n${configuration}`)
  expect(await start(xml)).toEqual(REFUSED)
})

test('also where a script calls lvguard, with a number of its own each time', async () => {
  useSelf({ ...REAL_SELF, ppid: process.pid })
  expect(await call('restore')).toBe('nothing')
  useSelf(REAL_SELF)
  expect(await call('prepare')).toBe('refused')
})

test('also where what restore has found cannot be read', async () => {
  expect(await call('restore')).toBe('nothing')
  root.write(`run/lvguard/${UUID}.restore`, '{"pid":')
  expect(await call('prepare')).toBe('refused')
})

test('what it has found is used up by a prepare that is refused for another reason', async () => {
  root.write('run/lvguard/virtVG.killed', '')
  expect(await start()).toEqual(REFUSED)
  rmSync(join(root.path, 'run/lvguard/virtVG.killed'))
  // `virsh create` starts the domain without its saved memory, and calls no restore.
  useTime({ ...REAL_TIME, uptime: () => REAL_TIME.uptime() + 86_400 })
  expect(await call('prepare')).toBe('done')
})

test('a migration of a domain that lvguard has nothing to do with here is not refused for it', async () => {
  expect(await call('restore')).toBe('nothing')
  const xml = domainXml({ disks: [{ type: 'file', target: 'vda', path: '/var/lib/x.img' }] }).replace(
    '<devices>',
    `<metadata><l:incoming xmlns:l='${INCOMING_NAMESPACE}' id='x'/></metadata><devices>`,
  )
  expect(await call('prepare', '-', xml)).toBe('nothing')
})
