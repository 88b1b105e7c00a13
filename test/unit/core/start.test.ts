import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Configuration, DEFAULTS } from '../../../src/core/configuration.ts'
import { candidatesOf } from '../../../src/core/domain.ts'
import type { LockState } from '../../../src/core/lock-state.ts'
import type { DomainRecord, RecordedVolume, Records } from '../../../src/core/record.ts'
import { type ManagedVolume, scopeOf } from '../../../src/core/scope.ts'
import { type HostFacts, planStart, seemUnlocked } from '../../../src/core/start.ts'
import { fullName } from '../../../src/core/volume.ts'
import { situation } from '../support/any-host.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded, records, uuidOf, volumeTable } from '../support/lvm.ts'

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const exclusive: ManagedVolume = { vg: 'virtVG', lv: 'root', role: 'exclusive', isLocal: false, reason: 'disk vda' }
const shared: ManagedVolume = {
  vg: 'virtVG',
  lv: 'root',
  role: 'shared',
  isLocal: false,
  reason: 'disk hda, <readonly/>',
}
const local: ManagedVolume = { ...exclusive, isLocal: true }
const UNKNOWN: LockState = { kind: 'unknown', why: 'down', detail: '' }
const EX = lockTable([[root, 'exclusive']])
const SH = lockTable([[root, 'shared']])
const ON = [deviceOf(root)]
const OPEN = new Map([['virtVG/root', ['mounted on /mnt']]])

interface Case extends Partial<HostFacts> {
  readonly wanted?: ManagedVolume
  readonly incoming?: boolean
  readonly earlier?: readonly RecordedVolume[]
}
/** The plan for one volume in short words: `exclusive, before inactive`, `stays, before active`, `!on-record`. */
function plan({ wanted = exclusive, incoming = false, earlier = [], ...facts }: Case): string {
  const result = planStart(
    [wanted],
    { locks: lockTable(), devices: [], records: records(), users: new Map(), ...facts },
    uuidOf(1),
    incoming,
    earlier,
  )
  if (result.kind === 'refuse') return result.problems.map(({ kind }) => `!${kind}`).join()
  return `${result.changes.map(({ to }) => to).join() || 'stays'}, before ${result.recorded.map(({ before }) => before).join()}`
}
const other = (
  state: DomainRecord['state'],
  role: RecordedVolume['role'],
  before: RecordedVolume['before'] = 'inactive',
): Records => records(recordOf(2, state, [recorded(root, { role, mode: role, before })]))
const own = recorded(root)
const snapshot = logicalVolume({ vg: 'virtVG', lv: 'snap' }, { lockUuid: root.uuid, shareable: false })

