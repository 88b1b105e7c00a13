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
import { qcow2 } from '../../support/qcow2.ts'
import { deviceOf, logicalVolume, recorded, uuidOf, volumeTable } from '../support/lvm.ts'
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
vi.mock('../../../src/check/findings.ts', () => ({ mayLook: () => true, findingsOn: () => Promise.resolve([]) }))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { migrate } = await import('../../../src/acts/migrate.ts')
const { release } = await import('../../../src/acts/release.ts')
const { act } = await import('../../../src/acts/drive.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { Aftermath } = await import('../../../src/agent/aftermath.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
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
const READS_SNAP = READS_ROOT.replace('virtVG/root', 'virtVG/snap')
const withSnap = () => {
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
}
const ofSnap = (changed = {}) => recorded(snap, { ids: identityOf(snap).ids, ...changed })
const milou = recordsFor('milou', other)
const runs = runsBelow(root)

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const OUT = "type='none' async='migration out' phase='begin3' flags='0x109'"
/** What the journal gets of the results of an act. */
const saidOf = (agentHost: InstanceType<typeof AgentHost>, results: Awaited<ReturnType<typeof act>>): string[] => {
  const said: string[] = []
  const aftermath = new Aftermath(agentHost, { say: ({ text }: { text: string }) => void said.push(text) } as never)
  for (const result of results) aftermath.follow(result)
  return said
}

const thin = logicalVolume({ vg: 'virtVG', lv: 'thin' }, { lockUuid: HOME_VOLUME.uuid, shareable: false, pool: 'home' })
const person = (name = ROOT_VOLUME) => void host.locks.set(name.lockUuid, 'exclusive')

describe('R3: while lvs was asked, a person has made it exclusive here', () => {
  test('agent: plain volume', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.active.set('virtVG/root', ROOT_VOLUME)
    put(own('running', [ofHome()]))
    runs('tintin', UUID, READS_ROOT)
    const { volumeTable: table } = host
    host.volumeTable = (names) => {
      person()
      return table(names)
    }
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
  })
  test('agent: the device has gone meanwhile, it is not brought up', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.active.set('virtVG/root', ROOT_VOLUME)
    put(own('running', [ofHome()]))
    runs('tintin', UUID, READS_ROOT)
    const { volumeTable: table } = host
    host.volumeTable = (names) => {
      host.active.delete('virtVG/root')
      return table(names)
    }
    host.commands.length = 0
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, [...host.active.keys()]]).toEqual([[], ['virtVG/home']])
  })
  test.each(['start', 'backing file'])('prepare: snapshot, %s', async (how) => {
    withSnap()
    host.active.set('virtVG/root', ROOT_VOLUME)
    host.active.set('virtVG/snap', snap)
    const { volumeTable: table } = host
    let isDone = false
    host.volumeTable = (names) => {
      if (!isDone && names.some(({ lv }) => lv === 'snap')) {
        isDone = true
        person()
      }
      return table(names)
    }
    root.write(`dev/${deviceOf(HOME_VOLUME).node}`, qcow2({ backing: '/dev/virtVG/snap', format: 'raw' }))
    const overlay = xmlOf([HOME_VOLUME]).replace('<source', "<driver name='qemu' type='qcow2'/><source")
    await prepare(await subjectOf(parseDomain(how === 'start' ? READS_SNAP : overlay), CONFIGURATION))
    expect([isDone, host.commands, lockOfRoot()]).toEqual([true, expect.anything(), 'exclusive'])
  })
})

