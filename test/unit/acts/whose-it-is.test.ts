import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { identityOf } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import type { DrbdState } from '../../../src/core/drbd.ts'
import { fullName } from '../../../src/core/volume.ts'
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
let printed = ''
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
vi.mock('../../../src/system/output.ts', async () => ({
  ...(await vi.importActual<object>('../../../src/system/output.ts')),
  write: (_: number, text: string) => {
    printed += text
  },
}))
vi.mock('../../../src/check/findings.ts', () => ({ mayLook: () => true, findingsOn: () => Promise.resolve([]) }))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { migrate } = await import('../../../src/acts/migrate.ts')
const { release } = await import('../../../src/acts/release.ts')
const { releaseAllUnderLock } = await import('../../../src/acts/give-back.ts')
const { act } = await import('../../../src/acts/drive.ts')
const { runStep } = await import('../../../src/cli/step.ts')
const { dryRun } = await import('../../../src/cli/dry-run.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { Agent } = await import('../../../src/agent/agent.ts')
const { Retries } = await import('../../../src/agent/retries.ts')
const { Aftermath } = await import('../../../src/agent/aftermath.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { noteGivenBack } = await import('../../../src/state/late-release.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  host = new HostDouble()
  drbd = undefined
  printed = ''
  root.clear()
  announceAgent()
})
afterAll(() => root.remove())

const domain = { name: 'tintin', uuid: UUID }
const other = uuidOf(9)
const onRecord = (uuid = UUID): DomainRecord | undefined => recordOf(uuid, readRecords())
const put = (record: DomainRecord): string => replaceRecord(record.domain.uuid, onRecord(record.domain.uuid), record)
const ofRoot = (changed = {}) => recorded(ROOT_VOLUME, { ids: identityOf(ROOT_VOLUME).ids, ...changed })
const ofHome = (changed = {}) => recorded(HOME_VOLUME, { ids: identityOf(HOME_VOLUME).ids, ...changed })
const own = recordsFor('tintin', UUID)
const READS_ROOT = xmlOf([ROOT_VOLUME, HOME_VOLUME]).replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
const lockOfRoot = () => host.locks.get(ROOT_VOLUME.lockUuid)
/** For what comes by itself, however slow the machine. */
const LONG = { timeout: 10_000 }

// The agent was killed between its lvchange and its word on record, and the VM starts anew before any release (or after
// one that had no time).
describe('R4: active before, demoted on record, exclusive here again', () => {
  test.each(['running', 'releasing'] as const)('the next start does not make it its own: record %s', async (state) => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    put(own(state, [ofRoot({ before: 'active', demoted: true, mode: 'shared' })]))
    expect((await prepare(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION))).kind).toBe('done')
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect([...host.active.keys()]).toEqual(['virtVG/root'])
  })

  test('nor is it made shared for a VM that only reads it', async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    put(own('running', [ofRoot({ before: 'active', demoted: true, mode: 'shared' })]))
    await prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))
    expect(lockOfRoot()).toBe('exclusive')
  })

  test('R4, R9: what holds it cannot be read: it stays', async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    put(own('running', [ofRoot({ before: 'active', demoted: true, mode: 'shared' })]))
    host.lockState = () => Promise.resolve({ kind: 'unknown', why: 'failed', detail: '' })
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect([...host.active.keys()]).toEqual(['virtVG/root'])
  })
})

test('the dry run of a migrate says of a left-behind volume what migrate does', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  put(own('releasing', [ofRoot()]))
  writeFileSync(join(root.path, 'vm.xml'), READS_ROOT)
  await dryRun(
    { name: 'tintin', operation: 'migrate', subOperation: 'begin', extra: '-' },
    { json: false, xmlFile: join(root.path, 'vm.xml') },
  )
  const said = printed.split('\n').filter((line) => line.startsWith('lvchange'))
  host.commands.length = 0
  expect((await migrate(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION), READS_ROOT)).kind).toBe('done')
  const isExclusive = (words: string): boolean => /^exclusive|ey /.test(words)
  expect([host.commands, host.commands.some(isExclusive)]).toEqual([expect.anything(), false])
  expect(said.filter(isExclusive)).toEqual([])
})

test('what is held exclusive, and only read now as a backing file, is not shared on one copy of DRBD alone', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
  put(own('releasing', [ofRoot(), ofHome()]))
  root.write(`dev/${deviceOf(HOME_VOLUME).node}`, qcow2({ backing: '/dev/virtVG/root', format: 'raw' }))
  drbd = {
    troubles: new Map([['virtVG', { kind: 'peer-unseen', resource: 'r0', peers: ['0'] }]]),
    confirmed: new Map(),
    over: [],
  }
  const overlay = xmlOf([HOME_VOLUME]).replace('<source', "<driver name='qemu' type='qcow2'/><source")
  expect((await prepare(await subjectOf(parseDomain(overlay), CONFIGURATION))).kind).toBe('done')
  expect(lockOfRoot()).toBe('exclusive')
})

// DESIGN 4: paused with reason migration, no job: unchanged, and reported. R12.
test('a VM that a migration has left is no restored one after a promotion that was refused', async () => {
  root.write('proc/7/stat', '')
  root.write(
    'run/libvirt/qemu/tintin.xml',
    `<domstatus state='paused' reason='migration' pid='7'>\n<job type='none' async='none'/>\n${xmlOf([ROOT_VOLUME])}</domstatus>\n`,
  )
  await host.bringTo('shared', [ROOT_VOLUME])
  host.elsewhere.add('virtVG/root')
  put(own('running', [ofRoot({ mode: 'shared' })]))
  const seen = () => {
    const agentHost = new AgentHost(CONFIGURATION)
    return agentHost.viewOf(UUID, agentHost.look(), readRecords()).wanted
  }
  expect(seen()).toEqual({ mode: 'unchanged', why: 'left-paused' })
  // `lvguard promote tintin`, which may be tried of such a VM; the destination shares it still.
  expect(await runStep({ step: 'promote', domain: 'tintin', force: false })).toBe(1)
  expect([lockOfRoot(), host.commands.at(-1)]).toEqual(['shared', 'exclusive virtVG/root'])
  const isLeft = [{ kind: 'unchanged', why: 'left-paused' }]
  expect.soft((await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)))[0]?.reports).toMatchObject(isLeft)
  // The VM has ended at the destination: its memory here is older than its disk.
  host.elsewhere.clear()
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect.soft(result?.reports).toMatchObject(isLeft)
  expect(lockOfRoot()).toBe('shared')
})

