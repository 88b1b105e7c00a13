import { describe, expect, test } from 'vitest'
import { type PromotionResult, contestedStep, isTakenByAnother, remembered } from '../../../src/core/contested.ts'
import { type MigrationMemory, mayRunElsewhere } from '../../../src/core/record.ts'
import type { DomainStatus } from '../../../src/core/reconcile.ts'
import { recorded } from '../support/lvm.ts'

const RUNS: DomainStatus = {
  state: 'running',
  reason: 'booted',
  pid: 1,
  async: 'none',
  phase: undefined,
  flags: undefined,
}
const out = (phase: string | undefined): DomainStatus => ({ ...RUNS, async: 'migration out', phase, flags: 0x109 })
const PAUSED: DomainStatus = { ...RUNS, state: 'paused', reason: 'user' }

describe('what is remembered of a migration out', () => {
  test.each<[string, DomainStatus, string | undefined, string | undefined]>([
    ['a doubtful phase', out('perform3_done'), undefined, 'perform3_done'],
    ['the next one', out('confirm3_cancelled'), 'perform3_done', 'confirm3_cancelled'],
    ['a confirmed end', out('confirm3'), 'perform3_done', undefined],
    ['a new migration', out('begin3'), 'confirm3_cancelled', 'confirm3_cancelled'],
    ['a new one without a phase yet', out(undefined), 'confirm3_cancelled', 'confirm3_cancelled'],
    ['no job any more', RUNS, 'confirm3_cancelled', 'confirm3_cancelled'],
    ['nothing', RUNS, undefined, undefined],
  ])('%s', (_, status, before, expected) =>
    expect(remembered(status, before === undefined ? undefined : { phase: before })?.phase).toBe(expected),
  )

  test('a phase that nobody saw, told by the reason why it runs, as long as no promotion was tried', () => {
    const back = { ...RUNS, reason: 'migration canceled' }
    const shared = [recorded({ vg: 'virtVG', lv: 'root' }, { mode: 'shared' })]
    const iso = [recorded({ vg: 'virtVG', lv: 'iso' }, { role: 'shared', mode: 'shared' })]
    expect(remembered(back, undefined, shared)).toEqual({ phase: 'migration canceled' })
    expect(remembered(back, undefined, [recorded({ vg: 'virtVG', lv: 'root' })])).toBeUndefined()
    expect(remembered(back, undefined, iso)).toBeUndefined()
    expect(remembered(RUNS, undefined, shared)).toBeUndefined()
    expect(remembered({ ...back, async: 'migration out' }, undefined, shared)).toBeUndefined()
    expect(remembered(back, { phase: 'perform3_done', suspend: 'done' }, shared)).toEqual({
      phase: 'perform3_done',
      suspend: 'done',
    })
  })

  test('a suspension is not forgotten in the same phase', () =>
    expect(remembered(out('perform3_done'), { phase: 'perform3_done', suspend: 'done' })).toEqual({
      phase: 'perform3_done',
      suspend: 'done',
    }))
})

describe('what a new migration leaves of an old doubt', () => {
  const old: MigrationMemory = { phase: 'confirm3_cancelled', suspend: 'done', lvers: { root: 5 } }
  test('its own locks are no evidence, and a person decides anew', () =>
    expect(remembered(out('begin3'), old)).toEqual({ phase: 'confirm3_cancelled' }))
  test('that it ran elsewhere stays true', () =>
    expect(remembered(out('begin3'), { ...old, lockedBy: 'node2' })).toEqual({
      phase: 'confirm3_cancelled',
      lockedBy: 'node2',
    }))
  test('the count goes with the next doubtful phase of the same migration', () =>
    expect(remembered(out('confirm3_cancelled'), { phase: 'perform3_done', lvers: { root: 5 } })).toEqual({
      phase: 'confirm3_cancelled',
      lvers: { root: 5 },
    }))
})

test.each([
  [5, 2, false],
  [6, 1, false],
  [6, 2, true],
  [4, 2, false],
])('a lease counted as 5 by host 1: now %i, taken last by host %i', (lver, owner, expected) =>
  expect(isTakenByAnother(5, { lver, owner }, 1)).toBe(expected),
)

describe('the lost reply', () => {
  const lost = { phase: 'perform3_done' }
  const step = (changed: Partial<PromotionResult>) =>
    contestedStep({ status: RUNS, memory: lost, promotion: 'refused', onContested: 'suspend', ...changed })
  test.each<[string, Partial<PromotionResult>, string]>([
    ['refused: suspended', {}, 'suspend'],
    ['refused, and asked for before the agent ended', { memory: { ...lost, suspend: 'asked' } }, 'suspend'],
    ['refused, and only to be said', { onContested: 'alert' }, 'alert'],
    ['refused, and a person resumed it', { memory: { ...lost, suspend: 'done' } }, 'alert'],
    ['refused, and suspended already', { status: PAUSED, memory: { ...lost, suspend: 'done' } }, 'stay'],
    ['refused, and paused by a person', { status: PAUSED }, 'stay'],
    ['refused in a state that cannot be suspended', { status: { ...RUNS, state: 'pmsuspended' } }, 'alert'],
    [
      'granted: it is not resumed',
      { promotion: 'granted', status: PAUSED, memory: { ...lost, suspend: 'done' } },
      'stay',
    ],
    [
      'granted: nor where nobody is seen to have locked it',
      { promotion: 'granted', status: PAUSED, memory: { ...lost, suspend: 'done', lvers: { root: 5 } } },
      'stay',
    ],
    ['granted: one that was never suspended runs on', { promotion: 'granted' }, 'forget'],
    [
      'granted, but another host has run it since',
      { promotion: 'granted', memory: { ...lost, lockedBy: 'node2' } },
      'suspend',
    ],
    [
      'the same, and only to be said',
      { promotion: 'granted', memory: { ...lost, lockedBy: 'node2' }, onContested: 'alert' },
      'alert',
    ],
    ['granted: a person has resumed it', { promotion: 'granted', memory: { ...lost, suspend: 'done' } }, 'forget'],
    [
      'granted: a person has resumed it who was told',
      { promotion: 'granted', memory: { ...lost, suspend: 'done', lockedBy: 'node2' } },
      'forget',
    ],
    ['granted: somebody has paused it', { promotion: 'granted', status: PAUSED }, 'stay'],
    [
      'granted: paused for another reason by now',
      { promotion: 'granted', status: { ...PAUSED, reason: 'ioerror' }, memory: { ...lost, suspend: 'done' } },
      'stay',
    ],
    ['an ordinary promotion that is refused', { memory: undefined }, 'none'],
    ['while a job is on', { status: out('perform3_done') }, 'none'],
  ])('%s', (_, changed, expected) => expect(step(changed)).toBe(expected))
})

test.each([
  ['its migration is remembered', { migration: { phase: 'perform3_done' }, volumes: [] }, true],
  [
    'a volume of its own is shared here',
    { volumes: [recorded({ vg: 'virtVG', lv: 'root' }, { mode: 'shared' })] },
    true,
  ],
  ['it has all for itself', { volumes: [recorded({ vg: 'virtVG', lv: 'root' })] }, false],
  [
    'what it only reads is shared',
    { volumes: [recorded({ vg: 'virtVG', lv: 'cd' }, { role: 'shared', mode: 'shared' })] },
    false,
  ],
] as const)('whether a domain may run elsewhere: %s', (_, record, may) => {
  expect(mayRunElsewhere(record)).toBe(may)
})
