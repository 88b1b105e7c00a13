import { describe, expect, test } from 'vitest'
import { identityOf } from '../../../src/core/lock-state.ts'
import { goTogether, idlePools, isBoundByAnother, withIdsAndPool } from '../../../src/core/relatives.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded, records, uuidOf, volumeTable } from '../support/lvm.ts'

const POOL = logicalVolume({ vg: 'virtVG', lv: 'pool' })
const thin = (lv: string) =>
  logicalVolume({ vg: 'virtVG', lv }, { lockUuid: POOL.uuid, pool: 'pool', layout: 'thin,sparse', shareable: false })
const [ONE, TWO] = [thin('one'), thin('two')]
const ORIGIN = logicalVolume({ vg: 'virtVG', lv: 'origin' })
const SNAP = logicalVolume(
  { vg: 'virtVG', lv: 'snap' },
  { lockUuid: ORIGIN.uuid, layout: 'snapshot', shareable: false },
)
const TABLE = volumeTable([ONE, TWO, ORIGIN, SNAP])
const FREE = { locks: lockTable(), records: records(), devices: [deviceOf(ORIGIN), deviceOf(SNAP)] }
const onRecord = (volume: typeof ONE, before: 'inactive' | 'active' = 'inactive') =>
  withIdsAndPool([recorded(volume, { before })], TABLE, { ...FREE, devices: before === 'active' ? FREE.devices : [] })

describe('what is kept on record', () => {
  test('a volume that lvs does not know stays as it is', () =>
    expect(withIdsAndPool([recorded({ vg: 'v', lv: 'l' })], TABLE, FREE)).toEqual([recorded({ vg: 'v', lv: 'l' })]))
  test('the pool of a thin volume that was free', () =>
    expect(onRecord(ONE)[0]?.pool).toEqual({ lv: 'pool', before: 'inactive' }))
  test('the pool that somebody had here before', () => {
    expect(
      withIdsAndPool([recorded(ONE)], TABLE, { ...FREE, locks: lockTable([[POOL, 'exclusive']]) })[0]?.pool?.before,
    ).toBe('active')
  })
  test('the pool that another VM brought here', () => {
    const before = {
      ...FREE,
      locks: lockTable([[POOL, 'exclusive']]),
      records: records(recordOf(2, 'prepared', onRecord(TWO))),
    }
    expect(withIdsAndPool([recorded(ONE)], TABLE, before)[0]?.pool?.before).toBe('inactive')
  })
  test('where the locks were not known, the pool counts as somebody’s', () => {
    expect(
      withIdsAndPool([recorded(ONE)], TABLE, { ...FREE, locks: { kind: 'unknown', why: 'failed', detail: '' } })[0]
        ?.pool?.before,
    ).toBe('active')
  })
  test('an origin that came up with another VM’s snapshot counts as inactive before; one of nobody’s does not', () => {
    const before = { ...FREE, records: records(recordOf(2, 'prepared', onRecord(SNAP))) }
    expect(withIdsAndPool([recorded(ORIGIN, { before: 'active' })], TABLE, before)[0]?.before).toBe('inactive')
    expect(withIdsAndPool([recorded(ORIGIN, { before: 'active' })], TABLE, FREE)[0]?.before).toBe('active')
  })
})

describe('what goes with a volume', () => {
  const [snap, one] = [onRecord(SNAP)[0] ?? recorded(SNAP), onRecord(ONE)[0] ?? recorded(ONE)]
  const origin = onRecord(ORIGIN)[0] ?? recorded(ORIGIN)
  const reader = records(recordOf(2, 'running', onRecord(SNAP)))
  const UP = [deviceOf(ORIGIN), deviceOf(SNAP)]
  test.each<[string, boolean, boolean]>([
    [
      'another VM uses the origin',
      isBoundByAnother(snap, records(recordOf(2, 'running', onRecord(ORIGIN))), uuidOf(1), UP),
      true,
    ],
    ['it has ended', isBoundByAnother(snap, records(recordOf(2, 'releasing', onRecord(ORIGIN))), uuidOf(1), UP), false],
    ['it is this VM', isBoundByAnother(snap, records(recordOf(1, 'running', onRecord(ORIGIN))), uuidOf(1), UP), false],
    ['another VM uses the snapshot', isBoundByAnother(origin, reader, uuidOf(1), UP), true],
    ['the snapshot is gone', isBoundByAnother(origin, reader, uuidOf(1), [deviceOf(ORIGIN)]), false],
    ['LVM makes no devices on this host', isBoundByAnother(origin, reader, uuidOf(1), []), true],
    [
      'another thin volume of the pool does not go with it',
      isBoundByAnother(one, records(recordOf(2, 'running', onRecord(TWO))), uuidOf(1), UP),
      false,
    ],
  ])('%s', (_, found, expected) => expect(found).toBe(expected))
})