// R4, R14: golden, which milou reads, has another name since; milou is prepared, and QEMU does not run yet.
test.each([false, true])(
  'the trial of a migrate takes nothing from another VM that has it under an older name; open: %s',
  async (isOpen) => {
    const renamed = { ...ROOT_VOLUME, lv: 'renamed' }
    host.active.set('virtVG/renamed', renamed)
    host.locks.set(ROOT_VOLUME.lockUuid, 'shared')
    host.volumeTable = (names) =>
      Promise.resolve(
        volumeTable(names.map((name) => (fullName(name) === 'virtVG/renamed' ? renamed : logicalVolume(name)))),
      )
    put({
      format: 1,
      domain: { name: 'milou', uuid: other },
      state: 'prepared',
      volumes: [ofRoot({ role: 'shared', mode: 'shared' })],
    })
    const xml = READS_ROOT.replace('virtVG/root', 'virtVG/renamed')
    if (isOpen) host.inUse.add('virtVG/renamed')
    expect.soft(await migrate(await subjectOf(parseDomain(xml), CONFIGURATION), xml)).toMatchObject({ kind: 'done' })
    expect(lockOfRoot()).toBe('shared')
  },
)

// R14, R11: what lvs said before migrate waited for the source is not true any more (lvrename, lvcreate).
test('a migrate leaves nothing active and locked that is on no record', async () => {
  let asked = 0
  const old = logicalVolume({ vg: 'virtVG', lv: 'root' }, { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa' })
  host.volumeTable = (names) => {
    asked++
    return Promise.resolve(
      volumeTable(asked === 1 ? [{ ...old, lockUuid: old.uuid }] : names.map((name) => logicalVolume(name))),
    )
  }
  await migrate(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), xmlOf([ROOT_VOLUME]))
  expect([[...host.active.keys()], [...host.locks.values()]]).toEqual([[], []])
})

// It stays exclusive: nothing here would tell that somebody uses what is under its lock.
describe('a left-behind volume that is only read now, with a snapshot of it in use here (FACTS 26)', () => {
  const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
  beforeEach(async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    host.active.set('virtVG/snap', snap)
    host.volumeTable = (names) =>
      Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
    put(own('releasing', [ofRoot()]))
  })
  const reads = async () => prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))

  // openVolumes is asked of the VM's own volumes (host.ts:175), and the origin's own device has no opener.
  test('mounted by a person', async () => {
    await reads()
    expect(lockOfRoot()).toBe('exclusive')
  })

  test('written by a VM whose record had no room for its UUIDs', async () => {
    put({
      format: 1,
      domain: { name: 'milou', uuid: other },
      state: 'prepared',
      volumes: [recorded(snap)],
    })
    await reads()
    expect(lockOfRoot()).toBe('exclusive')
  })
})

// Marked between the decision and the act: what was kept before stays on record.
test('what is left for later in one VG is not forgotten when a second one is cut off', async () => {
  const data = recorded({ vg: 'moreVG', lv: 'data' })
  const demoted = ofRoot({ before: 'active', demoted: true })
  await host.bringTo('shared', [ROOT_VOLUME])
  const record = own('running', [demoted, data])
  put(record)
  root.write('run/lvguard/moreVG.killed', '')
  root.write('run/lvguard/virtVG.killed', '')
  const plan = { kind: 'deactivate' as const, volumes: [demoted], kept: [data] }
  await releaseAllUnderLock([{ domain, record, plan }], await host.lockVgs(['virtVG']), () => 0)
  expect(onRecord()?.volumes.map(fullName).sort()).toEqual(['moreVG/data', 'virtVG/root'])
})

// R14: whether it was active before is asked of a name, and its UUID of another volume.
test('what was not active before a start is given back when its VM ends, whatever had its name', async () => {
  const old = logicalVolume({ vg: 'virtVG', lv: 'root' }, { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa' })
  host.active.set('virtVG/root', old)
  const { bringTo } = host
  host.bringTo = (...words) => {
    host.bringTo = bringTo
    host.active.delete('virtVG/root')
    host.active.set('virtVG/root_old', { ...old, lv: 'root_old' })
    return bringTo(...words)
  }
  expect((await prepare(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION))).kind).toBe('done')
  await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
  expect([...host.active.keys()]).toEqual(['virtVG/root_old'])
})

test('a volume that another VM reads, and that was active before it, may be read by a second one, renamed or not', async () => {
  host.active.set('virtVG/root_old', { ...ROOT_VOLUME, lv: 'root_old' })
  host.locks.set(ROOT_VOLUME.lockUuid, 'shared')
  put({
    format: 1,
    domain: { name: 'milou', uuid: other },
    state: 'running',
    volumes: [ofRoot({ role: 'shared', mode: 'shared', before: 'active' })],
  })
  expect(await prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))).toMatchObject({ kind: 'done' })
})

// R3, FACTS 26 and 37a (lvm2 2.03.16 shares it): a backup VM reads a snapshot of what milou runs on.
test('a VM that reads a snapshot does not make the lock of its origin shared, on which another VM runs', async () => {
  const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
  put({ format: 1, domain: { name: 'milou', uuid: other }, state: 'running', volumes: [ofRoot()] })
  const xml = READS_ROOT.replace('virtVG/root', 'virtVG/snap')
  const outcome = await prepare(await subjectOf(parseDomain(xml), CONFIGURATION))
  expect([outcome.kind, host.commands.filter((words) => words.includes('snap'))]).toEqual([expect.anything(), []])
  expect(lockOfRoot()).toBe('exclusive')
})

