import { describe, expect, test } from 'vitest'
import { type EvacuateCall, type EvacuateWorld, evacuate, returnVms } from '../../../src/cli/evacuate.ts'
import type { Evacuated } from '../../../src/core/evacuate.ts'
import { type StatusFacts, known, unknown } from '../../../src/core/status.ts'
import { UUID, area, checkFacts, record, volume } from '../support/check-facts.ts'

const uuidOf = (at: number): string => `1f5d7a0c-0000-4000-8000-00000000000${at}`
const lockOf = (at: number): string => UUID.replace('3', String(at))
const NAMES = ['tintin', 'milou', 'haddock', 'castafiore']

/** This host with VMs that run as they should. */
function running(count: number): StatusFacts {
  const each = NAMES.slice(0, count).map((name, at) => ({ name, uuid: uuidOf(at), lv: name, lock: lockOf(at) }))
  return checkFacts({
    status: {
      table: known(each.map(({ lv, lock }) => volume(lv, { uuid: lock, lockUuid: lock }))),
      locks: {
        kind: 'known',
        lockspaces: new Map([['virtVG', 'sanlock']]),
        locks: new Map(each.map(({ lock }) => [lock, 'exclusive'])),
      },
      areas: new Map([
        [
          'virtVG',
          known(
            area({
              leases: new Map(
                each.map(({ lock }) => [lock, { resource: lock, exclusive: { hostId: 1, generation: 1 }, shared: [] }]),
              ),
            }),
          ),
        ],
      ]),
      active: {
        found: each.map(({ name, uuid, lv }) => ({
          name,
          uuid,
          volumes: [{ vg: 'virtVG', lv }],
          state: 'running',
          reason: 'booted',
          job: 'none',
        })),
        unreadable: [],
      },
      records: {
        known: each.map(({ name, uuid, lv }) => ({
          ...record,
          domain: { name, uuid },
          volumes: [{ vg: 'virtVG', lv, role: 'exclusive', mode: 'exclusive', before: 'inactive' }],
        })),
        unreadable: [],
      },
    },
  }).status
}

class World implements EvacuateWorld {
  readonly said: string[] = []
  readonly calls: string[] = []
  memory: readonly Evacuated[] = []
  atOnce = 0
  most = 0
  readonly #facts: StatusFacts
  readonly #failing: ReadonlySet<string>
  readonly there: string[]

  constructor(
    facts: StatusFacts,
    { failing = [], there = [] }: { failing?: readonly string[]; there?: string[] } = {},
  ) {
    this.#facts = facts
    this.#failing = new Set(failing)
    this.there = there
  }
  status = async () => this.#facts
  xml = () => "<domain><disk><driver cache='none'/><source dev='/dev/virtVG/x'/><target dev='vda'/></disk></domain>"
  destination = async (host: string) =>
    host === 'node9'
      ? unknown('libvirt on node9 does not answer (No route)')
      : known({ host, agent: 'runs' as const, locking: new Map([['virtVG', 'started']]), domains: [] })
  running = async (host: string) =>
    host === 'node9'
      ? unknown('libvirt on node9 does not answer (No route)')
      : known(this.there.map((uuid) => ({ uuid, name: '' })))
  migrate = async (uuid: string, from: string | undefined, to: string | undefined) => {
    this.calls.push(`${uuid} ${from ?? 'here'} -> ${to ?? 'here'}`)
    this.most = Math.max(this.most, ++this.atOnce)
    await new Promise((resolve) => setTimeout(resolve, 5))
    this.atOnce--
    return this.#failing.has(uuid) ? 'operation failed' : undefined
  }
  progress = async () => 60
  remembered = () => this.memory
  remember = (all: readonly Evacuated[]) => {
    this.memory = all
  }
  now = () => 0
  at = () => '2026-11-27T22:31:00.000Z'
  pause = () => new Promise<void>((resolve) => setTimeout(resolve, 1))
  say = (line: string) => void this.said.push(line)
}
const call: EvacuateCall = { vms: [], to: undefined, parallel: 2, dryRun: false }

