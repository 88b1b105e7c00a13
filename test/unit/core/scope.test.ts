import { describe, expect, test } from 'vitest'
import { type Configuration, DEFAULTS } from '../../../src/core/configuration.ts'
import { type Candidates, type StandIn, candidatesOf } from '../../../src/core/domain.ts'
import type { LockState, VolumeTable } from '../../../src/core/lock-state.ts'
import { lockspacesTellAll, scopeOf, vgsOf } from '../../../src/core/scope.ts'
import { lockTable, logicalVolume, volumeTable } from '../support/lvm.ts'

const candidates = (paths: readonly string[], configuration: Configuration = DEFAULTS): Candidates =>
  candidatesOf(
    {
      name: 'tintin',
      uuid: '',
      incomingId: undefined,
      gotPastPrepare: false,
      disks: paths.map((path, index) => ({ target: `vd${index}`, path, readonly: false, shareable: false })),
    },
    configuration,
  )
const STARTED = lockTable([], ['virtVG'])
const STOPPED = lockTable([], [])
const DOWN: LockState = { kind: 'unknown', why: 'down', detail: 'lvmlockd does not answer' }
const ABSENT: LockState = { kind: 'unknown', why: 'absent', detail: 'lvmlockctl is not installed' }
const SHARED_ROOT = volumeTable([logicalVolume({ vg: 'virtVG', lv: 'root' })])
const LOCAL_ROOT = volumeTable([logicalVolume({ vg: 'localVG', lv: 'root' }, { lockType: 'none' })])
const NONE = volumeTable([])
const ONLY_VIRT: Configuration = { ...DEFAULTS, volumeGroups: ['virtVG'] }
const ACTIVATE: Configuration = { ...DEFAULTS, localVolumeGroups: 'activate' }

interface Case {
  readonly paths: string[]
  readonly locks?: LockState
  readonly table?: VolumeTable
  readonly configuration?: Configuration
  readonly exists?: boolean
  readonly active?: boolean
  readonly standIns?: readonly StandIn[]
}
const standIn = (vg: string): StandIn => ({
  vg,
  lv: 'root',
  path: `/dev/${vg}/root`,
  is: 'a regular file',
  disk: 'disk vda',
})
/** The scope in short words: `virtVG/root exclusive`, `!missing-vg`. */
function scope({
  paths,
  locks = STARTED,
  table,
  configuration = DEFAULTS,
  exists = true,
  active = false,
  standIns = [],
}: Case): string[] {
  const { volumes, problems } = scopeOf(
    { ...candidates(paths, configuration), standIns },
    locks,
    table,
    configuration,
    () => exists,
    () => active,
  )
  return [
    ...volumes.map(({ vg, lv, role, isLocal }) => `${vg}/${lv} ${role}${isLocal ? ' local' : ''}`),
    ...problems.map(({ kind }) => `!${kind}`),
  ]
}

const ROOT = '/dev/virtVG/root'
const LOCAL = '/dev/localVG/root'

test.each<[string, LockState, VolumeTable | undefined, string[]]>([
  ['a managed VG', STARTED, undefined, ['unknown-use']],
  ['one whose locking is not started', STOPPED, SHARED_ROOT, ['unknown-use']],
  ['a local VG', STOPPED, volumeTable([logicalVolume({ vg: 'virtVG', lv: 'root' }, { lockType: 'none' })]), []],
  ['no VG', STOPPED, volumeTable([], { missingVgs: new Set(['virtVG']) }), []],
])('what a part of the XML names that lvguard does not know, in %s', (_, locks, table, expected) => {
  const domain = {
    name: 'tintin',
    uuid: '',
    incomingId: undefined,
    gotPastPrepare: false,
    disks: [
      { target: 'video', part: 'element' as const, path: ROOT, readonly: false, shareable: false, unknown: true },
    ],
  }
  const of = (configuration: Configuration, modes: ReadonlyMap<string, 'shared' | 'ignore'> = new Map()) =>
    scopeOf(
      candidatesOf({ ...domain, policy: { modes, errors: [] } }, configuration),
      locks,
      table,
      configuration,
      () => false,
    )
  expect(of(DEFAULTS).problems.map(({ kind }) => kind)).toEqual(expected)
  expect(of(DEFAULTS).volumes).toEqual([])
  if (locks === STARTED) {
    expect(of(DEFAULTS, new Map([['video', 'shared']])).volumes).toMatchObject([{ role: 'shared' }])
    expect(of({ ...DEFAULTS, policy: ['virtVG = exclusive'] }).volumes).toMatchObject([{ role: 'exclusive' }])
  }
  expect(of(DEFAULTS, new Map([['video', 'ignore']]))).toEqual({ volumes: [], problems: [] })
})

