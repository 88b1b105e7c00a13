import { describe, expect, test } from 'vitest'
import type { LeaseArea } from '../../../src/core/lease-area.ts'
import type { LogicalVolume } from '../../../src/core/lock-state.ts'
import type { DomainRecord, RecordedVolume } from '../../../src/core/record.ts'
import { type StatusFacts, known, unknown } from '../../../src/core/status.ts'
import { statusOf } from '../../../src/core/status-of.ts'
import type { Mode } from '../../../src/core/volume.ts'

const uuidOf = (lv: string): string =>
  lv.padEnd(32, '0').replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7')
const volume = (lv: string, more: Partial<LogicalVolume> = {}): LogicalVolume => ({
  vg: 'virtVG',
  lv,
  uuid: uuidOf(lv),
  vgUuid: uuidOf('vg'),
  lockType: 'sanlock',
  lockUuid: uuidOf(lv),
  layout: 'linear',
  shareable: true,
  leaseOffset: 70254592,
  ...more,
})

/**
 * node1 looks, its host_id is 1; node2 has 2. `held`: LV, then who holds it by the leases: `1`, `2` exclusively, `1s`,
 * `2s` shared.
 */
function facts(held: Readonly<Record<string, string>>, more: Partial<StatusFacts> = {}): StatusFacts {
  const who = (words: string, shared: boolean) =>
    words
      .split(' ')
      .filter((word) => word !== '' && word.endsWith('s') === shared)
      .map((word) => ({ hostId: Number.parseInt(word, 10), generation: 1 }))
  const leases = new Map(
    Object.entries(held).map(([lv, words]) => [
      uuidOf(lv),
      { resource: uuidOf(lv), exclusive: who(words, false)[0], shared: who(words, true) },
    ]),
  )
  const host = (hostId: number, name: string) =>
    [hostId, { hostId, name, generation: 1, timestamp: 900, ioTimeout: 10 }] as const
  const area: LeaseArea = {
    hosts: new Map([host(1, 'node1'), host(2, '1f5d7a0c-0000-4000-8000-000000000000.node2')]),
    leases,
  }
  const own = Object.entries(held).flatMap(([lv, words]) =>
    words
      .split(' ')
      .flatMap((word): [string, Mode][] =>
        word === '1' ? [[uuidOf(lv), 'exclusive']] : word === '1s' ? [[uuidOf(lv), 'shared']] : [],
      ),
  )
  return {
    host: 'node1.example',
    at: '2026-11-27T22:31:00.000Z',
    now: 1000,
    locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map(own) },
    sanlock: known({
      now: 1000,
      hasWatchdog: true,
      watchdogFire: 60,
      lockspaces: [{ vg: 'virtVG', list: 'spaces', ioTimeout: 10, renewed: 995, hasFailed: false }],
      notUnderstood: [],
    }),
    ownIds: new Map([['virtVG', 1]]),
    table: known(Object.keys(held).map((lv) => volume(lv))),
    areas: new Map([['virtVG', known(area)]]),
    seen: new Map([['virtVG', new Map([[2, { lastLive: 990, ioTimeout: 10 }]])]]),
    records: { known: [], unreadable: [] },
    active: { found: [], unreadable: [] },
    defined: [],
    devices: [],
    killed: new Set(),
    agent: { kind: 'runs', pid: 5 },
    drbd: known([]),
    ...more,
  }
}

const domain = { name: 'tintin', uuid: '1f5d7a0c-0000-4000-8000-000000000001' }
const tintin = { ...domain, volumes: [{ vg: 'virtVG', lv: 'tintin' }], state: 'running', reason: 'booted', job: 'none' }
const record = (
  state: DomainRecord['state'],
  volumes: Partial<RecordedVolume>,
  more: Partial<DomainRecord> = {},
): StatusFacts['records'] => ({
  known: [
    {
      format: 1,
      domain,
      state,
      volumes: [{ vg: 'virtVG', lv: 'tintin', role: 'exclusive', mode: 'exclusive', before: 'inactive', ...volumes }],
      ...more,
    },
  ],
  unreadable: [],
})
const active = (more: Partial<typeof tintin> = {}): StatusFacts['active'] => ({
  found: [{ ...tintin, ...more }],
  unreadable: [],
})

/** A status in few words: each volume with its state and holders. */
const inShort = (of: StatusFacts): string[] =>
  statusOf(of).volumes.map(
    ({ lv, state, holders, vms }) =>
      `${lv}${vms.length > 0 ? ` (${vms.join()})` : ''} ${state}${holders
        .map(
          ({ host, mode, here, state: hostState, freeIn, isOrphan }) =>
            ` ${host}${here ? '*' : ''}:${mode}${hostState === 'this host' || hostState === 'alive' ? '' : `:${hostState}`}${freeIn === undefined ? '' : `:${freeIn}`}${isOrphan === true ? ':orphan' : ''}`,
        )
        .join('')}`,
  )