// The same of the agent: the snapshot was plugged in, or its VM ran before lvguard was installed.
test.each([['plugged in'], ['of a VM that is taken over']])(
  'nor does the agent, where the snapshot is %s',
  async (how) => {
    const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
    await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
    host.active.set('virtVG/snap', snap)
    host.volumeTable = (names) =>
      Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
    put({ format: 1, domain: { name: 'milou', uuid: other }, state: 'running', volumes: [ofRoot()] })
    if (how === 'plugged in') put(own('running', [ofHome()]))
    root.write('proc/7/stat', '')
    const xml = READS_ROOT.replace('virtVG/root', 'virtVG/snap')
    root.write(
      'run/libvirt/qemu/tintin.xml',
      `<domstatus state='running' reason='booted' pid='7'>\n<job type='none' async='none'/>\n${xml}</domstatus>\n`,
    )
    host.commands.length = 0
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
    expect(onRecord()?.volumes.find(({ lv }) => lv === 'snap')?.ids?.lock).toBe(ROOT_VOLUME.uuid)
    // lvs says nothing: nothing is shared either.
    host.volumeTable = () => Promise.resolve(undefined)
    put(own('running', [ofHome()]))
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
  },
)

const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: ROOT_VOLUME.uuid, shareable: false })
const READS_SNAP = READS_ROOT.replace('virtVG/root', 'virtVG/snap')
const withSnap = () => {
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'snap' ? snap : logicalVolume(name)))))
}
const ofSnap = (changed = {}) => recorded(snap, { ids: identityOf(snap).ids, ...changed })
const milou = recordsFor('milou', other)
const runs = runsBelow(root)

describe('R9, R3: lvs answers, and says nothing of the snapshot', () => {
  const silentOnSnap = () => {
    host.volumeTable = (names) =>
      Promise.resolve(
        volumeTable(
          names.filter(({ lv }) => lv !== 'snap').map((name) => logicalVolume(name)),
          {
            unexplained: new Map([['virtVG/snap', 'lvs says nothing of it']]),
          },
        ),
      )
  }
  test('a start is refused, and the origin, on which milou runs, keeps its lock', async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    host.active.set('virtVG/snap', snap)
    silentOnSnap()
    put(milou('running', [ofRoot()]))
    const outcome = await prepare(await subjectOf(parseDomain(READS_SNAP), CONFIGURATION))
    expect.soft(outcome.kind).toBe('refused')
    expect(lockOfRoot()).toBe('exclusive')
  })
  test('so is one with the snapshot as a backing file', async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    host.active.set('virtVG/snap', snap)
    silentOnSnap()
    put(milou('running', [ofRoot()]))
    root.write(`dev/${deviceOf(HOME_VOLUME).node}`, qcow2({ backing: '/dev/virtVG/snap', format: 'raw' }))
    const overlay = xmlOf([HOME_VOLUME]).replace('<source', "<driver name='qemu' type='qcow2'/><source")
    await prepare(await subjectOf(parseDomain(overlay), CONFIGURATION))
    expect(lockOfRoot()).toBe('exclusive')
  })
})

test('R4: read by a second VM under a new name, active before both: it stays when both have ended', async () => {
  host.active.set('virtVG/root_old', { ...ROOT_VOLUME, lv: 'root_old' })
  host.locks.set(ROOT_VOLUME.lockUuid, 'shared')
  put(milou('running', [ofRoot({ role: 'shared', mode: 'shared', before: 'active' })]))
  const before = (await prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))).kind
  replaceRecord(other, onRecord(other), undefined)
  if (before === 'done')
    await release(parseDomain(READS_ROOT.replace("bus='virtio'/>", "bus='virtio'/><alias name='x'/>")), CONFIGURATION)
  expect(host.commands.filter((words) => /^inactive .*root_old/.test(words))).toEqual([])
})

describe('a running VM without a lock, of which lvs tells nothing', () => {
  test('that is said, and asked rarely', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.active.set('virtVG/root', ROOT_VOLUME)
    put(own('running', [ofHome()]))
    runs('tintin', UUID, READS_ROOT)
    host.volumeTable = () => Promise.resolve(undefined)
    host.commands.length = 0
    const said: string[] = []
    const agentHost = new AgentHost(CONFIGURATION)
    const aftermath = new Aftermath(agentHost, { say: ({ text }: { text: string }) => void said.push(text) } as never)
    const results = await act([UUID], ['virtVG'], agentHost)
    const next = results.map((result) => aftermath.follow(result))
    expect([host.commands, said, next]).toEqual([
      [],
      ["tintin runs here without a lock on virtVG/root: lvs does not tell whose lock that is. See 'lvs virtVG/root'"],
      ['later'],
    ])
  })
})

