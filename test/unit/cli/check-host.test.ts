import { expect, test } from 'vitest'
import { type CheckHostWorld, checkHost } from '../../../src/cli/check-host.ts'
import type { HostDescription } from '../../../src/core/check/compare.ts'
import { type Known, known, unknown } from '../../../src/core/status.ts'

const facts = (host: string, more: Partial<HostDescription> = {}): HostDescription => ({
  format: 1,
  host,
  time: 1000,
  versions: { lvguard: '0.2.0' },
  configuration: {},
  lvm: {},
  hasWatchdog: true,
  vgs: [],
  vms: [],
  links: [],
  networks: [],
  pools: {},
  cpu: { model: 'AMD EPYC', flags: [] },
  ...more,
})

class World implements CheckHostWorld {
  said = ''
  constructor(
    readonly there: Known<HostDescription>,
    readonly muted: readonly string[] = [],
    readonly isRoot = true,
  ) {}
  mayLook = () => this.isRoot
  own = async () => facts('node1')
  other = async () => this.there
  mute = async () => this.muted
  now = () => 1000
  at = () => '2026-11-28T20:00:00.000Z'
  say = (text: string): void => {
    this.said += text
  }
}
const call = { host: 'node2', json: false, quiet: false }

test('two hosts that are alike', async () => {
  const world = new World(known(facts('node2')))
  expect(await checkHost(call, world)).toBe(0)
  expect(world.said).toBe('LVGUARD OK - 11 checks, nothing found | critical=0 warning=0 unknown=0\n')
  const quiet = new World(known(facts('node2')))
  expect([await checkHost({ ...call, quiet: true }, quiet), quiet.said]).toEqual([0, ''])
})

test('who is not root is told so, and it is no all-clear', async () => {
  const world = new World(known(facts('node2')), [], false)
  expect(await checkHost(call, world)).toBe(3)
  expect(world.said).toBe('LVGUARD UNKNOWN - only root can compare hosts: run it with sudo\n')
})

test('what differs, in two lines; muted; as JSON', async () => {
  const other = known(facts('node2', { versions: { lvguard: '0.1.0' } }))
  const world = new World(other)
  expect(await checkHost(call, world)).toBe(1)
  expect(world.said.split('\n').slice(0, 2)).toEqual([
    'LVGUARD WARNING - 1 warning: LVG601 | critical=0 warning=1 unknown=0',
    'LVG601 warning: lvguard: 0.2.0 on node1, 0.1.0 on node2',
  ])
  const muted = new World(other, ['LVG601'])
  expect(await checkHost(call, muted)).toBe(0)
  expect(muted.said).toMatch(/nothing found \(1 muted\)/)
  const json = new World(other)
  expect(await checkHost({ ...call, json: true }, json)).toBe(1)
  expect(JSON.parse(json.said)).toMatchObject({
    format: 1,
    host: 'node1',
    other: 'node2',
    at: '2026-11-28T20:00:00.000Z',
    result: 'warning',
    findings: [{ code: 'LVG601' }],
  })
})

test('a host that does not answer is unknown, and no all-clear', async () => {
  const world = new World(unknown('lvguard on node2 does not answer (Connection refused)'))
  expect(await checkHost(call, world)).toBe(3)
  expect(world.said).toMatch(/^LVGUARD UNKNOWN - 1 unknown: LVG601 \|/)
  expect(world.said).toMatch(/Connection refused/)
})

test('what is no name of a host never reaches ssh', async () => {
  const world = new World(known(facts('node2')))
  expect(await checkHost({ ...call, host: '-oProxyCommand=x' }, world)).toBe(3)
  expect(world.said).toMatch(/is no name of a host/)
})
