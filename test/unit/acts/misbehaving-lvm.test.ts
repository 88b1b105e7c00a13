import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { INCOMING_LIFETIME } from '../../../src/core/record.ts'
import { CONFIGURATION, HOME_VOLUME, HostDouble, ROOT_VOLUME, domainOf, xmlOf } from '../support/host-double.ts'
import { TimersOfTest } from '../support/timers.ts'
import { uuidOf } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
/** Seconds since boot. */
let now = 1000
vi.mock('node:os', async (original) => ({ ...(await original<typeof import('node:os')>()), uptime: () => now }))
/** The daemon that has called the hook. */
let callerLives = true
vi.mock('../../../src/acts/daemon.ts', async (original) => ({
  ...(await original<typeof import('../../../src/acts/daemon.ts')>()),
  callerHasEnded: () => !callerLives,
}))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { release } = await import('../../../src/acts/release.ts')
const { parseDomain } = await import('../../../src/libvirt/domain-xml.ts')
const { migrate } = await import('../../../src/acts/migrate.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { exitStatusOf, linesOf } = await import('../../../src/core/outcome.ts')
const { removeMark, writeMark } = await import('../../../src/kill/mark.ts')
const { readSavedImage, writeSavedImage } = await import('../../../src/state/saved-images.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  callerLives = true
  host = new HostDouble()
  root.clear()
  announceAgent()
})
afterAll(() => root.remove())

const onRecord = (): string[] =>
  readRecords().known.flatMap(({ state, volumes }) => [state, ...volumes.map(({ lv }) => lv)])
const ownRecord = () => recordOf(UUID, readRecords())
const BOTH = [ROOT_VOLUME, HOME_VOLUME]
const ONE = [ROOT_VOLUME]

describe('a prepare that is refused', () => {
  test('undoes what it did, and the release that follows does nothing', async () => {
    host.elsewhere.add('virtVG/home')
    expect((await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind).toBe('refused')
    expect([[...host.locks], [...host.active], onRecord()]).toEqual([[], [], ['refused']])
    const before = host.commands.length
    expect(exitStatusOf(await release(domainOf(BOTH), CONFIGURATION))).toBe(0)
    expect([host.commands.length - before, onRecord()]).toEqual([0, []])
  })

  test('keeps on record what lvchange said it gave back and did not (FACTS 24)', async () => {
    host.elsewhere.add('virtVG/home')
    host.leavesLocks = true
    await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    expect([host.locks.size, onRecord()]).toEqual([1, ['releasing', 'root']])
  })

  test('by its UUIDs, which its device tells where lvs does not: it may have another name then (R14)', async () => {
    host.inUse.add('virtVG/root')
    host.elsewhere.add('virtVG/home')
    host.volumeTable = () => Promise.resolve(undefined)
    await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    expect(ownRecord()?.volumes.map(({ ids }) => ids?.lv)).toEqual([ROOT_VOLUME.uuid])
  })

  test('leaves what was active before as it was', async () => {
    await host.bringTo('exclusive', ONE)
    host.elsewhere.add('virtVG/home')
    await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    expect([[...host.locks.values()], [...host.active.keys()], onRecord()]).toEqual([
      ['exclusive'],
      ['virtVG/root'],
      ['refused'],
    ])
  })
})

describe('a prepare that must not go on', () => {
  // The simulation found this: the storage had hung, nobody's VM was there, and lvmlockd went on listing its locks.
  test('a volume that was active before is not started on where this host has lost its lease (FACTS 46b)', async () => {
    await host.bringTo('exclusive', ONE)
    host.lostVgs.add('virtVG')
    const outcome = await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    expect(linesOf(outcome, 'tintin')[0]).toMatch(/this host has lost its lease on volume group virtVG/)
    expect([[...host.locks.values()], onRecord()]).toEqual([['exclusive'], ['refused']])
  })

  test('a lock that lvchange has just taken needs no other word', async () => {
    host.lostVgs.add('virtVG')
    expect((await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))).kind).toBe('done')
  })

  test('a prepare whose daemon has ended while it waited changes nothing', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    const record = recordOf(UUID, readRecords())
    callerLives = false
    const outcome = await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    expect(linesOf(outcome, 'tintin')[0]).toMatch(/the libvirt daemon that asked for it has ended/)
    expect(recordOf(UUID, readRecords())).toEqual(record)
  })

  test('a prepare of a domain that runs here leaves its record as it is', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    const record = recordOf(UUID, readRecords())
    root.write('proc/7/stat', '')
    root.write(
      'run/libvirt/qemu/tintin.xml',
      `<domstatus state='running' reason='booted' pid='7'>\n<job type='none' async='none'/>\n${xmlOf(ONE)}</domstatus>\n`,
    )
    expect((await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))).kind).toBe('refused')
    expect(recordOf(UUID, readRecords())).toEqual(record)
  })
})