describe('what a prepare does about one volume', () => {
  test.each<[string, Case, string]>([
    ['inactive', {}, 'exclusive, before inactive'],
    ['inactive, to be shared', { wanted: shared }, 'shared, before inactive'],
    ['inactive, of a local VG', { wanted: local }, 'local, before inactive'],
    ['inactive, coming in', { incoming: true }, 'shared, before inactive'],
    ['locked well enough', { devices: ON, locks: EX }, 'stays, before active'],
    ['locked more than is needed', { wanted: shared, devices: ON, locks: EX }, 'stays, before active'],
    ['locked more than a migration needs', { incoming: true, devices: ON, locks: EX }, 'stays, before active'],
    ['shared already', { wanted: shared, devices: ON, locks: SH }, 'stays, before active'],
    ['shared, exclusive needed', { devices: ON, locks: SH }, 'exclusive, before active'],
    [
      'of a table that fails all I/O, held or not',
      { devices: [{ ...deviceOf(root), dead: 'error' }], locks: EX },
      '!dead-device',
    ],
    ['suspended', { devices: [{ ...deviceOf(root), dead: 'suspended' }] }, '!dead-device'],
    ['active without a lock', { devices: ON }, 'exclusive, before active'],
    ['active, locks not known', { devices: ON, locks: UNKNOWN }, 'exclusive, before active'],
    ['locked without a device', { locks: EX }, 'exclusive, before inactive'],
    ['active, of a local VG', { wanted: local, devices: ON }, 'stays, before active'],
    ['left by an earlier life of this domain', { devices: ON, locks: EX, earlier: [own] }, 'stays, before inactive'],
    [
      'left exclusive by an earlier life, and only read now',
      { wanted: shared, devices: ON, locks: EX, earlier: [own] },
      'stays, before inactive',
    ],
    [
      'left exclusive by another VM, and only read now',
      { wanted: shared, devices: ON, locks: EX, records: other('refused', 'exclusive') },
      'stays, before inactive',
    ],
    [
      'exclusive, only read, and of a command that hands it over',
      {
        wanted: shared,
        devices: ON,
        locks: EX,
        records: records({ ...recordOf(2, 'prepared', [own]), command: 'hands-over' }),
      },
      'stays, before inactive',
    ],
    [
      'exclusive, only read, and open',
      { wanted: shared, devices: ON, locks: EX, users: OPEN, records: other('releasing', 'shared') },
      'stays, before inactive',
    ],
    [
      'exclusive, only read, and another VM writes its snapshot, under the same lock (FACTS 26)',
      {
        wanted: shared,
        devices: ON,
        locks: EX,
        earlier: [own],
        records: records(
          recordOf(2, 'running', [
            recorded(snapshot, { ids: { lv: snapshot.uuid, vg: snapshot.vgUuid, lock: root.lockUuid } }),
          ]),
        ),
      },
      'stays, before inactive',
    ],
    [
      'exclusive, only read, and shared on record of another VM',
      { wanted: shared, devices: ON, locks: EX, records: other('running', 'shared') },
      'stays, before inactive',
    ],
    [
      'active before an earlier life of this domain',
      { devices: ON, locks: EX, earlier: [recorded(root, { before: 'active' })] },
      'stays, before active',
    ],
    ['open', { devices: ON, locks: EX, users: OPEN }, '!open'],
    ['open, to be shared, nobody knows by whom', { wanted: shared, devices: ON, locks: SH, users: OPEN }, '!open'],
    [
      'shared by another VM of this host',
      { wanted: shared, devices: ON, locks: SH, users: OPEN, records: other('prepared', 'shared') },
      'stays, before inactive',
    ],
    [
      'shared by another VM that found it active',
      { wanted: shared, devices: ON, locks: SH, users: OPEN, records: other('prepared', 'shared', 'active') },
      'stays, before active',
    ],
    [
      'exclusive for another VM',
      { wanted: shared, devices: ON, locks: EX, users: OPEN, records: other('prepared', 'exclusive') },
      '!on-record',
    ],
    [
      'shared by another VM, exclusive needed',
      { devices: ON, locks: SH, users: OPEN, records: other('running', 'shared') },
      '!on-record',
    ],
    [
      'of a command that keeps it',
      { devices: ON, locks: EX, records: records({ ...recordOf(2, 'prepared', [own]), command: 'keeps' }) },
      '!on-record',
    ],
    [
      'of a command that hands it over',
      { devices: ON, locks: EX, records: records({ ...recordOf(2, 'prepared', [own]), command: 'hands-over' }) },
      'stays, before inactive',
    ],
    [
      'of a command that hands it over, and has it open',
      {
        devices: ON,
        locks: EX,
        users: OPEN,
        records: records({ ...recordOf(2, 'prepared', [own]), command: 'hands-over' }),
      },
      '!open',
    ],
    [
      'on record of a VM that is gone but still here',
      { devices: ON, locks: EX, records: other('releasing', 'exclusive') },
      '!on-record',
    ],
    ['on record of a refused start', { records: other('refused', 'exclusive') }, 'exclusive, before inactive'],
    ['on record of an announced migration', { records: other('incoming', 'exclusive') }, 'exclusive, before inactive'],
    ['on its own record', { records: records(recordOf(1, 'prepared', [own])) }, 'exclusive, before inactive'],
    [
      'one VM is still to release it, another has it',
      { records: records(...other('releasing', 'exclusive').known, recordOf(3, 'prepared', [own])) },
      '!on-record',
    ],
    ['any record cannot be read', { records: { known: [], unreadable: ['x.json'] } }, '!records-unreadable'],
  ])('%s', (_, given, expected) => expect(plan(given)).toBe(expected))

  test('two VMs of one host may read one volume of a local VG', () => {
    // <readonly/> on both sides is no conflict where there is no lock either (DESIGN 5).
    const domain = {
      name: 'tintin',
      uuid: '',
      incomingId: undefined,
      gotPastPrepare: false,
      disks: [{ target: 'hda', path: '/dev/localVG/iso', readonly: true, shareable: false }],
    }
    const configuration: Configuration = { ...DEFAULTS, localVolumeGroups: 'activate' }
    const iso = logicalVolume({ vg: 'localVG', lv: 'iso' }, { lockType: 'none' })
    const { volumes } = scopeOf(
      candidatesOf(domain, configuration),
      lockTable(),
      volumeTable([iso]),
      configuration,
      () => true,
    )
    const first = planStart(
      volumes,
      { locks: lockTable(), devices: [], records: records(), users: new Map() },
      uuidOf(2),
      false,
      [],
    )
    const known = records(recordOf(2, 'prepared', first.kind === 'activate' ? first.recorded : []))
    const users = new Map([['localVG/iso', ['used by the VM vm2 (process 7)']]])
    expect(
      planStart(volumes, { locks: lockTable(), devices: [deviceOf(iso)], records: known, users }, uuidOf(1), false, []),
    ).toMatchObject({ kind: 'activate', changes: [] })
  })

  test('a volume that a VM long gone could not give back, and that is given back by now, is free', () => {
    expect(plan({ records: other('releasing', 'exclusive') })).toBe('exclusive, before inactive')
  })

  test('all problems are told together', () => {
    const facts: HostFacts = {
      locks: EX,
      devices: ON,
      users: OPEN,
      records: { known: other('prepared', 'exclusive').known, unreadable: ['x'] },
    }
    const result = planStart([exclusive], facts, uuidOf(1), false, [])
    expect(result.kind === 'refuse' && result.problems.map(({ kind }) => kind)).toEqual([
      'records-unreadable',
      'on-record',
    ])
  })
})