// It was plugged in, or its start was ended by force, while lvs was silent. By its name alone nobody can tell that a
// snapshot has the lock of its origin, and takes it along (FACTS 26).
describe('R4, R9: a snapshot on record without UUIDs, whose origin milou runs on', () => {
  const reads = { role: 'shared', mode: 'shared' } as const
  beforeEach(async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
    host.active.set('virtVG/snap', snap)
    host.volumeTable = () => Promise.resolve(undefined)
    put(milou('running', [ofRoot()]))
    put(own('running', [ofHome(), recorded(snap, reads)]))
  })
  const state = () => [lockOfRoot(), [...host.active.keys()].sort(), onRecord()?.state, onRecord()?.volumes]
  const left = ['exclusive', ['virtVG/root', 'virtVG/snap'], 'releasing', [recorded(snap, reads)]]
  const ends = async () => await release(parseDomain(READS_SNAP), CONFIGURATION)

  test('lvs tells nothing when tintin ends: it stays, and nothing else of tintin does', async () => {
    await ends()
    expect(state()).toEqual(left)
  })
  test('it is all that is left of tintin', async () => {
    put(own('running', [recorded(snap, reads)]))
    expect(await ends()).toMatchObject({ kind: 'left', why: 'lvs does not tell whose lock it has' })
    host.active.delete('virtVG/home')
    expect(state()).toEqual(left)
  })
  test('the agent gives back what is left of a VM that is gone', async () => {
    const record = own('running', [recorded(snap, reads)])
    put(record)
    host.active.delete('virtVG/home')
    const locks = (await host.lockVgs(['virtVG'])) as Parameters<typeof releaseAllUnderLock>[1]
    const plan = { kind: 'deactivate' as const, volumes: record.volumes }
    await releaseAllUnderLock([{ domain, record, plan }], locks, () => 0)
    expect(state()).toEqual(left)
  })
  test('lvs tells later: it is off the record, and the origin stays', async () => {
    await ends()
    withSnap()
    await ends()
    expect(state()).toEqual(['exclusive', ['virtVG/root', 'virtVG/snap'], undefined, undefined])
  })
  test('it is not plugged in any more', async () => {
    runs('tintin', UUID, xmlOf([HOME_VOLUME]))
    const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([result?.unplugged, lockOfRoot(), host.active.has('virtVG/snap')]).toEqual([[], 'exclusive', true])
  })
  test('nor any more what has its lock: the origin, of the same VM', async () => {
    put(milou('running', [ofHome()]))
    put(own('running', [ofRoot(), recorded(snap, reads)]))
    runs('tintin', UUID, xmlOf([snap]))
    await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([lockOfRoot(), host.active.has('virtVG/root')]).toEqual(['exclusive', true])
  })
  test.each(['prepared', 'running'] as const)('the origin, while another VM (%s) has the snapshot', async (state) => {
    put(milou(state, [recorded(snap, reads)]))
    put(own('running', [ofRoot()]))
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect([lockOfRoot(), host.active.has('virtVG/root')]).toEqual(['exclusive', true])
    // Not forgotten: another one may be an origin too, and this one nobody's.
    expect([onRecord()?.state, onRecord()?.volumes]).toEqual(['releasing', [ofRoot()]])
    replaceRecord(other, onRecord(other), undefined)
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect([lockOfRoot(), onRecord()]).toEqual([undefined, undefined])
  })
  test('what was kept of one VM keeps nobody waiting for lvs', async () => {
    await ends()
    host.volumeTable = () => new Promise(() => undefined)
    await host.bringTo('exclusive', [HOME_VOLUME])
    put(milou('running', [ofHome()]))
    const outcome = await release(
      parseDomain(xmlOf([HOME_VOLUME], true).replace('tintin', 'milou').replace(UUID, other)),
      CONFIGURATION,
    )
    expect([outcome.kind, host.locks.has(HOME_VOLUME.lockUuid)]).toEqual(['done', false])
  })
  test('nor another VM, in one act of the agent', async () => {
    await ends()
    host.volumeTable = () => new Promise(() => undefined)
    await host.bringTo('exclusive', [HOME_VOLUME])
    put(milou('releasing', [ofHome()]))
    root.write('run/libvirt/libvirtd.pid', '1')
    void act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
    await vi.waitFor(() => expect(host.locks.has(HOME_VOLUME.lockUuid)).toBe(false), LONG)
  })
  test('a start of tintin that was saved: the agent was quicker, and has kept it', async () => {
    noteGivenBack(UUID)
    await ends()
    noteGivenBack(UUID)
    const outcome = await release(parseDomain(READS_SNAP), CONFIGURATION, 'saved')
    expect(outcome).toMatchObject({ warning: expect.stringContaining('given back before') as string })
  })
  test('R12: the mark of an earlier life, which prepare did not look at, is not about what runs now', async () => {
    noteGivenBack(UUID)
    const outcome = await release(parseDomain(READS_SNAP), CONFIGURATION, 'saved')
    expect(JSON.stringify(outcome)).not.toContain('given back before')
  })
  test('what is kept because its volume group was cut off is not said to be unknown to lvs', async () => {
    put(own('running', [ofHome(), recorded({ vg: 'moreVG', lv: 'data' })]))
    root.write('run/lvguard/moreVG.killed', '')
    expect(await release(domainOf([HOME_VOLUME], true), CONFIGURATION)).not.toMatchObject({
      why: 'lvs does not tell whose lock it has',
    })
  })
  test('no lock of its volume group is held, and it is not active: it is off the record', async () => {
    host.active.delete('virtVG/snap')
    host.locks.clear()
    await ends()
    expect(onRecord()).toBeUndefined()
  })
})

// A start whose lvs was silent, and which could not be undone, or an earlier version, has left the origin so.
test('a snapshot came up with an origin that is on record without UUIDs: it goes with its VM', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('releasing', [recorded(ROOT_VOLUME)]))
  expect((await prepare(await subjectOf(domainOf([snap]), CONFIGURATION))).kind).toBe('done')
  expect(onRecord()?.volumes[0]?.before).toBe('inactive')
})

// The start of the VM that reads the snapshot was killed as soon as it had written its record.
test('an origin came up with a snapshot that is on record without UUIDs: it goes with its VM', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('releasing', [recorded(snap)]))
  expect((await prepare(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION))).kind).toBe('done')
  expect(onRecord()?.volumes[0]?.before).toBe('inactive')
})

describe('the agent, where the UUIDs of what a VM uses are not on record', () => {
  const asks = () => {
    let asked = 0
    const answers: (() => void)[] = []
    host.volumeTable = () => {
      asked++
      return new Promise((resolve) => answers.push(() => resolve(undefined)))
    }
    return { asked: () => asked, answers }
  }
  test('takes them from its device, if it has a lock of its own', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.volumeTable = () => Promise.resolve(undefined)
    put(own('running', [recorded(HOME_VOLUME)]))
    runs('tintin', UUID, xmlOf([HOME_VOLUME]))
    const { agent, retries } = agentWith(() => () => undefined)
    await agent.pass()
    await vi.waitFor(() => expect(onRecord()?.volumes[0]?.ids).toEqual(identityOf(HOME_VOLUME).ids), LONG)
    await sleep(30)
    expect(retries.isPending(UUID)).toBe(false)
  })
  test.each(['in use', 'taken out'])('asks lvs rarely, and not twice at once: %s', async (how) => {
    await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
    host.active.set('virtVG/snap', snap)
    const { asked, answers } = asks()
    put(milou('running', [ofRoot()]))
    put(own('running', [ofHome(), recorded(snap, { role: 'shared', mode: 'shared' })]))
    runs('tintin', UUID, how === 'in use' ? READS_SNAP : xmlOf([HOME_VOLUME]))
    const { agent } = agentWith(() => () => undefined)
    for (let pass = 0; pass < 8; pass++) {
      await agent.pass()
      await sleep(10)
      if (pass === 3) answers[0]?.()
      await sleep(10)
    }
    expect(asked()).toBe(1)
  })
})