describe('a volume whose device fails all I/O, while lvchange exits 0 and the lock is held (FACTS 49)', () => {
  test('is no volume to start on: refused, and given back', async () => {
    host.wiped.add('virtVG/home')
    const outcome = await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    expect(linesOf(outcome, 'tintin')[0]).toMatch(
      /the device of virtVG\/home on this host is not the volume: its table is 'error'/,
    )
    expect([[...host.locks], [...host.active], onRecord()]).toEqual([[], [], ['refused']])
  })

  test('is refused before anything is changed, where it was there before', async () => {
    await host.bringTo('exclusive', ONE)
    host.wiped.add('virtVG/root')
    const before = host.commands.length
    expect((await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind).toBe('refused')
    expect(host.commands.length).toBe(before)
  })
})

describe('a VG that was cut off here', () => {
  const cutOff = (): void =>
    writeMark({ format: 1, vg: 'virtVG', by: 'sanlock', at: 'now', killed: [], disks: [], state: 'started' })

  test('starts nothing and lets nothing in: LVM is not asked, nothing is put on record, and the release that follows touches nothing', async () => {
    cutOff()
    // An lvchange from before the loss hangs, and holds the VG's lock.
    const { lockVgs } = host
    host.lockVgs = () => new Promise(() => undefined)
    for (const attempt of [
      prepare(await subjectOf(domainOf(BOTH), CONFIGURATION)),
      migrate(await subjectOf(domainOf(BOTH), CONFIGURATION), xmlOf(BOTH)),
    ]) {
      expect(linesOf(await attempt, 'tintin')).toEqual([
        expect.stringMatching(/the VMs of volume group virtVG were cut off on this host/),
        expect.stringMatching(/lvguard recover virtVG/),
      ])
    }
    host.lockVgs = lockVgs
    expect((await release(domainOf(BOTH), CONFIGURATION)).kind).toBe('nothing')
    expect([host.commands, onRecord()]).toEqual([[], []])
  })

  test('a mark that nobody can read counts', async () => {
    root.write('run/lvguard/virtVG.killed', '')
    expect((await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind).toBe('refused')
  })

  test('the mark of another VG, or what is none, concerns nobody', async () => {
    for (const name of ['otherVG.killed', '.virtVG-12.killed.new', 'virtVG.killed.old'])
      root.write(`run/lvguard/${name}`, '')
    expect((await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind).toBe('done')
  })

  test('a VM that was killed stays on record, and is released when that is over', async () => {
    await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    cutOff()
    const before = host.commands.length
    expect(await release(domainOf(BOTH, true), CONFIGURATION)).toMatchObject({
      kind: 'nothing',
      reason: expect.stringMatching(/virtVG was cut off here/),
    })
    expect([host.commands.length - before, onRecord()]).toEqual([0, ['releasing', 'root', 'home']])
    // Its start is refused, and keeps that record.
    expect((await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind).toBe('refused')
    expect((await release(domainOf(BOTH), CONFIGURATION)).kind).toBe('nothing')
    expect(onRecord()).toEqual(['releasing', 'root', 'home'])
    removeMark('virtVG')
    await release(domainOf(BOTH, true), CONFIGURATION)
    expect([[...host.locks], onRecord()]).toEqual([[], []])
  })

  test('a VM without a record is left alone too', async () => {
    await host.bringTo('exclusive', ONE)
    cutOff()
    const before = host.commands.length
    await release(domainOf(ONE, true), CONFIGURATION)
    expect(host.commands.length).toBe(before)
  })
})

describe('a migrate whose trial could not be given back', () => {
  test('is refused, and what it holds stays on record', async () => {
    host.inUse.add('virtVG/root')
    expect((await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))).kind).toBe('refused')
    expect([[...host.locks.values()], onRecord()]).toEqual([['shared'], ['incoming', 'root']])
  })

  test("once more: lets in, and what this host holds is still nobody else's to remember", async () => {
    host.inUse.add('virtVG/root')
    await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))
    host.inUse.clear()
    expect((await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))).kind).toBe('done')
    if (host.locks.size > 0) expect(onRecord()).toContain('root')
    else expect(onRecord()).toEqual(['incoming'])
  })

  test('and then a whole life: after the release nothing is left here', async () => {
    host.inUse.add('virtVG/root')
    await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))
    host.inUse.clear()
    const outcome = await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))
    const xml = outcome.kind === 'done' ? (outcome.stdout ?? '') : ''
    expect((await prepare(await subjectOf(parseDomain(xml), CONFIGURATION))).kind).toBe('done')
    expect([...host.locks.values()]).toEqual(['shared'])
    await release(domainOf(ONE, true), CONFIGURATION)
    expect([[...host.locks], [...host.active], onRecord()]).toEqual([[], [], []])
  })
})

