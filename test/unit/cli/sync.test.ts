import { describe, expect, test } from 'vitest'
import { type SyncCall, type SyncWorld, sync } from '../../../src/cli/sync.ts'
import { differences, linesOfDefinition, newerSide } from '../../../src/core/sync.ts'
import { type Status, known, unknown } from '../../../src/core/status.ts'
import { checkFacts } from '../support/check-facts.ts'

const uuid = '1f5d7a0c-0000-4000-8000-000000000001'
const xml = (memory: string, more = ''): string =>
  `<domain type='kvm'>\n  <name>tintin</name>\n  <uuid>${uuid}</uuid>\n  <memory unit='KiB'>${memory}</memory>\n  <vcpu>1</vcpu>\n${more}</domain>\n`

describe('what differs', () => {
  test('the lines, with those around', () => {
    expect(differences(linesOfDefinition(xml('1024')), linesOfDefinition(xml('2048')))).toEqual([
      '  ...',
      '    <name>tintin</name>',
      `    <uuid>${uuid}</uuid>`,
      "-   <memory unit='KiB'>1024</memory>",
      "+   <memory unit='KiB'>2048</memory>",
      '    <vcpu>1</vcpu>',
      '  </domain>',
    ])
  })
  test.each<[string, string]>([
    ['the id of one that runs', xml('1024').replace("<domain type='kvm'>", "<domain type='kvm' id='7'>")],
    ['a comment', `<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE\n-->\n${xml('1024')}`],
    [
      'what a migration has left behind',
      xml(
        '1024',
        "  <metadata>\n    <lvguard:incoming xmlns:lvguard='urn:lvguard:incoming:1' id='5'/>\n  </metadata>\n",
      ),
    ],
    ['blanks at the end', xml('1024').replaceAll('\n', '  \n')],
  ])('%s is no difference', (_, other) =>
    expect(differences(linesOfDefinition(other), linesOfDefinition(xml('1024')))).toEqual([]),
  )
  test('policy in the metadata is one', () => {
    const policy = "  <metadata>\n    <lvguard:policy xmlns:lvguard='urn:lvguard:policy:1'/>\n  </metadata>\n"
    expect(
      differences(linesOfDefinition(xml('1024')), linesOfDefinition(xml('1024', policy))).filter((line) =>
        line.startsWith('+'),
      ),
    ).toHaveLength(3)
  })
  test('a password is compared, and not shown', () => {
    const lines = differences(
      linesOfDefinition(xml('1', "<graphics type='vnc' passwd='old'/>\n")),
      linesOfDefinition(xml('1', "<graphics type='vnc' passwd='new'/>\n")),
    )
    expect(lines.filter((line) => /^[-+]/.test(line))).toEqual([
      "- <graphics type='vnc' passwd='***'/>",
      "+ <graphics type='vnc' passwd='***'/>",
    ])
  })
})

/** Who holds the volume of tintin. */
const held = (by: 'here' | 'there' | 'nobody'): Status => {
  const { table } = checkFacts()
  const holders =
    by === 'nobody'
      ? []
      : [
          {
            host: by === 'here' ? 'node1' : 'node2',
            here: by === 'here',
            mode: 'exclusive' as const,
            state: 'alive' as const,
          },
        ]
  return { ...table, volumes: table.volumes.map((volume) => ({ ...volume, vms: ['tintin'], holders })) }
}
test('the side that holds is the newer one', () => {
  expect((['here', 'there', 'nobody'] as const).map((by) => newerSide(held(by), 'tintin', 'node2'))).toEqual([
    'here',
    'there',
    'unknown',
  ])
  expect(newerSide(held('there'), 'tintin', 'node3')).toBe('unknown')
})

class World implements SyncWorld {
  readonly said: string[] = []
  readonly definedThere: string[] = []
  constructor(
    readonly there: Readonly<Record<string, string>>,
    readonly by: 'here' | 'there' | 'nobody' = 'here',
    readonly answer = false,
    readonly thereNames = [{ name: 'tintin', uuid }],
  ) {}
  status = async () => held(this.by)
  defined = async (host?: string) =>
    host === 'node9'
      ? unknown('libvirt on node9 does not answer (x)')
      : known(host === undefined ? [{ name: 'tintin', uuid }] : this.thereNames)
  xml = async (id: string, host?: string) => {
    const text = host === undefined ? xml('2048') : this.there[id]
    return text === undefined ? unknown('cannot be read') : known(text)
  }
  define = async (text: string) => {
    this.definedThere.push(text)
    return undefined
  }
  ask = (question: string) => {
    this.said.push(question)
    return this.answer
  }
  say = (line: string) => void this.said.push(line)
}
const call: SyncCall = { to: 'node2', vms: [], dryRun: false, yes: false }

describe.skipIf(process.getuid?.() !== 0)('sync', () => {
  const other = { [uuid]: xml('1024') }
  test('what is the same is left alone, without a question', async () => {
    const world = new World({ [uuid]: xml('2048') })
    expect([await sync(call, world), world.said, world.definedThere]).toEqual([
      0,
      ['1 of 1 were the same on node2'],
      [],
    ])
  })
  test('what differs is shown, asked for, and defined', async () => {
    const world = new World(other, 'here', true)
    expect([await sync(call, world), world.definedThere]).toEqual([0, [xml('2048')]])
    expect(world.said).toEqual(
      expect.arrayContaining([
        'tintin: this host holds its volumes, so that its definition here is the newer one. On node2 this would change:',
        'Define tintin on node2 as it is here? [y/N] ',
        'tintin: defined on node2',
      ]),
    )
  })
  test('no is no', async () => {
    const world = new World(other)
    expect([await sync(call, world), world.definedThere]).toEqual([1, []])
  })
  test('--yes asks nothing, and leaves what is newer there', async () => {
    const [newer, older] = [new World(other, 'there'), new World(other, 'here')]
    expect([await sync({ ...call, yes: true }, newer), newer.definedThere]).toEqual([1, []])
    expect(newer.said).toContain('tintin: left as it is; to take over what node2 has, type lvguard sync there')
    expect([await sync({ ...call, yes: true }, older), older.definedThere.length]).toEqual([0, 1])
  })
  test('a dry run asks and changes nothing', async () => {
    const world = new World(other, 'here', true)
    expect([
      await sync({ ...call, dryRun: true }, world),
      world.definedThere,
      world.said.filter((line) => line.includes('[y/N]')),
    ]).toEqual([1, [], []])
  })
  test('what is not defined there yet', async () => {
    const world = new World({}, 'here', true, [])
    expect([await sync(call, world), world.definedThere.length]).toEqual([0, 1])
  })
  test('another VM of that name, or another name of that VM, is never touched', async () => {
    for (const names of [[{ name: 'tintin', uuid: 'other' }], [{ name: 'milou', uuid }]]) {
      const world = new World(other, 'here', true, names)
      expect([await sync({ ...call, yes: true }, world), world.definedThere]).toEqual([1, []])
    }
  })
  test('a host that does not answer, a definition that cannot be read, a VM that is not here, a name that is no host', async () => {
    expect(await sync({ ...call, to: 'node9' }, new World(other))).toBe(1)
    expect(await sync(call, new World({}))).toBe(1)
    expect(await sync({ ...call, vms: ['milou'] }, new World(other))).toBe(1)
    expect(await sync({ ...call, to: 'x/system?command=y' }, new World(other))).toBe(2)
  })
})
