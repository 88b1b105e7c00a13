import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { LockState } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { GONE_PASSES } from '../../../src/core/reconcile.ts'
import { CONFIGURATION, HOME_VOLUME, HostDouble, ROOT_VOLUME, domainOf, xmlOf } from '../support/host-double.ts'
import { recorded, uuidOf } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { act } = await import('../../../src/acts/drive.ts')
const { release } = await import('../../../src/acts/release.ts')
const { releaseAllUnderLock } = await import('../../../src/acts/give-back.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

const domain = { name: 'tintin', uuid: UUID }
/** As it is left by a migration to here: the agent is to make its volume exclusive. */
const RECORD: DomainRecord = {
  format: 1,
  domain,
  state: 'prepared',
  volumes: [recorded(ROOT_VOLUME, { mode: 'shared' })],
}
const ENDED: DomainRecord = { format: 1, domain, state: 'releasing', volumes: RECORD.volumes }
const onRecord = (): DomainRecord | undefined => recordOf(UUID, readRecords())
const put = (record: DomainRecord): string => replaceRecord(UUID, onRecord(), record)

beforeEach(async () => {
  host = new HostDouble()
  root.clear()
  root.write('proc/7/stat', '')
  root.write(
    'run/libvirt/qemu/tintin.xml',
    `<domstatus state='running' reason='booted' pid='7'>\n<job type='none' async='none'/>\n${xmlOf([ROOT_VOLUME])}</domstatus>\n`,
  )
  await host.bringTo('shared', [ROOT_VOLUME])
  put(RECORD)
})
afterAll(() => root.remove())

const actOn = async () => (await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION)))[0]

describe('a release says that a domain has ended, which the agent does not know yet', () => {
  test('nothing comes between: it is made exclusive, with its UUIDs on record', async () => {
    expect((await actOn())?.isOvertaken).toBe(false)
    expect([[...host.locks.values()], onRecord()?.state, onRecord()?.volumes[0]?.ids?.lv]).toEqual([
      ['exclusive'],
      'running',
      ROOT_VOLUME.uuid,
    ])
  })

  test('before the agent acts: it changes nothing, and looks again', async () => {
    const { activeVolumes } = host
    host.activeVolumes = () => {
      host.activeVolumes = activeVolumes
      put(ENDED)
      return activeVolumes()
    }
    expect((await actOn())?.isOvertaken).toBe(true)
    expect([[...host.locks.values()], onRecord()]).toEqual([['shared'], ENDED])
  })

  test('while its lvchange is at work: what was said stays on record', async () => {
    const { bringTo } = host
    host.bringTo = (...words) => {
      put(ENDED)
      return bringTo(...words)
    }
    await actOn()
    expect(onRecord()).toEqual(ENDED)
  })
})

// A volume that is exclusive already calls for no lvchange; its record says so all the same.
test('an act that was begun for one VG does not write a record that names another one by now', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  const both: DomainRecord = {
    ...RECORD,
    volumes: [recorded(ROOT_VOLUME), { vg: 'moreVG', lv: 'data', role: 'exclusive', mode: 'local', before: 'active' }],
  }
  put(both)
  expect((await actOn())?.isOvertaken).toBe(true)
  expect(onRecord()).toEqual(both)
})

// A `running` record without UUIDs: nothing is to be changed, but lvs tells them.
test('UUIDs are not written under the lock of one of its VGs only (R11)', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  const { ids: _, ...untold } = recorded(ROOT_VOLUME)
  const both: DomainRecord = {
    format: 1,
    domain,
    state: 'running',
    volumes: [untold, { vg: 'moreVG', lv: 'data', role: 'exclusive', mode: 'local', before: 'active' }],
  }
  put(both)
  await act([UUID], ['virtVG'], new AgentHost(CONFIGURATION))
  expect(onRecord()).toEqual(both)
})

test('the end of a doubt is not written with no VG’s lock at all (R11)', async () => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  const record: DomainRecord = {
    format: 1,
    domain,
    state: 'running',
    volumes: [recorded(ROOT_VOLUME)],
    migration: { phase: 'confirm3_cancelled' },
  }
  put(record)
  const agentHost = new AgentHost(CONFIGURATION)
  // It was bare when the act was asked for, no lockspace known: no lock.
  const [result] = await act([UUID], [], agentHost)
  expect([result?.contested, onRecord()]).toEqual(['none', record])
})

// The agent asks for the locks of those VGs that are not cut off. One that is taken back while it waits has a lock again.
test.each([
  ['still cut off', true],
  ['taken back while it was waited for', false],
])('a domain that is gone, with a volume in another VG that is %s', async (_, isCutOff) => {
  await host.bringTo('exclusive', [ROOT_VOLUME])
  const data = { vg: 'moreVG', lv: 'data', role: 'exclusive', mode: 'exclusive', before: 'inactive' } as const
  const both: DomainRecord = { ...RECORD, state: 'running', volumes: [recorded(ROOT_VOLUME), data] }
  put(both)
  if (isCutOff) root.write('run/lvguard/moreVG.killed', '')
  const ended = { domain, record: both, plan: { kind: 'deactivate' as const, volumes: both.volumes } }
  await releaseAllUnderLock([ended], await host.lockVgs(['virtVG']), () => 0)
  expect([[...host.locks.values()], onRecord()]).toEqual(
    isCutOff ? [[], { ...both, state: 'releasing', volumes: [data] }] : [['exclusive'], both],
  )
})

