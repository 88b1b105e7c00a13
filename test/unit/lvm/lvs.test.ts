import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LogicalVolume } from '../../../src/core/lock-state.ts'
import { lvsArguments, lvsByUuidArguments, parseLvs } from '../../../src/lvm/lvs.ts'
import { volumeName } from '../support/arbitraries.ts'

const ROOT = {
  vg_name: 'virtVG',
  lv_name: 'root',
  lv_uuid: 'MUsO6P-AN0u-BGjc-AZz2-H1aS-IqIB-5i0OC7',
  vg_uuid: '4n611J-TuvZ-hAcH-kpyj-iw61-GvSG-ytDrCD',
  vg_lock_type: 'sanlock',
  lv_layout: 'linear',
  lv_role: 'public',
  lv_lockargs: '1.0.0:70254592',
  pool_lv: '',
  pool_lv_uuid: '',
  origin_uuid: '',
}
type Row = typeof ROOT
const answer = (...rows: Partial<Row>[]): string =>
  JSON.stringify({ report: [{ lv: rows.map((row) => ({ ...ROOT, ...row })) }], log: [] })
const only = (row: Partial<Row>): LogicalVolume | undefined => [...parseLvs(answer(row), '').volumes.values()][0]

describe('what lvs says of one volume', () => {
  test('a plain one', () => {
    expect(only({})).toEqual({
      vg: 'virtVG',
      lv: 'root',
      uuid: ROOT.lv_uuid,
      vgUuid: ROOT.vg_uuid,
      lockType: 'sanlock',
      lockUuid: ROOT.lv_uuid,
      layout: 'linear',
      shareable: true,
      leaseOffset: 70_254_592,
    })
  })

  test.each<[string, Partial<Row>, Partial<LogicalVolume>]>([
    ['striped', { lv_layout: 'striped' }, { shareable: true, lockUuid: ROOT.lv_uuid }],
    ['RAID', { lv_layout: 'raid,raid1' }, { shareable: false, lockUuid: ROOT.lv_uuid }],
    ['a mirror', { lv_layout: 'mirror' }, { shareable: false }],
    [
      'thin: the pool has the lock',
      { lv_layout: 'thin,sparse', lv_lockargs: '', pool_lv: 'pool', pool_lv_uuid: 'POOL' },
      { shareable: false, lockUuid: 'POOL', pool: 'pool', layout: 'thin,sparse', leaseOffset: undefined },
    ],
    // lvmlockd.c, lockd_lv_uses_lock(): a VDO volume has no lock, its pool has; a cached volume has its own, its cache
    // pool or cachevol none.
    [
      'VDO: the pool has the lock',
      { lv_layout: 'vdo', lv_lockargs: '', pool_lv: '[vpool0]', pool_lv_uuid: 'POOL' },
      { shareable: false, lockUuid: 'POOL', pool: 'vpool0' },
    ],
    [
      'cached: it has a lock of its own',
      { lv_layout: 'cache', pool_lv: 'cachepool', pool_lv_uuid: 'CACHE' },
      { shareable: false, lockUuid: ROOT.lv_uuid },
    ],
    ['writecache', { lv_layout: 'writecache' }, { shareable: false, lockUuid: ROOT.lv_uuid }],
    [
      'a COW snapshot: its origin has the lock',
      { lv_role: 'public,snapshot,thicksnapshot', lv_lockargs: '', origin_uuid: 'ORIGIN' },
      { shareable: false, lockUuid: 'ORIGIN', layout: 'snapshot' },
    ],
    // lvm2 2.03.31 refuses it, 2.03.16 would share it and lose the snapshot (FACTS 37a).
    [
      'the origin of a COW snapshot',
      { lv_role: 'public,origin,thickorigin' },
      { shareable: false, lockUuid: ROOT.lv_uuid, layout: 'linear, with a snapshot' },
    ],
    [
      'a thin snapshot: the pool has the lock',
      {
        lv_role: 'public,snapshot,thinsnapshot',
        lv_layout: 'thin,sparse',
        pool_lv_uuid: 'POOL',
        origin_uuid: 'ORIGIN',
      },
      { lockUuid: 'POOL', shareable: false },
    ],
    ['a local VG', { vg_lock_type: '', lv_lockargs: '' }, { lockType: 'none', leaseOffset: undefined }],
    ['a local VG that says none', { vg_lock_type: 'none', lv_lockargs: '' }, { lockType: 'none' }],
    ['dlm', { vg_lock_type: 'dlm', lv_lockargs: 'dlm' }, { lockType: 'dlm', leaseOffset: undefined }],
    [
      'no lock_args: made while locking was off',
      { lv_lockargs: '' },
      { leaseOffset: undefined, lockUuid: ROOT.lv_uuid },
    ],
    ['a type nobody knows yet', { lv_layout: 'linear,quantum' }, { shareable: false }],
    ['no type', { lv_layout: '' }, { shareable: false }],
  ])('%s', (_, row, expected) => expect(only(row)).toMatchObject(expected))
})

