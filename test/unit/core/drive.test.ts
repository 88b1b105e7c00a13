import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DomainView, DriveFacts, DrivePlan } from '../../../src/core/domain-view.ts'
import { isAsRecorded, planDrive } from '../../../src/core/drive.ts'
import type { LockState } from '../../../src/core/lock-state.ts'
import type { DomainRecord, RecordState, RecordedVolume } from '../../../src/core/record.ts'
import type { Unchanged, Wanted } from '../../../src/core/reconcile.ts'
import type { Mode } from '../../../src/core/volume.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded, records, uuidOf } from '../support/lvm.ts'

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const data = logicalVolume({ vg: 'virtVG', lv: 'data' })
const snap = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: data.uuid, shareable: false })
const withIds = (volume = root, changed: Partial<RecordedVolume> = {}): RecordedVolume =>
  recorded(volume, { ids: { lv: volume.uuid, vg: volume.vgUuid, lock: volume.lockUuid }, ...changed })
const running = (volumes = [withIds()], state: RecordState = 'running'): DomainRecord => recordOf(1, state, volumes)
const EX = lockTable([[root, 'exclusive']])
const SH = lockTable([[root, 'shared']])
const NONE = lockTable()
const BOTH = [deviceOf(root), deviceOf(data)]
const OUT: Wanted = { mode: 'shared', direction: 'out' }
const IN: Wanted = { mode: 'shared', direction: 'in' }
const READ = withIds(root, { role: 'shared', mode: 'shared' })
const HERE: Wanted = { mode: 'exclusive' }
const because = (why: Unchanged): Wanted => ({ mode: 'unchanged', why })

interface Case extends Partial<Omit<DomainView, 'live'>>, Partial<DriveFacts> {
  readonly live?: readonly { readonly lv: string; readonly mode: Mode; readonly job?: true }[]
}
function plan({
  wanted = HERE,
  record = running(),
  runs = true,
  memory,
  named,
  live = [],
  locks = EX,
  devices = BOTH,
  ...facts
}: Case): DrivePlan {
  const known = facts.records ?? records(...(record === undefined ? [] : [record]))
  return planDrive(
    {
      domain: { name: 'vm1', uuid: uuidOf(1) },
      wanted,
      record,
      runs,
      memory,
      named,
      live: live.map((volume) => ({ vg: 'virtVG', reason: 'disk', ...volume })),
    },
    { locks, devices, records: known },
  )
}
/** In short words: changes, `record` if one is written, `abort`, and what is said. */
function words(given: Case): string {
  const made = plan(given)
  const said = made.reports.map((report) => `!${'why' in report ? report.why : report.kind}`)
  if (made.kind === 'nothing') return said.join(' ')
  if (made.kind === 'release') return ['release', made.plan.kind, ...said].join(' ')
  return [
    ...made.changes.map(({ lv, to }) => `${lv}:${to}`),
    ...(made.record === undefined ? [] : ['record']),
    ...(made.abortJob ? ['abort'] : []),
    ...said,
  ].join(' ')
}

