import { describe, expect, test } from 'vitest'
import type { Device, LockState } from '../../../src/core/lock-state.ts'
import { lockOf, suffices } from '../../../src/core/lock-state.ts'
import type { RecordedVolume } from '../../../src/core/record.ts'
import { deadVolumes, missingLocks, withoutDevice } from '../../../src/core/start.ts'
import { deviceOf, lockTable, logicalVolume, lvmUuid, recorded, volumeTable } from '../support/lvm.ts'

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const thin = logicalVolume(
  { vg: 'virtVG', lv: 'thin1' },
  { lockUuid: lvmUuid('virtVG/pool'), layout: 'thin,sparse', shareable: false },
)
const home = logicalVolume({ vg: 'localVG', lv: 'home' }, { lockType: 'none' })
const TABLE = volumeTable([root, thin, home])
const DOWN: LockState = { kind: 'unknown', why: 'down', detail: '' }
const ABSENT: LockState = { kind: 'unknown', why: 'absent', detail: 'lvmlockctl is not installed' }
const local = recorded(home, { mode: 'local' })

const missing = (volumes: readonly RecordedVolume[], locks: LockState, devices: readonly Device[] = []): string =>
  missingLocks(volumes, TABLE, locks, devices)
    .map((problem) => ('volume' in problem ? `${problem.kind} ${problem.volume}` : problem.kind))
    .join()

describe('the locks read back after lvchange has succeeded (R1)', () => {
  test.each<[string, RecordedVolume[], LockState, string, Device[]?]>([
    ['exclusive, as asked for', [recorded(root)], lockTable([[root, 'exclusive']]), ''],
    ['shared, as asked for', [recorded(root, { mode: 'shared' })], lockTable([[root, 'shared']]), ''],
    ['exclusive is enough for shared', [recorded(root, { mode: 'shared' })], lockTable([[root, 'exclusive']]), ''],
    ['shared is not enough for exclusive', [recorded(root)], lockTable([[root, 'shared']]), 'no-lock virtVG/root'],
    [
      'an LV without lock_args gets no lock, and lvchange exits 0',
      [recorded(root)],
      lockTable(),
      'no-lock virtVG/root',
      [deviceOf(root)],
    ],
    ['the lock of another LV is none', [recorded(root)], lockTable([[thin, 'exclusive']]), 'no-lock virtVG/root'],
    ['a thin volume is locked by its pool', [recorded(thin)], lockTable([[thin, 'exclusive']]), ''],
    ['one of two', [recorded(root), recorded(thin)], lockTable([[root, 'exclusive']]), 'no-lock virtVG/thin1'],
    [
      'a volume that lvs does not know',
      [recorded({ vg: 'virtVG', lv: 'gone' })],
      lockTable(),
      'missing-volume virtVG/gone',
    ],
    ['lvmlockd is gone', [recorded(root)], DOWN, 'lvmlockd-down'],
    ['lvmlockd cannot be asked', [recorded(root)], ABSENT, 'locks-unknown'],
    ['a local volume that is active', [local], lockTable(), '', [deviceOf(home)]],
    ['a local volume that is not', [local], lockTable(), 'not-active localVG/home'],
    ['a local volume needs no lvmlockd', [local], ABSENT, '', [deviceOf(home)]],
    ['a local volume beside one that needs lvmlockd', [local, recorded(root)], DOWN, 'lvmlockd-down', [deviceOf(home)]],
    ['nothing', [], lockTable(), ''],
    ['local volumes alone', [local], DOWN, '', [deviceOf(home)]],
  ])('%s', (_, volumes, locks, expected, devices) => expect(missing(volumes, locks, devices)).toBe(expected))
})

test('where lvs does not answer, nothing is known of any lock', () => {
  expect(
    missingLocks([recorded(root)], undefined, lockTable([[root, 'exclusive']]), []).map(({ kind }) => kind),
  ).toEqual(['locks-unknown'])
})

describe('a lock and a mode', () => {
  test.each([
    ['exclusive', 'exclusive', true],
    ['exclusive', 'shared', true],
    ['shared', 'shared', true],
    ['shared', 'exclusive', false],
    ['none', 'shared', false],
    ['none', 'exclusive', false],
  ] as const)('%s suffices for %s: %s', (held, mode, expected) => expect(suffices(held, mode)).toBe(expected))
  test('a volume that lvmlockd does not list is not locked', () => expect(lockOf(lockTable(), root.uuid)).toBe('none'))
})

test('what is locked and has no device, whatever its name is now', () => {
  const renamed = { ...deviceOf(root), lv: 'new' }
  expect(withoutDevice([recorded(root), recorded(home)], TABLE, [deviceOf(home)]).map(({ lv }) => lv)).toEqual(['root'])
  expect(withoutDevice([recorded(root)], TABLE, [renamed])).toEqual([])
})

test('a device that leads to no storage is no volume, whatever its lock says (FACTS 49)', () => {
  const dead = (is?: 'error' | 'suspended') =>
    deadVolumes([recorded(root)], TABLE, [{ ...deviceOf(root), ...(is && { dead: is }) }])
  expect([dead(), dead('error'), dead('suspended')]).toEqual([
    [],
    [{ kind: 'dead-device', volume: 'virtVG/root', is: 'error' }],
    [{ kind: 'dead-device', volume: 'virtVG/root', is: 'suspended' }],
  ])
})
