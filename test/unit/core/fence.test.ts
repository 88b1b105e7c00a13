import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type HostSection,
  answerHolds,
  fenceEnds,
  fenceTarget,
  fenceWords,
  isFenceWord,
  namesHost,
  whyNotFenced,
} from '../../../src/core/fence.ts'
import type { Lockspace } from '../../../src/core/lease.ts'
import { parseEvents, parseSections } from '../../../src/drbd/events.ts'
import { drbdCapture, eventsWith } from '../../support/drbd.ts'
import { hostileName } from '../support/arbitraries.ts'

const devices = parseEvents(eventsWith({ suspended: 'fencing' }))
const sections = parseSections(drbdCapture('configuration', 'drbdadm dump r0'))
const target = { resource: 'r0', peer: '0', host: 'node2', others: 1 }
const ENV = {
  DRBD_RESOURCE: 'r0',
  DRBD_PEER: 'node2',
  DRBD_PEERS: 'node2',
  DRBD_PEER_AF: 'ipv4',
  DRBD_PEER_ADDRESS: '10.0.128.2',
}

/** Three hosts on DRBD 9, as drbdadm dump writes them, and what events2 says on node1. */
const NINE = ['node1', 'node2', 'node3']
  .map((name, id) => `    on ${name} {\n        node-id ${id};\n        device minor 0;\n    }\n`)
  .join('')
const nine = parseEvents(
  [
    'exists resource name:r0 role:Primary suspended:fencing',
    ...[1, 2].map(
      (id) => `exists connection name:r0 peer-node-id:${id} conn-name:node${id + 1} connection:Connecting role:Unknown`,
    ),
    'exists device name:r0 volume:0 minor:0 disk:UpToDate client:no quorum:yes',
    ...[1, 2].map(
      (id) =>
        `exists peer-device name:r0 peer-node-id:${id} conn-name:node${id + 1} volume:0 replication:Off peer-disk:DUnknown`,
    ),
    'exists -',
    '',
  ].join('\n'),
)

describe('whom DRBD asks about', () => {
  test('8.4: the one peer, by the name that the configuration has', () => {
    expect(fenceTarget(ENV, devices, sections, 'node1')).toEqual(target)
    // A `floating` peer has no DRBD_PEER: the configuration decides all the same.
    expect(fenceTarget({ DRBD_RESOURCE: 'r0' }, devices, sections, 'node1')).toEqual(target)
  })

  test('9: by the node-id of the module', () => {
    const env = {
      DRBD_RESOURCE: 'r0',
      DRBD_PEER_NODE_ID: '2',
      DRBD_NODE_ID_0: 'node1',
      DRBD_NODE_ID_1: 'node2',
      DRBD_NODE_ID_2: 'node3',
      DRBD_MY_NODE_ID: '0',
    }
    expect(fenceTarget(env, nine, parseSections(NINE), 'node1')).toEqual({
      resource: 'r0',
      peer: '2',
      host: 'node3',
      others: 2,
    })
    const { DRBD_PEER_NODE_ID: _, ...without } = env
    expect(fenceTarget(without, nine, parseSections(NINE), 'node1')).toEqual({
      why: expect.stringMatching(/does not say which of the 2 peers of r0/),
    })
  })

  test.each<[string, Record<string, string>, readonly HostSection[], RegExp]>([
    ['nobody but a person calls', {}, sections, /DRBD_RESOURCE is not set/],
    ['a resource that is not there', { DRBD_RESOURCE: 'r1' }, sections, /DRBD has no resource r1 here/],
    ['a peer that is not there', { ...ENV, DRBD_PEER_NODE_ID: '7' }, sections, /no peer with the node-id 7/],
    [
      'the environment names another host',
      { ...ENV, DRBD_PEER: 'node3' },
      sections,
      /DRBD calls the peer of r0 node3, and its configuration calls it node2/,
    ],
    [
      'so does that of DRBD 9',
      { DRBD_RESOURCE: 'r0', DRBD_NODE_ID_0: 'node3' },
      sections,
      /calls the peer of r0 node3/,
    ],
    ['no configuration', ENV, [], /does not name one host/],
    ['no section of another host (floating)', ENV, [{ names: ['node1'], nodeId: undefined }], /does not name one host/],
    [
      'several names for it',
      ENV,
      [
        { names: ['node1'], nodeId: undefined },
        { names: ['node2', 'node3'], nodeId: undefined },
      ],
      /does not name one host/,
    ],
    [
      'three hosts without a node-id',
      ENV,
      [...sections, { names: ['node3'], nodeId: undefined }],
      /does not name one host/,
    ],
    [
      'a node-id that no section has',
      { DRBD_RESOURCE: 'r0' },
      [{ names: ['node2'], nodeId: '1' }],
      /does not name one host/,
    ],
  ])('%s: nobody is switched off', (_, env, own, why) => {
    expect(fenceTarget(env, devices, own, 'node1')).toEqual({ why: expect.stringMatching(why) })
  })

  test('a hostile name, in the configuration or in the environment, gets nowhere', () => {
    const isPlain = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
    fc.assert(
      fc.property(hostileName, (name) => {
        const found = fenceTarget({ DRBD_RESOURCE: 'r0' }, devices, [{ names: [name], nodeId: undefined }], 'node1')
        if ('host' in found) expect(found.host).toMatch(isPlain)
        if (name !== '')
          expect(fenceTarget({ ...ENV, DRBD_PEER: name }, devices, sections, 'node1')).toHaveProperty('why')
        expect(fenceTarget({ ...ENV, DRBD_RESOURCE: name }, devices, sections, 'node1')).toHaveProperty('why')
      }),
      { numRuns: 500 },
    )
    for (const name of [
      '-rf',
      '--ip=10.0.0.1',
      '$(reboot)',
      'a b',
      'node2;x',
      '../node2',
      '',
      '.',
      'node2\n',
      'node2/',
    ]) {
      expect(
        fenceTarget({ DRBD_RESOURCE: 'r0' }, devices, [{ names: [name], nodeId: undefined }], 'node1'),
        name,
      ).toHaveProperty('why')
    }
  })
})