test('R4: an origin on record without UUIDs, lvs tells nothing, and milou has its snapshot: it stays', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  host.volumeTable = () => Promise.resolve(undefined)
  put(milou('running', [ofSnap()]))
  put(own('running', [recorded(ROOT_VOLUME)]))
  await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
  expect([lockOfRoot(), [...host.active.keys()], onRecord()]).toEqual([
    'exclusive',
    ['virtVG/root', 'virtVG/snap'],
    undefined,
  ])
})

describe('after lvmlockd was restarted, locks are taken again in one act', () => {
  test('origin and snapshot of two VMs: the origin is exclusive afterwards', async () => {
    withSnap()
    host.active.set('virtVG/root', ROOT_VOLUME)
    host.active.set('virtVG/snap', snap)
    put(milou('running', [ofRoot()]))
    put(own('running', [ofSnap({ role: 'shared', mode: 'shared' })]))
    runs('milou', other, xmlOf([ROOT_VOLUME]))
    runs('tintin', UUID, READS_SNAP)
    const results = await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
    expect.soft(results.flatMap(({ done }) => done.map(({ kind }) => kind))).not.toContain('failed')
    expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
  })
  test('two partitions of one volume', async () => {
    host.active.set('virtVG/root', ROOT_VOLUME)
    put(milou('running', [ofRoot({ partition: '1' })]))
    put(own('running', [ofRoot({ role: 'shared', mode: 'shared', partition: '2' })]))
    runs('milou', other, xmlOf([HOME_VOLUME]))
    runs('tintin', UUID, xmlOf([HOME_VOLUME]))
    await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
  })
  test('a VM that was restored paused gets its lock again, though another one reads the origin', async () => {
    withSnap()
    host.active.set('virtVG/root', ROOT_VOLUME)
    host.active.set('virtVG/snap', snap)
    put(milou('running', [ofRoot()]))
    put(own('running', [ofSnap({ role: 'shared', mode: 'shared' })]))
    runs('milou', other, xmlOf([ROOT_VOLUME]), "state='paused' reason='migration'")
    runs('tintin', UUID, READS_SNAP)
    let said: unknown
    for (const _ of [1, 2, 3]) said = (await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION)))[1]?.reports
    expect([host.commands, lockOfRoot(), said]).toEqual([expect.anything(), 'exclusive', []])
  })
})

test('R3: an origin that migrates out does not take the lock of a snapshot that another VM writes', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('running', [ofSnap()]))
  put(own('running', [ofRoot()]))
  runs('milou', other, xmlOf([snap]))
  runs(
    'tintin',
    UUID,
    xmlOf([ROOT_VOLUME]),
    "state='running' reason='booted'",
    "type='none' async='migration out' phase='begin3' flags='0x109'",
  )
  host.commands.length = 0
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([[], 'exclusive'])
})

test('what is on an old record with its UUIDs is not said to be unknown to lvs', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('releasing', [ofRoot({ role: 'shared', mode: 'shared', before: 'active' }), ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([result?.reports, lockOfRoot()]).toEqual([[], 'shared'])
})

test('R1, R14: a start that waits a moment for an open volume leaves nothing locked on no record', async () => {
  const old = logicalVolume({ vg: 'virtVG', lv: 'root' }, { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa' })
  const oldRow = { ...old, lockUuid: old.uuid }
  host.active.set('virtVG/root', oldRow)
  let opened = 0
  host.openVolumes = () => Promise.resolve(++opened === 1 ? new Map([['virtVG/root', ['udev']]]) : new Map())
  host.volumeTable = (names) => {
    const renamed = host.active.has('virtVG/root_old')
    const answer = volumeTable(names.map((name) => (name.lv === 'root' && !renamed ? oldRow : logicalVolume(name))))
    // lvrename root root_old; lvrename new root: in the second that the start waits
    setTimeout(() => {
      host.active.delete('virtVG/root')
      host.active.set('virtVG/root_old', { ...oldRow, lv: 'root_old' })
    }, 20)
    return Promise.resolve(answer)
  }
  const outcome = await prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))
  if (outcome.kind !== 'done') await release(parseDomain(READS_ROOT), CONFIGURATION)
  const record = onRecord()
  const isNobodys = lockOfRoot() !== undefined && record === undefined
  expect({ kind: outcome.kind, isNobodys }).toEqual({ kind: 'done', isNobodys: false })
})

test('R4: a start that fails deactivates nothing under the lock of what another VM has just taken', async () => {
  withSnap()
  await host.bringTo('shared', [ROOT_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('prepared', [ofRoot({ role: 'shared', mode: 'shared' })]))
  put(own('releasing', [ofSnap()]))
  host.elsewhere.add('virtVG/home')
  const outcome = await prepare(await subjectOf(domainOf([snap, HOME_VOLUME]), CONFIGURATION))
  expect([outcome.kind, host.commands, lockOfRoot()]).toEqual(['refused', expect.anything(), 'shared'])
})

test('a demotion does not wait for lvs, which another VM of the act needs', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(own('running', [ofHome()]))
  runs(
    'tintin',
    UUID,
    xmlOf([HOME_VOLUME]),
    "state='running' reason='booted'",
    "type='none' async='migration out' phase='begin3' flags='0x109'",
  )
  runs('milou', other, READS_ROOT.replace('virtVG/home', 'virtVG/third'))
  host.lvsHangs = true
  host.commands.length = 0
  void act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  await vi.waitFor(() => expect(host.commands.join()).toContain('virtVG/home'), LONG)
})

test('where lvs is silent, no pass after the first asks it under the lock of the VG again', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  let asked = 0
  host.volumeTable = () => {
    asked++
    return Promise.resolve(undefined)
  }
  const said: string[] = []
  const agentHost = new AgentHost(CONFIGURATION)
  const aftermath = new Aftermath(agentHost, { say: ({ text }: { text: string }) => void said.push(text) } as never)
  const retries = new Retries()
  const agent = new Agent(agentHost, aftermath, retries)
  const counts: number[] = []
  for (const _ of [1, 2, 3, 4]) {
    await agent.pass()
    await vi.waitFor(() => expect(said).not.toEqual([]), LONG)
    counts.push(asked)
  }
  retries.keepOnly([])
  expect([counts, said]).toEqual([
    [1, 1, 1, 1],
    ["tintin runs here without a lock on virtVG/root: lvs does not tell whose lock that is. See 'lvs virtVG/root'"],
  ])
})