describe('who holds what', () => {
  test('here, there, by both, by nobody; all is well with the VMs that run', () => {
    const all = facts(
      { tintin: '1', milou: '2', iso: '1s 2s', free: '' },
      {
        active: active({
          volumes: [
            { vg: 'virtVG', lv: 'tintin' },
            { vg: 'virtVG', lv: 'iso' },
          ],
        }),
        defined: [{ name: 'milou', uuid: 'x', volumes: [{ vg: 'virtVG', lv: 'milou' }] }],
      },
    )
    expect(inShort(all)).toEqual([
      'free free',
      'iso (tintin) held node1*:shared node2:shared',
      'milou (milou) held node2:exclusive',
      'tintin (tintin) held node1*:exclusive',
    ])
    const { attention, unknown: untold, vgs, hosts } = statusOf(all)
    expect({ attention, untold }).toEqual({ attention: [], untold: [] })
    expect(vgs).toEqual([{ vg: 'virtVG', lockManager: 'sanlock', locking: 'started', hostId: 1, renewed: 5 }])
    expect(hosts.map(({ host, state, silentFor }) => `${host} ${state} ${silentFor}`)).toEqual([
      'node1 this host 5',
      'node2 alive 10',
    ])
  })

  test('names are sorted as people count', () =>
    expect(inShort(facts({ vm10: '', vm2: '', vm1: '' }))).toEqual(['vm1 free', 'vm2 free', 'vm10 free']))

  test.each([
    ['alive', 950, 'milou held node2:exclusive'],
    ['silent', 949, 'milou held node2:exclusive:silent:89'],
    ['silent', 861, 'milou held node2:exclusive:silent:1'],
    ['dead', 860, 'milou held node2:exclusive:dead:0'],
    ['not seen yet', 0, 'milou held node2:exclusive:unknown'],
  ])('the holder is %s when it was seen last at %i of 1000', (_, lastLive, expected) => {
    expect(
      inShort(facts({ milou: '2' }, { seen: new Map([['virtVG', new Map([[2, { lastLive, ioTimeout: 10 }]])]]) })),
    ).toEqual([expected])
  })

  test('a lease of a host that has left, or has joined anew since, is over: it can be taken now', () => {
    const left = facts({ milou: '2' })
    const area = left.areas.get('virtVG')
    const other = (change: { generation?: number; timestamp?: number }) => {
      if (area?.kind !== 'known') throw new Error('no area')
      const hosts = new Map([...area.value.hosts].map(([id, host]) => [id, id === 2 ? { ...host, ...change } : host]))
      return { ...left, areas: new Map([['virtVG', known({ ...area.value, hosts })]]) }
    }
    expect(inShort(other({ timestamp: 0 }))).toEqual(['milou held node2:exclusive:left:0'])
    expect(inShort(other({ generation: 2 }))).toEqual(['milou held node2:exclusive:left:0'])
  })

  test('a thin volume is held as its pool is', () => {
    const of = facts({ pool: '2' })
    expect(
      inShort({
        ...of,
        table: known([
          volume('pool'),
          volume('thin', { lockUuid: uuidOf('pool'), pool: 'pool', leaseOffset: undefined }),
        ]),
      }),
    ).toEqual(['pool held node2:exclusive', 'thin held node2:exclusive'])
  })

  test('what sanlock holds for this host without its lvmlockd is an orphan', () => {
    const of = facts({ tintin: '1' })
    expect(
      inShort({ ...of, locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() } }),
    ).toEqual(['tintin held node1*:exclusive:orphan'])
  })
})

describe('not knowing is never an all-clear', () => {
  const of = (more: Partial<StatusFacts>) => ({
    short: inShort(facts({ tintin: '1', milou: '2', iso: '1s' }, more)),
    untold: statusOf(facts({ tintin: '1', milou: '2', iso: '1s' }, more)).unknown,
  })

  test('leases that cannot be read: what is exclusive here is told all the same, nothing else', () => {
    expect(of({ areas: new Map([['virtVG', unknown('the disk does not answer')]]) })).toEqual({
      short: ['iso unknown node1.example*:shared', 'milou unknown', 'tintin held node1.example*:exclusive'],
      untold: ['the leases of virtVG: the disk does not answer'],
    })
  })

  test('locks that cannot be read: the leases tell', () => {
    const { short, untold } = of({ locks: { kind: 'unknown', why: 'down', detail: 'lvmlockd does not answer' } })
    expect(short).toEqual(['iso held node1*:shared', 'milou held node2:exclusive', 'tintin held node1*:exclusive'])
    expect(untold).toEqual(['the locks of this host: lvmlockd does not answer'])
  })

  test('a volume whose lease is not in the area that was read', () => {
    const bare = facts({ tintin: '' })
    expect(inShort({ ...bare, table: known([volume('tintin'), volume('new')]) })).toEqual([
      'new unknown',
      'tintin free',
    ])
  })

  test('sanlock, LVM, DRBD, files', () => {
    expect(
      of({
        sanlock: unknown('it does not answer'),
        ownIds: new Map(),
        areas: new Map(),
        table: unknown('lvs does not answer'),
        drbd: unknown('no drbdsetup'),
        records: { known: [], unreadable: ['/run/lvguard/x.json'] },
        active: { found: [], unreadable: ['/run/libvirt/qemu/a.xml'] },
      }).untold,
    ).toEqual([
      'sanlock: it does not answer',
      'the volumes: lvs does not answer',
      '/run/libvirt/qemu/a.xml cannot be read or understood',
      '/run/lvguard/x.json cannot be read or understood',
      'DRBD: no drbdsetup',
    ])
    expect(of({ sanlock: unknown('it does not answer'), ownIds: new Map(), areas: new Map() }).short).toEqual([
      'iso unknown node1.example*:shared',
      'milou unknown',
      'tintin held node1.example*:exclusive',
    ])
  })
})

