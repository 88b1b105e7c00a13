import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { Holder } from '../../../src/core/problem.ts'
import type { Lease } from '../../../src/sanlock/commands.ts'
import { CONFIGURATION, HostDouble, ROOT_VOLUME, domainOf, xmlOf } from '../support/host-double.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { migrate } = await import('../../../src/acts/migrate.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')

beforeEach(() => {
  host = new HostDouble()
  root.clear()
  root.write('proc/sys/kernel/random/uuid', '11111111-2222-4333-8444-555555555555\n')
  announceAgent()
})
afterAll(() => root.remove())

const holder = (hostId: number, changed: Partial<Holder> = {}): Holder => ({
  name: `node${hostId}`,
  hostId,
  mode: 'shared',
  silentFor: 4,
  expiresAfter: 140,
  isThisHost: false,
  ...changed,
})
/** What the lease says, and who the hosts are that it names. */
async function comingIn(holders: readonly Holder[], lease: Partial<Lease> = {}) {
  const shared = holders.map(({ hostId }) => hostId)
  Object.assign(host, {
    leaseOf: () => Promise.resolve({ exclusive: undefined, shared, ...lease }),
    holdersOf: () => Promise.resolve(holders),
  })
  return migrate(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), xmlOf([ROOT_VOLUME]))
}

// The simulation found this: a VM of which libvirt had made two (FACTS 19) went on to a third host, and the doubt stayed
// behind.
test('what two other hosts share already is not let in on a third', async () => {
  expect(await comingIn([holder(2), holder(3)])).toMatchObject({
    kind: 'refused',
    problems: [{ kind: 'held', isByMany: true, holders: [{ name: 'node2' }, { name: 'node3' }] }],
  })
  expect(host.commands).toEqual([])
})

test.each<[string, readonly Holder[]]>([
  ['the source alone', [holder(2)]],
  ['the source, and this host, which has shared it before', [holder(1, { isThisHost: true }), holder(2)]],
  ['the source, and a host that is dead', [holder(2), holder(3, { silentFor: 150 })]],
  ['nobody', []],
])('what %s shares is let in', async (_, holders) => {
  expect((await comingIn(holders)).kind).toBe('done')
})

test('one of which nobody knows whether it lives counts', async () => {
  expect((await comingIn([holder(2), holder(3, { silentFor: undefined })])).kind).toBe('refused')
})
