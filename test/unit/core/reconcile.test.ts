import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type DomainStatus,
  type Surroundings,
  type Sighting,
  TABLE,
  wantedByStatus,
  wantedOf,
} from '../../../src/core/reconcile.ts'
import { type DomainRecord, INCOMING_LIFETIME, type RecordState } from '../../../src/core/record.ts'
import { recordOf, recorded } from '../support/lvm.ts'

const RUNS: DomainStatus = {
  state: 'running',
  reason: 'booted',
  pid: 1,
  async: 'none',
  phase: undefined,
  flags: undefined,
}
const OUT: DomainStatus = { ...RUNS, async: 'migration out', phase: 'begin3', flags: 0x109 }
const word = (status: DomainStatus): string => {
  const wanted = wantedByStatus(status)
  return wanted.mode === 'unchanged'
    ? wanted.why
    : wanted.mode === 'shared'
      ? `shared ${wanted.direction}`
      : wanted.mode
}

const PHASES = [
  'begin3',
  'perform3',
  'perform3_done',
  'confirm3_cancelled',
  'confirm3',
  'postcopy_failed',
  'begin_resume',
  'a phase to come',
]
const STATES = ['running', 'blocked', 'paused', 'crashed', 'pmsuspended', 'shutdown', 'shutoff']
const REASONS = ['booted', 'migrated', 'user', 'migration', 'post-copy', 'post-copy failed', 'starting up', 'unknown']

describe('the table', () => {
  test.each<[string, Partial<DomainStatus>, string]>([
    ['runs', {}, 'exclusive'],
    ['was migrated here', { reason: 'migrated' }, 'exclusive'],
    ['paused by a person', { state: 'paused', reason: 'user' }, 'exclusive'],
    ['paused, starting up', { state: 'paused', reason: 'starting up', pid: 0 }, 'exclusive'],
    ['paused by an I/O error', { state: 'paused', reason: 'ioerror' }, 'exclusive'],
    ['its guest crashed and is kept', { state: 'crashed', reason: 'panicked' }, 'exclusive'],
    ['suspended', { state: 'pmsuspended', reason: 'unknown' }, 'exclusive'],
    ['is saved', { async: 'save' }, 'exclusive'],
    ['is backed up', { async: 'backup' }, 'exclusive'],
    ['is snapshot', { async: 'snapshot' }, 'exclusive'],
    ['starts', { async: 'start', state: 'paused', reason: 'starting up' }, 'exclusive'],
    ['goes down', { state: 'shutdown', reason: 'unknown' }, 'ending'],
    ['left paused by a migration', { state: 'paused', reason: 'migration' }, 'left-paused'],
    ['left paused by a post-copy migration', { state: 'paused', reason: 'post-copy' }, 'left-paused'],
    ['post-copy failed', { state: 'paused', reason: 'post-copy failed' }, 'left-paused'],
    ['post-copy failed while it ran', { reason: 'post-copy failed' }, 'left-paused'],
    ['a job of a libvirt to come', { async: 'teleport' }, 'not-understood'],
    ['a state of a libvirt to come', { state: 'asleep' }, 'not-understood'],
  ])('%s', (_, status, expected) => expect(word({ ...RUNS, ...status })).toBe(expected))

  test('a migration in is shared, whatever its phase and state', () => {
    for (const phase of [undefined, 'prepare', 'finish3', ...PHASES]) {
      for (const state of STATES)
        for (const reason of REASONS)
          expect(word({ ...RUNS, state, reason, async: 'migration in', phase, flags: 0x9 })).toBe('shared in')
    }
  })

  test('a migration out is shared from its first phase on, but for storage and offline: every phase, state, reason and flag', () => {
    for (const phase of PHASES) {
      for (const state of STATES)
        for (const reason of REASONS)
          for (let bit = 0; bit < 24; bit++) {
            const expected = bit === 6 || bit === 7 ? 'storage-copy' : bit === 10 ? 'offline' : 'shared out'
            expect(word({ ...OUT, phase, state, reason, flags: 0x9 | (1 << bit) })).toBe(expected)
          }
    }
  })

  test('before the phase is written, the flags say nothing', () => {
    for (const flags of [undefined, 0, 0x109, 0x141, 0x400])
      for (const phase of [undefined, 'none']) expect(word({ ...OUT, phase, flags })).toBe('job-starting')
  })

  test('a phase without flags is not understood', () =>
    expect(word({ ...OUT, flags: undefined })).toBe('not-understood'))

  test('it is total, and demotes nothing but what migrates out', () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(...STATES, ...REASONS, ...PHASES, 'migration out', 'migration in', 'none'),
    )
    fc.assert(
      fc.property(
        text,
        text,
        text,
        fc.option(text, { nil: undefined }),
        fc.option(fc.nat(), { nil: undefined }),
        (state, reason, async, phase, flags) => {
          const wanted = wantedByStatus({ state, reason, pid: 1, async, phase, flags })
          if (wanted.mode === 'shared' && wanted.direction === 'out')
            expect({ async, hasPhase: phase !== undefined }).toEqual({ async: 'migration out', hasPhase: true })
        },
      ),
    )
  })

  test('every row is reached by name', () => expect(new Set(TABLE.map(({ when }) => when)).size).toBe(TABLE.length))
})