// Thin: FACTS 27
const thin = logicalVolume({ vg: 'virtVG', lv: 'thin' }, { lockUuid: HOME_VOLUME.uuid, shareable: false, pool: 'home' })
test('R14: the same of a thin volume: what was not active before is given back, whatever had its name', async () => {
  const old = logicalVolume(
    { vg: 'virtVG', lv: 'thin' },
    { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa', pool: 'home', lockUuid: HOME_VOLUME.uuid },
  )
  host.volumeTable = (names) =>
    Promise.resolve(volumeTable(names.map((name) => (name.lv === 'thin' ? thin : logicalVolume(name)))))
  host.active.set('virtVG/thin', old)
  const { bringTo } = host
  host.bringTo = (target, names) => {
    host.bringTo = bringTo
    host.active.delete('virtVG/thin')
    host.active.set('virtVG/thin_old', { ...old, lv: 'thin_old' })
    host.active.set('virtVG/thin', thin)
    return bringTo(target, names)
  }
  expect((await prepare(await subjectOf(domainOf([thin]), CONFIGURATION))).kind).toBe('done')
  await release(domainOf([thin], true), CONFIGURATION)
  expect([...host.active.keys()]).toEqual(['virtVG/thin_old'])
})

// The volume is another VM's, by a record without UUIDs (full /run), of an origin; the snapshot is hot-plugged for writing.
test('R3: a plugged-in snapshot of a VM that migrates out does not lower its origin', async () => {
  withSnap()
  await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
  host.active.set('virtVG/snap', snap)
  put(milou('running', [ofRoot()]))
  put(own('running', [ofHome()]))
  runs(
    'tintin',
    UUID,
    xmlOf([HOME_VOLUME, snap]),
    "state='running' reason='booted'",
    "type='none' async='migration out' phase='begin3' flags='0x109'",
  )
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(lockOfRoot()).toBe('exclusive')
})

// One act: milou's lock is missing on the origin; tintin's snapshot is on no record yet.
test('origin and snapshot of two VMs whose locks are missing, and the snapshot was plugged in: the origin is exclusive afterwards', async () => {
  withSnap()
  host.active.set('virtVG/root', ROOT_VOLUME)
  host.active.set('virtVG/snap', snap)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(milou('running', [ofRoot()]))
  put(own('running', [ofHome()]))
  runs('milou', other, xmlOf([ROOT_VOLUME]))
  runs('tintin', UUID, READS_SNAP)
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([host.commands, lockOfRoot()]).toEqual([expect.anything(), 'exclusive'])
})

test('promote says of one volume what is true of all', async () => {
  await host.bringTo('shared', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(own('running', [ofHome({ mode: 'shared' })]))
  runs('tintin', UUID, READS_ROOT)
  host.volumeTable = () => Promise.resolve(undefined)
  await runStep({ step: 'promote', domain: 'tintin', force: false })
  expect([host.locks.get(HOME_VOLUME.lockUuid), printed]).toEqual([
    'exclusive',
    expect.not.stringContaining('nothing is changed'),
  ])
})

test('dry run and migrate say the same of what is active without a lock, and before', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  writeFileSync(join(root.path, 'vm.xml'), xmlOf([ROOT_VOLUME]))
  await dryRun(
    { name: 'tintin', operation: 'migrate', subOperation: 'begin', extra: '-' },
    { json: false, xmlFile: join(root.path, 'vm.xml') },
  )
  const said = printed.split('\n').filter((line) => line.startsWith('lvchange')).length
  await migrate(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), xmlOf([ROOT_VOLUME]))
  expect(host.commands).toHaveLength(said)
})

test('the release keeps what it cannot judge, gives back the rest, and ends when it can judge', async () => {
  await host.bringTo('shared', [ROOT_VOLUME])
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('running', [ofRoot({ before: 'active', demoted: true, mode: 'shared' }), ofHome()]))
  const { lockState } = host
  let asked = 0
  host.lockState = () => (++asked === 1 ? Promise.resolve({ kind: 'unknown', why: 'failed', detail: '' }) : lockState())
  await release(domainOf([ROOT_VOLUME, HOME_VOLUME], true), CONFIGURATION)
  expect([[...host.active.keys()], onRecord()?.state, onRecord()?.volumes.map(fullName)]).toEqual([
    ['virtVG/root'],
    'releasing',
    ['virtVG/root'],
  ])
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([[...host.active.keys()], onRecord()]).toEqual([[], undefined])
})

// Promotion refused: the record says exclusive, the lock is shared. A VM that runs, then paused by its guest or a person.
test('a restored, paused VM is promoted, and a thin one is not taken for one that a migration left', async () => {
  const thinRoot = logicalVolume(
    { vg: 'virtVG', lv: 'thin' },
    { lockUuid: HOME_VOLUME.uuid, shareable: false, pool: 'home' },
  )
  host.active.set('virtVG/thin', thinRoot)
  host.locks.set(HOME_VOLUME.uuid, 'exclusive')
  put(own('prepared', [recorded(thinRoot, { ids: identityOf(thinRoot).ids })]))
  runs('tintin', UUID, xmlOf([thinRoot]), "state='paused' reason='migration'")
  host.commands.length = 0
  const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect([result?.reports, host.commands]).toEqual([[], []])
})

