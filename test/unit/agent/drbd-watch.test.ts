import { describe, expect, test } from 'vitest'
import { DrbdWatch, type DrbdWorld } from '../../../src/agent/drbd-watch.ts'
import { type Confirmation, judge } from '../../../src/core/drbd.ts'
import { parseEvents } from '../../../src/drbd/events.ts'
import { ALL_IS_WELL, eventsWith } from '../../support/drbd.ts'

/** A host on DRBD of which a test says what `drbdsetup` answers, and what its agent says. */
function host() {
  const said: string[] = []
  let lasting: string[] = []
  const state = { events: ALL_IS_WELL, minors: [0], unseen: new Map<string, string>(), confirmations: [] as Confirmation[], seconds: 0 }
  const world: DrbdWorld = {
    minors: () => state.minors,
    devices: async () => ({ kind: 'known', devices: parseEvents(state.events) }),
    verdicts: async (minors, found, confirmations) => new Map(found.kind === 'known' ? found.devices.filter(({ minor }) => minors.includes(minor)).map((device) => [device.minor, judge(device, undefined, confirmations)]) : []),
    inFull: async (trouble) => (trouble.kind === 'peer-unseen' ? { ...trouble, host: 'node2', ...(state.unseen.has('r0 0') && { since: state.unseen.get('r0 0') ?? '' }) } : trouble),
    confirmations: () => state.confirmations,
    drop: (over) => {
      state.confirmations = state.confirmations.filter((each) => !over.includes(each))
    },
    unseen: () => state.unseen,
    keep: (unseen) => {
      state.unseen = new Map(unseen)
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
  return { state, said, pass }
}

describe('what the agent says of a DRBD peer', () => {
  test('nothing while all is well, and nothing on a host without DRBD', async () => {
    const { said, pass, state } = host()
    expect(await pass(ALL_IS_WELL)).toEqual([])
    state.minors = []
    expect(await pass(eventsWith())).toEqual([])
    expect(said).toEqual([])
  })

  test('that it is gone, since when, and what to do; and that it is back', async () => {
    const { said, pass, state } = host()
    const gone = ['<3>DRBD resource r0 has not seen node2 since 2026-11-27 22:31 UTC, so that nobody here knows what runs there. What runs here runs on; no VM on it starts here, and none is let in. ' +
      'Bring the link back (drbdadm status r0), or, only if node2 is certainly off: lvguard confirm-off node2']
    expect(await pass(eventsWith())).toEqual(gone)
    expect(await pass(eventsWith())).toEqual(gone)
    expect([...state.unseen]).toEqual([['r0 0', '2026-11-27T22:31:15.000Z']])
    expect(await pass(ALL_IS_WELL)).toEqual([])
    expect(said).toEqual(['<5>DRBD resource r0 sees its peer again, which it had not seen since 2026-11-27 22:31:15 UTC'])
    expect(state.unseen.size).toBe(0)
  })

  test('split brain at the highest priority', async () => {
    const { pass } = host()
    expect(await pass(eventsWith({ connection: 'StandAlone' }))).toEqual([expect.stringMatching(/^<2>DRBD resource r0 is StandAlone: .*split brain.*README, Two hosts on DRBD/)])
  })

  test('a confirmation that decides, and its end', async () => {
    const { said, pass, state } = host()
    state.confirmations = [{ format: 1, resource: 'r0', peer: '0', host: 'node2', at: '2026-11-27T22:00:00Z' }]
    expect(await pass(eventsWith())).toEqual([expect.stringMatching(/^<4>DRBD resource r0 does not see node2, which counts as off .*: VMs start here$/)])
    expect(state.confirmations).toHaveLength(1)
    expect(await pass(ALL_IS_WELL)).toEqual([])
    expect(state.confirmations).toEqual([])
    expect(said).toContain("<5>DRBD resource r0 sees node2 again: what was said with 'lvguard confirm-off node2' counts no longer")
    expect(await pass(eventsWith())).toEqual([expect.stringMatching(/^<3>.*has not seen node2/)])
  })

  test('a peer that is outdated: this host goes on, and that is said once', async () => {
    const { pass } = host()
    expect(await pass(eventsWith({ peerDisk: 'Outdated' }))).toEqual([expect.stringMatching(/^<4>.*does not see its peer, and DRBD itself has decided that this host goes on \(the peer is outdated\)/)])
  })
})