describe('R3: exclusive and shared again in one act, and what is to be exclusive is on record without its UUIDs', () => {
  test('record of 0.1.0 of the origin', async () => {
    withSnap()
    host.active.set('virtVG/root', ROOT_VOLUME)
    host.active.set('virtVG/snap', snap)
    put(milou('running', [recorded(ROOT_VOLUME)]))
    put(own('running', [ofSnap({ role: 'shared', mode: 'shared' })]))
    runs('milou', other, xmlOf([ROOT_VOLUME]))
    runs('tintin', UUID, READS_SNAP)
    await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
  })
  test('another snapshot, hot-plugged for writing', async () => {
    const snap2 = logicalVolume({ vg: 'virtVG', lv: 'snap2' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
    host.volumeTable = (names) =>
      Promise.resolve(
        volumeTable(
          names.map((name) => (name.lv === 'snap' ? snap : name.lv === 'snap2' ? snap2 : logicalVolume(name))),
        ),
      )
    for (const each of [ROOT_VOLUME, snap, snap2]) host.active.set(`virtVG/${each.lv}`, each)
    put(own('running', [ofSnap({ role: 'shared', mode: 'shared' })]))
    runs('milou', other, xmlOf([snap2]))
    runs('tintin', UUID, READS_SNAP)
    await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
  })
})

test('R3: an origin on record without its UUIDs that migrates out does not lower a snapshot that another VM writes', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('running', [ofSnap()]))
  put(own('running', [recorded(ROOT_VOLUME)]))
  runs('milou', other, xmlOf([snap]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
  host.commands.length = 0
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
})

test('R3: the same of a VM without a record, in its first act, and lvs is silent', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('running', [ofSnap()]))
  runs('milou', other, xmlOf([snap]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
  host.volumeTable = () => Promise.resolve(undefined)
  host.commands.length = 0
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
})

test('how often an act of ten VMs, all as they should be, reads the devices of the host', async () => {
  const uuids: string[] = []
  for (let n = 10; n < 20; n++) {
    const volumes = [0, 1, 2].map((m) => logicalVolume({ vg: 'virtVG', lv: `v${n}_${m}` }))
    await host.bringTo('exclusive', volumes)
    uuids.push(uuidOf(n))
    put({
      format: 1,
      domain: { name: `vm${n}`, uuid: uuidOf(n) },
      state: 'prepared',
      volumes: volumes.map((each) => recorded(each, { ids: identityOf(each).ids })),
    })
    root.write(`proc/${n}/stat`, '')
    root.write(
      `run/libvirt/qemu/vm${n}.xml`,
      `<domstatus state='running' reason='booted' pid='${n}'>\n<job type='none' async='none'/>\n${xmlOf(volumes)
        .replace('tintin', `vm${n}`)
        .replace(UUID, uuidOf(n))}</domstatus>\n`,
    )
  }
  let looks = 0
  const { activeVolumes } = host
  host.activeVolumes = () => {
    looks++
    return activeVolumes()
  }
  await act(uuids, ['virtVG'], new AgentHost(CONFIGURATION))
  expect(onRecord(uuidOf(10))?.state).toBe('running')
  expect(looks).toBeLessThan(5)
})

test('a record that cannot be read, and a volume without a lock that is on no record', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(own('running', [ofHome()]))
  root.write(`run/lvguard/${uuidOf(5)}.json`, '{"format":99}')
  runs('tintin', UUID, xmlOf([ROOT_VOLUME, HOME_VOLUME]))
  const result = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)).catch(String)
  expect(result).toEqual([expect.anything()])
})

test('a thin volume that is plugged in for writing: nothing is wrong, and nothing is said', async () => {
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'thin' ? thin : logicalVolume(name)))))
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/thin', thin)
  host.locks.set(HOME_VOLUME.uuid, 'exclusive')
  put(own('running', [ofRoot()]))
  runs('tintin', UUID, xmlOf([ROOT_VOLUME, thin]))
  const agentHost = new AgentHost(CONFIGURATION)
  const said = saidOf(agentHost, await act([UUID], ['virtVG'], agentHost))
  expect(said.filter((text) => text.includes('cannot'))).toEqual([])
})

test('plugged-in snapshot of a VM that is taken over and writes its origin, in its first act: both without UUIDs', async () => {
  withSnap()
  host.active.set('virtVG/root', ROOT_VOLUME)
  host.active.set('virtVG/snap', snap)
  runs('milou', other, xmlOf([ROOT_VOLUME]))
  runs('tintin', UUID, READS_SNAP)
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
})

test('DRBD lets all I/O wait: a start is refused at once, and lvs, which would wait with it, is not asked', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  drbd = {
    troubles: new Map([['virtVG', { kind: 'suspended', resource: 'r0', why: 'fencing' }]]),
    confirmed: new Map(),
    over: [],
  }
  host.lvsHangs = true
  const outcome = await Promise.race([prepare(await subjectOf(parseDomain(READS_SNAP), CONFIGURATION)), sleep(3000)])
  expect(outcome).toMatchObject({ kind: 'refused' })
})

test('a VM that migrates out with a shared disk plugged in a moment ago: root is shared, nothing else', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  await host.bringTo('shared', [HOME_VOLUME])
  put(own('running', [ofRoot()]))
  runs(
    'tintin',
    UUID,
    xmlOf([ROOT_VOLUME, HOME_VOLUME]).replace(/(virtVG\/home.*\n.*)/, '$1<shareable/>'),
    "state='running' reason='booted'",
    OUT,
  )
  host.commands.length = 0
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, result?.reports]).toEqual([['shared virtVG/root'], []])
})

test('a snapshot reader starts while its origin does not run here, then the origin; both end in either order', async () => {
  for (const first of ['milou', 'tintin']) {
    host = new HostDouble()
    root.clear()
    withSnap()
    const { bringTo } = host
    // Origin and snapshot come and go together (FACTS 26).
    host.bringTo = async (target, names) => {
      const answer = await bringTo(target, names)
      const is = names.some(({ lv }) => lv === 'snap' || lv === 'root')
      if (is && target === 'inactive') {
        host.active.delete('virtVG/snap')
        host.active.delete('virtVG/root')
        host.locks.delete(ROOT_VOLUME.uuid)
      } else if (is) {
        host.active.set('virtVG/snap', snap)
        host.active.set('virtVG/root', ROOT_VOLUME)
        host.locks.delete(logicalVolume({ vg: 'virtVG', lv: 'snap' }).uuid)
        host.locks.set(ROOT_VOLUME.uuid, target as 'shared')
      }
      return answer
    }
    const m = (started = false) =>
      parseDomain(xmlOf([ROOT_VOLUME], started).replace('tintin', 'milou').replace(UUID, other))
    const readsOnly = xmlOf([snap]).replace(/(virtVG\/snap.*\n.*)/, '$1<readonly/>')
    const t = () => parseDomain(readsOnly)
    expect((await prepare(await subjectOf(t(), CONFIGURATION))).kind).toBe('done')
    expect(lockOfRoot()).toBe('shared')
    expect((await prepare(await subjectOf(m(), CONFIGURATION))).kind).toBe('done')
    expect(lockOfRoot()).toBe('exclusive')
    const ends = { milou: () => release(m(true), CONFIGURATION), tintin: () => release(t(), CONFIGURATION) }
    await (first === 'milou' ? ends.milou() : ends.tintin())
    expect([first, lockOfRoot()]).toEqual([first, 'exclusive'])
    await (first === 'milou' ? ends.tintin() : ends.milou())
    expect([first, [...host.active.keys()], lockOfRoot(), readRecords().known]).toEqual([first, [], undefined, []])
  }
})