const anyRecord = fc.record(
  {
    owner: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom('incoming', 'prepared', 'running', 'refused', 'releasing'),
    role: fc.constantFrom('exclusive', 'shared'),
    before: fc.constantFrom('inactive', 'active'),
    volume: fc.nat({ max: 5 }),
  },
  { noNullPrototype: true },
)

describe('whatever the host is like', () => {
  const everything = fc
    .tuple(
      situation,
      fc.array(anyRecord, { maxLength: 4 }),
      fc.array(fc.nat({ max: 5 }), { maxLength: 2 }),
      fc.boolean(),
    )
    .map(([{ host, wanted }, drawn, open, incoming]) => {
      const known = drawn.map(({ owner, state, role, before, volume }) => {
        const { vg, lv } = wanted[volume % wanted.length] ?? { vg: 'vg1', lv: 'other' }
        return recordOf(owner, state, [recorded({ vg, lv }, { role, mode: role, before })])
      })
      const users = new Map(
        open.flatMap((index) => {
          const state = host.states[index % host.states.length]
          return state?.active === true ? [[fullName(state.volume), ['somebody']] as const] : []
        }),
      )
      const facts: HostFacts = { ...host.facts(), records: records(...known), users }
      return { host, wanted, facts, incoming, plan: planStart(wanted, facts, uuidOf(1), incoming, []) }
    })

  test('shared is asked for on a volume that needs exclusive only if a migration was announced (R2)', () => {
    fc.assert(
      fc.property(everything, ({ wanted, incoming, plan: made }) => {
        if (made.kind === 'refuse' || incoming) return
        for (const { vg, lv, to } of made.changes)
          expect(to).toBe(wanted.find((volume) => volume.vg === vg && volume.lv === lv)?.role)
      }),
    )
  })

  test('no plan lowers a lock that this host holds, or takes it away', () => {
    fc.assert(
      fc.property(everything, ({ host, plan: made }) => {
        if (made.kind === 'refuse') return
        for (const change of made.changes) {
          expect(change.to).not.toBe('inactive')
          const volume = host.volumeOf(change)
          if (
            change.to === 'shared' &&
            volume !== undefined &&
            host.facts().devices.some(({ lv }) => lv === change.lv) &&
            volume.lockUuid === volume.uuid
          )
            expect(host.lock(volume)).not.toBe('exclusive')
        }
      }),
    )
  })

  test('nor that of an origin or a pool, where lvs has told which it is (R3, FACTS 26)', () => {
    fc.assert(
      fc.property(everything, ({ host, wanted, facts, incoming }) => {
        const covers = seemUnlocked(wanted, facts, incoming)
          ? volumeTable(host.states.map(({ volume }) => volume))
          : undefined
        const made = planStart(wanted, facts, uuidOf(1), incoming, [], covers)
        for (const { to, vg, lv } of made.kind === 'refuse' ? [] : made.changes) {
          const volume = host.volumeOf({ vg, lv })
          const isActive = facts.devices.some((device) => device.vg === vg && device.lv === lv)
          if (to === 'shared' && volume !== undefined && isActive) expect(host.lock(volume)).not.toBe('exclusive')
        }
      }),
    )
  })

  test('a plan that refuses carries nothing that could be carried out', () => {
    fc.assert(
      fc.property(everything, ({ plan: made }) => {
        expect(Object.keys(made).sort()).toEqual(
          made.kind === 'refuse' ? ['kind', 'problems'] : ['changes', 'kind', 'recorded'],
        )
        if (made.kind === 'refuse') expect(made.problems.length).toBeGreaterThan(0)
      }),
    )
  })

  test('what another VM claims, or somebody has open, is never exclusive for a start', () => {
    fc.assert(
      fc.property(everything, ({ facts, plan: made, wanted }) => {
        if (made.kind === 'refuse') return
        for (const { vg, lv, role } of wanted) {
          const claims = facts.records.known.filter(
            ({ domain, state, volumes }) =>
              domain.uuid !== uuidOf(1) &&
              !['refused', 'incoming', 'releasing'].includes(state) &&
              volumes.some((volume) => volume.vg === vg && volume.lv === lv),
          )
          if (role === 'exclusive') expect([claims.length, facts.users.has(`${vg}/${lv}`)]).toEqual([0, false])
        }
      }),
    )
  })

  test('the record names every volume, in the mode that it will have', () => {
    fc.assert(
      fc.property(everything, ({ plan: made, wanted, incoming }) => {
        if (made.kind === 'refuse') return
        expect(made.recorded.map(({ vg, lv, role, mode }) => `${vg}/${lv} ${role} ${mode}`)).toEqual(
          wanted.map(({ vg, lv, role }) => `${vg}/${lv} ${role} ${incoming ? 'shared' : role}`),
        )
      }),
    )
  })
})
