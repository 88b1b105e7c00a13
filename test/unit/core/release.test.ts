import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Device, LockState } from '../../../src/core/lock-state.ts'
import type { DomainRecord, RecordedVolume } from '../../../src/core/record.ts'
import { type ReleaseFacts, leavingAlone, planRelease, stillHere, withoutPromoted } from '../../../src/core/release.ts'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import { planStart } from '../../../src/core/start.ts'
import { deviceOf, lockTable, logicalVolume, lvmUuid, recordOf, recorded, records, uuidOf } from '../support/lvm.ts'

const root = { vg: 'virtVG', lv: 'root' }
const inXml: readonly ManagedVolume[] = [{ ...root, role: 'exclusive', isLocal: false, reason: 'disk vda' }]

/** The plan in short words: `forget`, `keep`, or the volumes to deactivate. */
function plan({ record, ...facts }: Partial<ReleaseFacts>): string {
  const known = record === undefined ? [] : [record]
  const made = planRelease({
    record,
    records: records(...known),
    inXml: [],
    gotPastPrepare: true,
    runsHere: false,
    devices: [],
    ...facts,
  })
  return made.kind === 'deactivate' ? made.volumes.map(({ vg, lv }) => `${vg}/${lv}`).join() : made.kind
}
const own = (state: DomainRecord['state'], changed: Partial<RecordedVolume> = {}): DomainRecord =>
  recordOf(1, state, [recorded(root, changed)])
const withOther = (record: DomainRecord | undefined, state: DomainRecord['state']) => ({
  record,
  records: records(
    ...(record === undefined ? [] : [record]),
    recordOf(2, state, [recorded(root, { role: 'shared', mode: 'shared' })]),
  ),
})

