// A VM has ended, and what it had may go with what another one has: its UUIDs are not on record (R9).
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { identityOf } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { fullName } from '../../../src/core/volume.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import {
  CONFIGURATION,
  HOME_VOLUME,
  HostDouble,
  ROOT_VOLUME,
  SAVED,
  domainOf,
  recordsFor,
  runsBelow,
  xmlOf,
} from '../support/host-double.ts'
import { qcow2 } from '../../support/qcow2.ts'
import { deviceOf, logicalVolume, recorded, uuidOf, volumeTable } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => ({
  ...(await import('../support/host-double.ts')).lvmOf(() => host),
  ...(await import('../support/host-double.ts')).leasesOf(() => 6),
}))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
vi.mock('../../../src/drbd/drbd.ts', async () => ({
  ...(await vi.importActual<object>('../../../src/drbd/drbd.ts')),
  drbdBelow: async () => (await import('../../../src/core/drbd.ts')).NO_DRBD,
}))
vi.mock('../../../src/check/findings.ts', () => ({ mayLook: () => true, findingsOn: () => Promise.resolve([]) }))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { release } = await import('../../../src/acts/release.ts')
const { act } = await import('../../../src/acts/drive.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { Agent } = await import('../../../src/agent/agent.ts')
const { Retries } = await import('../../../src/agent/retries.ts')
const { Aftermath } = await import('../../../src/agent/aftermath.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  host = new HostDouble()
  root.clear()
  announceAgent()
})
afterAll(() => root.remove())

const other = uuidOf(9)
const onRecord = (uuid = UUID): DomainRecord | undefined => recordOf(uuid, readRecords())
const put = (record: DomainRecord): string => replaceRecord(record.domain.uuid, onRecord(record.domain.uuid), record)
const ofRoot = (changed = {}) => recorded(ROOT_VOLUME, { ids: identityOf(ROOT_VOLUME).ids, ...changed })
const ofHome = (changed = {}) => recorded(HOME_VOLUME, { ids: identityOf(HOME_VOLUME).ids, ...changed })
const own = recordsFor('tintin', UUID)
const lockOfRoot = () => host.locks.get(ROOT_VOLUME.lockUuid)