test('R11: what is held back, in a VG whose lock this act has not got: it is overtaken, and does not fail for all', async () => {
  const X = logicalVolume({ vg: 'moreVG', lv: 'x' })
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('moreVG/x', X)
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
  const xml = xmlOf([X, HOME_VOLUME]).replace(/(moreVG\/x.*\n.*)/, '$1<readonly/>')
  runs('tintin', UUID, xml)
  // An act (`lvguard promote`) has put x on record after the agent asked for the locks of this one.
  put(own('running', [ofHome(), recorded(X, { role: 'shared', mode: 'shared' })]))
  const result = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)).catch(String)
  expect(result).toMatchObject([{ isOvertaken: true }])
})

test('R3: a person makes exclusive, while lvs is asked, what the trial of a migration was about to share', async () => {
  const { volumeTable: table } = host
  let questions = 0
  host.volumeTable = async (names) => {
    // The first one comes before the wait for the source, and for the lock of the VG.
    if (++questions === 2) {
      await sleep(1)
      host.active.set('virtVG/root', ROOT_VOLUME)
      person()
    }
    return table(names)
  }
  await migrate(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), xmlOf([ROOT_VOLUME]))
  expect([questions, host.commands, lockOfRoot()]).toEqual([2, [], 'exclusive'])
})

describe('R4: between the `prepare` and the QEMU of an origin, nobody has it open', () => {
  const prepared = async () => {
    withSnap()
    await host.bringTo('exclusive', [ROOT_VOLUME])
    host.active.set('virtVG/snap', snap)
    put(milou('prepared', [ofRoot()]))
  }
  const READS = { role: 'shared', mode: 'shared' } as const
  test('a snapshot whose UUIDs are not on record yet is not given back by its `release`', async () => {
    await prepared()
    put(own('running', [recorded(snap, READS)]))
    host.commands.length = 0
    const outcome = await release(parseDomain(xmlOf([snap], true)), CONFIGURATION)
    expect([outcome.kind, host.commands, onRecord()]).toEqual(['nothing', [], undefined])
  })
  test('nor by the agent, when it is plugged in no more', async () => {
    await prepared()
    await host.bringTo('exclusive', [HOME_VOLUME])
    put(own('running', [ofHome(), recorded(snap, READS)]))
    runs('tintin', UUID, xmlOf([HOME_VOLUME]))
    host.commands.length = 0
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
  })
  test('the same two where nobody has the origin: it goes', async () => {
    for (const how of ['release', 'agent']) {
      host = new HostDouble()
      root.clear()
      await prepared()
      put(milou('releasing', []))
      await host.bringTo('exclusive', [HOME_VOLUME])
      put(own('running', [ofHome(), recorded(snap, READS)]))
      if (how === 'agent') runs('tintin', UUID, xmlOf([HOME_VOLUME]))
      host.commands.length = 0
      if (how === 'agent') await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
      else await release(parseDomain(xmlOf([HOME_VOLUME, snap], true)), CONFIGURATION)
      expect([how, host.commands.join(' ')]).toEqual([how, expect.stringContaining('inactive')])
      expect([how, host.commands.join(' ')]).toEqual([how, expect.stringContaining('virtVG/snap')])
    }
  })
})

test('a thin volume whose UUIDs are not on record is given back, also while another VM uses its pool', async () => {
  const other2 = logicalVolume({ vg: 'virtVG', lv: 'thin2' }, { lockUuid: HOME_VOLUME.uuid, pool: 'home' })
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'thin' ? thin : logicalVolume(name)))))
  for (const each of [thin, other2]) host.active.set(`virtVG/${each.lv}`, each)
  host.locks.set(HOME_VOLUME.uuid, 'exclusive')
  const pool = { lv: 'home', before: 'inactive' } as const
  put(milou('running', [recorded(other2, { ids: identityOf(other2).ids, pool })]))
  put(own('releasing', [recorded(thin)]))
  await release(parseDomain(xmlOf([thin], true)), CONFIGURATION)
  expect(host.commands).toEqual(['inactive virtVG/thin'])
})