const HOST: Surroundings = { libvirtAlive: true, recordDaemonAlive: true, now: 1000 }
const seen = (sighting: Sighting, record?: DomainRecord, host: Partial<Surroundings> = {}): string => {
  const wanted = wantedOf(sighting, record, { ...HOST, ...host })
  return wanted.mode === 'unchanged' ? wanted.why : wanted.mode
}
const gone = (passes: number): Sighting => ({ kind: 'gone', passes })
const record = (state: RecordState): DomainRecord => recordOf(1, state, [])

// libvirt says the same of one that was suspended when its memory was saved, and of one that a migration has left.
describe('a domain that is there, paused by a migration, without a job', () => {
  const paused = { state: 'paused', reason: 'migration', pid: 1, async: 'none', phase: undefined, flags: undefined }
  const own = (mode: 'exclusive' | 'shared', rest: Partial<DomainRecord> = {}): DomainRecord => ({
    ...recordOf(1, 'running', [recorded({ vg: 'virtVG', lv: 'root' }, { mode })]),
    ...rest,
  })
  test.each<[string, DomainRecord | undefined, string]>([
    ['locked for itself: it was restored so', own('exclusive'), 'exclusive'],
    ['the same, before the agent has seen it', own('exclusive', { state: 'prepared' }), 'exclusive'],
    ['shared for a migration', own('shared'), 'left-paused'],
    ['its migration is remembered', own('exclusive', { migration: { phase: 'perform3_done' } }), 'left-paused'],
    ['only let in', own('exclusive', { state: 'incoming' }), 'left-paused'],
    ['nothing for itself', recordOf(1, 'running', []), 'left-paused'],
    ['no record', undefined, 'left-paused'],
  ])('%s: %#', (_, found, expected) => expect(seen({ kind: 'active', status: paused }, found)).toBe(expected))
  test('post-copy is never a restore', () =>
    expect(seen({ kind: 'active', status: { ...paused, reason: 'post-copy' } }, own('exclusive'))).toBe('left-paused'))
})

describe('a domain that is not there', () => {
  test.each<[RecordState, string, string, string, string]>([
    // state, gone once, gone twice, twice without a libvirt daemon, twice with the record's daemon dead
    ['incoming', 'gone-once', 'inactive', 'inactive', 'inactive'],
    ['prepared', 'starting', 'starting', 'starting', 'inactive'],
    ['running', 'gone-once', 'inactive', 'daemon-down', 'inactive'],
    ['refused', 'gone-once', 'inactive', 'inactive', 'inactive'],
    ['releasing', 'inactive', 'inactive', 'inactive', 'inactive'],
  ])('%s', (state, once, twice, noDaemon, deadDaemon) => {
    expect(seen(gone(1), record(state))).toBe(once)
    expect(seen(gone(0), record(state))).toBe(once)
    for (const passes of [2, 3, 100]) expect(seen(gone(passes), record(state))).toBe(twice)
    expect(seen(gone(2), record(state), { libvirtAlive: false })).toBe(noDaemon)
    expect(seen(gone(2), record(state), { recordDaemonAlive: false })).toBe(deadDaemon)
  })

  test.each<[string, Partial<Surroundings>, string]>([
    ['its daemon is not known', { recordDaemonAlive: 'unknown' }, 'starting'],
    ['its daemon is dead and so is every other', { recordDaemonAlive: false, libvirtAlive: false }, 'daemon-down'],
  ])('prepared, and %s', (_, host, expected) => expect(seen(gone(5), record('prepared'), host)).toBe(expected))

  test.each<[number, Partial<Surroundings>, string]>([
    [5, {}, 'starting'],
    [1, { recordDaemonAlive: false }, 'gone-once'],
    [2, { recordDaemonAlive: false }, 'inactive'],
    [2, { recordDaemonAlive: false, libvirtAlive: false }, 'inactive'],
  ])('of a command, not seen in %i passes, %j: libvirt has nothing to say of it', (passes, host, expected) =>
    expect(seen(gone(passes), { ...record('prepared'), command: 'keeps' }, host)).toBe(expected),
  )

  test.each<[number, string]>([
    [1000, 'incoming'],
    [990, 'incoming'],
    [1000.1 - INCOMING_LIFETIME, 'incoming'],
    [1000 - INCOMING_LIFETIME, 'inactive'],
    [1, 'inactive'],
    [1001, 'inactive'],
  ])('an incoming record of second %d at second 1000', (at, expected) =>
    expect(seen(gone(2), { ...record('incoming'), incoming: { id: 'x', at } })).toBe(expected),
  )

  test('without a record there is nothing to do', () => expect(seen(gone(9))).toBe('gone-once'))
  test('what cannot be read is unknown, whatever the record', () => {
    for (const state of [undefined, 'incoming', 'prepared', 'running', 'refused', 'releasing'] as const) {
      const own = state && record(state)
      expect(seen({ kind: 'unknown', detail: '' }, own)).toBe('unknown')
      expect(seen({ kind: 'left-over' }, own)).toBe(state === 'releasing' ? 'inactive' : 'left-over')
      expect(seen({ kind: 'active', status: RUNS }, own)).toBe('exclusive')
    }
  })
})