// Until lvs has told, only devices tell. A device that has a snapshot is seen to have one.
describe('what goes with a volume, while the UUIDs of the other one are not on record', () => {
  const PLAIN = logicalVolume({ vg: 'virtVG', lv: 'plain' })
  const AWAY = logicalVolume({ vg: 'moreVG', lv: 'away' })
  const UP = [{ ...deviceOf(ORIGIN), hasSnapshot: true as const }, deviceOf(SNAP), deviceOf(PLAIN), deviceOf(AWAY)]
  const whole = (volume: typeof ONE) => recorded(volume, { ids: identityOf(volume).ids })
  test.each<[string, typeof ONE, typeof ONE, 'yes' | 'maybe' | 'no', typeof UP?]>([
    ['a snapshot, and its origin', SNAP, ORIGIN, 'yes'],
    ['a snapshot, and what may be another one of its origin', SNAP, PLAIN, 'maybe'],
    ['an origin that has a snapshot, and that', ORIGIN, SNAP, 'maybe'],
    ['an origin that has a snapshot, and what may be one', ORIGIN, PLAIN, 'maybe'],
    ['the same of another volume group', ORIGIN, AWAY, 'no'],
    ['the same, not active', ORIGIN, PLAIN, 'no', UP.slice(0, 2)],
    ['what has no snapshot', PLAIN, SNAP, 'no'],
    ['what has no snapshot, and an origin', PLAIN, ORIGIN, 'no'],
  ])('%s', (_, volume, other, expected, up = UP) =>
    expect(goTogether(whole(volume), recorded(other), up)).toBe(expected),
  )
})

describe('pools to be given back', () => {
  const HELD = lockTable([[POOL, 'exclusive']])
  const idle = (
    volumes = onRecord(ONE),
    locks: Parameters<typeof idlePools>[1] = HELD,
    known = records(),
    isInUse = false,
  ): string[] => idlePools(volumes, locks, known, uuidOf(1), () => isInUse).map(({ vg, lv }) => `${vg}/${lv}`)
  test.each<[string, string[], string[]]>([
    ['with its last volume', idle(), ['virtVG/pool']],
    ['once, whatever the number of volumes', idle([...onRecord(ONE), ...onRecord(TWO)]), ['virtVG/pool']],
    ['not one that somebody had before', idle(withIdsAndPool([recorded(ONE)], TABLE, { ...FREE, locks: HELD })), []],
    ['not one that LVM has given back already', idle(onRecord(ONE), lockTable()), []],
    ['not while another of its volumes is active', idle(onRecord(ONE), HELD, records(), true), []],
    [
      'not while another VM has one on record',
      idle(onRecord(ONE), HELD, records(recordOf(2, 'prepared', onRecord(TWO)))),
      [],
    ],
    [
      'not while another VM starts on the VG',
      idle(onRecord(ONE), HELD, records(recordOf(2, 'prepared', [recorded(TWO)]))),
      [],
    ],
    ['not while a record cannot be read', idle(onRecord(ONE), HELD, { known: [], unreadable: ['x'] }), []],
    ['not where the locks are not known', idle(onRecord(ONE), { kind: 'unknown', why: 'down', detail: '' }), []],
    [
      'with what a VM that has ended left on record',
      idle(onRecord(ONE), HELD, records(recordOf(2, 'releasing', onRecord(TWO)))),
      ['virtVG/pool'],
    ],
    ['a plain volume has none', idle(onRecord(ORIGIN), lockTable([[ORIGIN, 'exclusive']])), []],
  ])('%s', (_, found, expected) => expect(found).toEqual(expected))
})