describe('what is not plugged in any more', () => {
  const record = running([withIds(), withIds(data)])
  const unplugged = (given: Case): string => {
    const made = plan({
      record,
      live: [{ lv: 'root', mode: 'exclusive' }],
      named: [root],
      locks: lockTable([
        [root, 'exclusive'],
        [data, 'exclusive'],
      ]),
      ...given,
    })
    return made.kind === 'drive' ? made.unplugged.map(({ lv }) => lv).join(' ') : made.kind
  }
  const other = (volumes: RecordedVolume[]): DomainRecord => recordOf(2, 'running', volumes)
  test.each<[string, Case, string]>([
    ['is to be given back', {}, 'data'],
    ['stays while the XML is not understood, or a job is under way', { named: undefined }, ''],
    ['stays in a migration', { wanted: OUT }, ''],
    ['stays where nothing is to be changed', { wanted: because('left-paused') }, ''],
    ['stays if it was active before', { record: running([withIds(), withIds(data, { before: 'active' })]) }, ''],
    ['stays if another domain uses it', { records: records(record, other([withIds(data)])) }, ''],
    [
      'stays if it has the lock of one that another domain uses',
      { records: records(record, other([withIds(snap)])), devices: [...BOTH, deviceOf(snap)] },
      '',
    ],
    [
      'is to be given back if that one is gone (lvremove)',
      { records: records(record, other([withIds(snap)])) },
      'data',
    ],
    [
      'stays if it has the lock of one that is plugged in',
      { record: running([withIds(), withIds(data, { ids: { lv: data.uuid, vg: data.vgUuid, lock: root.uuid } })]) },
      '',
    ],
    ['stays while other records cannot be read', { records: { known: [record], unreadable: ['x'] } }, ''],
    ['is all of it, if nothing is named', { named: [] }, 'root data'],
    ['stays where its lockspace is gone', { named: [], locks: lockTable([], []) }, ''],
    ['stays while the locks are unknown', { named: [], locks: { kind: 'unknown', why: 'down', detail: '' } }, ''],
    ['stays if it is named, although its VG is not looked at', { live: [], named: [root, data] }, ''],
  ])('%s', (_, given, expected) => expect(unplugged(given)).toBe(expected))
})

describe('what only a backup job writes, and a person has activated', () => {
  const scratch: RecordedVolume = withIds(data, { before: 'active', job: true })
  const locks = lockTable([
    [root, 'exclusive'],
    [data, 'exclusive'],
  ])
  const live = [
    { lv: 'root', mode: 'exclusive' as const },
    { lv: 'data', mode: 'exclusive' as const, job: true as const },
  ]
  const onRecord = (given: Case): string => {
    const made = plan({ live, locks, ...given })
    if (made.kind !== 'drive') return made.kind
    const volumes = (made.record ?? given.record ?? running()).volumes.map(
      ({ lv, role, before, job }) => `${lv} ${role} ${before}${job === true ? ' job' : ''}`,
    )
    return [...volumes, ...made.unplugged.map(({ lv }) => `${lv} given back`)].join(', ')
  }
  const BEGUN = 'root exclusive inactive, data exclusive active job'
  test.each<[string, Case, string]>([
    ['is on record when the job begins', {}, BEGUN],
    [
      'is not taken over from a record that has it as a disk',
      { record: running([withIds(), withIds(data)]) },
      'root exclusive inactive, data exclusive inactive',
    ],
    ['stays so while the job lasts', { record: running([withIds(), scratch]) }, BEGUN],
    ['stays so while nobody can tell', { record: running([withIds(), scratch]), live: [], named: undefined }, BEGUN],
    [
      'is on record no more when the job has ended, and is not given back (R4)',
      { record: running([withIds(), scratch]), live: live.slice(0, 1), named: [root] },
      'root exclusive inactive',
    ],
  ])('%s', (_, given, expected) => expect(onRecord(given)).toBe(expected))

  test('the end of the job is acted on at once', () => {
    const view = {
      domain: { name: 'vm1', uuid: uuidOf(1) },
      wanted: HERE,
      record: running([withIds(), scratch]),
      runs: true,
      live: [{ vg: 'virtVG', lv: 'root', mode: 'exclusive' as const, reason: 'disk' }],
    }
    expect([undefined, [root, data], [root]].map((named) => isAsRecorded({ ...view, named }))).toEqual([
      true,
      true,
      false,
    ])
  })

  test('it stays when the VM ends', () =>
    expect(words({ wanted: { mode: 'inactive' }, record: running([scratch]), live: [] })).toBe('release forget'))
})

