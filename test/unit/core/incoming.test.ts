import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agentStateOf } from '../../../src/core/agent-state.ts'
import { type LockState, type LogicalVolume, identityOf } from '../../../src/core/lock-state.ts'
import { type IncomingFacts, planIncoming } from '../../../src/core/migrate.ts'
import { INCOMING_LIFETIME } from '../../../src/core/record.ts'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import { type IncomingEvidence, isIncoming } from '../../../src/core/takeover.ts'
import type { Mode } from '../../../src/core/volume.ts'
import { situation } from '../support/any-host.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded, records, uuidOf, volumeTable } from '../support/lvm.ts'

const root = logicalVolume({ vg: 'virtVG', lv: 'root' })
const thin = logicalVolume({ vg: 'virtVG', lv: 'root' }, { layout: 'thin,sparse', shareable: false })
const wanted = (role: Mode | 'local'): ManagedVolume => ({
  vg: 'virtVG',
  lv: 'root',
  role: role === 'local' ? 'exclusive' : role,
  isLocal: role === 'local',
  reason: 'disk vda',
})
const RUNS = { kind: 'runs', pid: 4711 } as const
const ON = [deviceOf(root)]
const EX = lockTable([[root, 'exclusive']])
const SH = lockTable([[root, 'shared']])
const UNKNOWN: LockState = { kind: 'unknown', why: 'down', detail: '' }

interface Case extends Partial<IncomingFacts> {
  readonly role?: Mode | 'local'
  readonly volume?: LogicalVolume
}
/** The plan in short words: `shared`, `stays`, or the problems. */
function plan({ role = 'exclusive', volume = root, ...facts }: Case): string {
  const { record } = facts
  const host: IncomingFacts = {
    locks: lockTable(),
    devices: [],
    users: new Map(),
    table: volumeTable([volume]),
    activeHere: false,
    agent: RUNS,
    record,
    records: records(...(record === undefined ? [] : [record])),
    ...facts,
  }
  const made = planIncoming([wanted(role)], host, uuidOf(1))
  return made.kind === 'refuse'
    ? made.problems.map(({ kind }) => `!${kind}`).join()
    : made.changes.map(({ to }) => to).join() || 'stays'
}

