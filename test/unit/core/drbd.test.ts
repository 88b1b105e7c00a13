import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Confirmation,
  type DrbdDevice,
  type DrbdPeer,
  type DrbdState,
  NO_DRBD,
  confirmationsOver,
  judge,
  onceUsable,
  quorumDecides,
  troubleInWords,
} from '../../../src/core/drbd.ts'
import { confirmedWords, planOnDrbd } from '../../../src/core/start-on-drbd.ts'
import type { Device, LockTable } from '../../../src/core/lock-state.ts'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import { parseEvents } from '../../../src/drbd/events.ts'
import { eventsOf, eventsWith } from '../../support/drbd.ts'
import { deviceOf, lockTable, logicalVolume, recordOf, recorded } from '../support/lvm.ts'

const only = (events: string): DrbdDevice => {
  const [device] = parseEvents(events)
  if (device === undefined) throw new Error('no device')
  return device
}
const confirmation: Confirmation = {
  format: 1,
  resource: 'r0',
  peer: '0',
  host: 'node2',
  at: '2026-11-27T22:31:09.123Z',
}

describe('what the state of a device says of a lock that is taken now', () => {
  test.each([
    ['cut-double-start-node1', 'split-brain'],
    ['cut-double-start-node2', 'peer-unseen'],
    ['split-brain-node1', 'split-brain'],
    ['split-brain-node2', 'peer-unseen'],
    // DRBD has seen the peer since it was fenced: what was said of it then counts no more.
    ['fenced-peer-outdated-node1', 'split-brain'],
    ['fenced-peer-outdated-node2', 'fine'],
    ['resolved-node2-secondary-node1', 'fine'],
    ['resolved-node2-secondary-node2', 'not-primary'],
  ])('as DRBD 8.4 said it: %s: %s', (state, kind) => {
    expect(judge(only(eventsOf(state)), undefined, [])).toMatchObject({ kind })
  })

  const connected = { connection: 'Connected', replication: 'Established', peerDisk: 'UpToDate' }
  test.each<[string, Parameters<typeof eventsWith>[0], string | undefined, string]>([
    ['all is well', connected, undefined, 'fine'],
    ['this host is copied to', { ...connected, replication: 'SyncTarget', disk: 'Inconsistent' }, undefined, 'fine'],
    ['the peer is copied to', { ...connected, replication: 'SyncSource', peerDisk: 'Inconsistent' }, undefined, 'fine'],
    ['this host has no disk, and the peer has', { ...connected, disk: 'Diskless' }, undefined, 'fine'],
    [
      'no disk, and the peer has none either',
      { ...connected, disk: 'Diskless', peerDisk: 'Diskless' },
      undefined,
      'not-up-to-date',
    ],
    ['no good copy, and the peer is gone', { disk: 'Inconsistent' }, undefined, 'not-up-to-date'],
    ['an outdated copy, and the peer is gone', { disk: 'Outdated' }, undefined, 'not-up-to-date'],
    [
      'a consistent one, of which nobody knows whether it is the last',
      { disk: 'Consistent' },
      undefined,
      'not-up-to-date',
    ],
    ['the peer is gone', {}, undefined, 'peer-unseen'],
    ['gone in the middle of a copy', { peerDisk: 'Inconsistent' }, undefined, 'peer-unseen'],
    ['talking, but not yet replicating', { connection: 'Connected', replication: 'Off' }, undefined, 'peer-unseen'],
    ['it lags behind on purpose', { ...connected, replication: 'Ahead' }, undefined, 'peer-unseen'],
    ['outdated by fencing', { peerDisk: 'Outdated' }, undefined, 'fine'],
    [
      'StandAlone, whatever was said before',
      { connection: 'StandAlone', peerDisk: 'Outdated' },
      undefined,
      'split-brain',
    ],
    ['the handler has not answered', { suspended: 'fencing' }, undefined, 'suspended'],
    ['Secondary', { ...connected, role: 'Secondary' }, undefined, 'not-primary'],
    ['quorum decides', { quorum: 'yes' }, 'majority', 'fine'],
    ['quorum is lost', { quorum: 'no' }, 'majority', 'no-quorum'],
    ['quorum is off', { quorum: 'yes' }, undefined, 'peer-unseen'],
    ['quorum 1 is none between two', { quorum: 'yes' }, '1', 'peer-unseen'],
    ['a connection that nobody knows', { connection: 'Teleporting' }, undefined, 'unknown'],
    ['a replication that nobody knows', { connection: 'Connected', replication: 'Sideways' }, undefined, 'unknown'],
    ['a role that nobody knows', { ...connected, role: 'Tertiary' }, undefined, 'unknown'],
  ])('%s', (_what, state, quorum, kind) => {
    expect(judge(only(eventsWith(state)), quorum, [])).toMatchObject({ kind })
  })

  test('of one whose I/O waits nothing is said of a VG, since LVM was not asked', () => {
    expect(troubleInWords({ kind: 'suspended', resource: 'r0', why: 'fencing' }, 'virtVG').what).toBe(
      'DRBD resource r0 of this host lets all reads and writes wait (fencing), and LVM would wait with it',
    )
  })

  test('a device without a peer is not known', () => {
    expect(judge({ ...only(eventsWith()), peers: [] }, undefined, [])).toMatchObject({ kind: 'unknown' })
  })

  test('of three hosts each one that is not seen counts', () => {
    const peer = (id: string, change: Partial<DrbdPeer>): DrbdPeer => ({
      id,
      name: `node${id}`,
      connection: 'Connected',
      replication: 'Established',
      disk: 'UpToDate',
      ...change,
    })
    const away = { connection: 'Connecting', replication: 'Off', disk: 'DUnknown' }
    const device = { ...only(eventsWith()), peers: [peer('1', {}), peer('2', away), peer('3', away)] }
    expect(judge(device, undefined, [])).toEqual({
      kind: 'peer-unseen',
      resource: 'r0',
      peers: ['2', '3'],
      host: 'node2 and node3',
    })
    expect(judge(device, undefined, [{ ...confirmation, peer: '2' }])).toMatchObject({
      kind: 'peer-unseen',
      peers: ['3'],
    })
  })

  test.each<[string | undefined, number, boolean]>([
    ['majority', 1, true],
    ['all', 1, true],
    ['off', 1, false],
    [undefined, 1, false],
    ['2', 1, true],
    ['1', 2, false],
    ['2', 2, true],
    ['2', 3, false],
    ['3', 3, true],
    ['many', 1, false],
  ])('quorum %s with %i peers decides: %s', (policy, peers, decides) => {
    expect(quorumDecides(policy, peers)).toBe(decides)
  })

  test('never fine without each peer seen, outdated, confirmed, or a quorum', () => {
    const word = (...words: string[]) => fc.constantFrom(...words)
    const peers = fc.array(
      fc.record({
        id: word('0', '1'),
        name: fc.constant(undefined),
        connection: word('Connected', 'Connecting', 'StandAlone', 'TearDown', 'x'),
        replication: word('Established', 'Off', 'SyncTarget', 'Ahead', 'x'),
        disk: word('UpToDate', 'Outdated', 'DUnknown', 'Inconsistent'),
      }),
      { maxLength: 3 },
    )
    const any = fc.record({
      minor: fc.constant(0),
      resource: fc.constant('r0'),
      role: word('Primary', 'Secondary', 'x'),
      suspended: word('no', 'fencing'),
      disk: word('UpToDate', 'Inconsistent', 'Consistent'),
      quorum: fc.constantFrom(true, false, undefined),
      peers,
    })
    fc.assert(
      fc.property(any, fc.constantFrom(undefined, 'majority', 'off'), fc.boolean(), (device, quorum, isConfirmed) => {
        if (judge(device, quorum, isConfirmed ? [confirmation] : []).kind !== 'fine') return
        expect(device).toMatchObject({ role: 'Primary', suspended: 'no' })
        if (quorum === 'majority') return
        for (const { id, connection, replication, disk } of device.peers) {
          const isHere = connection === 'Connected' && ['Established', 'SyncTarget'].includes(replication)
          expect(
            isHere ||
              (connection !== 'StandAlone' && disk === 'Outdated') ||
              (isConfirmed && id === '0' && connection !== 'StandAlone' && connection !== 'Connected'),
          ).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('a person says that the other host is off', () => {
  test('that decides where the peer is not seen, and nowhere else', () => {
    expect(judge(only(eventsWith()), undefined, [confirmation])).toEqual({ kind: 'fine', confirmed: [confirmation] })
    expect(judge(only(eventsWith({ connection: 'StandAlone' })), undefined, [confirmation])).toMatchObject({
      kind: 'split-brain',
    })
    expect(judge(only(eventsWith({ disk: 'Inconsistent' })), undefined, [confirmation])).toMatchObject({
      kind: 'not-up-to-date',
    })
    // One that talks is not off.
    expect(judge(only(eventsWith({ connection: 'Connected' })), undefined, [confirmation])).toMatchObject({
      kind: 'peer-unseen',
    })
    for (const other of [{ resource: 'r1' }, { peer: '1' }])
      expect(judge(only(eventsWith()), undefined, [{ ...confirmation, ...other }])).toMatchObject({
        kind: 'peer-unseen',
      })
  })

  test.each<[string, Parameters<typeof eventsWith>[0], string | undefined, string]>([
    ['Secondary', { role: 'Secondary' }, undefined, 'peer-unseen'],
    ['I/O waits', { suspended: 'fencing' }, undefined, 'peer-unseen'],
    ['no good copy', { disk: 'Outdated' }, undefined, 'peer-unseen'],
    [
      'Secondary, the peer is connected',
      { role: 'Secondary', connection: 'Connected', replication: 'Established' },
      undefined,
      'fine',
    ],
    ['Secondary, the peer is outdated', { role: 'Secondary', peerDisk: 'Outdated' }, undefined, 'fine'],
    ['Secondary, quorum decides', { role: 'Secondary', quorum: 'no' }, 'majority', 'no-quorum'],
    ['Secondary, split brain', { role: 'Secondary', connection: 'StandAlone' }, undefined, 'split-brain'],
    ['a role that nobody knows', { role: 'Tertiary' }, undefined, 'unknown'],
  ])('what it would decide once the device is usable: %s: %s', (_what, state, quorum, kind) => {
    expect(judge(onceUsable(only(eventsWith(state))), quorum, [])).toMatchObject({ kind })
  })

  test.each<[Parameters<typeof eventsWith>[0], string]>([
    [{ role: 'Secondary' }, 'not-primary'],
    [{ suspended: 'fencing' }, 'suspended'],
    [{ disk: 'Outdated' }, 'not-up-to-date'],
  ])('said before the device is usable, it decides nothing yet: %o', (state, kind) => {
    expect(judge(only(eventsWith(state)), undefined, [confirmation])).toMatchObject({ kind })
  })

  test.each([
    ['Connecting', false],
    ['Connected', true],
    ['StandAlone', true],
  ])('%s: it is over: %s', (connection, isOver) => {
    expect(confirmationsOver([confirmation], [only(eventsWith({ connection }))])).toEqual(isOver ? [confirmation] : [])
  })

  test('of a resource that is not up nothing is forgotten', () => {
    expect(confirmationsOver([confirmation], [])).toEqual([])
  })
})

describe('a domain whose VG stands on DRBD', () => {
  const volume: ManagedVolume = { vg: 'virtVG', lv: 'root', role: 'exclusive', isLocal: false, reason: 'disk vda' }
  const scope = { volumes: [volume], problems: [] }
  const row = logicalVolume({ vg: 'virtVG', lv: 'root' })
  const plan = { kind: 'activate', changes: [], recorded: [] } as const
  const trouble = { kind: 'peer-unseen', resource: 'r0', peers: ['0'] } as const
  const unseen: DrbdState = { ...NO_DRBD, troubles: new Map([['virtVG', trouble]]) }
  const free = { locks: lockTable(), devices: [] as Device[] }
  const held = (mode: 'exclusive' | 'shared'): { locks: LockTable; devices: Device[] } => ({
    locks: lockTable([[row, mode]]),
    devices: [deviceOf(row)],
  })
  const own = recordOf(1, 'releasing', [
    recorded({ vg: 'virtVG', lv: 'root' }, { ids: { lv: row.uuid, vg: row.vgUuid, lock: row.uuid } }),
  ])
  const drbd = { kind: 'drbd', vg: 'virtVG', trouble }

  test('a lock that is to be taken is refused, and that is said first', () => {
    expect(planOnDrbd(scope, plan, unseen, undefined, free)).toEqual({ kind: 'refuse', problems: [drbd] })
    expect(planOnDrbd(scope, { kind: 'refuse', problems: [{ kind: 'no-agent' }] }, unseen, undefined, free)).toEqual({
      kind: 'refuse',
      problems: [drbd, { kind: 'no-agent' }],
    })
  })

  test.each<[string, boolean, Parameters<typeof planOnDrbd>[3], Parameters<typeof planOnDrbd>[4]]>([
    ['its own, held all the while', true, own, held('exclusive')],
    ['a record, but the lock was let go', false, own, free],
    ['a record, but the lock is shared only', false, own, held('shared')],
    ['held, but on nobody’s record: by hand, on this copy alone', false, undefined, held('exclusive')],
    ['held, on the record of a trial', false, { ...own, state: 'incoming' }, held('exclusive')],
    [
      'held, of another volume of that name',
      false,
      recordOf(1, 'releasing', [recorded({ vg: 'virtVG', lv: 'root' }, { ids: { lv: 'x', vg: 'y', lock: 'x' } })]),
      held('exclusive'),
    ],
    [
      'what holds it is not known',
      false,
      own,
      { ...held('exclusive'), locks: { kind: 'unknown', why: 'down', detail: '' } },
    ],
  ])('%s: it may start: %s', (_what, isLet, record, facts) => {
    expect(planOnDrbd(scope, plan, unseen, record, facts).kind).toBe(isLet ? 'activate' : 'refuse')
  })

  test('one volume that has to be locked anew is enough', () => {
    const two = { ...scope, volumes: [volume, { ...volume, lv: 'data' }] }
    expect(planOnDrbd(two, plan, unseen, own, held('exclusive')).kind).toBe('refuse')
  })

  test('another VG, or one without a lock manager, is none of it', () => {
    expect(planOnDrbd({ ...scope, volumes: [{ ...volume, vg: 'otherVG' }] }, plan, unseen, undefined, free)).toBe(plan)
    expect(planOnDrbd({ ...scope, volumes: [{ ...volume, isLocal: true }] }, plan, unseen, undefined, free)).toBe(plan)
  })

  test('a VG that LVM does not find because DRBD is Secondary', () => {
    const secondary: DrbdState = {
      ...NO_DRBD,
      troubles: new Map([['virtVG', { kind: 'not-primary', resource: 'r0' }]]),
    }
    const missing = { volumes: [], problems: [{ kind: 'missing-vg', vg: 'virtVG', disk: 'disk vda' }] } as const
    expect(planOnDrbd(missing, plan, secondary, undefined, free)).toMatchObject({
      problems: [{ kind: 'drbd', trouble: { kind: 'not-primary' } }],
    })
    // A peer that is not seen hides no VG.
    expect(planOnDrbd(missing, plan, unseen, undefined, free)).toMatchObject({ problems: [{ kind: 'missing-vg' }] })
  })

  test('a word that decides is told, and only where it does', () => {
    const confirmed: DrbdState = { ...NO_DRBD, confirmed: new Map([['virtVG', [confirmation]]]) }
    expect(confirmedWords([volume], confirmed, undefined, free)).toBe(
      "DRBD resource r0 does not see node2, which counts as off since 'lvguard confirm-off node2' of 2026-11-27 22:31 UTC, until it is seen again or this host boots",
    )
    expect(confirmedWords([volume], confirmed, own, held('exclusive'))).toBeUndefined()
    expect(confirmedWords([{ ...volume, vg: 'otherVG' }], confirmed, undefined, free)).toBeUndefined()
  })
})
