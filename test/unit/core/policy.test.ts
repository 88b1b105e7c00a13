import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { type Disk, type SourceMeaning, candidatesOf } from '../../../src/core/domain.ts'
import { type DomainPolicy, configuredPolicy, parseVolumePolicy } from '../../../src/core/policy.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { volumeName } from '../support/arbitraries.ts'
import { domainXml } from '../support/xml.ts'

const policyIn = (metadata: string): DomainPolicy | undefined =>
  parseDomain(domainXml({ inside: `<metadata>${metadata}</metadata>` })).policy
const policy = (inside: string): string =>
  `<lvguard:policy xmlns:lvguard="urn:lvguard:policy:1">${inside}</lvguard:policy>`

describe('a policy in the metadata of a domain', () => {
  test.each<[string, string, Record<string, string>]>([
    [
      'as virsh metadata writes it',
      policy('<lvguard:disk target="vdb" mode="shared"/><lvguard:disk target="vdc" mode="ignore"/>'),
      { vdb: 'shared', vdc: 'ignore' },
    ],
    ['without a prefix inside', policy('<disk target="vdb" mode="exclusive"/>'), { vdb: 'exclusive' }],
    [
      'under another prefix',
      '<x:policy xmlns:x="urn:lvguard:policy:1"><x:disk target="vda" mode="shared"/></x:policy>',
      { vda: 'shared' },
    ],
    [
      'the same twice',
      policy('<disk target="vdb" mode="shared"/><disk target="vdb" mode="shared"/>'),
      { vdb: 'shared' },
    ],
    ['empty', policy(''), {}],
    [
      'foreign elements',
      `<a:b xmlns:a="urn:a"><a:disk target="vda" mode="x"/></a:b>${policy('<a:disk xmlns:a="urn:a" target="vda" mode="x"/><lvguard:volume/>')}`,
      {},
    ],
    [
      'the right name in the wrong namespace',
      '<lvguard:policy xmlns:lvguard="urn:other"><lvguard:disk target="vda" mode="shared"/></lvguard:policy>',
      {},
    ],
    ['none', '', {}],
  ])('%s', (_, xml, expected) =>
    expect(policyIn(xml)).toEqual({ modes: new Map(Object.entries(expected)), errors: [] }),
  )

  // What is declared on <domain>, libvirt moves to <metadata>.
  test.each<[string, string, string, string]>([
    ['<metadata>', '', ' xmlns:p="urn:lvguard:policy:1"', 'shared'],
    ['<domain>', ' xmlns:p="urn:lvguard:policy:1"', '', 'shared'],
    ['both: the nearer one counts', ' xmlns:p="urn:lvguard:policy:1"', ' xmlns:p="urn:other"', 'none'],
  ])('its namespace is declared on %s', (_, onDomain, onMetadata, expected) => {
    const metadata = `<metadata${onMetadata}><p:policy><p:disk target="vda" mode="shared"/></p:policy></metadata>`
    const xml = domainXml({ inside: metadata }).replace('<domain', `<domain${onDomain}`)
    expect(parseDomain(xml).policy?.modes.get('vda') ?? 'none').toBe(expected)
  })

  test.each<[string, string, string]>([
    ['a wrong mode', '<lvguard:disk target="vda" mode="Shared"/>', "disk vda has mode 'Shared'"],
    ['no mode', '<lvguard:disk target="vda"/>', "disk vda has mode ''"],
    ['no target', '<lvguard:disk mode="shared"/>', 'a disk has no target'],
    ['two modes', '<disk target="vda" mode="shared"/><disk target="vda" mode="ignore"/>', 'disk vda has two modes'],
    ['a name of JavaScript', '<disk target="vda" mode="__proto__"/>', "disk vda has mode '__proto__'"],
  ])('%s is said', (_, xml, error) => expect(policyIn(policy(xml))?.errors).toEqual([error]))
})

describe('entries of lvguard.conf', () => {
  test.each<[string, ReturnType<typeof parseVolumePolicy>]>([
    ['virtVG = shared', { vg: 'virtVG', lv: undefined, policy: 'shared' }],
    ['virtVG/iso=exclusive', { vg: 'virtVG', lv: 'iso', policy: 'exclusive' }],
    ['  a-b/c-d   =   ignore ', { vg: 'a-b', lv: 'c-d', policy: 'ignore' }],
    ...[
      '',
      'virtVG',
      'virtVG = on',
      '= shared',
      'virtVG/ = shared',
      '/lv = shared',
      'a/b/c = shared',
      '-f = shared',
      'virtVG = shared = ignore',
      'virtVG shared',
      '.. = ignore',
    ].map((entry): [string, undefined] => [entry, undefined]),
  ])('%j', (entry, expected) => expect(parseVolumePolicy(entry)).toEqual(expected))

  test('every valid name can stand in one, and the volume’s own goes before its VG’s wherever they stand', () => {
    fc.assert(
      fc.property(volumeName, fc.boolean(), ({ vg, lv }, isFirst) => {
        const entries = [`${vg} = ignore`, `${vg}/${lv} = shared`]
        expect(configuredPolicy({ vg, lv }, isFirst ? entries : entries.reverse())).toBe('shared')
        expect(configuredPolicy({ vg, lv: `${lv}x` }, entries)).toBe('ignore')
        expect(configuredPolicy({ vg: `${vg}x`, lv }, entries)).toBeUndefined()
      }),
    )
  })
})