test.each<[string, Partial<RecordedVolume>, Partial<RecordedVolume>, boolean]>([
  ['both write', {}, {}, true],
  ['one writes', {}, { role: 'shared', mode: 'shared' }, true],
  ['both read', { role: 'shared', mode: 'shared' }, { role: 'shared', mode: 'shared' }, false],
  ['two partitions', { partition: 'root1' }, { partition: 'root2' }, false],
  ['the same partition', { partition: 'root1' }, { partition: 'root1' }, true],
  ['a partition and the whole', { partition: 'root1' }, {}, true],
])('a volume that two domains of one host use is said: %s', (_, own, others, expected) => {
  const record = running([withIds(root, own)])
  const made = plan({
    record,
    live: [{ lv: 'root', mode: own.role ?? 'exclusive' }],
    records: records(record, recordOf(2, 'running', [withIds(root, others)])),
  })
  expect(made.reports).toEqual(expected ? [{ kind: 'also-used', volume: 'virtVG/root', domain: 'vm2' }] : [])
})

test('nothing is said of a command that hands the volume over to the domain that it has started', () => {
  const command = (kind: DomainRecord['command']): DomainRecord =>
    recordOf(2, 'prepared', [withIds()], kind && { command: kind })
  const said = (kind: DomainRecord['command']) =>
    plan({ live: [{ lv: 'root', mode: 'exclusive' }], records: records(running(), command(kind)) }).reports
  expect([said('hands-over'), said('keeps').length]).toEqual([[], 1])
})

