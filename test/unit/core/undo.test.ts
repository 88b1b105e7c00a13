import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Device, LockState, LogicalVolume } from '../../../src/core/lock-state.ts'
import type { RecordedVolume } from '../../../src/core/record.ts'
import { type Change, planStart, planUndo } from '../../../src/core/start.ts'
import { deviceOf, lockTable, logicalVolume, uuidOf } from '../support/lvm.ts'
import { situation } from '../support/any-host.ts'

describe('undoing what was carried out of a plan', () => {
  test('after any part of it, the host is as it was', () => {
    fc.assert(
      fc.property(
        situation,
        fc.boolean(),
        fc.array(fc.boolean(), { maxLength: 12 }),
        ({ host, wanted }, shared, chances) => {
          const plan = planStart(wanted, host.facts(), uuidOf(1), shared, [])
          if (plan.kind === 'refuse') throw new Error('nobody uses anything here')
          const before = host.facts()
          const was = host.snapshot()
          const chance = (): boolean => chances.shift() ?? true
          const { attempted } = host.carryOut(plan.changes, chance)
          const undo = planUndo(attempted, [], host.volumeOf, before, host.facts())
          expect(host.carryOut(undo).ok).toBe(true)
          expect(host.snapshot()).toEqual(was)
        },
      ),
      { numRuns: 200 },
    )
  })

  test('what was not attempted is not touched', () => {
    fc.assert(
      fc.property(situation, ({ host, wanted }) => {
        const plan = planStart(wanted, host.facts(), uuidOf(1), false, [])
        const before = host.facts()
        if (plan.kind === 'activate') host.carryOut(plan.changes)
        expect(planUndo([], [], host.volumeOf, before, host.facts())).toEqual([])
      }),
    )
  })

  test('an undo only goes down: it never asks for exclusive', () => {
    fc.assert(
      fc.property(situation, fc.boolean(), ({ host, wanted }, shared) => {
        const plan = planStart(wanted, host.facts(), uuidOf(1), shared, [])
        const before = host.facts()
        const { attempted } = host.carryOut(plan.kind === 'activate' ? plan.changes : [])
        expect(
          planUndo(attempted, [], host.volumeOf, before, host.facts()).filter(
            ({ to }) => to !== 'inactive' && to !== 'shared',
          ),
        ).toEqual([])
      }),
    )
  })
})

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const UNKNOWN: LockState = { kind: 'unknown', why: 'down', detail: '' }
const FREE = lockTable()
const EX = lockTable([[root, 'exclusive']])
const SH = lockTable([[root, 'shared']])
const attempted: readonly Change[] = [{ vg: 'virtVG', lv: 'root', to: 'exclusive', reason: '' }]
const ON: readonly Device[] = [deviceOf(root)]

/** What undoes an attempt on one volume: `inactive`, `shared`, or nothing. */
function undoOf(
  before: readonly [LockState, readonly Device[]],
  after: readonly [LockState, readonly Device[]],
  /** What lvs says of it. */
  volume: LogicalVolume | 'nothing' = root,
  earlier: readonly RecordedVolume[] = [],
): string {
  const moment = ([locks, devices]: readonly [LockState, readonly Device[]]) => ({ locks, devices })
  return planUndo(attempted, earlier, () => (volume === 'nothing' ? undefined : volume), moment(before), moment(after))
    .map(({ to }) => to)
    .join()
}

describe('one volume', () => {
  test.each<[string, string, [LockState, readonly Device[]], [LockState, readonly Device[]]]>([
    ['was free, is locked and active', 'inactive', [FREE, []], [EX, ON]],
    ['was free, is locked without a device', 'inactive', [FREE, []], [EX, []]],
    ['was free, is shared', 'inactive', [FREE, []], [SH, ON]],
    ['was free, is free', '', [FREE, []], [FREE, []]],
    ['was free, is not known any more', 'inactive', [FREE, []], [UNKNOWN, []]],
    ['was not known, is not known', '', [UNKNOWN, []], [UNKNOWN, []]],
    ['was not known, is active', 'inactive', [UNKNOWN, []], [UNKNOWN, ON]],
    ['was not known, is locked', 'inactive', [UNKNOWN, []], [EX, []]],
    ['was shared, is exclusive', 'shared', [SH, ON], [EX, ON]],
    ['was shared, is shared', '', [SH, ON], [SH, ON]],
    ['was shared, is not known any more', 'shared', [SH, ON], [UNKNOWN, ON]],
    ['was exclusive, is exclusive', '', [EX, ON], [EX, ON]],
    ['was active, is not known any more', '', [EX, ON], [UNKNOWN, ON]],
    // What has no lock but is active was not made by lvguard; there is no lvchange that drops the lock and keeps the
    // device.
    ['was active without a lock, is exclusive', '', [FREE, ON], [EX, ON]],
  ])('%s: %s', (_, expected, before, after) => expect(undoOf(before, after)).toBe(expected))

  const trial: RecordedVolume = { vg: 'virtVG', lv: 'root', role: 'exclusive', mode: 'shared', before: 'inactive' }

  test('what a `migrate` that was killed has left shared is not shared again after a start that failed (R2)', () => {
    expect(undoOf([SH, ON], [EX, ON], root, [trial])).toBe('inactive')
    expect(undoOf([SH, ON], [EX, ON], 'nothing', [trial])).toBe('inactive')
    expect(undoOf([SH, ON], [UNKNOWN, ON], root, [trial])).toBe('inactive')
  })

  test('what somebody else holds shared here, or the domain found active, becomes shared again', () => {
    expect(undoOf([SH, ON], [EX, ON], root, [{ ...trial, lv: 'swap' }])).toBe('shared')
    expect(undoOf([SH, ON], [EX, ON], root, [{ ...trial, before: 'active' }])).toBe('shared')
  })

  test('what was exclusive, and was asked for shared, is exclusive again, unless nobody needs it any more', () => {
    const asked: readonly Change[] = [{ vg: 'virtVG', lv: 'root', to: 'shared', reason: '' }]
    const undo = (earlier: readonly RecordedVolume[], locks: LockState = SH) =>
      planUndo(asked, earlier, () => root, { locks: EX, devices: ON }, { locks, devices: ON }).map(({ to }) => to)
    expect(undo([])).toEqual(['exclusive'])
    expect(undo([], UNKNOWN)).toEqual(['exclusive'])
    expect(undo([{ ...trial, before: 'active' }])).toEqual(['exclusive'])
    expect(undo([trial])).toEqual(['inactive'])
  })

  test('lvs told nothing: the device and its lock tell', () => {
    const undo = planUndo(attempted, [], () => undefined, { locks: FREE, devices: [] }, { locks: EX, devices: ON })
    expect(undo.map(({ to }) => to)).toEqual(['inactive'])
  })

  // The simulation found this: `lvrename` while a start waited for lvchange.
  test('lvs knows no such LV, and by now one has its name that was active before under another one: it is left alone', () => {
    const renamed = deviceOf(logicalVolume({ vg: 'virtVG', lv: 'root_old' }, { uuid: root.uuid }))
    expect(renamed.dmUuid).toBe(deviceOf(root).dmUuid)
    expect(undoOf([EX, [renamed]], [EX, ON], 'nothing')).toBe('')
    expect(undoOf([SH, [renamed]], [SH, ON], 'nothing')).toBe('')
  })

  test('an LV of that name in another VG of that name does not count as the same', () => {
    const stranger = deviceOf(logicalVolume({ vg: 'virtVG', lv: 'root' }, { uuid: 'another-uuid' }))
    expect(undoOf([FREE, []], [FREE, [stranger]])).toBe('')
  })
})