// A person who is not root is refused before anything is looked at.
describe.skipIf(process.getuid?.() !== 0)('evacuate', () => {
  test('all go, two at a time, with their progress, and are remembered', async () => {
    const world = new World(running(4))
    expect(await evacuate(call, world)).toBe(0)
    expect(world.most).toBe(2)
    expect(world.calls).toEqual(
      NAMES.map((_, at) => `${uuidOf([3, 2, 1, 0][at] ?? 0)} here -> node2`).sort(
        (a, b) => world.calls.indexOf(a) - world.calls.indexOf(b),
      ),
    )
    expect(world.said).toEqual(
      expect.arrayContaining(['tintin: migrates to node2', 'tintin: 60 %', 'tintin: runs on node2 (0 s)']),
    )
    expect(world.said.at(-1)).toBe('4 VMs are on node2')
    expect(world.memory.map(({ name, to }) => `${name} ${to}`).sort()).toEqual(
      NAMES.map((name) => `${name} node2`).sort(),
    )
  })

  test('one that fails does not keep the others, and is in the list at the end', async () => {
    const world = new World(running(3), { failing: [uuidOf(1)] })
    expect(await evacuate({ ...call, parallel: 1 }, world)).toBe(1)
    expect(world.said.slice(-2)).toEqual(['2 VMs are on node2, 1 is not:', '  milou: operation failed'])
    expect(world.memory.map(({ name }) => name).sort()).toEqual(['haddock', 'tintin'])
  })

  test('a dry run migrates nothing', async () => {
    const world = new World(running(1))
    expect(await evacuate({ ...call, dryRun: true }, world)).toBe(0)
    expect([world.said, world.calls, world.memory]).toEqual([['tintin would migrate to node2'], [], []])
  })

  test('a host that does not answer: all stay, and nothing is migrated', async () => {
    const world = new World(running(1))
    expect(await evacuate({ ...call, to: 'node9' }, world)).toBe(1)
    expect([world.said, world.calls]).toEqual([
      [
        'tintin stays: libvirt on node9 does not answer (No route)',
        '0 VMs are on node9, 1 is not:',
        '  tintin: libvirt on node9 does not answer (No route)',
      ],
      [],
    ])
  })

  test('no other host, volumes that cannot be told, no VM, a name that is no host', async () => {
    const alone = { ...running(1), seen: new Map() }
    const said = async (facts: StatusFacts, more: Partial<EvacuateCall> = {}) => {
      const world = new World(facts)
      return `${await evacuate({ ...call, ...more }, world)} ${world.said.join('; ')} ${world.calls.length}`
    }
    expect(await said(alone)).toMatch(/^1 no other host is seen alive .* nothing was migrated 0$/)
    expect(await said({ ...running(1), table: unknown('lvs does not answer') })).toMatch(
      /^3 the volumes cannot be told: lvs does not answer; nothing was migrated 0$/,
    )
    expect(await said(running(0))).toBe('0 no VM runs here 0')
    expect(await said(running(1), { to: '-oProxyCommand=x' })).toMatch(/^2 -oProxyCommand=x is no name of a host/)
  })
})

describe.skipIf(process.getuid?.() !== 0)('return', () => {
  const away = (at: number, to = 'node2'): Evacuated => ({
    name: NAMES[at] ?? '',
    uuid: uuidOf(at),
    to,
    at: '2026-11-27T22:31:00.000Z',
  })

  test('what was sent away comes back from where it was sent, and is forgotten', async () => {
    const world = new World(running(0), { there: [uuidOf(0), uuidOf(1)] })
    world.memory = [away(0), away(1)]
    expect(await returnVms(call, world)).toBe(0)
    expect(world.calls).toEqual([`${uuidOf(0)} node2 -> here`, `${uuidOf(1)} node2 -> here`])
    expect([world.memory, world.said.at(-1)]).toEqual([[], '2 VMs are back here'])
  })

  test('what runs here already is forgotten; what runs nowhere, or on a host that does not answer, stays remembered', async () => {
    const world = new World(running(1), { there: [] })
    world.memory = [away(0), away(1), away(2, 'node9')]
    expect(await returnVms(call, world)).toBe(1)
    expect(world.calls).toEqual([])
    expect(world.memory.map(({ name }) => name)).toEqual(['milou', 'haddock'])
    expect(world.said).toEqual([
      'tintin runs here already',
      'milou stays away: it does not run on node2 any more',
      'haddock stays away: libvirt on node9 does not answer (No route)',
      '0 VMs are back here, 2 are not:',
      '  milou: it does not run on node2 any more',
      '  haddock: libvirt on node9 does not answer (No route)',
    ])
  })

  test('a host that is not ready fetches nothing', async () => {
    const world = new World({ ...running(0), agent: { kind: 'absent' } }, { there: [uuidOf(0)] })
    world.memory = [away(0)]
    expect([await returnVms(call, world), world.calls, world.memory.length]).toEqual([1, [], 1])
  })

  test('a failure stays remembered; a dry run changes nothing', async () => {
    const world = new World(running(0), { there: [uuidOf(0)], failing: [uuidOf(0)] })
    world.memory = [away(0)]
    expect([await returnVms({ ...call, dryRun: true }, world), world.said, world.calls]).toEqual([
      0,
      ['tintin would come back from node2'],
      [],
    ])
    expect([await returnVms(call, world), world.memory.length]).toEqual([1, 1])
  })

  test('nothing was evacuated', async () => expect(await returnVms(call, new World(running(0)))).toBe(0))
})