test('the prepare of a migration whose source took its volume back is not told to shut the VM down', async () => {
  const outcome = await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))
  host.elsewhere.add('virtVG/root')
  const refused = await prepare(
    await subjectOf(parseDomain(outcome.kind === 'done' ? (outcome.stdout ?? '') : ''), CONFIGURATION),
  )
  expect([refused.kind, host.locks.size]).toEqual(['refused', 0])
  expect(linesOf(refused, 'tintin').join()).not.toMatch(/was not started|shutdown/)
})

test.each<[string, { until: number; for: number }, string]>([
  [
    'called in time, and had to wait for the volume group behind others, shares',
    { until: INCOMING_LIFETIME - 1, for: 60 },
    'shared',
  ],
  ['called too late is that of a fresh start', { until: INCOMING_LIFETIME + 1, for: 0 }, 'exclusive'],
])('the prepare of a migration that was %s', async (_, waits, expected) => {
  const outcome = await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))
  now += waits.until
  const { lockVgs } = host
  host.lockVgs = (vgs) => {
    now += waits.for
    return lockVgs(vgs)
  }
  const started = await prepare(
    await subjectOf(parseDomain(outcome.kind === 'done' ? (outcome.stdout ?? '') : ''), CONFIGURATION),
  )
  expect([started.kind, [...host.locks.values()]]).toEqual(['done', [expected]])
})

describe('a release', () => {
  test('reads back what lvchange said', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    host.leavesLocks = true
    const outcome = await release(domainOf(ONE, true), CONFIGURATION)
    expect([outcome.kind, onRecord()]).toEqual(['left', ['releasing', 'root']])
  })

  test('does not forget what is active because lvs does not know its VG at the moment', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    host.vgIsMissing = true
    // The hook was killed before it had put the UUIDs on record, and now lvs knows nothing of the VG.
    const record = {
      format: 1,
      domain: { name: 'tintin', uuid: UUID },
      state: 'prepared',
      volumes: [{ vg: 'virtVG', lv: 'root', role: 'exclusive', mode: 'exclusive', before: 'inactive' }],
    }
    root.write(`run/lvguard/${UUID}.json`, JSON.stringify(record))
    await release(domainOf(ONE, true), CONFIGURATION)
    expect(host.active.size === 0 || onRecord().includes('root')).toBe(true)
  })

  test('of a VM from before lvguard ends within 5 s even if lvs does not', async () => {
    host.lvsHangs = true
    // No lockspace is listed for otherVG, so that lvs has to say what it is.
    const other = { ...ROOT_VOLUME, vg: 'otherVG' }
    const { value: outcome, at } = await new TimersOfTest().play((clock) =>
      release(domainOf([other], true), CONFIGURATION, '-', clock),
    )
    expect([outcome.kind, at]).toEqual(['unfinished', 4500])
    expect(linesOf(outcome, 'tintin')[0]).toBe(
      'tintin has ended, and what it used is not given back yet: LVM is still at work on it.',
    )
  })

  test('whose lvchange does not end is over within 5 s, and says what is so', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    host.bringTo = () => new Promise(() => undefined)
    const { value: outcome, at } = await new TimersOfTest().play((clock) =>
      release(domainOf(ONE, true), CONFIGURATION, '-', clock),
    )
    expect([exitStatusOf(outcome), at, onRecord()]).toEqual([1, 4500, ['releasing', 'root']])
    expect(linesOf(outcome, 'tintin')).toEqual([
      'tintin has ended, and virtVG/root is not given back yet: LVM is still at work on it.',
      'It stays on record, and the agent of this host goes on with it',
    ])
  })

  // A record of a start that no agent has seen run is left alone for as long as libvirt's daemon lives.
  test('whose time is over before a saved memory is noted says on record that its domain has ended', async () => {
    replaceRecord(UUID, undefined, {
      format: 1,
      domain: { name: 'tintin', uuid: UUID },
      state: 'prepared',
      volumes: [{ vg: 'virtVG', lv: 'root', role: 'exclusive', mode: 'exclusive', before: 'inactive' }],
    })
    host.lvsHangs = true
    const { value: outcome, at } = await new TimersOfTest().play((clock) =>
      release(domainOf(ONE, true), CONFIGURATION, 'saved', clock),
    )
    expect([outcome.kind, at, onRecord()]).toEqual(['unfinished', 4500, ['releasing', 'root']])
  })

  test('that runs out of time does not speak of volumes that the agent has given back meanwhile', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    host.bringTo = () => {
      replaceRecord(UUID, ownRecord(), undefined)
      return new Promise(() => undefined)
    }
    const { value: outcome } = await new TimersOfTest().play((clock) =>
      release(domainOf(ONE, true), CONFIGURATION, '-', clock),
    )
    expect([outcome, linesOf(outcome, 'tintin')]).toEqual([
      { kind: 'nothing', reason: 'it was released meanwhile' },
      [],
    ])
  })

  test('tries a volume that is in use for 2 s', async () => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    host.inUse.add('virtVG/root')
    const { value: outcome, at } = await new TimersOfTest().play((clock) =>
      release(domainOf(ONE, true), CONFIGURATION, '-', clock),
    )
    expect([outcome.kind, at]).toEqual(['left', 2000])
  })

  // The next daemon has refused a start of it since, and the record is gone. A person may have activated the volume.
  test.each([true, false])('without a record, and the daemon that has called it lives: %s', async (lives) => {
    await host.bringTo('exclusive', ONE)
    callerLives = lives
    await release(domainOf(ONE, true), CONFIGURATION)
    expect(host.locks.size).toBe(lives ? 0 : 1)
  })

  // R4: keep the lock, say so, try again later.
  test.each<[string, () => void]>([
    ['another record cannot be read', () => root.write('run/lvguard/00000000-0000-4000-8000-000000000002.json', 'x')],
    [
      'its status file says that it runs',
      () => root.write('run/libvirt/qemu/tintin.xml', `<domstatus state='running'>${xmlOf(ONE)}</domstatus>`),
    ],
  ])('that keeps everything because %s says so', async (_, spoil) => {
    await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    spoil()
    const outcome = await release(domainOf(ONE, true), CONFIGURATION)
    expect([...host.locks.values()]).toEqual(['exclusive'])
    expect(linesOf(outcome, 'tintin').join()).toMatch('virtVG/root')
  })
})