describe('the whole answer', () => {
  test('several volumes by their names', () =>
    expect([...parseLvs(answer({}, { lv_name: 'iso' }), '').volumes.keys()]).toEqual(['virtVG/root', 'virtVG/iso']))

  test('a missing VG and one that LVM does not touch stand on stderr', () => {
    const stderr =
      '  Volume group "a-1" not found\n  Cannot process volume group a-1\n  Cannot access VG b with lock type sanlock that requires lvmlockd.\n'
    const { missingVgs, lockedOutVgs } = parseLvs(answer(), stderr)
    expect([[...missingVgs], [...lockedOutVgs]]).toEqual([['a-1'], ['b']])
  })

  test.each(['', 'x', '{', '{"report": [', 'LV VG'])('what is no JSON throws: %j', (stdout) =>
    expect(() => parseLvs(stdout, '')).toThrow(SyntaxError),
  )
  // R15: never "there is no such volume".
  test.each([
    'null',
    '[]',
    '1',
    '{}',
    '{"report": 1}',
    '{"report": [null]}',
    '{"report": [{"lv": 1}]}',
    '{"report": [{"lv": [null, 1, {}]}]}',
  ])('what is no report throws: %s', (stdout) => {
    expect(() => parseLvs(stdout, '')).toThrow(SyntaxError)
  })
  test('a row without one of the columns, as compact_output makes it, throws', () => {
    for (const field of Object.keys(ROOT))
      expect(() => parseLvs(answer({ [field]: undefined }), '')).toThrow(SyntaxError)
  })

  test.each<[string, string, [string, string][]]>([
    ['reported', '', []],
    ['not there, says lvs', '  Failed to find logical volume "virtVG/iso"\n', []],
    ['in a VG that is not there', '  Volume group "virtVG" not found\n  Cannot process volume group virtVG\n', []],
    [
      'in a VG that is exported',
      '  WARNING: x\n  y\n  Volume group virtVG is exported\n',
      [['virtVG/iso', "LVM says 'Volume group virtVG is exported'"]],
    ],
    ['left out without a word', '', [['virtVG/iso', 'lvs says nothing of it']]],
    [
      'left out, and what is wrong said in other words',
      'lvs: virtVG/iso fehlt\n',
      [['virtVG/iso', "LVM says 'lvs: virtVG/iso fehlt'"]],
    ],
  ])('what becomes of a volume that was asked for: %s', (name, stderr, expected) => {
    const rows = name === 'reported' ? [{}, { lv_name: 'iso' }] : [{}]
    expect([
      ...parseLvs(answer(...rows), stderr, [
        { vg: 'virtVG', lv: 'root' },
        { vg: 'virtVG', lv: 'iso' },
      ]).unexplained,
    ]).toEqual(expected)
  })
})

test('lvs is asked without a lock, with the names behind --', () => {
  fc.assert(
    fc.property(fc.array(volumeName, { minLength: 1 }), (volumes) => {
      const words = lvsArguments(volumes)
      expect(words).toContain('--nolocking')
      expect(words.slice(words.indexOf('--') + 1)).toEqual(volumes.map(({ vg, lv }) => `${vg}/${lv}`))
    }),
  )
})

test('lvs is told how to answer, by name and by UUID', () => {
  for (const words of [lvsArguments([{ vg: 'virtVG', lv: 'root' }]), lvsByUuidArguments(['a-1'])]) {
    expect(words.slice(0, 2)).toEqual([
      '--config',
      expect.stringMatching(/^log\/report_command_log=0 .* report\/compact_output=0 /),
    ])
  }
})

test('by UUID, lvs is asked for all VGs at once', () => {
  expect(lvsByUuidArguments(['a-1', 'b-2']).slice(-2)).toEqual(['--select', 'lv_uuid=a-1 || lv_uuid=b-2'])
})