describe('a domain that is on record', () => {
  test.each<[string, Case, string]>([
    ['runs and holds its volume', {}, ''],
    ['runs with a shared lock', { locks: SH }, 'root:exclusive'],
    ['runs without a lock', { locks: NONE }, 'root:exclusive'],
    ['migrates out', { wanted: OUT }, 'root:shared record'],
    [
      'migrates out and has demoted',
      { wanted: OUT, locks: SH, record: running([withIds(root, { mode: 'shared' })]) },
      '',
    ],
    ['migrates out without a lock', { wanted: OUT, locks: NONE }, 'root:shared record'],
    ['comes in and shares', { wanted: IN, locks: SH, record: running([withIds(root, { mode: 'shared' })]) }, ''],
    ['comes in and holds exclusively', { wanted: IN }, ''],
    ['comes in without a lock', { wanted: IN, locks: NONE }, 'root:shared record'],
    ['is seen to run', { record: running([withIds()], 'prepared') }, 'record'],
    ['was prepared, without QEMU yet', { record: running([withIds()], 'prepared'), runs: false }, ''],
    ['only shares', { record: running([withIds(root, { role: 'shared', mode: 'shared' })]), locks: SH }, ''],
    [
      'only shares, and migrates out',
      { wanted: OUT, record: running([withIds(root, { role: 'shared', mode: 'shared' })]), locks: SH },
      '',
    ],
    [
      'only shares what is exclusive here, and migrates out',
      { wanted: OUT, record: running([withIds(root, { role: 'shared', mode: 'shared' })]) },
      '',
    ],
    [
      'lost a lock it only shares',
      { record: running([withIds(root, { role: 'shared', mode: 'shared' })]), locks: NONE },
      'root:shared',
    ],
    ['is on a local volume', { record: running([recorded(root, { mode: 'local' })]), locks: NONE }, ''],
    [
      'is on a thin volume',
      {
        wanted: OUT,
        record: running([
          withIds(root, { ids: { lv: 'a', vg: 'b', lock: root.uuid }, pool: { lv: 'pool', before: 'inactive' } }),
        ]),
      },
      '!pool-lock',
    ],
    ['has no UUID on record, but a device', { record: running([recorded(root)]), devices: [deviceOf(root)] }, ''],
    ['has neither UUID nor device', { record: running([recorded(root)]), devices: [] }, ''],
    [
      'got one unplugged, which was deactivated then',
      { record: running([withIds(), withIds(data)]), devices: [deviceOf(root)] },
      'record',
    ],
    [
      'got one unplugged, which was deactivated then, while the locks are unknown',
      {
        record: running([withIds(), withIds(data)]),
        devices: [deviceOf(root)],
        locks: { kind: 'unknown', why: 'down', detail: '' },
      },
      '!locks-unknown !locks-unknown',
    ],
    [
      'got one plugged in that is no volume of this host',
      {
        live: [
          { lv: 'root', mode: 'exclusive' },
          { lv: 'disk1p1', mode: 'exclusive' },
        ],
      },
      '',
    ],
    [
      'got a volume plugged in',
      {
        live: [
          { lv: 'root', mode: 'exclusive' },
          { lv: 'data', mode: 'exclusive' },
        ],
      },
      'data:exclusive record',
    ],
    // Whose lock it has is not known until lvs has told: it may be an origin's, which another VM has (R3).
    ['got one plugged in that it reads', { live: [{ lv: 'data', mode: 'shared' }] }, 'record !lock-owner-unknown'],
    [
      'got one that it holds',
      {
        live: [{ lv: 'data', mode: 'exclusive' }],
        devices: [deviceOf(data)],
        locks: lockTable([
          [root, 'exclusive'],
          [data, 'exclusive'],
        ]),
      },
      'record',
    ],
    [
      'got one unplugged',
      {
        record: running([withIds(), withIds(data)]),
        locks: lockTable([
          [root, 'exclusive'],
          [data, 'exclusive'],
        ]),
      },
      '',
    ],
    [
      'comes to write what it only read',
      { record: running([READ]), live: [{ lv: 'root', mode: 'exclusive' }], locks: SH },
      'root:exclusive record',
    ],
    [
      'comes to write what it only read, and holds it',
      { record: running([READ]), live: [{ lv: 'root', mode: 'exclusive' }] },
      'record',
    ],
    [
      'comes to write what it only read, and migrates out',
      { wanted: OUT, record: running([READ]), live: [{ lv: 'root', mode: 'exclusive' }], locks: SH },
      'record',
    ],
    [
      'comes to write what it only read, and its state says nothing',
      {
        wanted: because('job-starting'),
        record: running([READ]),
        live: [{ lv: 'root', mode: 'exclusive' }],
        locks: SH,
      },
      'record',
    ],
    [
      'comes to write what another domain of this host reads',
      {
        record: running([READ]),
        live: [{ lv: 'root', mode: 'exclusive' }],
        locks: SH,
        records: records(running([READ]), recordOf(2, 'running', [READ])),
      },
      'root:exclusive record !written',
    ],
    ['only reads what it wrote before', { live: [{ lv: 'root', mode: 'shared' }] }, ''],
    ['has a lost lockspace', { locks: lockTable([], []) }, '!lockspace-lost'],
    [
      'migrates out, and its volume has a snapshot (2.03.16)',
      { wanted: OUT, devices: [{ ...deviceOf(root), hasSnapshot: true }, deviceOf(data)] },
      '!pool-lock',
    ],
    ['migrates out of a lost lockspace', { wanted: OUT, locks: lockTable([], []) }, '!lockspace-lost'],
    [
      'cannot be told about its locks',
      { locks: { kind: 'unknown', why: 'down', detail: '' } satisfies LockState },
      '!locks-unknown',
    ],
    [
      'shares with another domain of this host',
      { wanted: OUT, records: records(running(), recordOf(2, 'running', [withIds()])) },
      '!claimed',
    ],
    [
      'shares with one that only reads',
      { wanted: OUT, records: records(running(), recordOf(2, 'prepared', [withIds(root, { role: 'shared' })])) },
      '!claimed',
    ],
    [
      'shares with one that has ended',
      { wanted: OUT, records: records(running(), recordOf(2, 'releasing', [withIds()])) },
      'root:shared record',
    ],
    [
      'migrates out and another record cannot be read',
      { wanted: OUT, records: { known: [running()], unreadable: ['x'] } },
      '!records-unreadable',
    ],
    [
      'runs shared and another record cannot be read',
      { locks: SH, records: { known: [running()], unreadable: ['x'] } },
      'root:exclusive !records-unreadable',
    ],
    ['remembers a phase', { memory: { phase: 'perform3_done' } }, 'record'],
    ['copies its storage out', { wanted: because('storage-copy') }, '!storage-copy'],
    ['copies its storage onto what is shared', { wanted: because('storage-copy'), locks: SH }, 'abort !storage-copy'],
    ['copies its storage and has no lock', { wanted: because('storage-copy'), locks: NONE }, 'abort !storage-copy'],
    [
      'copies its storage and the locks are unknown',
      { wanted: because('storage-copy'), locks: { kind: 'unknown', why: 'failed', detail: '' } },
      '!storage-copy',
    ],
    ['goes out offline', { wanted: because('offline'), locks: SH }, '!offline'],
    ['was left paused', { wanted: because('left-paused'), locks: SH }, '!left-paused'],
    ['has a job that begins', { wanted: because('job-starting'), locks: SH }, ''],
    ['cannot be seen', { wanted: because('unknown'), runs: false }, '!unknown'],
    ['may be gone', { wanted: because('gone-once'), runs: false }, ''],
    ['is gone', { wanted: { mode: 'inactive' }, runs: false }, 'release deactivate'],
    [
      'is gone, and another uses its volume',
      { wanted: { mode: 'inactive' }, records: records(running(), recordOf(2, 'running', [withIds()])) },
      'release forget',
    ],
    [
      'is gone, and found its volume active',
      { wanted: { mode: 'inactive' }, record: running([withIds(root, { before: 'active' })]) },
      'release forget',
    ],
    [
      'is gone, and its volume, active before, was demoted',
      { wanted: { mode: 'inactive' }, record: running([withIds(root, { before: 'active', demoted: true })]) },
      'release deactivate',
    ],
    [
      'is gone, and a record cannot be read',
      { wanted: { mode: 'inactive' }, records: { known: [running()], unreadable: ['x'] } },
      'release keep !records-unreadable',
    ],
  ])('%s', (_, given, expected) => expect(words(given)).toBe(expected))
})