describe('which paths are managed, and what is wrong with the others', () => {
  test.each<[string, Case, string[]]>([
    ['a VG with a lockspace', { paths: [ROOT] }, ['virtVG/root exclusive']],
    ['lvs says more', { paths: [ROOT], table: SHARED_ROOT }, ['virtVG/root exclusive']],
    ['a volume that lvs does not know', { paths: [ROOT], table: NONE }, ['virtVG/root exclusive', '!missing-volume']],
    ['locking not started', { paths: [ROOT], locks: STOPPED, table: SHARED_ROOT }, ['!not-started']],
    ['lvmlockd down', { paths: [ROOT], locks: DOWN, table: SHARED_ROOT }, ['!lvmlockd-down']],
    ['no lvmlockctl, but a shared VG', { paths: [ROOT], locks: ABSENT, table: SHARED_ROOT }, ['!not-installed']],
    [
      'LVM without lvmlockd',
      { paths: [ROOT], locks: ABSENT, table: volumeTable([], { lockedOutVgs: new Set(['virtVG']) }) },
      ['!lvmlockd-off'],
    ],
    ['a local VG is left alone', { paths: [LOCAL], table: LOCAL_ROOT }, []],
    [
      'a local VG is activated where that is asked for',
      { paths: [LOCAL], table: LOCAL_ROOT, configuration: ACTIVATE },
      ['localVG/root exclusive local'],
    ],
    [
      'a local VG needs no lvmlockd',
      { paths: [LOCAL], locks: ABSENT, table: LOCAL_ROOT, configuration: ACTIVATE },
      ['localVG/root exclusive local'],
    ],
    [
      'a path that exists and is no LV',
      { paths: ['/dev/shm/x'], table: volumeTable([], { missingVgs: new Set(['shm']) }) },
      [],
    ],
    [
      'a path that is not there may be an LV',
      { paths: ['/dev/gone/x'], table: volumeTable([], { missingVgs: new Set(['gone']) }), exists: false },
      ['!missing-vg'],
    ],
    [
      'an active one in a VG that LVM does not see',
      { paths: ['/dev/hiddenVG/x'], table: volumeTable([], { missingVgs: new Set(['hiddenVG']) }), active: true },
      ['!unseen-vg'],
    ],
    ['something else in the place of a volume', { paths: [], standIns: [standIn('virtVG')] }, ['!no-device']],
    [
      'the same, locking not started',
      { paths: [], standIns: [standIn('virtVG')], locks: STOPPED, table: SHARED_ROOT },
      ['!no-device'],
    ],
    [
      'the same, no such volume',
      { paths: [], standIns: [standIn('virtVG')], locks: STOPPED, table: NONE },
      ['!no-device'],
    ],
    [
      'the same, no such VG',
      { paths: [], standIns: [standIn('shm')], table: volumeTable([], { missingVgs: new Set(['shm']) }) },
      [],
    ],
    [
      'the same, no such VG, but a configured one',
      {
        paths: [],
        standIns: [standIn('virtVG')],
        locks: STOPPED,
        table: volumeTable([], { missingVgs: new Set(['virtVG']) }),
        configuration: ONLY_VIRT,
      },
      ['!no-device'],
    ],
    ['the same in a local VG', { paths: [], standIns: [standIn('localVG')], table: LOCAL_ROOT }, []],
    [
      'the same in one that is activated',
      { paths: [], standIns: [standIn('localVG')], table: LOCAL_ROOT, configuration: ACTIVATE },
      ['!no-device'],
    ],
    [
      'a configured VG that is missing',
      {
        paths: [ROOT],
        locks: STOPPED,
        table: volumeTable([], { missingVgs: new Set(['virtVG']) }),
        configuration: ONLY_VIRT,
      },
      ['!missing-vg'],
    ],
    [
      'a VG that is not among the configured',
      { paths: [LOCAL, '/dev/mapper/otherVG-x'], configuration: ONLY_VIRT },
      [],
    ],
    ['nothing is known of the volume', { paths: [LOCAL], table: NONE }, ['!missing-volume']],
    ['an impossible name in a managed VG', { paths: ['/dev/virtVG/-f'] }, ['!impossible-name']],
    [
      'an impossible name in a configured VG',
      { paths: ['/dev/virtVG/-f'], locks: STOPPED, configuration: ONLY_VIRT },
      ['!impossible-name'],
    ],
    ['an impossible name anywhere else', { paths: ['/dev/disk/by-id/x', '/dev/zvol/pool/x'] }, []],
    [
      'an impossible name in an excluded VG',
      { paths: ['/dev/otherVG/-f'], locks: lockTable([], ['otherVG']), configuration: ONLY_VIRT },
      [],
    ],
    [
      'one of each',
      {
        paths: [ROOT, LOCAL, '/dev/sda'],
        table: volumeTable([...SHARED_ROOT.volumes.values(), ...LOCAL_ROOT.volumes.values()]),
      },
      ['virtVG/root exclusive'],
    ],
  ])('%s', (_, given, expected) => expect(scope(given)).toEqual(expected))

  test.each<[string, string[], LockState, Configuration, boolean]>([
    ['every VG has a lockspace', [ROOT], STARTED, DEFAULTS, true],
    ['one has none', [ROOT, LOCAL], STARTED, DEFAULTS, false],
    ['that one is excluded', [ROOT, LOCAL], STARTED, ONLY_VIRT, true],
    ['nothing is known', [ROOT], DOWN, DEFAULTS, false],
    ['there is nothing to know', ['/dev/sda'], DOWN, DEFAULTS, true],
    ['an impossible path counts', ['/dev/otherVG/-f'], STARTED, DEFAULTS, false],
  ])('told by lvmlockctl alone: %s', (_, paths, locks, configuration, expected) => {
    expect(lockspacesTellAll(candidates(paths, configuration), locks)).toBe(expected)
  })

  test('where lvmlockctl settles it, lvs changes nothing but what is missing', () => {
    expect(scope({ paths: [ROOT, '/dev/virtVG/-f'] })).toEqual(
      scope({ paths: [ROOT, '/dev/virtVG/-f'], table: SHARED_ROOT }),
    )
  })

  test('the VGs of a domain are named once, in order', () =>
    expect(vgsOf(candidates(['/dev/b/x', '/dev/a/-f', '/dev/b/y']))).toEqual(['a', 'b']))
})