test('restored paused, with another VM on another partition: it gets its lock again', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(milou('running', [ofRoot({ partition: '1' })]))
  put(own('running', [ofRoot({ role: 'shared', mode: 'shared', partition: '2' })]))
  runs('milou', other, xmlOf([HOME_VOLUME]), "state='paused' reason='migration'")
  runs('tintin', UUID, xmlOf([HOME_VOLUME]))
  let said: unknown
  for (const _ of [1, 2, 3]) said = (await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION)))[1]?.reports
  expect([lockOfRoot(), said]).toEqual(['exclusive', []])
})

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const OUT = "type='none' async='migration out' phase='begin3' flags='0x109'"
const agentWith = (schedule?: (work: () => void, ms: number) => () => void) => {
  const said: string[] = []
  const agentHost = new AgentHost(CONFIGURATION)
  const aftermath = new Aftermath(agentHost, { say: ({ text }: { text: string }) => void said.push(text) } as never)
  const retries = schedule === undefined ? new Retries() : new Retries(schedule)
  const agent =
    schedule === undefined
      ? new Agent(agentHost, aftermath, retries)
      : new Agent(agentHost, aftermath, retries, schedule)
  return { agent, aftermath, retries, said, agentHost }
}

test('a record that cannot be read, and an old one with UUIDs: the agent does not act again and again', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('releasing', [ofRoot({ role: 'shared', mode: 'shared', before: 'active' }), ofHome()]))
  root.write(`run/lvguard/${uuidOf(5)}.json`, '{"format":99}')
  runs('tintin', UUID, READS_ROOT)
  let asked = 0
  const { lockVgs } = host
  host.lockVgs = async (vgs) => {
    asked++
    if (asked > 300) throw new Error('stop')
    await sleep(1)
    return lockVgs(vgs)
  }
  const { agent, retries } = agentWith()
  await agent.pass()
  await sleep(300)
  const after = asked
  asked = 1000
  await sleep(50)
  retries.keepOnly([])
  expect(after).toBeLessThan(5)
})

describe('one disk out, its volume deactivated, another one in, before a pass', () => {
  const A = logicalVolume({ vg: 'virtVG', lv: 'a' })
  const B = logicalVolume({ vg: 'virtVG', lv: 'b' })
  const READS_B = xmlOf([HOME_VOLUME, B]).replace(/(virtVG\/b.*\n.*)/, '$1<readonly/>')
  const ofA = (changed = {}) => recorded(A, { ids: identityOf(A).ids, ...changed })
  test('b is only read, and has no lock', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.active.set('virtVG/b', B)
    put(own('running', [ofHome(), ofA({ role: 'shared', mode: 'shared' })]))
    runs('tintin', UUID, READS_B)
    const results = []
    for (const _ of [1, 2, 3]) results.push(await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)).catch(String))
    expect([host.locks.get(B.uuid), onRecord()?.volumes.map(fullName)]).toEqual(['shared', ['virtVG/home', 'virtVG/b']])
  })
  test('b is written, and exclusive by its lvcreate', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME, B])
    put(own('running', [ofHome(), ofA()]))
    runs('tintin', UUID, xmlOf([HOME_VOLUME, B]))
    for (const _ of [1, 2, 3]) await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)).catch(String)
    expect(onRecord()?.volumes.map(fullName)).toEqual(['virtVG/home', 'virtVG/b'])
  })
  test('b is written, and has no lock', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    host.active.set('virtVG/b', B)
    put(own('running', [ofHome(), ofA()]))
    runs('tintin', UUID, xmlOf([HOME_VOLUME, B]))
    const errors: string[] = []
    for (const _ of [1, 2, 3])
      await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)).catch((error) => errors.push(String(error)))
    expect([errors, host.locks.get(B.uuid), onRecord()?.volumes.map(fullName)]).toEqual([
      [],
      'exclusive',
      ['virtVG/home', 'virtVG/b'],
    ])
  })
})

test('one volume that lvs does not tell of does not keep another one of the VM without its lock', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  host.volumeTable = () => Promise.resolve(undefined)
  const { agent } = agentWith(() => () => undefined)
  await agent.pass()
  await sleep(30)
  // lvmlockd was restarted: the lock of home is gone.
  host.locks.clear()
  for (const _ of [1, 2, 3]) {
    await agent.pass()
    await sleep(30)
  }
  await vi.waitFor(() => expect(host.locks.get(HOME_VOLUME.lockUuid)).toBe('exclusive'), LONG)
})

test('R14: the device has its name from before: another host has renamed the volume', async () => {
  const old = logicalVolume(
    { vg: 'virtVG', lv: 'root' },
    { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa', lockUuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa' },
  )
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', old)
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  const { agent, said, retries } = agentWith()
  await agent.pass()
  await vi.waitFor(() => expect(said).not.toEqual([]), LONG)
  retries.keepOnly([])
  const ids = onRecord()?.volumes.find(({ lv }) => lv === 'root')?.ids?.lv
  expect([ids, said]).toEqual([undefined, [expect.stringContaining('lvs does not tell')]])
})

test('an act that a hook has overtaken does not say what lvs was not asked', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  const { aftermath, said, agentHost } = agentWith()
  // The record is changed after the look.
  const { activeVolumes } = host
  let first = true
  host.activeVolumes = () => {
    if (first) put(own('running', [ofHome(), ofRoot({ lv: 'third', role: 'shared' })]))
    first = false
    return activeVolumes()
  }
  const results = await act([UUID], ['virtVG'], agentHost)
  for (const result of results) aftermath.follow(result)
  expect(results[0]?.isOvertaken).toBe(true)
  expect(said).toEqual([])
})

test('promote does what it says: no agent runs', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  const code = await runStep({ step: 'promote', domain: 'tintin', force: false })
  expect({ code, printed, lock: lockOfRoot() }).toEqual({
    code: expect.anything(),
    printed: expect.not.stringContaining('nothing to do'),
    lock: 'shared',
  })
})

