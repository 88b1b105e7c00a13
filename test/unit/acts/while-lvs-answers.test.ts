import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { identityOf } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import type { DrbdState } from '../../../src/core/drbd.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import {
  CONFIGURATION,
  HOME_VOLUME,
  HostDouble,
  ROOT_VOLUME,
  domainOf,
  recordsFor,
  runsBelow,
  xmlOf,
} from '../support/host-double.ts'
import { logicalVolume, recorded, uuidOf, volumeTable } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
let drbd: DrbdState | undefined
vi.mock('../../../src/lvm/lvm.ts', async () => ({
  ...(await import('../support/host-double.ts')).lvmOf(() => host),
  volumesByUuid: () => Promise.resolve(undefined),
}))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
vi.mock('../../../src/drbd/drbd.ts', async () => ({
  ...(await vi.importActual<object>('../../../src/drbd/drbd.ts')),
  drbdBelow: async () => drbd ?? (await import('../../../src/core/drbd.ts')).NO_DRBD,
}))
let onWitness = (): void => undefined
vi.mock('../../../src/acts/witness.ts', () => ({
  leasesOf: () => Promise.resolve(undefined),
  witnessed: async (memory: unknown) => {
    onWitness()
    return memory
  },
}))
vi.mock('../../../src/check/findings.ts', () => ({ mayLook: () => true, findingsOn: () => Promise.resolve([]) }))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { lineOf } = await import('../../../src/core/agent-words.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { migrate } = await import('../../../src/acts/migrate.ts')
const { release } = await import('../../../src/acts/release.ts')
const { act } = await import('../../../src/acts/drive.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  onWitness = () => undefined
  host = new HostDouble()
  drbd = undefined
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
const READS_ROOT = xmlOf([ROOT_VOLUME, HOME_VOLUME]).replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
const lockOfRoot = () => host.locks.get(ROOT_VOLUME.lockUuid)

const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
const withSnap = () => {
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
}
const milou = recordsFor('milou', other)
const runs = runsBelow(root)

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const OUT = "type='none' async='migration out' phase='begin3' flags='0x109'"

const person = (name = ROOT_VOLUME) => void host.locks.set(name.lockUuid, 'exclusive')

const DISK = logicalVolume({ vg: 'localVG', lv: 'x' }, { lockType: 'none' })
const withLocal = (meanwhile: () => void) => {
  let isDone = false
  host.volumeTable = async (names) => {
    if (!isDone) {
      isDone = true
      await sleep(20)
      meanwhile()
    }
    return volumeTable(names.map((name) => (name.vg === 'localVG' ? DISK : logicalVolume(name))))
  }
}
describe('the first question to lvs: a VM that has a disk in a local VG too', () => {
  test('R3: a person makes exclusive meanwhile what it only reads', async () => {
    withLocal(() => {
      host.active.set('virtVG/root', ROOT_VOLUME)
      person()
    })
    const xml = xmlOf([ROOT_VOLUME, DISK]).replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
    const outcome = await prepare(await subjectOf(parseDomain(xml), CONFIGURATION))
    expect([outcome.kind, host.commands, lockOfRoot()]).toEqual([expect.anything(), expect.anything(), 'exclusive'])
  })
  test('R4: a person mounts meanwhile what it writes', async () => {
    let isMounted = false
    host.openVolumes = () => Promise.resolve(isMounted ? new Map([['virtVG/root', ['mounted on /mnt']]]) : new Map())
    withLocal(() => {
      host.active.set('virtVG/root', ROOT_VOLUME)
      person()
      isMounted = true
    })
    const outcome = await prepare(await subjectOf(domainOf([ROOT_VOLUME, DISK]), CONFIGURATION))
    expect(outcome.kind).toBe('refused')
    await release(domainOf([ROOT_VOLUME, DISK], true), CONFIGURATION)
    expect([...host.active.keys()]).toEqual(['virtVG/root'])
  })
})

test('R3: an origin whose lock is missing migrates out, and a snapshot that another VM writes has no UUIDs yet', async () => {
  withSnap()
  host.active.set('virtVG/root', ROOT_VOLUME)
  host.active.set('virtVG/snap', snap)
  put(milou('running', [recorded(snap)]))
  put(own('running', [ofRoot()]))
  runs('milou', other, xmlOf([snap]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
})

test('an origin alone whose lock is missing migrates out: it is not shared', async () => {
  withSnap()
  host.active.set('virtVG/root', ROOT_VOLUME)
  host.active.set('virtVG/snap', snap)
  put(own('running', [ofRoot()]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
})

test('an origin with a snapshot stays exclusive, and the words are not those of a pool alone', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(own('running', [ofRoot()]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(result?.reports.map((report) => lineOf(report, 'tintin').text).join()).toContain('is a snapshot or has one')
})

describe('R14: on record without UUIDs, renamed on another host', () => {
  test.each(['another has its name', 'nothing has its name', 'lvs tells nothing'])('%s', async (how) => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    put(own('running', [recorded(ROOT_VOLUME)]))
    const new2 = logicalVolume({ vg: 'virtVG', lv: 'root' }, { uuid: HOME_VOLUME.uuid, lockUuid: HOME_VOLUME.uuid })
    const told = volumeTable(how.startsWith('another') ? [new2] : [])
    host.volumeTable = () => Promise.resolve(how === 'lvs tells nothing' ? undefined : told)
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect([[...host.active.keys()].length === 0, onRecord() === undefined]).toEqual([true, true])
  })
})

test('R3: a person makes it exclusive while the leases are asked', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put({
    ...own('running', [ofHome(), ofRoot({ role: 'shared', mode: 'shared' })]),
    migration: { phase: 'perform3_done', lvers: { [HOME_VOLUME.uuid]: 1 } },
  })
  runs('tintin', UUID, READS_ROOT)
  let isAsked = false
  onWitness = () => {
    isAsked = true
    person()
  }
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([isAsked, host.commands, lockOfRoot()]).toEqual([true, expect.anything(), 'exclusive'])
})

test('snapshot and origin end at one moment, both without UUIDs', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('releasing', [recorded(ROOT_VOLUME)]))
  put(own('running', [recorded(snap, { role: 'shared', mode: 'shared' })]))
  await release(parseDomain(xmlOf([snap], true)), CONFIGURATION)
  expect([[...host.active.keys()], readRecords().known]).toEqual([[], []])
})

test('the same, by the agent, one of them with UUIDs and on disk as running', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  root.write('run/libvirt/libvirtd.pid', '1')
  put(milou('releasing', [ofRoot()]))
  put(own('releasing', [recorded(snap, { role: 'shared', mode: 'shared' })]))
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([[...host.active.keys()], readRecords().known]).toEqual([[], []])
})

test('DRBD waits below one VG, a snapshot in the other: refused at once', async () => {
  const X = logicalVolume({ vg: 'moreVG', lv: 'x' })
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  const { lockState } = host
  host.lockState = async () => {
    const state = await lockState()
    return state.kind === 'known'
      ? {
          ...state,
          lockspaces: new Map([
            ['virtVG', 'sanlock'],
            ['moreVG', 'sanlock'],
          ]),
        }
      : state
  }
  drbd = {
    troubles: new Map([['moreVG', { kind: 'suspended', resource: 'r0', why: 'fencing' }]]),
    confirmed: new Map(),
    over: [],
  }
  host.lvsHangs = true
  const xml = xmlOf([snap, X]).replace(/(virtVG\/snap.*\n.*)/, '$1<readonly/>')
  const outcome = await Promise.race([prepare(await subjectOf(parseDomain(xml), CONFIGURATION)), sleep(3000)])
  expect(outcome).toMatchObject({ kind: 'refused' })
})

test('cut off while the trial waited for the locks: lvs is not asked any more', async () => {
  let questions = 0
  const { volumeTable: table, lockVgs } = host
  host.volumeTable = (names) => {
    questions++
    return table(names)
  }
  host.lockVgs = (vgs) => {
    root.write('run/lvguard/virtVG.killed', '')
    return lockVgs(vgs)
  }
  const outcome = await migrate(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), xmlOf([ROOT_VOLUME]))
  expect([outcome.kind, questions]).toEqual(['refused', 1])
})