describe('whether a migration is let in', () => {
  test.each<[string, Case, string]>([
    ['nothing is in the way', {}, 'shared'],
    ['a volume to share', { role: 'shared' }, 'shared'],
    ['a volume that is shared here', { role: 'shared', devices: ON, locks: SH }, 'stays'],
    ['a volume that is only read and exclusive here', { role: 'shared', devices: ON, locks: EX }, 'stays'],
    ['the VM is active here', { activeHere: true }, '!active-here'],
    ['that cannot be told', { activeHere: 'unknown' }, '!active-here'],
    ['the VM starts here', { record: recordOf(1, 'prepared', []) }, '!active-here'],
    ['the agent has seen it run here', { record: recordOf(1, 'running', []) }, '!active-here'],
    ['no agent runs here', { agent: { kind: 'absent' } }, '!no-agent'],
    ['no agent runs here, and it only shares', { agent: { kind: 'absent' }, role: 'shared' }, 'shared'],
    ['no agent runs here, and it is local', { agent: { kind: 'absent' }, role: 'local' }, 'local'],
    ['the agent hangs', { agent: agentStateOf(4711, 100, 131) }, '!agent-hangs'],
    ['the agent hangs, and it only shares', { agent: agentStateOf(4711, 100, 131), role: 'shared' }, 'shared'],
    ['the agent has not been heard of for a while', { agent: agentStateOf(4711, 100, 130) }, 'shared'],
    [
      'the agent of an older lvguard, which gives no sign of life',
      { agent: agentStateOf(4711, undefined, 1e9) },
      'shared',
    ],
    ['it was refused here', { record: recordOf(1, 'refused', []) }, 'shared'],
    ['it left this host', { record: recordOf(1, 'releasing', [recorded(root)]) }, 'shared'],
    ['it was announced before', { record: recordOf(1, 'incoming', [], { incoming: { id: 'x', at: 1 } }) }, 'shared'],
    ['its volume is exclusive here', { devices: ON, locks: EX }, '!locked-here'],
    ['its volume is shared here', { devices: ON, locks: SH }, '!locked-here'],
    ['its volume is locked here without a device', { locks: EX }, '!locked-here'],
    [
      'its volume is shared by a trial that died',
      { devices: ON, locks: SH, record: recordOf(1, 'incoming', [recorded(root)]) },
      'stays',
    ],
    [
      'its volume was shared before a trial that died',
      { devices: ON, locks: SH, record: recordOf(1, 'incoming', [recorded(root, { before: 'active' })]) },
      '!locked-here',
    ],
    ['its volume is open here', { devices: ON, users: new Map([['virtVG/root', ['mounted on /mnt']]]) }, '!open'],
    ['another VM has its volume', { records: records(recordOf(2, 'prepared', [recorded(root)])) }, '!on-record'],
    // R14: to share it would make another VM's lock a shared one. Its name was another one a moment ago (lvrename).
    [
      'what it reads is exclusive for another VM, as its UUID tells',
      {
        role: 'shared',
        devices: [deviceOf(logicalVolume({ vg: 'virtVG', lv: 'root_old' }, { uuid: root.uuid }))],
        locks: EX,
        records: records(
          recordOf(2, 'running', [recorded({ vg: 'virtVG', lv: 'root_old' }, { ids: identityOf(root).ids })]),
        ),
      },
      '!on-record',
    ],
    ['a thin volume', { volume: thin }, '!not-shareable'],
    ['a thin volume that is only read', { volume: thin, role: 'shared' }, '!not-shareable'],
    ['the locks cannot be read', { locks: UNKNOWN }, '!locked-here'],
    ['a record cannot be read', { records: { known: [], unreadable: ['x'] } }, '!records-unreadable'],
    ['a volume of a local VG', { role: 'local' }, 'local'],
  ])('%s', (_, given, expected) => expect(plan(given)).toBe(expected))

  test('it never asks for exclusive, and never touches a volume that is exclusive here and is to be so', () => {
    fc.assert(
      fc.property(situation, ({ host, wanted: volumes }) => {
        const facts: IncomingFacts = {
          ...host.facts(),
          table: volumeTable(host.states.map(({ volume }) => volume)),
          record: undefined,
          activeHere: false,
          agent: RUNS,
        }
        const made = planIncoming(volumes, facts, uuidOf(1))
        if (made.kind === 'refuse') return
        expect(made.changes.filter(({ to }) => to !== 'shared')).toEqual([])
        for (const { volume } of host.states) {
          const { role } = volumes.find(({ vg, lv }) => vg === volume.vg && lv === volume.lv) ?? {}
          if (role === 'exclusive') expect(host.lock(volume)).toBe('none')
        }
      }),
    )
  })
})

describe('whether a prepare is that of the migration that was let in (R2)', () => {
  const record = recordOf(1, 'incoming', [], { incoming: { id: 'abc', at: 1000 } })
  const evidence: IncomingEvidence = { record, xmlId: 'abc', idInDefinition: false, calledAt: 1001 }
  test.each<[string, Partial<IncomingEvidence>, boolean]>([
    ['all agrees', {}, true],
    ['at once', { calledAt: 1000 }, true],
    ['just in time', { calledAt: 1000 + INCOMING_LIFETIME - 0.01 }, true],
    ['too late', { calledAt: 1000 + INCOMING_LIFETIME }, false],
    ['before the record was made: another boot', { calledAt: 999 }, false],
    ['no clock', { calledAt: NaN }, false],
    ['no record', { record: undefined }, false],
    ['the trial has not ended', { record: recordOf(1, 'incoming', []) }, false],
    ['used up', { record: { ...record, state: 'prepared' } }, false],
    ['of a refused start', { record: { ...record, state: 'refused' } }, false],
    ['no id in the XML', { xmlId: undefined }, false],
    ['another id in the XML', { xmlId: 'abd' }, false],
    ['the id stands in the definition', { idInDefinition: true }, false],
    ['the definition cannot be read', { idInDefinition: 'unknown' }, false],
  ])('%s: %s', (_, changed, expected) => expect(isIncoming({ ...evidence, ...changed })).toBe(expected))
})
