import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseEvents, parseHosts, parseQuorum } from '../../../src/drbd/events.ts'
import { drbdCapture, eventsOf, eventsWith } from '../../support/drbd.ts'

const device = { minor: 0, resource: 'r0', role: 'Primary', suspended: 'no', disk: 'UpToDate', quorum: undefined }
const peer = { id: '0', name: undefined, connection: 'Connecting', replication: 'Off', disk: 'DUnknown' }

describe('drbdsetup events2 --now', () => {
  test.each([
    ['cut-double-start-node1', { ...device, peers: [{ ...peer, connection: 'StandAlone' }] }],
    ['cut-double-start-node2', { ...device, peers: [peer] }],
    ['fenced-peer-outdated-node2', { ...device, peers: [{ ...peer, disk: 'Outdated' }] }],
    [
      'resolved-node2-secondary-node1',
      { ...device, peers: [{ ...peer, connection: 'Connected', replication: 'Established', disk: 'UpToDate' }] },
    ],
    [
      'resolved-node2-secondary-node2',
      {
        ...device,
        role: 'Secondary',
        peers: [{ ...peer, connection: 'Connected', replication: 'Established', disk: 'UpToDate' }],
      },
    ],
  ])('of the 8.4 module: %s', (state, expected) => {
    expect(parseEvents(eventsOf(state))).toEqual([expected])
  })

  // The rows are those of drbd-utils' own tests for 9.
  test('of 9: several peers, volumes and resources, rows of other kinds', () => {
    const text = [
      'exists resource name:a role:Primary suspended:no force-io-failures:no may_promote:no promotion_score:10102',
      'exists resource name:b role:Secondary suspended:quorum force-io-failures:no may_promote:no promotion_score:0',
      'exists connection name:a peer-node-id:1 conn-name:node2 connection:Connected role:Secondary',
      'exists connection name:a peer-node-id:2 conn-name:node3 connection:Connecting role:Unknown',
      'exists device name:a volume:0 minor:1000 backing_dev:/dev/sda disk:UpToDate client:no open:no quorum:yes',
      'exists device name:a volume:1 minor:1001 backing_dev:none disk:Diskless client:no open:no quorum:no',
      ...[0, 1].flatMap((volume) => [
        `exists peer-device name:a peer-node-id:1 conn-name:node2 volume:${volume} replication:Established peer-disk:UpToDate peer-client:no resync-suspended:no`,
        `exists peer-device name:a peer-node-id:2 conn-name:node3 volume:${volume} replication:Off peer-disk:DUnknown peer-client:no resync-suspended:no`,
      ]),
      'exists path name:a peer-node-id:1 conn-name:node2 local:ipv4:1.2.3.4:7789 peer:ipv4:5.6.7.8:7790 established:yes',
      'exists -',
    ].join('\n')
    const peers = [
      { id: '1', name: 'node2', connection: 'Connected', replication: 'Established', disk: 'UpToDate' },
      { id: '2', name: 'node3', connection: 'Connecting', replication: 'Off', disk: 'DUnknown' },
    ]
    expect(parseEvents(text)).toEqual([
      { minor: 1000, resource: 'a', role: 'Primary', suspended: 'no', disk: 'UpToDate', quorum: true, peers },
      { minor: 1001, resource: 'a', role: 'Primary', suspended: 'no', disk: 'Diskless', quorum: false, peers },
    ])
  })

  test('no resource at all', () => {
    expect(parseEvents('exists -\n')).toEqual([])
  })

  test('a row, or a field of one, that is missing is no answer', () => {
    const lines = eventsWith().trimEnd().split('\n')
    for (const index of lines.keys()) {
      const rest = lines.filter((_, each) => each !== index).join('\n')
      // Without its device nothing is told of it, and without a connection it has no peer: both are unknown to whoever
      // asks for it.
      if (/^exists (?:device|connection)/.test(lines[index] ?? ''))
        expect(parseEvents(rest).flatMap(({ peers }) => peers)).toEqual([])
      else expect(() => parseEvents(rest), lines[index]).toThrow(SyntaxError)
    }
    for (const field of [
      'role:Primary',
      'suspended:no',
      'disk:UpToDate',
      'minor:0',
      'connection:Connecting',
      'replication:Off',
      'peer-disk:DUnknown',
    ]) {
      expect(() => parseEvents(eventsWith().replace(` ${field}`, '')), field).toThrow(SyntaxError)
    }
  })

  test('of any text it is an answer or a SyntaxError', () => {
    const part = fc.constantFrom(
      'exists',
      'exists -',
      'exists device name:r0',
      'exists resource name:r0 role:Primary suspended:no',
      'volume:0',
      'minor:x',
      '\n',
      ' ',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string()), { maxLength: 12 }), (parts) => {
        try {
          parseEvents(parts.join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
    )
  })
})

describe('the configuration', () => {
  test('drbdsetup show: the quorum policy', () => {
    expect(parseQuorum(drbdCapture('configuration', 'drbdsetup show r0'))).toBeUndefined()
    expect(parseQuorum('resource "r0" {\n    options {\n        quorum          \tmajority;\n    }\n')).toBe('majority')
    expect(parseQuorum('        quorum-minimum-redundancy\t1;\n        on-no-quorum    \tio-error;\n')).toBeUndefined()
  })

  test('drbdadm dump: the hosts', () => {
    expect(parseHosts(drbdCapture('configuration', 'drbdadm dump r0'))).toEqual(['node1', 'node2'])
    expect(parseHosts('    on "node-1" {\n    on node2 node3 {\n')).toEqual(['node-1', 'node2', 'node3'])
    expect(parseHosts('    floating 10.0.0.1:7788 {\n')).toEqual([])
  })
})
