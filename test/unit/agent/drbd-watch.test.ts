import { describe, expect, test } from 'vitest'
import { DrbdWatch, type DrbdWorld, type Leaving } from '../../../src/agent/drbd-watch.ts'
import { type Confirmation, judge } from '../../../src/core/drbd.ts'
import { parseEvents } from '../../../src/drbd/events.ts'
import { ALL_IS_WELL, eventsWith } from '../../support/drbd.ts'

/** A host on DRBD of which a test says what `drbdsetup` answers, and what its agent says. */
function host() {
  const said: string[] = []
  let lasting: string[] = []
  const aborted: string[] = []
  const state = {
    events: ALL_IS_WELL,
    minors: new Map([['virtVG', [0]]]),
    leaving: [] as Leaving[],
    problem: undefined as string | undefined,
    unseen: new Map<string, string>(),
    confirmations: [] as Confirmation[],
    seconds: 0,
  }
  const world: DrbdWorld = {
    minors: () => state.minors,
    devices: async () => ({ kind: 'known', devices: parseEvents(state.events) }),
    verdicts: async (minors, found, confirmations) =>
      new Map(
        found.kind === 'known'
          ? found.devices
              .filter(({ minor }) => minors.includes(minor))
              .map((device) => [device.minor, judge(device, undefined, confirmations)])
          : [],
      ),
    inFull: async (trouble) =>
      trouble.kind === 'peer-unseen'
        ? { ...trouble, host: 'node2', ...(state.unseen.has('r0 0') && { since: state.unseen.get('r0 0') ?? '' }) }
        : trouble,
    confirmations: () => state.confirmations,
    drop: (over) => {
      state.confirmations = state.confirmations.filter((each) => !over.includes(each))
    },
    unseen: () => state.unseen,
    keep: (unseen) => {
      state.unseen = new Map(unseen)
    },
    leaving: () => state.leaving,
    abort: async (uuid) => {
      aborted.push(uuid)
      return state.problem
    },
    now: () => new Date(Date.UTC(2026, 10, 27, 22, 31, state.seconds)),
    say: (sayings) => {
      lasting = sayings.map(({ priority, text }) => `<${priority}>${text}`)
    },
    tell: ({ priority, text }) => void said.push(`<${priority}>${text}`),
  }
  const watch = new DrbdWatch(world)
  const pass = async (events: string): Promise<readonly string[]> => {
    state.events = events
    state.seconds += 15
    await watch.pass()
    return lasting
  }
  return { state, said, aborted, pass }
}