describe('a record that somebody else has changed since it was decided on (R11)', () => {
  /** Another act of this host writes the domain's record, once, when something is looked at or done. */
  const overtakeAt = <K extends 'openVolumes' | 'bringTo' | 'volumeTable'>(step: K): void => {
    const own = host[step] as (...words: unknown[]) => unknown
    host[step] = ((...words: unknown[]) => {
      host[step] = own as HostDouble[K]
      replaceRecord(UUID, ownRecord(), OTHERS)
      return own(...words)
    }) as HostDouble[K]
  }
  const volumeOfOthers = {
    vg: 'virtVG',
    lv: 'other',
    role: 'exclusive',
    mode: 'exclusive',
    before: 'inactive',
  } as const
  const OTHERS = {
    format: 1,
    domain: { name: 'tintin', uuid: UUID },
    state: 'releasing',
    volumes: [volumeOfOthers],
  } as const

  test('prepare looks again, and keeps what is on it', async () => {
    overtakeAt('openVolumes')
    expect((await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))).kind).toBe('done')
    expect([[...host.locks.values()], onRecord()]).toEqual([['exclusive'], ['prepared', 'root', 'other']])
  })

  test('prepare that has locked its volumes gives them back, and refuses', async () => {
    overtakeAt('bringTo')
    const outcome = await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))
    expect(linesOf(outcome, 'tintin')[0]).toBe(
      'tintin was not started: its record in /run/lvguard was changed by somebody else meanwhile.',
    )
    expect([exitStatusOf(outcome), [...host.locks], ownRecord()]).toEqual([1, [], OTHERS])
  })

  test('migrate looks again after its trial, and keeps what is on it', async () => {
    overtakeAt('bringTo')
    expect((await migrate(await subjectOf(domainOf(ONE), CONFIGURATION), xmlOf(ONE))).kind).toBe('done')
    expect([[...host.locks], onRecord()]).toEqual([[], ['incoming', 'other']])
  })

  test('release leaves it, and what it names', async () => {
    await host.bringTo('exclusive', ONE)
    const commands = host.commands.length
    overtakeAt('volumeTable')
    const record = { ...OTHERS, volumes: [{ ...volumeOfOthers, lv: 'root' }] } as const
    root.write(`run/lvguard/${UUID}.json`, JSON.stringify(record))
    expect(await release(domainOf(ONE, true), CONFIGURATION)).toEqual({
      kind: 'nothing',
      reason: 'its record was changed meanwhile',
    })
    expect([host.commands.length - commands, ownRecord()]).toEqual([0, OTHERS])
  })
})

test('a VM that is given what this host had locked already makes the memory of another one, saved with that volume, older: no lease tells it', async () => {
  writeSavedImage({
    format: 1,
    domain: { name: 'other', uuid: uuidOf(9) },
    at: '2026-11-27T22:31:09.123Z',
    volumes: [{ vg: 'virtVG', lv: 'root', uuid: ROOT_VOLUME.uuid, lver: 5 }],
  })
  await host.bringTo('exclusive', ONE)
  expect((await prepare(await subjectOf(domainOf(ONE), CONFIGURATION))).kind).toBe('done')
  expect(readSavedImage(uuidOf(9))?.spent).toBe(true)
})
