import { describe, expect, test } from 'vitest'
import type { HostFacts } from '../../../src/core/start.ts'
import type { Candidates } from '../../../src/core/domain.ts'
import { NO_VOLUMES } from '../../../src/core/lock-state.ts'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import {
  type ServableVolume,
  identitiesOf,
  plainVolumes,
  planForWaiting,
  servable,
  servableStart,
} from '../../../src/core/waiting-start.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded, records, uuidOf } from '../support/lvm.ts'

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const data = logicalVolume({ vg: 'virtVG', lv: 'data' })
const volume = (lv: string): ManagedVolume => ({ vg: 'virtVG', lv, role: 'exclusive', isLocal: false, reason: lv })
const own = (row: typeof root): ServableVolume => servable(volume(row.lv), row) as ServableVolume

describe('volumes that another prepare may take', () => {
  test.each([
    ['a plain one', volume('root'), root, true],
    ['shared', { ...volume('root'), role: 'shared' as const }, root, false],
    ['of a local VG', { ...volume('root'), isLocal: true }, root, false],
    ['unknown to lvs', volume('root'), undefined, false],
    ['in a thin pool', volume('root'), { ...root, pool: 'pool' }, false],
    ['under the lock of another (a snapshot)', volume('root'), { ...root, lockUuid: data.uuid }, false],
  ])('%s', (_, wanted, row, may) => {
    expect(servable(wanted, row) !== undefined).toBe(may)
  })
})

describe('a start that another one may serve', () => {
  const candidate = { ...volume('root'), mode: 'exclusive' as const, path: '/dev/virtVG/root' }
  const none = { volumes: [], impossible: [], standIns: [], images: [], problems: [] }
  test.each<[string, Partial<Candidates>, boolean]>([
    ['volumes that it wants for itself', { volumes: [candidate] }, true],
    ['none at all', {}, false],
    ['one to share', { volumes: [candidate, { ...candidate, mode: 'shared' }] }, false],
    ['one that it can do without', { volumes: [{ ...candidate, optional: true }] }, false],
    ['one whose use is not known', { volumes: [{ ...candidate, unknownUse: 'x' }] }, false],
    [
      'one below an LV of a guest',
      { volumes: [{ ...candidate, stack: { holder: 'dm-1', top: '/dev/x', vg: 'guest' } }] },
      false,
    ],
    [
      'a name that no LV can have',
      { volumes: [candidate], impossible: [{ vg: 'v', path: '/dev/v/-', disk: 'vda' }] },
      false,
    ],
    ['a file in the place of a volume', { volumes: [candidate], standIns: [{} as never] }, false],
    ['a source that is not understood', { volumes: [candidate], problems: [{ kind: 'other', detail: '' }] }, false],
  ])('%s: %#', (_, candidates, may) => {
    expect(plainVolumes({ ...none, ...candidates }) !== undefined).toBe(may)
  })

  const start = { domain: { name: 'tintin', uuid: uuidOf(1) }, volumes: [volume('root'), volume('data')] }
  const table = { ...NO_VOLUMES, volumes: new Map([root, data].map((row) => [`virtVG/${row.lv}`, row])) }
  test('all of its volumes are, or none is, and their VG has a lockspace', () => {
    expect(servableStart(start, table, lockTable())?.volumes.map(({ ids }) => ids.lv)).toEqual([root.uuid, data.uuid])
    expect(servableStart(start, { ...table, volumes: new Map([['virtVG/root', root]]) }, lockTable())).toBeUndefined()
    const elsewhere = start.volumes.map((each) => ({ ...each, vg: 'localVG' }))
    const rows = new Map([root, data].map((row) => [`localVG/${row.lv}`, row]))
    expect(servableStart({ ...start, volumes: elsewhere }, { ...table, volumes: rows }, lockTable())).toBeUndefined()
  })

  test('the record tells afterwards which volumes they are, but not of one that lies in a pool or has another’s lock', () => {
    const found = identitiesOf([
      { ...recorded(root), ids: own(root).ids },
      { ...recorded(data), ids: own(data).ids, pool: { lv: 'pool', before: 'active' } },
    ])
    expect([...found.volumes.keys()]).toEqual(['virtVG/root'])
    expect([
      ...identitiesOf([recorded(data), { ...recorded(data), ids: { ...own(data).ids, lock: root.uuid } }]).volumes,
    ]).toEqual([])
  })
})

describe('what is taken for a start that waits', () => {
  const plan = (facts: Partial<HostFacts> = {}, volumes: readonly ServableVolume[] = [own(root), own(data)]) =>
    planForWaiting(
      { domain: { name: 'tintin', uuid: uuidOf(1) }, volumes },
      { locks: lockTable(), devices: [], records: records(), users: new Map(), ...facts },
    )

  test('all its volumes, by their UUIDs (R14), inactive before', () => {
    const found = plan()
    expect(found?.changes.map(({ to, now }) => ({ to, now }))).toEqual([
      { to: 'exclusive', now: { vg: 'virtVG', uuid: root.uuid } },
      { to: 'exclusive', now: { vg: 'virtVG', uuid: data.uuid } },
    ])
    expect(found?.recorded.map(({ lv, before, ids }) => ({ lv, before, id: ids?.lv }))).toEqual([
      { lv: 'root', before: 'inactive', id: root.uuid },
      { lv: 'data', before: 'inactive', id: data.uuid },
    ])
  })

  test.each<[string, Partial<HostFacts>]>([
    ['it has a record, whatever that says', { records: records(recordOf(1, 'refused', [])) }],
    ['one is active', { devices: [deviceOf(data)] }],
    ['one is on record for another VM', { records: records(recordOf(2, 'prepared', [recorded(data)])) }],
    ['a record cannot be read (R9)', { records: { known: [], unreadable: ['/run/lvguard/x.json'] } }],
  ])('nothing where %s', (_, facts) => {
    expect(plan(facts)).toBeUndefined()
  })

  test('nothing for one without volumes', () => {
    expect(plan({}, [])).toBeUndefined()
  })
})