describe('a volume that was active before its domain started', () => {
  const onRecord = (given: Case): unknown => {
    const made = plan(given)
    return made.kind === 'drive' ? made.record?.volumes : made.kind
  }
  const active = withIds(root, { before: 'active' })
  const demoted = withIds(root, { before: 'active', mode: 'shared', demoted: true })

  test('demoted, it goes with its domain', () =>
    expect(onRecord({ wanted: OUT, record: running([active]) })).toEqual([demoted]))
  test('promoted again, it is as before', () => {
    expect(onRecord({ locks: SH, record: running([demoted]) })).toEqual([{ ...demoted, mode: 'exclusive' }])
    expect(onRecord({ record: running([{ ...demoted, mode: 'exclusive' }]) })).toEqual([active])
    expect(onRecord({ record: running([demoted]) })).toEqual([active])
  })
  test('while it is shared, nothing changes that', () =>
    expect(onRecord({ wanted: OUT, locks: SH, record: running([demoted]) })).toBeUndefined())
  test('what a backup job wrote is not shared: a domain that migrates has no such job any more', () => {
    const scratch = withIds(data, { before: 'active', job: true })
    const locks = lockTable([
      [root, 'exclusive'],
      [data, 'exclusive'],
    ])
    expect(onRecord({ wanted: OUT, locks, record: running([withIds(), scratch]) })).toEqual([
      withIds(root, { mode: 'shared' }),
      scratch,
    ])
  })
  test('one that lvguard brought up goes anyway', () =>
    expect(onRecord({ wanted: OUT })).toEqual([withIds(root, { mode: 'shared' })]))
})