describe('who switches nobody off', () => {
  test.each<[string, Parameters<typeof eventsWith>[0], RegExp | undefined]>([
    ['a host that uses the resource, and has lost its peer', { suspended: 'fencing' }, undefined],
    ['in the moment after', { connection: 'NetworkFailure' }, undefined],
    [
      'Secondary: it has just booted',
      { role: 'Secondary' },
      /for a promotion nobody is switched off.*lvguard confirm-off node2; then drbdadm primary r0/,
    ],
    ['no good copy', { disk: 'Consistent' }, /the copy of this host is Consistent/],
    ['seen again', { connection: 'Connected', replication: 'Established' }, /it sees node2 again/],
    ['it talks', { connection: 'Connected' }, /it sees node2 again/],
    ['disconnected by hand', { connection: 'Disconnecting' }, /disconnected by hand/],
    ['split brain', { connection: 'StandAlone' }, /split brain/],
  ])('%s', (_, state, why) => {
    const said = whyNotFenced(target, parseEvents(eventsWith(state)))
    if (why === undefined) expect(said).toBeUndefined()
    else expect(said).toMatch(why)
  })
})

describe('when the handler has to answer', () => {
  const lockspace = (changed: Partial<Lockspace> = {}): Lockspace => ({
    vg: 'virtVG',
    list: 'spaces',
    ioTimeout: 10,
    renewed: 1000,
    hasFailed: false,
    ...changed,
  })
  test.each<[string, readonly Lockspace[], number | undefined]>([
    ['one io_timeout before the lease runs out', [lockspace()], 1070],
    ['another io_timeout', [lockspace({ ioTimeout: 5 })], 1035],
    ['of several the first', [lockspace({ renewed: 1015 }), lockspace()], 1070],
    ['not known: 30 s from now', [], 1050],
    ['none yet', [lockspace({ renewed: 0 })], 1050],
    ['sanlock has given it up: never', [lockspace({ hasFailed: true })], undefined],
    ['80 s old: never', [lockspace({ renewed: 940 })], undefined],
  ])('%s', (_, lockspaces, ends) => expect(fenceEnds(lockspaces, 1020)).toBe(ends))
})

describe('the words of fence_command', () => {
  test('%h is the host, %% a percent sign, and each text stays one argument', () => {
    expect(fenceWords(['/sbin/off', '--ip=%h-bmc', '%%h', 'a b; c'], 'node2')).toEqual([
      '/sbin/off',
      '--ip=node2-bmc',
      '%h',
      'a b; c',
    ])
  })
  test.each<[string, boolean]>([
    ['%h', true],
    ['%%', true],
    ['x%hy%%', true],
    ['%s', false],
    ['100%', false],
    ['a\0b', false],
  ])('%j may stand there: %s', (text, may) => expect(isFenceWord(text)).toBe(may))
  test.each<[string, boolean]>([
    ['%h', true],
    ['--ip=%h', true],
    ['%%%h', true],
    ['%%h', false],
    ['node2', false],
  ])('%j names the host: %s', (text, names) => expect(namesHost(['/sbin/off', text])).toBe(names))
})

describe('the answer of a moment ago', () => {
  const answer = { host: 'node2', resource: 'r0', peer: '0', at: 1000 }
  test.each<[string, Partial<typeof answer> | undefined, number, string, boolean]>([
    ['holds', {}, 1030, 'Connecting', true],
    ['is too old', {}, 1031, 'Connecting', false],
    ['is of another host', { host: 'node3' }, 1001, 'Connecting', false],
    ['is of a later time than now, before a boot', {}, 999, 'Connecting', false],
    ['its resource has seen the peer since', {}, 1010, 'Connected', false],
    ['there is none', undefined, 1001, 'Connecting', false],
  ])('%s', (_, changed, now, connection, holds) => {
    expect(
      answerHolds(
        changed && { ...answer, ...changed },
        { ...target, resource: 'r1' },
        parseEvents(eventsWith({ connection })),
        now,
      ),
    ).toBe(holds)
  })
})

test('the sections of drbdadm dump, with and without a node-id', () => {
  expect(sections).toEqual([
    { names: ['node1'], nodeId: undefined },
    { names: ['node2'], nodeId: undefined },
  ])
  expect(parseSections(NINE).map(({ names, nodeId }) => [...names, nodeId])).toEqual([
    ['node1', '0'],
    ['node2', '1'],
    ['node3', '2'],
  ])
})
