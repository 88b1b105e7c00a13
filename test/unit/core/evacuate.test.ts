import { describe, expect, test } from 'vitest'
import { type EvacuationFacts, domainsIn, hostsToGoTo, planEvacuation, progressIn } from '../../../src/core/evacuate.ts'
import { type StatusFacts, known, unknown } from '../../../src/core/status.ts'
import { statusOf } from '../../../src/core/status-of.ts'
import { checkFacts, domain, record, volume } from '../support/check-facts.ts'

const NODE2 = { host: 'node2', agent: 'runs' as const, locking: new Map([['virtVG', 'started']]), domains: [domain] }
const XML =
  "<domstatus><domain><disk type='block'><driver name='qemu' cache='none'/><source dev='/dev/virtVG/tintin'/><target dev='vda'/></disk></domain></domstatus>"
const facts = (status: Partial<StatusFacts> = {}, more: Partial<EvacuationFacts> = {}): EvacuationFacts => {
  const of = checkFacts({ status }).status
  return {
    status: statusOf(of),
    rows: of.table.kind === 'known' ? of.table.value : [],
    xml: new Map([[domain.uuid, XML]]),
    destination: known(NODE2),
    ...more,
  }
}
/** `tintin` for what goes, `tintin: why` for what stays. */
const inShort = (of: EvacuationFacts, wanted: readonly string[] = []): string[] => {
  const { goes, stays } = planEvacuation(of, wanted)
  return [...goes.map(({ name }) => name), ...stays.map(({ name, why }) => `${name}: ${why}`)]
}
const active = (more: object): Partial<StatusFacts> => ({
  active: {
    found: [
      {
        ...domain,
        volumes: [{ vg: 'virtVG', lv: 'tintin' }],
        state: 'running',
        reason: 'booted',
        job: 'none',
        ...more,
      },
    ],
    unreadable: [],
  },
})

describe('what goes, and what stays', () => {
  test('a VM whose volumes are held here goes', () => expect(inShort(facts())).toEqual(['tintin']))
  test('by its name, or its UUID', () => {
    expect(inShort(facts(), ['tintin'])).toEqual(['tintin'])
    expect(inShort(facts(), [domain.uuid])).toEqual(['tintin'])
    expect(inShort(facts(), ['milou'])).toEqual(['milou: it does not run on this host'])
  })

  test.each<[string, EvacuationFacts, RegExp]>([
    ['paused', facts(active({ state: 'paused', reason: 'user' })), /it is paused \(user\)$/],
    ['migrating already', facts(active({ job: 'migration out' })), /it is migrating out$/],
    ['no agent here', facts({ agent: { kind: 'absent' } }), /no agent runs on this host/],
    [
      'the other host does not answer',
      facts({}, { destination: unknown('libvirt on node2 does not answer (x)') }),
      /libvirt on node2 does not answer \(x\)$/,
    ],
    ['no agent there', facts({}, { destination: known({ ...NODE2, agent: 'absent' }) }), /no agent runs on node2/],
    [
      'another VM of that name there',
      facts({}, { destination: known({ ...NODE2, domains: [{ name: 'tintin', uuid: 'other' }] }) }),
      /knows another VM of that name \(other\)/,
    ],
    [
      'a volume that cannot be shared',
      facts({ table: known([volume('tintin', { shareable: false, layout: 'thin,sparse' })]) }),
      /virtVG\/tintin cannot be shared \(thin,sparse\)/,
    ],
    [
      'locking that is not started there',
      facts({}, { destination: known({ ...NODE2, locking: new Map([['virtVG', 'starting']]) }) }),
      /locking of virtVG is not started on node2/,
    ],
    [
      'locking that the other host does not tell',
      facts({}, { destination: known({ ...NODE2, locking: new Map() }) }),
      /locking of virtVG is not started on node2/,
    ],
    [
      'without its lock',
      facts({ locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() } }),
      /no lock on virtVG\/tintin here/,
    ],
    [
      'a cache mode',
      facts({}, { xml: new Map([[domain.uuid, XML.replace("cache='none'", "cache='writeback'")]]) }),
      /disk vda \(cache writeback\)/,
    ],
    ['XML that cannot be read', facts({}, { xml: new Map() }), /live XML cannot be read/],
    [
      'a device of this host',
      facts({}, { xml: new Map([[domain.uuid, XML.replace('<disk', "<hostdev mode='subsystem'/><disk")]]) }),
      /<hostdev>/,
    ],
  ])('%s: stays', (_, of, why) => expect(inShort(of)).toEqual([expect.stringMatching(why)]))

  test('a command, and a VM that has ended, are none', () => {
    expect(
      inShort(
        facts({
          active: { found: [], unreadable: [] },
          records: { known: [{ ...record, state: 'prepared', command: 'keeps' }], unreadable: [] },
        }),
      ),
    ).toEqual([])
    expect(
      inShort(
        facts({
          active: { found: [], unreadable: [] },
          records: { known: [{ ...record, state: 'releasing' }], unreadable: [] },
        }),
      ),
    ).toEqual([])
  })
})

describe('where to', () => {
  const hosts = (lastLive: number) =>
    hostsToGoTo(facts({ seen: new Map([['virtVG', new Map([[2, { lastLive, ioTimeout: 10 }]])]]) }).status)
  test('the host that is alive', () => expect(hosts(990)).toEqual(['node2']))
  test('none that is silent', () => expect(hosts(900)).toEqual([]))
})

describe("libvirt's words", () => {
  test('progress (virsh domjobinfo)', () => {
    const text =
      'Job type:         Unbounded   \nOperation:        Outgoing migration\nTime elapsed:     2034         ms\nData processed:   512.000 MiB\nData remaining:   512.000 MiB\nData total:       1.000 GiB\n'
    expect(progressIn(text)).toBe(50)
    expect(progressIn(text.replace('512.000 MiB\nData total', '0.000 B\nData total'))).toBe(100)
    expect(progressIn('Job type:         None        \n')).toBeUndefined()
  })
  test('virsh list --uuid --name', () => {
    expect(
      domainsIn(
        ' 1f5d7a0c-0000-4000-8000-000000000001 tintin                        \n 1f5d7a0c-0000-4000-8000-000000000002 a b\n\n',
      ),
    ).toEqual([domain, { uuid: '1f5d7a0c-0000-4000-8000-000000000002', name: 'a b' }])
  })
})
