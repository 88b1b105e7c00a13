import { afterAll, describe, expect, test } from 'vitest'
import { type ComparedVm, type HostDescription, compareHosts, hostFactsIn } from '../../../../src/core/check/compare.ts'
import { HOST_CODES } from '../../../../src/core/check/finding.ts'

const vm: ComparedVm = {
  name: 'tintin',
  uuid: '1f5d7a0c-0000-4000-8000-000000000001',
  digest: 'a',
  links: ['br0'],
  networks: ['default'],
  pools: ['images'],
  cpu: '',
}

/** A host of two that are alike, with one VM that is defined on both. */
const facts = (host: string, more: Partial<HostDescription> = {}): HostDescription => ({
  format: 1,
  host,
  time: 1000,
  versions: { lvguard: '0.2.0', libvirt: '9.0.0', QEMU: '7.2.22', lvm2: '2.03.16(2)', sanlock: '3.8.5' },
  configuration: { lock_wait: '30', volume_groups: '[]' },
  lvm: { use_lvmlockd: '1', lvmlockctl_kill_command: '' },
  hasWatchdog: true,
  vgs: [{ vg: 'virtVG', uuid: 'u', locking: 'started', hostId: host === 'node1' ? 1 : 2, ioTimeout: 10 }],
  vms: [vm],
  links: ['br0', 'eth0', 'lo'],
  networks: ['default'],
  pools: { images: 'dir /var/lib/libvirt/images' },
  cpu: { model: 'AMD EPYC', flags: ['sse4_2', 'avx2'] },
  ...more,
})
const compared = (there: Partial<HostDescription>, here: Partial<HostDescription> = {}) =>
  compareHosts(facts('node1', here), facts('node2', there), { from: 999, to: 1001 })
const vg = (more: Partial<HostDescription['vgs'][number]>): Partial<HostDescription> => ({
  vgs: [{ vg: 'virtVG', uuid: 'u', locking: 'started', hostId: 2, ioTimeout: 10, ...more }],
})

test('two hosts that are alike give no finding', () => expect(compared({})).toEqual([]))