// Its record says that it has ended, and its status file that it runs: what it shares is not taken with another's.
test('a domain that runs keeps what it shares with one that is gone, whatever its record says', async () => {
  const other = { ...ENDED, domain: { name: 'milou', uuid: uuidOf(9) } } as const
  const shared = [recorded(ROOT_VOLUME, { role: 'shared', mode: 'shared' })]
  put({ ...ENDED, volumes: shared })
  replaceRecord(uuidOf(9), undefined, { ...other, volumes: shared })
  const agentHost = new AgentHost(CONFIGURATION)
  for (let passes = 0; passes < GONE_PASSES; passes++) agentHost.pass(readRecords())
  await act([UUID, uuidOf(9)], ['virtVG'], agentHost)
  expect(host.locks.size).toBe(1)
  expect(recordOf(uuidOf(9), readRecords())).toBe(undefined)
})

// A start that was refused has left a record that names no volume: a hook of the domain may be at work on any VG. The
// simulation found this: what the agent knew of VGs was from before one of them could be used again.
describe('a record without volumes is taken away under the locks of all VGs that have locks now', () => {
  const refused: DomainRecord = { format: 1, domain, state: 'refused', volumes: [] }
  const silent: LockState = { kind: 'unknown', why: 'failed', detail: '' }
  const started = (...vgs: string[]): LockState => ({
    kind: 'known',
    lockspaces: new Map(vgs.map((vg) => [vg, 'sanlock'])),
    locks: new Map(),
  })
  /** @param said what lvmlockctl says, the last answer again and again */
  const actGone = async (before: LockState | undefined, vgs: readonly string[], ...said: readonly LockState[]) => {
    rmSync(join(root.path, 'run/libvirt/qemu/tintin.xml'))
    put(refused)
    const answers = [...said]
    host.lockState = () => Promise.resolve((answers.length > 1 ? answers.shift() : answers[0]) ?? silent)
    const agentHost = new AgentHost(CONFIGURATION)
    if (before !== undefined) agentHost.learn(before)
    for (let passes = 0; passes < GONE_PASSES; passes++) agentHost.pass(readRecords())
    return await act([UUID], vgs, agentHost)
  }

  test.each([
    ['both', started('moreVG', 'virtVG'), ['moreVG', 'virtVG'], started('moreVG', 'virtVG'), false],
    ['none is started', started('virtVG'), [], started(), false],
    ['one, and another is started', started('virtVG'), ['virtVG'], started('moreVG', 'virtVG'), true],
    ['none, and one can be used again', started(), [], started('virtVG'), true],
    ['one, and lvmlockctl is silent now', started('virtVG'), ['virtVG'], silent, true],
    ['none, and lvmlockctl is silent now', started(), [], silent, true],
    ['none, and lvmlockctl has never told', undefined, [], silent, true],
  ])('%s', async (_, before, vgs, now, isOvertaken) => {
    const [result] = await actGone(before, vgs, now)
    expect([result?.isOvertaken, onRecord()]).toEqual([isOvertaken, isOvertaken ? refused : undefined])
  })

  test('before others are given back, which takes its time', async () => {
    rmSync(join(root.path, 'run/libvirt/qemu/tintin.xml'))
    const [first, second] = [uuidOf(8), uuidOf(9)]
    put(refused)
    for (const uuid of [first, second])
      replaceRecord(uuid, undefined, { ...ENDED, domain: { name: `vm ${uuid}`, uuid } })
    const agentHost = new AgentHost(CONFIGURATION)
    for (let passes = 0; passes < GONE_PASSES; passes++) agentHost.pass(readRecords())
    const { bringTo } = host
    const seen: (DomainRecord | undefined)[] = []
    host.bringTo = (...words) => {
      seen.push(onRecord())
      return bringTo(...words)
    }
    const results = await act([first, UUID, second], ['virtVG'], agentHost)
    expect(seen).toEqual([undefined])
    expect(results.map(({ view, released }) => [view.domain.uuid, released?.kind])).toEqual([
      [first, 'done'],
      [UUID, 'nothing'],
      [second, 'done'],
    ])
  })
})

