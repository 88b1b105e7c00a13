import { describe, expect, test } from 'vitest'
import type { Confirmation, DrbdDevice } from '../../../src/core/drbd.ts'
import type { FenceAnswer } from '../../../src/core/fence.ts'
import { parseEvents, parseSections } from '../../../src/drbd/events.ts'
import { type FenceSettings, type FenceWorld, fencePeer } from '../../../src/drbd/fence.ts'
import { drbdCapture, eventsWith } from '../../support/drbd.ts'

const ENV = { DRBD_RESOURCE: 'r0', DRBD_PEER: 'node2' }
const SETTINGS: FenceSettings = { fenceCommand: ['/sbin/off', '%h'], fenceDelay: 0 }
const FROZEN = eventsWith({ suspended: 'fencing' })

/** node1, which has lost node2. Its lease was renewed last when the test began. */
class Host implements FenceWorld {
  readonly self = 'node1'
  time = 1000
  said: Partial<DrbdDevice>[] | readonly DrbdDevice[] = parseEvents(FROZEN)
  renewed = 1000
  hasFailed = false
  /** What fence_command says, each time; the last one for ever. */
  outcomes: (string | undefined)[] = [undefined]
  takes = 3
  confirmed: Confirmation[] = []
  answered: FenceAnswer | undefined
  isBusy = false
  readonly did: string[] = []
  /** What happens when it is later than this. */
  readonly later: [time: number, act: () => void][] = []

  now = (): number => this.time
  date = (): string => new Date(this.time * 1000).toISOString()
  pass(seconds: number): void {
    this.time += seconds
    for (const [time, act] of this.later) if (this.time >= time) act()
  }
  sleep = (seconds: number): Promise<void> => Promise.resolve(this.pass(seconds))
  devices: FenceWorld['devices'] = () => Promise.resolve({ kind: 'known', devices: this.said as readonly DrbdDevice[] })
  sections: FenceWorld['sections'] = () =>
    Promise.resolve(parseSections(drbdCapture('configuration', 'drbdadm dump r0')))
  leases: FenceWorld['leases'] = (minors) =>
    Promise.resolve(
      minors.includes(0)
        ? [{ vg: 'virtVG', list: 'spaces', ioTimeout: 10, renewed: this.renewed, hasFailed: this.hasFailed }]
        : [],
    )
  confirmations = (): Promise<readonly Confirmation[]> => Promise.resolve(this.confirmed)
  answer = (): FenceAnswer | undefined => this.answered
  keep = (answer: FenceAnswer): void => void this.did.push(`keep ${answer.resource} ${answer.host}`)
  confirm = ({ resource, peer, host, by }: Confirmation): void =>
    void this.did.push(`confirm ${resource} ${peer} ${host} ${by}`)
  turn: FenceWorld['turn'] = () => {
    this.did.push('turn')
    return Promise.resolve(this.isBusy ? undefined : () => void this.did.push('free'))
  }
  run: FenceWorld['run'] = (words, seconds) => {
    this.did.push(`${this.time}: ${words.join(' ')}`)
    const outcome = this.outcomes.length > 1 ? this.outcomes.shift() : this.outcomes[0]
    this.pass(Math.min(this.takes, seconds))
    return Promise.resolve(this.takes > seconds ? 'it did not end' : outcome)
  }
  say: FenceWorld['say'] = () => undefined
}

const ran = ({ did }: Host): string[] => did.filter((each) => each.includes('/sbin/off'))
const person = (at: number, by?: 'fence'): Confirmation => ({
  format: 1,
  resource: 'r0',
  peer: '0',
  host: 'node2',
  at: new Date(at * 1000).toISOString(),
  ...(by && { by }),
})