describe('how a disk is locked', () => {
  const disk = (rest: Partial<Disk> = {}): Disk => ({
    target: 'vda',
    path: '/dev/v/l',
    readonly: false,
    shareable: false,
    ...rest,
  })
  const locked = (
    disks: readonly Disk[],
    own: Record<string, 'exclusive' | 'shared' | 'ignore'>,
    entries: readonly string[],
  ): string[] =>
    candidatesOf(
      {
        name: '',
        uuid: '',
        disks,
        incomingId: undefined,
        gotPastPrepare: false,
        policy: { modes: new Map(Object.entries(own)), errors: [] },
      },
      { ...DEFAULTS, policy: entries },
    ).volumes.map(({ vg, lv, mode, reason }) => `${vg}/${lv} ${mode}: ${reason}`)
  const golden = disk({ part: 'backing file', path: '/dev/v/golden', readonly: true })
  test.each<[string, string[], string[]]>([
    ['by its elements', locked([disk({ shareable: true })], {}, []), ['v/l shared: disk vda, <shareable/>']],
    [
      'as the configuration says',
      locked([disk({ shareable: true })], {}, ['v = exclusive']),
      ['v/l exclusive: disk vda, policy in lvguard.conf'],
    ],
    [
      'as the domain says, whatever the configuration does',
      locked([disk()], { vda: 'shared' }, ['v/l = ignore']),
      ['v/l shared: disk vda, policy in its <metadata>'],
    ],
    ['not at all', locked([disk()], { vda: 'ignore' }, []), []],
    [
      'another disk’s policy is no matter',
      locked([disk()], { vdb: 'ignore' }, ['w = ignore']),
      ['v/l exclusive: disk vda'],
    ],
    [
      'a golden image stays shared, whatever its disk is',
      locked([disk(), golden], { vda: 'exclusive' }, []),
      ['v/l exclusive: disk vda, policy in its <metadata>', 'v/golden shared: backing file of disk vda'],
    ],
    ...(['commit target', 'mirror', 'backup'] as const).map((part): [string, string[], string[]] => [
      `a ${part} is exclusive, whatever its disk is: this VM alone writes it`,
      locked([disk(), disk({ part, path: '/dev/v/copy' })], { vda: 'shared' }, []),
      ['v/l shared: disk vda, policy in its <metadata>', `v/copy exclusive: ${part} of disk vda`],
    ]),
    ['ignored with all below it', locked([disk(), golden], { vda: 'ignore' }, []), []],
    [
      'the VG’s policy counts for it',
      locked([golden], {}, ['v/golden = exclusive']),
      ['v/golden exclusive: backing file of disk vda, policy in lvguard.conf'],
    ],
  ])('%s', (_, found, expected) => expect(found).toEqual(expected))

  test.each<[string, Disk[], boolean | undefined]>([
    ['is a job’s alone', [disk({ part: 'backup' })], true],
    ['is not, if a disk of the VM is on it too', [disk({ readonly: true }), disk({ part: 'backup' })], undefined],
  ])('what a backup writes %s', (_, disks, expected) => {
    const [found] = candidatesOf(
      { name: '', uuid: '', disks, incomingId: undefined, gotPastPrepare: false },
      DEFAULTS,
    ).volumes
    expect([found?.mode, found?.job]).toEqual(['exclusive', expected])
  })

  const fileAt: SourceMeaning = { kind: 'stand-in', vg: 'v', lv: 'l', path: '/dev/v/l', is: 'a regular file' }
  const noName: SourceMeaning = { kind: 'impossible', vg: 'v', path: '/dev/v/-l' }
  test.each<[string, string[], Record<string, 'exclusive' | 'ignore'>, number]>([
    ['is refused', [], {}, 1],
    ['is left alone where the volume would be', ['v = ignore'], {}, 0],
    ['is refused where the domain says that it counts', ['v = ignore'], { vda: 'exclusive' }, 1],
    ['is left alone where the domain says so', [], { vda: 'ignore' }, 0],
    ['is refused where another mode is meant', ['v = shared'], {}, 1],
  ])('what stands at the path of a volume, or a name that none can have, %s', (_, entries, own, expected) => {
    for (const finding of [fileAt, noName]) {
      const only = disk()
      const domain = {
        name: '',
        uuid: '',
        disks: [only],
        incomingId: undefined,
        gotPastPrepare: false,
        policy: { modes: new Map(Object.entries(own)), errors: [] },
      }
      const { standIns, impossible } = candidatesOf(
        domain,
        { ...DEFAULTS, policy: entries },
        new Map([[only, finding]]),
      )
      expect(standIns.length + impossible.length).toBe(expected)
    }
  })
})