describe('a domain without a record in force', () => {
  const live = [{ lv: 'root', mode: 'exclusive' }] as const
  const without = (given: Case): string => {
    const { record, locks = NONE, devices = BOTH, wanted = HERE, runs = true } = given
    const view: DomainView = {
      domain: { name: 'vm1', uuid: uuidOf(1) },
      wanted,
      record,
      runs,
      live: live.map((volume) => ({ vg: 'virtVG', reason: '', ...volume })),
    }
    const made = planDrive(view, { locks, devices, records: records(...(record ? [record] : [])) })
    return made.kind === 'drive'
      ? [
          ...made.changes.map(({ lv, to }) => `${lv}:${to}`),
          made.record === undefined ? '' : `${made.record.state} ${made.record.volumes.map(({ lv }) => lv).join()}`,
        ].join(' ')
      : made.kind
  }
  test.each<[string, Case, string]>([
    ['runs', {}, 'root:exclusive running root'],
    ['runs and holds its volume', { locks: EX, devices: [deviceOf(root)] }, 'running root'],
    ['migrates out', { wanted: OUT, locks: EX, devices: [deviceOf(root)] }, 'root:shared running root'],
    ['comes in: its prepare is at work', { wanted: IN }, 'nothing'],
    ['has no QEMU yet', { runs: false }, 'nothing'],
    ['goes down', { wanted: because('ending') }, 'nothing'],
    ['was refused once', { record: running([], 'refused') }, 'root:exclusive running root'],
    [
      'was let in once',
      { record: { ...running([], 'incoming'), incoming: { id: 'x', at: 1 } } },
      'root:exclusive running root',
    ],
    [
      'left a volume behind once',
      { record: running([withIds(data)], 'releasing'), locks: lockTable([[data, 'exclusive']]) },
      'root:exclusive running data,root',
    ],
  ])('%s', (_, given, expected) => expect(without(given)).toBe(expected))

  test('an id that was not used up goes', () => {
    const made = plan({ record: { ...running([withIds()], 'incoming'), incoming: { id: 'x', at: 1 } } })
    expect(made).toMatchObject({ kind: 'drive' })
    expect(made.kind === 'drive' && made.record).not.toHaveProperty('incoming')
  })
})

test('whatever the state: R3, R4, R9', () => {
  const mode = fc.constantFrom<Mode>('exclusive', 'shared')
  const wanted = fc.constantFrom<Wanted>(
    HERE,
    OUT,
    IN,
    because('left-paused'),
    because('unknown'),
    because('storage-copy'),
    { mode: 'inactive' },
  )
  const locks = fc.oneof(
    fc.constantFrom<LockState>({ kind: 'unknown', why: 'down', detail: '' }, lockTable([], [])),
    fc.array(fc.tuple(fc.constantFrom(root, data), mode)).map((held) => lockTable(held)),
  )
  const state = fc.option(fc.constantFrom<RecordState>('incoming', 'prepared', 'running', 'refused', 'releasing'), {
    nil: undefined,
  })
  const role = fc.record({ role: mode, before: fc.constantFrom('active' as const, 'inactive' as const) })
  fc.assert(
    fc.property(
      wanted,
      locks,
      state,
      role,
      fc.option(state, { nil: undefined }),
      fc.boolean(),
      (want, held, own, volume, others, runs) => {
        const record = own && running([withIds(root, volume)], own)
        const other = others && recordOf(2, others, [withIds()])
        const made = planDrive(
          {
            domain: { name: 'vm1', uuid: uuidOf(1) },
            wanted: want,
            record,
            runs,
            live: [{ vg: 'virtVG', lv: 'data', mode: 'exclusive', reason: '' }],
          },
          {
            locks: held,
            devices: [deviceOf(root), deviceOf(data)],
            records: records(...[record, other].filter((each) => each !== undefined)),
          },
        )
        if (made.kind !== 'drive') return
        expect(want.mode).not.toBe('inactive')
        for (const { lv, to } of made.changes) {
          const lock =
            held.kind === 'known' ? (held.locks.get((lv === 'root' ? root : data).uuid) ?? 'none') : 'unknown'
          expect(['exclusive', 'shared']).toContain(to)
          expect(lock).not.toBe('unknown')
          expect(lock).not.toBe(to)
          if (lock === 'exclusive') {
            expect(want).toEqual(OUT)
            if (lv === 'root') expect(['prepared', 'running']).not.toContain(other?.state)
          }
          expect(made.record ?? record).toMatchObject({
            volumes: expect.arrayContaining([expect.objectContaining({ lv })]),
          })
        }
      },
    ),
  )
})