describe('the fence-peer handler', () => {
  test('fence_command says that the host is off: 7, kept for another resource, and put down as confirm-off is', async () => {
    const host = new Host()
    expect(await fencePeer(ENV, SETTINGS, host)).toEqual({ kind: 'off', host: 'node2', by: 'fence_command' })
    expect(host.did).toEqual(['turn', '1000: /sbin/off node2', 'keep r0 node2', 'confirm r0 0 node2 fence', 'free'])
  })

  test('it fails: tried again, and not off one io_timeout before the lease runs out', async () => {
    const host = Object.assign(new Host(), { outcomes: ['exit status 1, no route to host'] })
    expect(await fencePeer(ENV, SETTINGS, host)).toEqual({
      kind: 'not-off',
      why: expect.stringMatching(/before the lease of this host runs out: exit status 1, no route to host/),
    })
    expect([ran(host).length, host.time]).toEqual([14, 1070])
    expect(host.did).not.toContain('keep r0 node2')
    expect(host.did.at(-1)).toBe('free')
  })

  test('it fails once, and then it does not', async () => {
    const host = Object.assign(new Host(), { outcomes: ['exit status 1', undefined] })
    expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({ kind: 'off' })
    expect(ran(host)).toEqual(['1000: /sbin/off node2', '1005: /sbin/off node2'])
  })

  test('it hangs: not off, in time', async () => {
    const host = Object.assign(new Host(), { takes: 1000 })
    expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({
      kind: 'not-off',
      why: expect.stringMatching(/it did not end/),
    })
    expect(host.time).toBe(1070)
  })

  test('fence_delay comes first, and after it the peer may be back', async () => {
    const host = new Host()
    expect(await fencePeer(ENV, { ...SETTINGS, fenceDelay: 10 }, host)).toMatchObject({ kind: 'off' })
    expect(ran(host)).toEqual(['1010: /sbin/off node2'])
    const back = new Host()
    back.later.push([
      1005,
      () => {
        back.said = parseEvents(eventsWith({ connection: 'Connected' }))
      },
    ])
    expect(await fencePeer(ENV, { ...SETTINGS, fenceDelay: 10 }, back)).toMatchObject({
      kind: 'not-off',
      why: 'it sees node2 again',
    })
    expect(ran(back)).toEqual([])
  })

  test.each<[string, Partial<Host>, FenceSettings, RegExp]>([
    ['nothing to do it with', {}, { ...SETTINGS, fenceCommand: [] }, /fence_command is not set/],
    ['this host has lost its own lease', { hasFailed: true }, SETTINGS, /has lost its own lease/],
    ['the time is over before it begins', { time: 1071 }, SETTINGS, /no time/],
    ['another call is at it until the time is over', { isBusy: true }, SETTINGS, /no time/],
    [
      'this host is Secondary',
      { said: parseEvents(eventsWith({ role: 'Secondary', disk: 'Consistent' })) },
      SETTINGS,
      /for a promotion nobody/,
    ],
  ])('%s: not off, and fence_command does not run', async (_, spoil, settings, why) => {
    const host = Object.assign(new Host(), spoil)
    expect(await fencePeer(ENV, settings, host)).toEqual({ kind: 'not-off', why: expect.stringMatching(why) })
    expect(ran(host)).toEqual([])
  })

  test('a resource that DRBD does not have reaches no command', async () => {
    const host = new Host()
    const asked: string[] = []
    host.sections = (resource) => {
      asked.push(resource)
      return Promise.resolve([])
    }
    for (const name of ['--help', 'r0; reboot', 'all', ''])
      expect(await fencePeer({ ...ENV, DRBD_RESOURCE: name }, SETTINGS, host)).toMatchObject({ kind: 'not-off' })
    expect(asked).toEqual([])
  })

  test('three hosts, and a command that names none: not off', async () => {
    const host = new Host()
    host.sections = () =>
      Promise.resolve(
        ['node1', 'node2', 'node3']
          .map((name, id) => ({ names: [name], nodeId: String(id + 9) }))
          .map((each) => (each.names[0] === 'node2' ? { ...each, nodeId: '0' } : each)),
      )
    expect(await fencePeer(ENV, { ...SETTINGS, fenceCommand: ['/sbin/off', 'node2'] }, host)).toMatchObject({
      kind: 'not-off',
      why: expect.stringMatching(/does not say which host/),
    })
    expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({ kind: 'off' })
  })
})

describe('one fence at a time for a host', () => {
  const other = parseEvents(FROZEN.replaceAll('r0', 'r1').replace('minor:0', 'minor:1'))
  test('the call for another resource uses the answer of a moment ago', async () => {
    const host = Object.assign(new Host(), {
      said: [...parseEvents(FROZEN), ...other],
      answered: { host: 'node2', resource: 'r1', peer: '0', at: 995 },
    })
    expect(await fencePeer(ENV, SETTINGS, host)).toEqual({
      kind: 'off',
      host: 'node2',
      by: 'an answer of a moment ago',
    })
    expect(host.did).toEqual(['turn', 'confirm r0 0 node2 fence', 'free'])
  })

  test.each<[string, number, string]>([
    ['an old one', 900, 'Connecting'],
    ['one whose resource has seen the peer since', 995, 'Connected'],
  ])('not %s', async (_, at, connection) => {
    const host = Object.assign(new Host(), {
      said: [
        ...parseEvents(FROZEN),
        ...other.map((device) => ({ ...device, peers: device.peers.map((peer) => ({ ...peer, connection })) })),
      ],
      answered: { host: 'node2', resource: 'r1', peer: '0', at },
    })
    expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({ by: 'fence_command' })
  })
})

describe('a word that the host is off', () => {
  test('while fence_command fails: it is the answer', async () => {
    const host = Object.assign(new Host(), { outcomes: ['exit status 1'] })
    host.later.push([
      1020,
      () => {
        host.confirmed = [person(1020)]
      },
    ])
    expect(await fencePeer(ENV, SETTINGS, host)).toEqual({ kind: 'off', host: 'node2', by: 'confirm-off' })
  })

  test.each<[string, Confirmation]>([
    ['a person’s', person(900)],
    ['that of an earlier call', person(900, 'fence')],
  ])('%s, for a promotion: it is the answer, and nobody is switched off', async (_, word) => {
    const host = Object.assign(new Host(), {
      said: parseEvents(eventsWith({ role: 'Secondary', disk: 'Consistent' })),
      confirmed: [word],
    })
    expect(await fencePeer(ENV, { ...SETTINGS, fenceCommand: [] }, host)).toMatchObject({ by: 'confirm-off' })
    expect(ran(host)).toEqual([])
  })

  test.each<[string, Confirmation]>([
    ['a person’s', person(-10)],
    ['that of an earlier call', person(-10, 'fence')],
    ['by a clock that was ahead', person(2000)],
  ])(
    '%s, of before this host has booted, for a promotion: the other one may run since, and it counts for nothing',
    async (_, word) => {
      const host = Object.assign(new Host(), {
        said: parseEvents(eventsWith({ role: 'Secondary', disk: 'Consistent' })),
        confirmed: [word],
      })
      expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({
        kind: 'not-off',
        why: expect.stringMatching(/for a promotion nobody is switched off/),
      })
      expect(ran(host)).toEqual([])
    },
  )

  test('of before the connection was lost, on a host that is Primary: counts for nothing', async () => {
    const host = Object.assign(new Host(), { confirmed: [person(999)], outcomes: ['exit status 1'] })
    expect(await fencePeer(ENV, SETTINGS, host)).toMatchObject({ kind: 'not-off' })
    expect(ran(host).length).toBeGreaterThan(0)
  })
})