// The simulation found this: a VM that had come back by a migration was suspended for a doubt about its life before.
describe('what was decided about a life of a domain that has ended meanwhile', () => {
  const doubt = { phase: 'confirm3_cancelled', suspend: 'asked' } as const
  const starts = (pid: number): void => {
    root.write(`proc/${pid}/stat`, '')
    root.write(
      'run/libvirt/qemu/tintin.xml',
      `<domstatus state='running' reason='migrated' pid='${pid}'>\n<job type='none' async='none'/>\n${xmlOf([ROOT_VOLUME])}</domstatus>\n`,
    )
  }

  test.each([true, false])('says nothing of the next one; its end was seen: %s', (isSeen) => {
    const agentHost = new AgentHost(CONFIGURATION)
    const view = agentHost.viewOf(UUID, agentHost.look(), readRecords())
    agentHost.remember(view, doubt)
    rmSync(join(root.path, 'run/libvirt/qemu/tintin.xml'))
    if (isSeen) agentHost.look()
    agentHost.remember(view, doubt)
    agentHost.noteLeases(view, {})
    starts(8)
    expect(agentHost.viewOf(UUID, agentHost.look(), readRecords()).memory).toBe(undefined)
    expect(agentHost.isSameLife(view)).toBe(false)
  })

  test('holds as long as it lives', () => {
    const agentHost = new AgentHost(CONFIGURATION)
    const view = agentHost.viewOf(UUID, agentHost.look(), readRecords())
    agentHost.remember(view, doubt)
    expect(agentHost.viewOf(UUID, agentHost.look(), readRecords()).memory).toEqual(doubt)
    expect(agentHost.isSameLife(view)).toBe(true)
  })
})

// The simulation found this: on a busy host Node may start later than the agent finds the domain gone.
describe('a `release` that begins when the agent has given everything back', () => {
  const before: DomainRecord = {
    ...RECORD,
    state: 'running',
    volumes: [recorded(ROOT_VOLUME, { before: 'active' }), recorded(HOME_VOLUME)],
  }
  const releaseNow = (reason: string) => release(domainOf([ROOT_VOLUME, HOME_VOLUME], true), CONFIGURATION, reason)
  beforeEach(async () => {
    rmSync(join(root.path, 'run/libvirt/qemu/tintin.xml'))
    root.write('run/libvirtd.pid', '9\n')
    root.write('proc/9/comm', 'libvirtd\n')
    await host.bringTo('exclusive', [ROOT_VOLUME, HOME_VOLUME])
    put(before)
    const agentHost = new AgentHost(CONFIGURATION)
    for (let passes = 0; passes < GONE_PASSES; passes++) agentHost.pass(readRecords())
    await act([UUID], ['virtVG'], agentHost)
    expect([onRecord(), [...host.active.keys()]]).toEqual([undefined, ['virtVG/root']])
  })

  test('takes nothing that was active before, nor what somebody has activated since (R4)', async () => {
    await host.bringTo('exclusive', [HOME_VOLUME])
    expect((await releaseNow('shutdown')).kind).toBe('nothing')
    expect([...host.active.keys()]).toEqual(['virtVG/root', 'virtVG/home'])
  })

  test('says that a saved memory is not noted: others may have locked its volumes since (R12)', async () => {
    expect((await releaseNow('saved')).warning).toMatch(/will not be told .*its volumes were given back before/)
  })

  test('of a later life it says nothing', async () => {
    await prepare(await subjectOf(domainOf([ROOT_VOLUME, HOME_VOLUME]), CONFIGURATION))
    replaceRecord(UUID, onRecord(), undefined)
    await releaseNow('shutdown')
    expect([...host.active.keys()]).toEqual([])
  })
})

// The simulation found this: the agent has made it exclusive again, and has not yet written so; or it had not yet shared it.
describe('a `release` of what was active before, and is to be shared for a migration on record', () => {
  const home = recorded(HOME_VOLUME)
  const demoted = recorded(ROOT_VOLUME, { before: 'active', demoted: true })
  const ended = async (mode: 'exclusive' | 'shared', volumes: DomainRecord['volumes']) => {
    rmSync(join(root.path, 'run/libvirt/qemu/tintin.xml'))
    await host.bringTo('exclusive', [HOME_VOLUME])
    await host.bringTo(mode, [ROOT_VOLUME])
    put({ ...RECORD, state: 'running', volumes })
    const { kind } = await release(domainOf([ROOT_VOLUME, HOME_VOLUME], true), CONFIGURATION)
    return [kind, [...host.active.keys()].sort().join(' '), onRecord()?.state]
  }
  test('exclusive here, it stays (R4)', async () => {
    expect(await ended('exclusive', [demoted, home])).toEqual(['done', 'virtVG/root', undefined])
  })
  test('alone on record, it stays, and the record goes', async () => {
    expect(await ended('exclusive', [demoted])).toEqual(['nothing', 'virtVG/home virtVG/root', undefined])
  })
  test('shared, it goes with its VM', async () => {
    expect(await ended('shared', [demoted, home])).toEqual(['done', '', undefined])
  })
  test('what it has on a VG that is cut off stays on record, and nothing else: the next VM gets it', async () => {
    const data = recorded({ vg: 'moreVG', lv: 'data' })
    root.write('run/lvguard/moreVG.killed', '')
    expect(await ended('exclusive', [demoted, data])).toEqual(['left', 'virtVG/home virtVG/root', 'releasing'])
    expect(onRecord()?.volumes).toEqual([data])
    const next = { ...domainOf([ROOT_VOLUME]), uuid: uuidOf(9), name: 'milou' }
    // The double has no sanlock to vouch for what was active before.
    expect(await prepare(await subjectOf(next, CONFIGURATION))).not.toMatchObject({ problems: [{ kind: 'on-record' }] })
  })
})