describe('a domain whose record says already what its state calls for', () => {
  const viewOf = ({ wanted = HERE, record = running(), memory, live = [] }: Case): DomainView => ({
    domain: { name: 'vm1', uuid: uuidOf(1) },
    wanted,
    record,
    runs: true,
    memory,
    live: live.map((volume) => ({ vg: 'virtVG', reason: 'disk', ...volume })),
  })

  test.each<[string, Case, boolean]>([
    ['runs', {}, true],
    ['runs on what is on record', { live: [{ lv: 'root', mode: 'exclusive' }] }, true],
    ['is seen to run for the first time', { record: running([withIds()], 'prepared') }, false],
    ['runs, and has shared until now', { record: running([withIds(root, { mode: 'shared' })]) }, false],
    [
      'has got another volume',
      {
        live: [
          { lv: 'root', mode: 'exclusive' },
          { lv: 'data', mode: 'exclusive' },
        ],
      },
      false,
    ],
    ['comes to write what it only read', { record: running([READ]), live: [{ lv: 'root', mode: 'exclusive' }] }, false],
    ['begins to migrate out', { wanted: OUT }, false],
    ['migrates out, and has demoted', { wanted: OUT, record: running([withIds(root, { mode: 'shared' })]) }, true],
    [
      'is in a phase that is not on record',
      { wanted: OUT, record: running([withIds(root, { mode: 'shared' })]), memory: { phase: 'finish3' } },
      false,
    ],
    [
      'has a doubt to settle',
      { record: { ...running(), migration: { phase: 'finish3' } }, memory: { phase: 'finish3' } },
      false,
    ],
    ['comes in', { wanted: IN, record: running([withIds(root, { mode: 'shared' })]) }, false],
    ['is in a state that changes nothing', { wanted: because('storage-copy') }, false],
  ])('%s: %s', (_, given, expected) => expect(isAsRecorded(viewOf(given))).toBe(expected))

  test('an act would change nothing, where the locks are as the record says', () => {
    const modes = fc.constantFrom<Mode>('exclusive', 'shared')
    const volumes = fc
      .tuple(modes, modes, modes, modes)
      .map(([role, mode, otherRole, otherMode]) => [
        withIds(root, { role, mode }),
        withIds(data, { role: otherRole, mode: otherMode }),
      ])
    const phase = fc
      .constantFrom(undefined, 'perform3', 'finish3')
      .map((name) => (name === undefined ? undefined : { phase: name }))
    const lives = fc.constantFrom<NonNullable<Case['live']>>(
      [],
      [{ lv: 'root', mode: 'exclusive' }],
      [{ lv: 'data', mode: 'shared' }],
    )
    let met = 0
    fc.assert(
      fc.property(
        volumes,
        fc.constantFrom(HERE, OUT, IN),
        phase,
        phase,
        lives,
        (known, wanted, memory, migration, live) => {
          const given = {
            wanted,
            memory,
            live,
            record: { ...running(known), ...(migration && { migration }) },
            locks: lockTable(known.map(({ lv, mode }) => [lv === 'root' ? root : data, mode as Mode])),
          }
          if (!isAsRecorded(viewOf(given))) return
          met += 1
          expect(words(given)).toBe('')
        },
      ),
      { numRuns: 2000 },
    )
    expect(met).toBeGreaterThan(20)
  })
})