describe('what a person should look at', () => {
  const attention = (held: Readonly<Record<string, string>>, more: Partial<StatusFacts>) =>
    statusOf(facts(held, more)).attention
  const lockspace = { vg: 'virtVG', list: 'spaces' as const, ioTimeout: 10, renewed: 995, hasFailed: false }
  const sanlock = (change: Partial<typeof lockspace> | undefined) =>
    known({
      now: 1000,
      hasWatchdog: true,
      watchdogFire: 60,
      lockspaces: change === undefined ? [] : [{ ...lockspace, ...change }],
      notUnderstood: [],
    })

  test.each<[string, Readonly<Record<string, string>>, Partial<StatusFacts>, RegExp]>([
    [
      'a VM without a lock',
      { tintin: '' },
      { active: active() },
      /^tintin runs here without a lock on virtVG\/tintin$/,
    ],
    [
      'a VM whose volume another host holds',
      { tintin: '2' },
      { active: active() },
      /without a lock on virtVG\/tintin, which node2 holds$/,
    ],
    [
      'a VM that only shares what it writes',
      { tintin: '1s 2s' },
      { active: active(), records: record('running', {}) },
      /^tintin runs here, and virtVG\/tintin is only shared, also with node2$/,
    ],
    ['a volume that nobody uses', { tintin: '1' }, {}, /^virtVG\/tintin is locked here, and no VM here uses it$/],
    [
      'a VM that has ended',
      { tintin: '1' },
      { records: record('releasing', {}) },
      /^tintin has ended, and virtVG\/tintin is still to be given back$/,
    ],
    [
      'a contested migration',
      { tintin: '1' },
      {
        active: active(),
        records: record('running', {}, { migration: { phase: 'perform3_done', lockedBy: 'node2' } }),
      },
      /^the end of a migration of tintin is in doubt: node2 has locked/,
    ],
    [
      'an error table',
      { tintin: '1' },
      { active: active(), devices: [{ vg: 'virtVG', lv: 'tintin', node: 'dm-1', dmUuid: 'LVM-x', dead: 'error' }] },
      /fails all I\/O$/,
    ],
    [
      'a dead host',
      { milou: '2' },
      { seen: new Map([['virtVG', new Map([[2, { lastLive: 800, ioTimeout: 10 }]])]]) },
      /^virtVG\/milou is held by node2, which is dead; it can be taken now$/,
    ],
    ['no agent', { tintin: '' }, { agent: { kind: 'absent' } }, /^the agent does not run/],
    ['a VG that was cut off', { tintin: '' }, { killed: new Set(['virtVG']) }, /lvguard recover virtVG$/],
    [
      'locking that is not started',
      { tintin: '' },
      { sanlock: sanlock(undefined), locks: { kind: 'known', lockspaces: new Map(), locks: new Map() } },
      /vgchange --lock-start virtVG$/,
    ],
    [
      'a lost lease',
      { tintin: '' },
      { sanlock: sanlock({ hasFailed: true }) },
      /^this host has lost its lease on virtVG$/,
    ],
    ['a late lease', { tintin: '' }, { sanlock: sanlock({ renewed: 960 }) }, /^this host is late to renew/],
  ])('%s', (_, held, more, expected) => {
    const found = attention(held, more)
    expect(found).toEqual([expect.stringMatching(expected)])
  })

  test('nothing while it migrates: then sharing is what it should be', () => {
    expect(
      attention({ tintin: '1s 2s' }, { active: active({ job: 'migration out' }), records: record('running', {}) }),
    ).toEqual([])
    expect(statusOf(facts({ tintin: '1s 2s' }, { active: active({ job: 'migration out' }) })).vms).toEqual([
      { name: 'tintin', uuid: domain.uuid, state: 'migrating out', volumes: ['virtVG/tintin'] },
    ])
  })
})

// Seen on a slow node: the other looks took two minutes, and the lease counted as lost.
test('the lease of this host is as old as it was when sanlock answered', () => {
  const [group] = statusOf(facts({ tintin: '1' }, { now: 1120 })).vgs
  expect([group?.locking, group?.renewed]).toEqual(['started', 5])
})