describe('what differs is found, by its code', () => {
  const hit = new Set<string>()
  test.each<[string, Partial<HostDescription>, string, RegExp]>([
    [
      'another lvguard',
      { versions: { ...facts('node2').versions, lvguard: '0.1.0' } },
      'LVG601 warning',
      /^lvguard: 0\.2\.0 on node1, 0\.1\.0 on node2$/,
    ],
    [
      'another libvirt and another lvm2, in one line',
      { versions: { ...facts('node2').versions, libvirt: '11.3.0', lvm2: '2.03.31(2)' } },
      'LVG602 warning',
      /libvirt: 9\.0\.0 on node1, 11\.3\.0 on node2; lvm2: 2\.03\.16\(2\) on node1/,
    ],
    [
      'a version that cannot be told',
      { versions: { ...facts('node2').versions, sanlock: null } },
      'LVG602 unknown',
      /no version of sanlock on node2$/,
    ],
    [
      'another lvguard.conf',
      { configuration: { lock_wait: '60', volume_groups: '[]' } },
      'LVG603 warning',
      /^lock_wait: 30 on node1, 60 on node2$/,
    ],
    ['an lvguard.conf that cannot be read', { configuration: null }, 'LVG603 unknown', /cannot be read on node2/],
    [
      'another lvm.conf',
      { lvm: { use_lvmlockd: '1', lvmlockctl_kill_command: '/usr/sbin/lvguard kill' } },
      'LVG604 warning',
      /^lvmlockctl_kill_command: .* on node1, \/usr\/sbin\/lvguard kill on node2$/,
    ],
    ['no lvmconfig', { lvm: null }, 'LVG604 unknown', /cannot be read on node2/],
    ['another io_timeout', vg({ ioTimeout: 20 }), 'LVG605 warning', /10 s on node1, 20 s on node2/],
    ['a watchdog on one alone', { hasWatchdog: false }, 'LVG605 warning', /a watchdog on node1, and none on node2/],
    ['one host_id for both', vg({ hostId: 1 }), 'LVG606 critical', /both have host_id 1 on virtVG/],
    ['two volume groups of one name', vg({ uuid: 'v' }), 'LVG606 critical', /are two volume groups/],
    ['a volume group that is not seen there', { vgs: [] }, 'LVG606 warning', /^node2 does not see .* virtVG of node1$/],
    ['locking that is not started', vg({ locking: 'starting' }), 'LVG606 warning', /virtVG: starting on node2$/],
    ['another definition', { vms: [{ ...vm, digest: 'b' }] }, 'LVG607 warning', /in different ways: tintin$/],
    ['no definition there', { vms: [] }, 'LVG607 warning', /^defined on node1 alone: tintin$/],
    [
      'a VM that only the other host has',
      { vms: [vm, { ...vm, name: 'milou', uuid: '2' }] },
      'LVG607 warning',
      /^defined on node2 alone: milou$/,
    ],
    ['two VMs of one name', { vms: [{ ...vm, uuid: '2' }] }, 'LVG607 warning', /are two VMs, with different UUIDs/],
    ['one VM of two names', { vms: [{ ...vm, name: 'milou' }] }, 'LVG607 warning', /is called milou on node2/],
    [
      'no such bridge',
      { links: ['eth0', 'lo'] },
      'LVG608 warning',
      /^node2 has no network device br0, which tintin needs/,
    ],
    ['a network that is not active', { networks: [] }, 'LVG608 warning', /^node2 has no active network default/],
    ['no such pool', { pools: {} }, 'LVG609 warning', /^node2 has no storage pool images/],
    [
      'a pool of that name elsewhere',
      { pools: { images: 'dir /srv' } },
      'LVG609 warning',
      /is dir \/var\/lib\/libvirt\/images on node1, and dir \/srv on node2/,
    ],
    [
      'another processor',
      { cpu: { model: 'AMD EPYC', flags: ['sse4_2'] } },
      'LVG610 warning',
      /^the processors differ: node2 lacks avx2$/,
    ],
    ['a processor that is not told', { cpu: null }, 'LVG610 unknown', /no \/proc\/cpuinfo on node2/],
    ['a clock that is ahead', { time: 1010 }, 'LVG611 warning', /node2 is at least 9 s ahead of that of node1/],
    ['a clock that is behind', { time: 900 }, 'LVG611 warning', /node2 is at least 99 s behind that of node1/],
  ])('%s', (_, there, code, words) => {
    const found = compared(there)
    expect(found.map((each) => `${each.code} ${each.severity}`)).toEqual([code])
    expect(found[0]?.what).toMatch(words)
    expect(found[0]?.mend).not.toBe('')
    hit.add(code.slice(0, 6))
  })
  afterAll(() => expect(HOST_CODES.filter((code) => !hit.has(code))).toEqual([]))
})

describe('what is right, and could be taken for wrong', () => {
  test.each<[string, Partial<HostDescription>]>([
    ['a clock within the time that the answer took', { time: 1002.5 }],
    ['a pool that no VM names, elsewhere', { pools: { images: 'dir /var/lib/libvirt/images', other: 'dir /srv' } }],
    ['a network device that no VM names', { links: ['br0', 'br7', 'lo'] }],
    ['a volume group without a volume, whose UUID nobody tells', vg({ uuid: '' })],
    ['a lease that is renewed late, of which that host tells by itself', vg({ locking: 'late' })],
    ['flags in another order', { cpu: { model: 'AMD EPYC', flags: ['avx2', 'sse4_2'] } }],
  ])('%s', (_, there) => expect(compared(there)).toEqual([]))
})

test('VMs with the processor of the host are named', () => {
  const bound = { vms: [{ ...vm, cpu: 'host-passthrough' }] }
  expect(compared({ ...bound, cpu: { model: 'Intel Xeon', flags: ['sse4_2', 'avx2'] } }, bound)[0]?.mend).toMatch(
    /^of tintin, which has the host's own/,
  )
})

test('the answer of another version is not understood', () => {
  expect(hostFactsIn(JSON.stringify(facts('node2')))).toEqual(facts('node2'))
  const { cpu: _, ...older } = facts('node2')
  for (const text of ['', 'lvguard: there is no option --facts', '{}', '[]', 'null', JSON.stringify(older)])
    expect(hostFactsIn(text)).toBeUndefined()
  expect(hostFactsIn(JSON.stringify({ ...facts('node2'), format: 2 }))).toBeUndefined()
})