describe('what a release gives back', () => {
  test.each<[string, Partial<ReleaseFacts>, string]>([
    ['a VM that ran', { record: own('prepared') }, 'virtVG/root'],
    ['a VM that the agent has seen run', { record: own('running') }, 'virtVG/root'],
    ['once more', { record: own('releasing') }, 'virtVG/root'],
    ['a migration that died on trial', { record: own('incoming') }, 'virtVG/root'],
    ['a refused start', { record: own('refused') }, 'forget'],
    ['a refused start without room for a record', { gotPastPrepare: false, inXml }, 'forget'],
    ['a VM from before lvguard', { inXml }, 'virtVG/root'],
    ["a VM from before lvguard, on another VM's record too", { inXml, ...withOther(undefined, 'prepared') }, 'forget'],
    ['a VM without volumes', {}, 'forget'],
    ['what was active before', { record: own('prepared', { before: 'active' }) }, 'forget'],
    [
      'what was active before, and was demoted for a migration',
      { record: own('running', { before: 'active', demoted: true }) },
      'virtVG/root',
    ],
    ['its status file says that it runs', { record: own('prepared'), runsHere: true }, 'keep'],
    [
      'a record cannot be read',
      { record: own('prepared'), records: { known: [own('prepared')], unreadable: ['x.json'] } },
      'keep',
    ],
    ['another VM has it', withOther(own('prepared'), 'prepared'), 'forget'],
    // Its VM is gone, too: if neither gave it back, nobody would.
    ['another VM was to give it back', withOther(own('prepared'), 'releasing'), 'virtVG/root'],
    ['another VM was refused it', withOther(own('prepared'), 'refused'), 'virtVG/root'],
    ['another VM is announced with it', withOther(own('prepared'), 'incoming'), 'virtVG/root'],
  ])('%s: %#', (_, facts, expected) => expect(plan(facts)).toBe(expected))

  test('of two VGs of which one was cut off here: the volumes of the other, and what stays is told', () => {
    const [here, there] = [recorded({ vg: 'virtVG', lv: 'root' }), recorded({ vg: 'otherVG', lv: 'data' })]
    const cut = (...vgs: string[]) =>
      leavingAlone({ kind: 'deactivate', volumes: [here, there] }, (vg) => vgs.includes(vg))
    expect(cut()).toEqual({ kind: 'deactivate', volumes: [here, there] })
    expect(cut('otherVG')).toEqual({ kind: 'deactivate', volumes: [here], kept: [there] })
    expect(leavingAlone(cut('otherVG'), (vg) => vg === 'otherVG')).toEqual(cut('otherVG'))
    expect(cut('otherVG', 'virtVG')).toEqual({
      kind: 'keep',
      hasEnded: true,
      reason: 'what it has on virtVG is left for later',
      volumes: [here, there],
    })
  })

  test('exclusive here again, what was demoted stays; what was cut off is told still', () => {
    const [up, was] = [logicalVolume({ vg: 'virtVG', lv: 'up' }), logicalVolume({ vg: 'virtVG', lv: 'was' })]
    const [own, demoted] = [recorded(up), recorded(was, { before: 'active', demoted: true })]
    const rest = (locks: LockState, ...volumes: RecordedVolume[]) =>
      withoutPromoted({ kind: 'deactivate', volumes }, locks, [deviceOf(up), deviceOf(was)])
    const held = (mode: 'exclusive' | 'shared') => lockTable([up, was].map((volume) => [volume, mode] as const))
    expect(rest(held('exclusive'), own, demoted)).toEqual({ kind: 'deactivate', volumes: [own] })
    expect(rest(held('shared'), own, demoted)).toEqual({ kind: 'deactivate', volumes: [own, demoted] })
    // R9: what holds it cannot be told. It stays, and on record.
    const unknown: LockState = { kind: 'unknown', why: 'down', detail: '' }
    expect(rest(unknown, demoted)).toMatchObject({ kind: 'keep', volumes: [demoted] })
    expect(rest(unknown, own, demoted)).toEqual({ kind: 'deactivate', volumes: [own], kept: [demoted] })
    expect(rest(held('exclusive'), demoted)).toMatchObject({ kind: 'forget' })
    const kept = [recorded({ vg: 'otherVG', lv: 'data' })]
    expect(
      withoutPromoted({ kind: 'deactivate', volumes: [demoted], kept }, held('exclusive'), [deviceOf(was)]),
    ).toEqual({
      kind: 'keep',
      hasEnded: true,
      reason: 'its other volumes are left for later',
      volumes: kept,
    })
  })

  const volume = fc.record(
    { vg: fc.constantFrom('vg1', 'vg2'), lv: fc.constantFrom('a', 'b', 'c') },
    { noNullPrototype: true },
  )
  const state = fc.constantFrom('incoming', 'prepared', 'running', 'refused', 'releasing')
  const anyRecord = fc
    .tuple(
      fc.integer({ min: 1, max: 4 }),
      state,
      fc.array(fc.tuple(volume, fc.constantFrom('inactive', 'active')), { maxLength: 4 }),
    )
    .map(([owner, of, volumes]) =>
      recordOf(
        owner,
        of,
        volumes.map(([name, before]) => recorded(name, { before })),
      ),
    )

  test('never what another VM has on record, never what was active before, nothing while anything is unclear (R4)', () => {
    fc.assert(
      fc.property(
        fc.array(anyRecord, { maxLength: 5 }),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (known, runsHere, gotPastPrepare, isUnreadable) => {
          const record = known.find(({ domain }) => domain.uuid === uuidOf(1))
          const made = planRelease({
            record,
            records: { known, unreadable: isUnreadable ? ['x'] : [] },
            inXml,
            gotPastPrepare,
            runsHere,
            devices: [],
          })
          if (isUnreadable || runsHere) expect(made.kind).toBe('keep')
          if (made.kind !== 'deactivate') return
          for (const { vg, lv } of made.volumes) {
            const claims = known.filter(
              ({ domain, state: of, volumes }) =>
                domain.uuid !== uuidOf(1) &&
                (of === 'prepared' || of === 'running') &&
                volumes.some((each) => each.vg === vg && each.lv === lv),
            )
            expect(claims).toEqual([])
            if (record !== undefined)
              expect(
                record.volumes.some((each) => each.vg === vg && each.lv === lv && each.before === 'inactive'),
              ).toBe(true)
          }
        },
      ),
    )
  })

  test('however many VMs of a host share a volume, the last one to go gives it back, in whatever order they go', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([1, 2, 3, 4], { minLength: 2 }),
        fc.shuffledSubarray([1, 2, 3, 4], { minLength: 4 }),
        (starts, order) => {
          const iso = logicalVolume({ vg: 'virtVG', lv: 'iso' })
          const wanted: ManagedVolume = {
            vg: 'virtVG',
            lv: 'iso',
            role: 'shared',
            isLocal: false,
            reason: 'disk hda, <readonly/>',
          }
          let known: DomainRecord[] = []
          for (const number of starts) {
            const isUp = known.length > 0
            const facts = {
              locks: lockTable(isUp ? [[iso, 'shared']] : []),
              devices: isUp ? [deviceOf(iso)] : [],
              users: new Map(isUp ? [['virtVG/iso', ['a VM']]] : []),
              records: records(...known),
            }
            const made = planStart([wanted], facts, uuidOf(number), false, [])
            known = [...known, recordOf(number, 'prepared', made.kind === 'activate' ? made.recorded : [])]
          }
          const stops = order.filter((number) => starts.includes(number))
          const given = stops.map((number) => {
            const made = planRelease({
              record: known.find(({ domain }) => domain.uuid === uuidOf(number)),
              records: records(...known),
              inXml: [],
              gotPastPrepare: true,
              runsHere: false,
              devices: [],
            })
            known = known.filter(({ domain }) => domain.uuid !== uuidOf(number))
            return made.kind
          })
          expect(given).toEqual([...stops.slice(1).map(() => 'forget'), 'deactivate'])
        },
      ),
    )
  })
})

describe('what is still here after lvchange', () => {
  const volume = logicalVolume(root)
  const pool = lvmUuid('virtVG/pool')
  const ids = { lv: volume.uuid, vg: volume.vgUuid, lock: volume.uuid }
  const DOWN: LockState = { kind: 'unknown', why: 'down', detail: '' }
  const ON = [deviceOf(volume)]
  test.each<[string, Partial<RecordedVolume>, LockState, readonly Device[], boolean]>([
    ['gone', { ids }, lockTable(), [], false],
    ['still active', { ids }, lockTable(), ON, true],
    ['lvchange exited 0 and left the lock', { ids }, lockTable([[volume, 'exclusive']]), [], true],
    ['the locks cannot be read', { ids }, DOWN, [], true],
    ['a local volume has none', { mode: 'local' }, DOWN, [], false],
    [
      'a thin volume leaves its lock to the pool',
      { ids: { ...ids, lock: pool } },
      lockTable([[{ ...volume, lockUuid: pool }, 'exclusive']]),
      [],
      false,
    ],
    ['which lock is its own is not known, and one is held', {}, lockTable([[volume, 'exclusive']]), [], true],
    ['which lock is its own is not known, and none is held', {}, lockTable(), [], false],
  ])('%s', (_, changed, locks, devices, expected) =>
    expect(stillHere([recorded(root, changed)], locks, devices).length > 0).toBe(expected),
  )
})