describe('what the agent says of a DRBD peer', () => {
  test('nothing while all is well, and nothing on a host without DRBD', async () => {
    const { said, pass, state } = host()
    expect(await pass(ALL_IS_WELL)).toEqual([])
    state.minors = new Map()
    expect(await pass(eventsWith())).toEqual([])
    expect(said).toEqual([])
  })

  test('that it is gone, since when, and what to do; and that it is back', async () => {
    const { said, pass, state } = host()
    const gone = [
      '<3>DRBD resource r0 has not seen node2 since 2026-11-27 22:31 UTC, so that nobody here knows what runs there. What runs here runs on; no VM on it starts here, and none is let in. ' +
        'Bring the link back (drbdadm status r0), or, only if node2 is certainly off: lvguard confirm-off node2',
    ]
    expect(await pass(eventsWith())).toEqual(gone)
    expect(await pass(eventsWith())).toEqual(gone)
    expect([...state.unseen]).toEqual([['r0 0', '2026-11-27T22:31:15.000Z']])
    expect(await pass(ALL_IS_WELL)).toEqual([])
    expect(said).toEqual([
      '<5>DRBD resource r0 sees its peer again, which it had not seen since 2026-11-27 22:31:15 UTC',
    ])
    expect(state.unseen.size).toBe(0)
  })

  test('split brain at the highest priority', async () => {
    const { pass } = host()
    expect(await pass(eventsWith({ connection: 'StandAlone' }))).toEqual([
      expect.stringMatching(/^<2>DRBD resource r0 is StandAlone: .*split brain.*README, Two hosts on DRBD/),
    ])
  })

  test('a confirmation that decides, and its end', async () => {
    const { said, pass, state } = host()
    state.confirmations = [{ format: 1, resource: 'r0', peer: '0', host: 'node2', at: '2026-11-27T22:00:00Z' }]
    expect(await pass(eventsWith())).toEqual([
      expect.stringMatching(/^<4>DRBD resource r0 does not see node2, which counts as off .*: VMs start here$/),
    ])
    expect(state.confirmations).toHaveLength(1)
    expect(await pass(ALL_IS_WELL)).toEqual([])
    expect(state.confirmations).toEqual([])
    expect(said).toContain(
      "<5>DRBD resource r0 sees node2 again: what was said with 'lvguard confirm-off node2' counts no longer",
    )
    expect(await pass(eventsWith())).toEqual([expect.stringMatching(/^<3>.*has not seen node2/)])
  })

  test('a confirmation ends also while no VG on DRBD is in use here', async () => {
    const { said, pass, state } = host()
    state.minors = new Map()
    state.confirmations = [{ format: 1, resource: 'r0', peer: '0', host: 'node2', at: '2026-11-27T22:00:00Z' }]
    expect(await pass(eventsWith({ role: 'Secondary' }))).toEqual([])
    expect(state.confirmations).toHaveLength(1)
    expect(
      await pass(
        eventsWith({
          role: 'Secondary',
          connection: 'Connected',
          replication: 'SyncTarget',
          disk: 'Inconsistent',
          peerDisk: 'UpToDate',
        }),
      ),
    ).toEqual([])
    expect(state.confirmations).toEqual([])
    expect(said).toEqual([
      "<5>DRBD resource r0 sees node2 again: what was said with 'lvguard confirm-off node2' counts no longer",
    ])
  })

  test('a peer that is outdated: this host goes on, and that is said once', async () => {
    const { pass } = host()
    expect(await pass(eventsWith({ peerDisk: 'Outdated' }))).toEqual([
      expect.stringMatching(
        /^<4>.*does not see its peer, and DRBD itself has decided that this host goes on \(the peer is outdated\)/,
      ),
    ])
  })
})

describe('a migration out while the peer is not seen', () => {
  const leaving: Leaving[] = [
    { uuid: '1', name: 'tintin', vgs: ['virtVG'] },
    { uuid: '2', name: 'milou', vgs: ['otherVG'] },
  ]

  test('is ended, once, where its volumes are on that DRBD', async () => {
    const { state, said, aborted, pass } = host()
    state.leaving = leaving
    await pass(ALL_IS_WELL)
    expect(aborted).toEqual([])
    await pass(eventsWith())
    await pass(eventsWith())
    expect(aborted).toEqual(['1'])
    expect(said).toEqual([
      expect.stringMatching(/^<3>the migration of tintin was aborted: DRBD does not see the other host/),
    ])
    // The next one is another one.
    state.leaving = []
    await pass(eventsWith())
    state.leaving = leaving
    await pass(eventsWith())
    expect(aborted).toEqual(['1', '1'])
  })

  test('is said with the highest priority if it cannot be ended', async () => {
    const { state, said, pass } = host()
    state.leaving = leaving
    state.problem = 'no job'
    await pass(eventsWith())
    expect(said).toEqual([expect.stringMatching(/^<2>tintin migrates although .* failed: no job$/)])
  })

  test.each<[string, Parameters<typeof eventsWith>[0]]>([
    ['I/O waits', { suspended: 'fencing' }],
    ['the peer is outdated', { peerDisk: 'Outdated' }],
    ['nobody knows what that is', { connection: 'Teleporting' }],
  ])('is left alone where %s', async (_what, events) => {
    const { state, aborted, pass } = host()
    state.leaving = leaving
    await pass(eventsWith(events))
    expect(aborted).toEqual([])
  })
})
