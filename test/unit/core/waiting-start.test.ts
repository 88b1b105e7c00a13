import { describe, expect, test } from 'vitest'
import type { HostFacts } from '../../../src/core/start.ts'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import { type ServableVolume, planForWaiting, servable } from '../../../src/core/waiting-start.ts'
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