test('lvs tells of one volume, and not of the other: one is locked, and it is asked rarely of the other', async () => {
  const B = logicalVolume({ vg: 'virtVG', lv: 'b' })
  host.active.set('virtVG/root', ROOT_VOLUME)
  host.active.set('virtVG/b', B)
  put(own('running', [ofHome()]))
  await host.bringTo('exclusive', [HOME_VOLUME])
  runs(
    'tintin',
    UUID,
    xmlOf([ROOT_VOLUME, HOME_VOLUME, B])
      .replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
      .replace(/(virtVG\/b'.*\n.*)/, '$1<readonly/>'),
  )
  let asked = 0
  host.volumeTable = (names) => {
    asked++
    return Promise.resolve(volumeTable(names.filter(({ lv }) => lv !== 'b').map((name) => logicalVolume(name))))
  }
  const { agent, retries, said } = agentWith()
  for (const _ of [1, 2, 3]) {
    await agent.pass()
    await vi.waitFor(() => expect(said).toHaveLength(2), LONG)
  }
  retries.keepOnly([])
  expect([lockOfRoot(), asked, said]).toEqual(['shared', 1, [expect.any(String), expect.stringContaining('virtVG/b')]])
})

test('a lock is missing; milou cannot have it exclusive, tintin gets its shared one or it is said', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  put(milou('running', [ofRoot({ partition: '1' })]))
  put(own('running', [ofRoot({ role: 'shared', mode: 'shared', partition: '2' })]))
  runs('milou', other, xmlOf([HOME_VOLUME]))
  runs('tintin', UUID, xmlOf([HOME_VOLUME]))
  const { bringTo } = host
  host.bringTo = (target, names) => {
    if (target === 'exclusive') host.elsewhere.add('virtVG/root')
    else host.elsewhere.clear()
    return bringTo(target, names)
  }
  await act([UUID, other], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(lockOfRoot()).toBe('shared')
})

describe('milou has read a snapshot of tintin: detached since, and lvremoved', () => {
  beforeEach(async () => {
    withSnap()
    await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
    put(milou('running', [ofHome(), ofSnap({ role: 'shared', mode: 'shared' })]))
    put(own('running', [ofRoot()]))
    runs('milou', other, xmlOf([HOME_VOLUME]))
  })
  const passes = async () => {
    for (const _ of [1, 2, 3]) await act([other], ['virtVG'], new AgentHost(CONFIGURATION))
  }
  test('it is off the record of milou', async () => {
    await passes()
    expect(onRecord(other)?.volumes.map(fullName)).toEqual(['virtVG/home'])
  })
  test('tintin can migrate', async () => {
    await passes()
    runs('tintin', UUID, xmlOf([ROOT_VOLUME]), "state='running' reason='booted'", OUT)
    const [result] = await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
    expect([result?.reports, lockOfRoot()]).toEqual([[], 'shared'])
  })
  test('when tintin ends, its lock is given back', async () => {
    await passes()
    await release(domainOf([ROOT_VOLUME], true), CONFIGURATION)
    expect(lockOfRoot()).toBeUndefined()
  })
})

test('a start on a device that has its name from before says what is so', async () => {
  const old = logicalVolume(
    { vg: 'virtVG', lv: 'root' },
    { uuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa', lockUuid: 'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa' },
  )
  host.active.set('virtVG/root', old)
  const outcome = await prepare(await subjectOf(parseDomain(READS_ROOT), CONFIGURATION))
  expect(outcome.kind === 'refused' && outcome.problems.map(({ kind }) => kind)).not.toContain('missing-volume')
})

test('the act that finds no room in /run says no word of lvs that is not so', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  put(own('running', [ofHome()]))
  runs('tintin', UUID, READS_ROOT)
  const delays: number[] = []
  const { agent, said } = agentWith((_, ms) => {
    delays.push(ms)
    return () => undefined
  })
  const files = await import('../../../src/system/files.ts')
  const spy = vi.spyOn(files, 'writeFileSync').mockImplementation(() => {
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  })
  try {
    await agent.pass()
    await vi.waitFor(() => expect(said).not.toEqual([]), LONG)
  } finally {
    spy.mockRestore()
  }
  expect({ said, delays }).toEqual({ said: [expect.stringContaining('cannot be written')], delays: [] })
})

test('with a record that cannot be read, an adopted VM: no word of lvs, which was not asked', async () => {
  host.active.set('virtVG/root', ROOT_VOLUME)
  await host.bringTo('exclusive', [HOME_VOLUME])
  root.write(`run/lvguard/${uuidOf(5)}.json`, '{"format":99}')
  runs('tintin', UUID, READS_ROOT)
  let asked = 0
  const { volumeTable: table } = host
  host.volumeTable = (names) => {
    asked++
    return table(names)
  }
  const { agent, said, retries } = agentWith()
  await agent.pass()
  await sleep(60)
  retries.keepOnly([])
  expect([asked, said.filter((text) => text.includes('lvs does not tell'))]).toEqual([0, []])
})

test('where lvs is silent, an act of ten VMs asks it once', async () => {
  await host.bringTo('exclusive', [HOME_VOLUME])
  host.active.set('virtVG/root', ROOT_VOLUME)
  for (let n = 10; n < 20; n++) {
    root.write(`proc/${n}/stat`, '')
    root.write(
      `run/libvirt/qemu/vm${n}.xml`,
      `<domstatus state='running' reason='booted' pid='${n}'>\n<job type='none' async='none'/>\n${xmlOf([ROOT_VOLUME])
        .replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
        .replace('tintin', `vm${n}`)
        .replace(UUID, uuidOf(n))}</domstatus>\n`,
    )
  }
  let asked = 0
  host.volumeTable = () => {
    asked++
    return Promise.resolve(undefined)
  }
  const { agent, retries } = agentWith()
  await agent.pass()
  await sleep(100)
  retries.keepOnly([])
  expect(asked).toBeLessThan(3)
})