const { writeSavedImage, readSavedImage } = await import('../../../src/state/saved-images.ts')
const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
const snap2 = logicalVolume({ vg: 'virtVG', lv: 'snap2' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
const reads = { role: 'shared', mode: 'shared' } as const
const silent = () => {
  host.volumeTable = () => Promise.resolve(undefined)
}
const withSnaps = () => {
  host.volumeTable = (names) =>
    Promise.resolve(
      volumeTable(names.map((n) => (n.lv === 'snap' ? snap : n.lv === 'snap2' ? snap2 : logicalVolume(n)))),
    )
}
const milou = recordsFor('milou', other)
const runs = runsBelow(root)
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const agentWith = (schedule?: (work: () => void, ms: number) => () => void) => {
  const said: string[] = []
  const agentHost = new AgentHost(CONFIGURATION)
  const aftermath = new Aftermath(agentHost, { say: ({ text }: { text: string }) => void said.push(text) } as never)
  const retries = new Retries(schedule)
  const agent = new Agent(agentHost, aftermath, retries, schedule)
  return { agent, retries, said }
}
const bound = async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  silent()
  runs('milou', other, xmlOf([snap]).replace(/(virtVG\/snap.*\n.*)/, '$1<readonly/>'))
  put(milou('running', [recorded(snap, reads)]))
}
test('what is kept is not said to be a record that cannot be read', async () => {
  await bound()
  put(own('releasing', [ofRoot()]))
  root.write('run/libvirt/libvirtd.pid', '1')
  const { agent, said } = agentWith(() => () => undefined)
  await agent.pass()
  await sleep(50)
  expect(said.filter((w) => w.includes('cannot be told'))).toEqual([])
})
test('R12: a failed restore is noted, though its origin is kept', async () => {
  await bound()
  writeSavedImage({ ...SAVED, spent: true })
  put({ ...own('prepared', [ofRoot()]), restored: true })
  await release(domainOf([ROOT_VOLUME], true), CONFIGURATION, 'failed')
  expect(readSavedImage(UUID)).toMatchObject({ volumes: [{ lver: 6 }] })
  expect(readSavedImage(UUID)?.spent).toBeUndefined()
})
const stale = async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  runs('tintin', UUID, xmlOf([HOME_VOLUME]))
  put(own('running', [ofHome(), recorded(snap, reads)]))
  host.active.delete('virtVG/snap')
}
test('plugged out, without UUIDs and without a device: it is off the record, and another VM may have it', async () => {
  await stale()
  withSnaps()
  const { agent } = agentWith(() => () => undefined)
  for (let i = 0; i < 6; i++) {
    await agent.pass()
    await sleep(20)
  }
  expect.soft(onRecord()?.volumes.map(fullName)).toEqual(['virtVG/home'])
  const xml = xmlOf([snap]).replace('tintin', 'milou').replace(UUID, other)
  expect(JSON.stringify(await prepare(await subjectOf(parseDomain(xml), CONFIGURATION)))).not.toContain('on-record')
})
test('the same, and it was removed', async () => {
  await stale()
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.filter((n) => n.lv !== 'snap').map((n) => logicalVolume(n))))
  for (let i = 0; i < 3; i++) await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(onRecord()?.volumes.map(fullName)).toEqual(['virtVG/home'])
})
test('the same: a migration with storage of the other volumes is not aborted for it', async () => {
  await stale()
  put(own('running', [ofHome(), recorded(snap)]))
  runs(
    'tintin',
    UUID,
    xmlOf([HOME_VOLUME]),
    "state='running' reason='booted'",
    "type='none' async='migration out' phase='begin3' flags='0x49'",
  )
  silent()
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(result?.view.wanted).toMatchObject({ why: 'storage-copy' })
  expect(result?.abortJob).toBe(false)
})
test('R4: a snapshot, while another VM has another one of its origin, without UUIDs on record', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  host.active.set('virtVG/snap2', snap2)
  silent()
  put(milou('prepared', [recorded(snap2)]))
  put(own('running', [recorded(snap, { ids: identityOf(snap).ids })]))
  await release(domainOf([snap], true), CONFIGURATION)
  expect(lockOfRoot()).toBe('exclusive')
})
test('an origin as a backing file, which came up with a snapshot without UUIDs on record, goes with its VM', async () => {
  withSnaps()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('releasing', [recorded(snap)]))
  root.write(`dev/${deviceOf(HOME_VOLUME).node}`, qcow2({ backing: '/dev/virtVG/root', format: 'raw' }))
  const overlay = xmlOf([HOME_VOLUME]).replace('<source', "<driver name='qemu' type='qcow2'/><source")
  expect((await prepare(await subjectOf(parseDomain(overlay), CONFIGURATION))).kind).toBe('done')
  expect(onRecord()?.volumes.find(({ lv }) => lv === 'root')?.before).toBe('inactive')
})
test('what is kept starts again, and is refused: it stays on record', async () => {
  await bound()
  put(own('releasing', [ofRoot()]))
  withSnaps()
  host.elsewhere.add('virtVG/home')
  const outcome = await prepare(await subjectOf(domainOf([ROOT_VOLUME, HOME_VOLUME]), CONFIGURATION))
  expect([outcome.kind, onRecord()?.state, onRecord()?.volumes.map(fullName), lockOfRoot()]).toEqual([
    'refused',
    'releasing',
    ['virtVG/root'],
    'exclusive',
  ])
})
test('both end while lvs is silent: neither waits for the other', async () => {
  await bound()
  put(own('running', [ofRoot()]))
  await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
  put(milou('releasing', [recorded(snap, reads)]))
  rmSync(join(root.path, 'run/libvirt/qemu/milou.xml'))
  root.write('run/libvirt/libvirtd.pid', '1')
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect.soft([lockOfRoot(), onRecord()]).toEqual([undefined, undefined])
  host.active.delete('virtVG/snap')
  withSnaps()
  await act([other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([onRecord(), onRecord(other), lockOfRoot()]).toEqual([undefined, undefined, undefined])
})
test('why it is kept is said, also where lvs tells only now which volume it is', async () => {
  withSnaps()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('prepared', [recorded(snap, reads)]))
  put(own('running', [recorded(ROOT_VOLUME)]))
  expect(await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)).toMatchObject({
    kind: 'left',
    why: 'another VM may have its snapshot',
  })
})
test('that one of two volumes is kept is said', async () => {
  await bound()
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('running', [ofRoot(), ofHome()]))
  const outcome = await release(domainOf([ROOT_VOLUME, HOME_VOLUME], true), CONFIGURATION)
  expect([onRecord()?.volumes.map(fullName), outcome]).toMatchObject([['virtVG/root'], { kind: 'left' }])
})
test('the agent tries rarely', async () => {
  await bound()
  put(own('releasing', [ofRoot()]))
  root.write('run/libvirt/libvirtd.pid', '1')
  let n = 0
  const { lockVgs } = host
  host.lockVgs = (vgs) => {
    n++
    return lockVgs(vgs)
  }
  const { agent } = agentWith(() => () => undefined)
  for (let i = 0; i < 8; i++) {
    await agent.pass()
    agent.lookAtRecords(undefined)
    await sleep(20)
  }
  expect(n).toBeLessThan(4)
})
