import { Chance } from './chance.ts'
import { BEGINNING, Engine, type Violation } from './engine.ts'
import type { Host } from './host.ts'
import { hasBlockJob } from './libvirt.ts'
import { type FaultRates, Land, NOBODY, NO_FAULTS, type Product, type Setting } from './land.ts'
import { FLAGS, Migration, type MigrationKind } from './migration.ts'
import { PRODUCT } from './product.ts'
import { type SequenceName, sequencesOf } from './sequences.ts'
import { type Qemu, Vm, type VmDisk } from './vm.ts'
import type { Kind } from '../simulated/volume.ts'

/** What a person does, or what befalls a host, at a moment. */
export type Move =
  | { readonly at: number; readonly kind: 'start'; readonly host: number; readonly vm: number }
  /** Where the VM is; where it is on no host, or on two, the number of the host decides. */
  | {
      readonly at: number
      readonly kind:
        | 'stop'
        | 'save'
        | 'save to a file'
        | 'restore a file'
        | 'suspend'
        | 'resume'
        | 'crash of QEMU'
        /** virsh domrename, on all hosts: of a domain that is off. */
        | 'domrename'
        /** The hook is called as for the end of a VM that runs: by hand, or by a daemon that is long gone. */
        | 'stray release'
      readonly host: number
      readonly vm: number
    }
  /**
   * `steps`: to the next host, or the one after that. `fate`: what befalls it, so many milliseconds after its
   * beginning.
   */
  | {
      readonly at: number
      readonly kind: 'migrate'
      readonly host: number
      readonly steps: number
      readonly vm: number
      readonly how: MigrationKind
      readonly fates: readonly Befall[]
    }
  | {
      readonly at: number
      readonly kind:
        | 'agent ends'
        | 'agent starts'
        | 'libvirtd ends'
        | 'libvirtd starts'
        | 'libvirtd restarts'
        | 'power'
        | 'boot'
        | 'hang'
        /** As soon as the next `release` begins there. */
        | 'hang at release'
        /** The next one begins late. */
        | 'slow release'
        /** The disk answers the next look of a `release` at a lease late, as it notes a saved memory. */
        | 'slow lease'
        /** lvmlockctl's next `lvguard kill` is ended in the middle: by the OOM killer, or a reset of sanlock's unit. */
        | 'kill ends'
        | 'unhang'
        | 'lvmlockd ends'
        | 'lvmlockd starts'
        /** kill -STOP, kill -CONT: no command of LVM ends meanwhile. */
        | 'lvmlockd stands still'
        | 'lvmlockd goes on'
        /** `lvguard recover`, of every VG. */
        | 'recover'
        /** Of a host on which there was an older lvguard until then. */
        | 'upgrade'
        | '/run is full'
        | '/run has room'
        /** All VMs at the same moment: what `virsh list --name | xargs` or a host that boots does. */
        | 'start all'
        | 'stop all'
      readonly host: number
    }
  /** A disk on a volume that is nobody's is plugged in, or out again. */
  | { readonly at: number; readonly kind: 'plug' | 'unplug'; readonly host: number; readonly vm: number }
  /** virsh blockcopy onto that volume; then it takes the disk's place. `unplug` gives it up. */
  | { readonly at: number; readonly kind: 'blockcopy' | 'pivot'; readonly host: number; readonly vm: number }
  /** A backup job that writes a volume that is nobody's. */
  | { readonly at: number; readonly kind: 'backup' | 'end of backup'; readonly host: number; readonly vm: number }
  /** An overlay on the disk; what has been written to it goes into the backing file. `pivot` and `unplug` end that too. */
  | { readonly at: number; readonly kind: 'snapshot' | 'commit'; readonly host: number; readonly vm: number }
  /**
   * Of volumes under one lock: a snapshot that is in no definition is made and removed; one that the VM does not have is
   * plugged in, to be written or to be read, and out again.
   */
  | {
      readonly at: number
      readonly kind: 'lvcreate -s' | 'lvremove' | 'plug snapshot' | 'plug snapshot to read' | 'unplug snapshot'
      readonly host: number
      readonly vm: number
    }
  /** `lvguard demote`, `lvguard promote`. */
  | { readonly at: number; readonly kind: 'demote' | 'promote'; readonly host: number; readonly vm: number }
  /** lvrename, and back. */
  | {
      readonly at: number
      readonly kind: 'lvrename' | 'lvrename back'
      readonly host: number
      readonly volume: number
    }
  | { readonly at: number; readonly kind: 'active before'; readonly host: number; readonly volume: number }

/** What can befall a migration. */
const FATES = [
  'lost reply',
  'abort',
  'client',
  // libvirt itself does, between `migrate` and `prepare` (FACTS 5): a CPU, a machine type, a network that is not there.
  'destination refuses',
  'source crashes',
  'destination crashes',
  'source daemon',
  'destination daemon',
  'source agent',
  'destination agent',
  'source power',
  'destination power',
] as const
export type Fate = (typeof FATES)[number]
const PHASES = ['begin3', 'perform3', 'perform3_done', 'finish3', 'confirm3', 'confirm3_cancelled'] as const

/** Milliseconds after the beginning; or, of a phase, a few after it has come to that. */
export interface Befall {
  readonly what: Fate
  readonly after: number
  readonly phase?: (typeof PHASES)[number]
}

/** All that a schedule is made from. The same schedule is the same story, to the letter. */
export interface Schedule {
  readonly seed: number
  readonly setting: Omit<Setting, 'vms'> & {
    readonly vms: readonly { readonly name: string; readonly disks: readonly VmDisk[] }[]
  }
  readonly faults: FaultRates
  readonly moves: readonly Move[]
}

/** Of each layout: a volume that no VM has. */
const SPARE = 'virtVG/spare'

const own = (volume: string): VmDisk => ({ volume, use: 'exclusive' })
const below = (volume: string): VmDisk => ({ volume, use: 'readonly', isBelow: true })
const reads = (volume: string, use: 'readonly' | 'shareable' = 'readonly'): VmDisk => ({ volume, use })
interface Layout {
  readonly volumeGroups: readonly string[]
  readonly volumes: readonly string[]
  readonly kinds?: Readonly<Record<string, Kind>>
  readonly lockless?: readonly string[]
  readonly vms: Schedule['setting']['vms']
}
const byPolicy = (where: NonNullable<VmDisk['byPolicy']>): Layout => ({
  volumeGroups: ['virtVG'],
  volumes: ['virtVG/tintin', 'virtVG/quorum', 'virtVG/cd'],
  vms: [
    { name: 'tintin', disks: [own('virtVG/tintin'), { volume: 'virtVG/quorum', use: 'shareable', byPolicy: where }] },
    {
      name: 'milou',
      disks: [
        { volume: 'virtVG/cd', use: 'exclusive', byPolicy: where },
        { volume: 'virtVG/quorum', use: 'shareable' },
      ],
    },
  ],
})

const LAYOUTS: readonly Layout[] = [
  { volumeGroups: ['virtVG'], volumes: ['virtVG/tintin'], vms: [{ name: 'tintin', disks: [own('virtVG/tintin')] }] },
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/milou'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou')] },
    ],
  },
  {
    volumeGroups: ['virtVG', 'moreVG'],
    volumes: ['virtVG/root', 'moreVG/data'],
    vms: [{ name: 'tintin', disks: [own('virtVG/root'), own('moreVG/data')] }],
  },
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/milou', 'virtVG/cd'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin'), { volume: 'virtVG/cd', use: 'readonly' }] },
      { name: 'milou', disks: [own('virtVG/milou'), { volume: 'virtVG/cd', use: 'shareable' }] },
    ],
  },
  // What the disk says is not what is so: a policy says otherwise.
  byPolicy('metadata'),
  byPolicy('configuration'),
  // A golden image, read by one VM, or by two.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/golden'],
    vms: [{ name: 'tintin', disks: [own('virtVG/tintin'), below('virtVG/golden')] }],
  },
  {
    volumeGroups: ['virtVG', 'moreVG'],
    volumes: ['virtVG/tintin', 'virtVG/milou', 'moreVG/golden'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin'), below('moreVG/golden')] },
      { name: 'milou', disks: [own('virtVG/milou'), below('moreVG/golden')] },
    ],
  },
  // Many, which wait for each other.
  {
    volumeGroups: ['virtVG', 'moreVG'],
    volumes: ['virtVG/tintin', 'virtVG/milou', 'virtVG/haddock', 'moreVG/haddock', 'virtVG/castafiore'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou')] },
      { name: 'haddock', disks: [own('virtVG/haddock'), own('moreVG/haddock')] },
      { name: 'castafiore', disks: [own('virtVG/castafiore')] },
    ],
  },
  // Both want the same volume for themselves.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/lockless'],
    lockless: ['virtVG/lockless'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/lockless')] },
    ],
  },
  // Each lacks what the other has.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/root', 'virtVG/both'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/root'), own('virtVG/both')] },
      { name: 'thief', disks: [own('virtVG/both')] },
    ],
  },
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin'],
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'thief', disks: [own('virtVG/tintin')] },
    ],
  },
]

const SNAPSHOT: Kind = { kind: 'snapshot', origin: 'tintin' }
/** Of COW snapshots, which have the lock of their origin (FACTS 26). */
const SNAPSHOTS: readonly Layout[] = [
  // A backup: the snapshot is made while its origin is in use, plugged in, and removed.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/milou'],
    kinds: { 'virtVG/snap': SNAPSHOT },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou')] },
    ],
  },
  // One VM reads what another one writes to.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/snap', 'virtVG/milou'],
    kinds: { 'virtVG/snap': SNAPSHOT, 'virtVG/later': SNAPSHOT },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou'), reads('virtVG/snap')] },
    ],
  },
  // Each writes to one of them, and a third one reads.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/snap', 'virtVG/other', 'virtVG/castafiore'],
    kinds: { 'virtVG/snap': SNAPSHOT, 'virtVG/other': SNAPSHOT },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/snap')] },
      { name: 'castafiore', disks: [own('virtVG/castafiore'), reads('virtVG/other', 'shareable')] },
    ],
  },
  // One VM has both.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/snap', 'virtVG/milou'],
    kinds: { 'virtVG/snap': SNAPSHOT },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin'), reads('virtVG/snap')] },
      { name: 'milou', disks: [own('virtVG/milou'), reads('virtVG/snap')] },
    ],
  },
  // The origin is only read, and one VM writes to a snapshot of it.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/golden', 'virtVG/snap', 'virtVG/tintin', 'virtVG/castafiore'],
    kinds: { 'virtVG/snap': { kind: 'snapshot', origin: 'golden' } },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin'), reads('virtVG/golden', 'shareable')] },
      { name: 'milou', disks: [own('virtVG/snap')] },
      { name: 'castafiore', disks: [own('virtVG/castafiore'), reads('virtVG/golden')] },
    ],
  },
  // A snapshot as a backing file.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/tintin', 'virtVG/snap', 'virtVG/milou'],
    kinds: { 'virtVG/snap': SNAPSHOT },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou'), below('virtVG/snap')] },
    ],
  },
]

const POOL: Kind = { kind: 'thin-pool' }
const THIN: Kind = { kind: 'thin', pool: 'pool' }
/** Of thin volumes, which have the lock of their pool (FACTS 27). */
const THIN_VOLUMES: readonly Layout[] = [
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/pool', 'virtVG/tintin', 'virtVG/milou'],
    kinds: { 'virtVG/pool': POOL, 'virtVG/tintin': THIN, 'virtVG/milou': THIN },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/milou')] },
    ],
  },
  // A thin snapshot, that one VM writes to; another one wants to read it, which LVM does not do.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/pool', 'virtVG/tintin', 'virtVG/snap', 'virtVG/castafiore'],
    kinds: {
      'virtVG/pool': POOL,
      'virtVG/tintin': THIN,
      'virtVG/snap': { kind: 'thin', pool: 'pool', origin: 'tintin' },
    },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'milou', disks: [own('virtVG/snap')] },
      { name: 'castafiore', disks: [own('virtVG/castafiore'), reads('virtVG/snap')] },
    ],
  },
  // Two VMs want one of them.
  {
    volumeGroups: ['virtVG'],
    volumes: ['virtVG/pool', 'virtVG/tintin', 'virtVG/root'],
    kinds: { 'virtVG/pool': POOL, 'virtVG/tintin': THIN },
    vms: [
      { name: 'tintin', disks: [own('virtVG/tintin')] },
      { name: 'thief', disks: [own('virtVG/root'), own('virtVG/tintin')] },
    ],
  },
]

/** A disk that a policy shares is copied to another volume: that one is written, and its policy is another matter. */
const POLICY_COPIES: readonly Layout[] = (['metadata', 'configuration'] as const).map((where) => ({
  volumeGroups: ['virtVG'],
  volumes: ['virtVG/quorum', 'virtVG/tintin', 'virtVG/milou'],
  vms: [
    { name: 'tintin', disks: [{ volume: 'virtVG/quorum', use: 'shareable', byPolicy: where }, own('virtVG/tintin')] },
    { name: 'milou', disks: [own('virtVG/milou'), { volume: 'virtVG/quorum', use: 'shareable', byPolicy: where }] },
  ],
}))

/** Each kind of move with how often it comes; those of a migration in doubt come soon after one. */
const KINDS: readonly (readonly [Move['kind'], number])[] = [
  ['start', 10],
  ['stop', 5],
  ['migrate', 12],
  ['save', 3],
  ['save to a file', 1],
  ['restore a file', 1],
  ['stray release', 1],
  ['suspend', 1],
  ['resume', 1],
  ['crash of QEMU', 2],
  ['domrename', 1],
  ['lvrename', 1],
  ['plug', 2],
  ['unplug', 2],
  ['blockcopy', 1],
  ['snapshot', 2],
  ['commit', 2],
  ['demote', 1],
  ['promote', 1],
  ['lvmlockd ends', 1],
  ['lvmlockd stands still', 1],
  ['agent ends', 3],
  ['libvirtd restarts', 2],
  ['libvirtd ends', 1],
  ['power', 1],
  ['hang', 1],
  ['hang at release', 1],
  ['slow release', 1],
  ['/run is full', 1],
  ['recover', 1],
  ['active before', 1],
  ['start all', 2],
  ['stop all', 1],
]

/** Milliseconds for which moves come. */
const LIVELY = 120_000
/** Milliseconds that are left for everything to come to rest. */
export const REST = 420_000
/** Milliseconds between two looks whether all has come to rest. */
const LOOK = 8000
/** Milliseconds within which a VM that has migrated is locked for itself, where nothing goes wrong. */
const PROMOTED_WITHIN = 5000
/** Milliseconds after which a person looks at what is left of what persons have begun. */
const TIDIED_AFTER = 90_000
/** Looks in a row that find rest: for longer than from one pass of the agent to the next. */
const LOOKS = 3

/**
 * A schedule made from a seed alone. Most leave kinds of moves and of faults out, so that rare ones meet.
 * @param focus most of it are sequences of this name
 */
export function scheduleOf(seed: number, focus?: SequenceName): Schedule {
  const chance = new Chance(seed)
  const of = (): number => chance.of('schedule')
  const few = OF_FEW.find(({ name, share }) => (focus === undefined ? chance.isTrue(name, share) : name === focus))
  const first = chance.pick('layout', LAYOUTS)
  const layout = few === undefined ? first : chance.pick(few.name, few.layouts)
  const hosts = chance.isTrue('layout', 0.25) ? 3 : 2
  const rate = (value: number): number => (chance.isTrue('faults', 0.35) ? value : 0)
  const faults: FaultRates = {
    slowness: rate(chance.pick('faults', [0.02, 0.1, 0.3])),
    commands: rate(chance.pick('faults', [0.02, 0.02, 0.15])),
    lies: rate(chance.pick('faults', [0.03, 0.03, 0.3])),
    hookKills: rate(0.1),
    failedStarts: rate(0.1),
    lostEvents: rate(0.2),
  }
  const kinds = KINDS.filter(([kind]) => kind === 'start' || chance.isTrue('kinds', 0.5))
  const sum = kinds.reduce((all, [, weight]) => all + weight, 0)
  const anyKind = (): Move['kind'] => {
    let left = of() * sum
    for (const [kind, weight] of kinds) {
      left -= weight
      if (left < 0) return kind
    }
    return 'start'
  }
  const volumeOf = (index: number, isLast: boolean): string =>
    layout.vms[index]?.disks.at(isLast ? -1 : 0)?.volume ?? ''
  /** What is said of such volumes alone, now and then. */
  const ofFew = (): SequenceName | undefined =>
    few !== undefined && chance.isTrue(few.name, 0.7) ? few.name : undefined
  const fates = FATES.filter((fate) => fate === 'lost reply' || chance.isTrue('kinds', 0.5))
  const moves: Move[] = []
  // A storm: all within seconds, most of it on one host, so that one thing runs into another.
  const isStorm = chance.isTrue('kinds', 0.35)
  const host = (): number => (isStorm && of() < 0.7 ? 0 : chance.below('schedule', hosts))
  const vm = (): number => chance.below('schedule', layout.vms.length)
  // Most are short: so they find about as much in the same time, and what they tell is told sooner.
  const count = chance.isTrue('layout', 0.2) ? 4 + chance.below('schedule', 14) : 1 + chance.below('schedule', 5)
  // It begins with VMs that run, as a rule.
  for (let index = 0; index < layout.vms.length; index++)
    if (of() < 0.8) moves.push({ at: Math.round(1000 + 2000 * of()), kind: 'start', host: host(), vm: index })
  // Times cluster: what comes close together meets.
  let at = 5000
  for (let index = 0; index < count; index++) {
    if (of() < ((focus ?? few) ? 0.8 : 0.3)) {
      const where = { host: host(), vm: vm() }
      const otherVm = (where.vm + 1) % layout.vms.length
      let then = at
      for (const [pause, kind, how] of chance.pick('schedule', sequencesOf(focus ?? ofFew()))) {
        then += Math.round(pause * of())
        const there = how === true || how === 'last there' ? (where.host + 1) % hosts : where.host
        if (kind === 'live' || kind === 'offline')
          moves.push({
            at: then,
            kind: 'migrate',
            ...where,
            host: there,
            steps: 1,
            how: kind,
            fates: Array.isArray(how) ? how : [],
          })
        else if (kind === 'active before' || kind === 'lvrename' || kind === 'lvrename back')
          moves.push({
            at: then,
            kind,
            host: there,
            volume:
              how === 'spare'
                ? layout.volumes.length
                : layout.volumes.indexOf(volumeOf(where.vm, how === 'last there')),
          })
        else moves.push({ at: then, kind, host: there, vm: how === 'other VM' ? otherVm : where.vm } as Move)
      }
      at = then
      continue
    }
    at += Math.round(chance.pick('schedule', isStorm ? [60, 400, 2500] : [400, 3000, (3 * LIVELY) / count]) * of())
    const kind = anyKind()
    if (kind === 'migrate') {
      const befalls: Befall[] = of() < 0.25 ? [{ what: 'lost reply', after: 0 }] : []
      befalls.push(
        ...Array.from({ length: [0, 1, 2, 2][chance.below('schedule', 4)] ?? 0 }, () => ({
          what: chance.pick('schedule', fates),
          after: Math.round(6000 * of()),
          ...(of() < 0.8 && { phase: chance.pick('schedule', PHASES) }),
        })),
      )
      moves.push({
        at,
        kind,
        host: host(),
        steps: 1 + chance.below('schedule', hosts - 1),
        vm: vm(),
        how: of() < 0.8 ? 'live' : chance.pick('schedule', Object.keys(FLAGS) as MigrationKind[]),
        fates: befalls,
      })
    } else if (
      kind === 'start' ||
      kind === 'stop' ||
      kind === 'save' ||
      kind === 'save to a file' ||
      kind === 'restore a file' ||
      kind === 'stray release' ||
      kind === 'suspend' ||
      kind === 'resume' ||
      kind === 'crash of QEMU' ||
      kind === 'domrename' ||
      kind === 'plug' ||
      kind === 'unplug' ||
      kind === 'pivot' ||
      kind === 'snapshot' ||
      kind === 'demote' ||
      kind === 'promote'
    )
      moves.push({ at, kind, host: host(), vm: vm() })
    else if (kind === 'blockcopy' || kind === 'commit') {
      const job = { host: host(), vm: vm() }
      const end = of() < 0.75 ? 'pivot' : 'unplug'
      moves.push({ at, kind, ...job }, { at: at + Math.round(30_000 * of() ** 2), kind: end, ...job })
    } else if (kind === 'active before')
      moves.push({
        at: Math.round(500 * of()),
        kind,
        host: host(),
        volume: chance.below('schedule', layout.volumes.length),
      })
    else if (kind === 'lvrename') {
      const volume = { host: host(), volume: chance.below('schedule', layout.volumes.length) }
      moves.push({ at, kind, ...volume }, { at: at + Math.round(30_000 * of() ** 2), kind: 'lvrename back', ...volume })
    } else {
      const where = host()
      moves.push({ at, kind, host: where } as Move)
      const back = BACK[kind]
      if (back !== undefined)
        moves.push({
          at: at + Math.round((kind === 'power' ? 200_000 : kind.startsWith('hang') ? 100_000 : 20_000) * of() ** 2),
          kind: back,
          host: where,
        } as Move)
    }
  }
  if (chance.isTrue('upgrade', 0.3))
    for (let each = 0; each < hosts; each++)
      if (chance.isTrue('upgrade', 0.7))
        moves.push({ at: Math.round(1000 + at * chance.of('upgrade')), kind: 'upgrade', host: each })
  return {
    seed,
    setting: {
      lockless: [],
      ...layout,
      volumes: [...layout.volumes, SPARE],
      hosts,
      lvm: chance.pick('layout', ['2.03.16', '2.03.31', '2.03.33']),
      tellsReasons: of() < 0.5,
      hasKillCommand: chance.isTrue('kill command', 0.5),
      namesBelow: chance.isTrue('backing files', 0.5),
    },
    faults,
    moves: moves.sort((a, b) => a.at - b.at),
  }
}

/** Layouts that few schedules have, with the sequences that are about them, and how many schedules are of each. */
const OF_FEW: readonly {
  readonly name: SequenceName
  readonly layouts: readonly Layout[]
  readonly share: number
}[] = [
  { name: 'snapshots of LVM', layouts: SNAPSHOTS, share: 0.07 },
  { name: 'thin volumes', layouts: THIN_VOLUMES, share: 0.03 },
  { name: 'a backup', layouts: LAYOUTS, share: 0.03 },
  { name: 'a copy under a policy', layouts: POLICY_COPIES, share: 0.02 },
]

/** What brings back what a move has taken. */
const BACK: Readonly<Partial<Record<Move['kind'], Move['kind']>>> = {
  'agent ends': 'agent starts',
  'libvirtd ends': 'libvirtd starts',
  power: 'boot',
  hang: 'unhang',
  'hang at release': 'unhang',
  'lvmlockd ends': 'lvmlockd starts',
  'lvmlockd stands still': 'lvmlockd goes on',
  '/run is full': '/run has room',
}

/** A command that was slow when things went wrong is slow to its end. */
function slowCommand({ hosts }: Land, before: number): Violation | undefined {
  for (const { name, commands } of hosts)
    for (const { label, began } of commands)
      if (began <= before) return { rule: 'progress', text: `on ${name}, this has not come to its end: ${label}` }
  return undefined
}

/** All must come to rest, and stay there; how soon does not matter, up to a limit. */
async function rest(land: Land, end: number): Promise<void> {
  const { engine } = land
  for (let quiet = 0, at = end + LOOK; engine.violation === undefined; at += LOOK) {
    await engine.runUntil(at)
    const unrest = engine.violation === undefined ? (land.unrest() ?? slowCommand(land, BEGINNING + end)) : undefined
    quiet = unrest === undefined ? quiet + 1 : 0
    if (quiet === LOOKS) return
    if (at >= end + REST && unrest !== undefined) engine.violate(unrest.rule, unrest.text)
  }
}

/** Where nothing goes wrong any more, and all has come to rest, a VM that runs can go to another host. */
async function migrateAll(land: Land): Promise<void> {
  const { engine } = land
  for (const vm of land.vms) {
    if (engine.violation !== undefined) return
    const [qemu, second] = land.qemus.filter((each) => each.vm === vm)
    if (engine.violation !== undefined || qemu?.cpus !== 'running' || second !== undefined || land.contested.has(vm))
      continue
    const from = land.hosts.indexOf(qemu.host)
    const to = land.hosts[(from + 1) % land.hosts.length]
    // What sanlock and lvmlockd do on a host whose lease ran out while nobody used it is not simulated yet (FACTS 46b).
    if (to === undefined || land.hosts.some(({ state }) => state.diedAt !== undefined)) continue
    // What a person holds for himself there, and the VM only reads, nobody shares (R3): its migration is refused. So it
    // is where an earlier life of the VM has left behind the lock of what it wrote then.
    const isKept = qemu.disks.some(
      ({ volume, use }) =>
        use !== 'exclusive' && qemu.foundExclusive.has(volume) && land.held(qemu.host, volume) === 'ex',
    )
    if (isKept) continue
    // Nor is a VM let in where one that is in doubt uses its volume: that one waits for a person.
    const isInDoubt = land.qemus.some(
      (other) =>
        other.vm !== vm &&
        land.contested.has(other.vm) &&
        other.disks.some(({ volume }) => qemu.disks.some((own) => own.volume === volume)),
    )
    if (isInDoubt) continue
    const isBound = qemu.disks.some(({ volume }) => land.isBound(volume))
    // What only the header of an image names is not known to `migrate`. Who reads a snapshot there is in nobody's way.
    if (isBound && !qemu.namesBelow && qemu.disks.some(({ volume, isBelow }) => isBelow && land.isBound(volume)))
      continue
    engine.after(NOBODY, 0, () => new Migration(vm, qemu.host, to, 'live').start())
    // Whatever LVM does not share stays where it is, as it was.
    if (isBound) {
      await engine.runUntil(engine.now - BEGINNING + 30_000)
      if (engine.violation !== undefined) return
      const isHere = qemu.isAlive && qemu.cpus === 'running' && land.qemus.filter((each) => each.vm === vm).length === 1
      const unrest = isHere ? land.unrest() : undefined
      if (!isHere)
        engine.violate('progress', `${vm.name} was to stay on ${qemu.host.name}, whose volumes LVM does not share`)
      else if (unrest !== undefined) engine.violate(unrest.rule, `after a migration that is refused: ${unrest.text}`)
      land.reach('migration of what is under one lock refused')
      continue
    }
    const isThere = (): boolean => {
      const now = land.qemus.filter((each) => each.vm === vm)
      return now.length === 1 && now[0]?.host === to && now[0].cpus === 'running'
    }
    const isLocked = (): boolean =>
      qemu.disks.every(({ volume, use }) => use !== 'exclusive' || land.held(to, volume) === 'ex')
    // Once it is there, the agent tries again within a moment; its next pass may be further away.
    for (
      let limit = engine.now + 30_000, isArriving = true;
      engine.violation === undefined && engine.now < limit && !(isThere() && isLocked());
    ) {
      await engine.runUntil(engine.now - BEGINNING + 500)
      if (!isArriving || !isThere()) continue
      isArriving = false
      limit = engine.now + PROMOTED_WITHIN
    }
    if (!isThere() || !isLocked())
      engine.violate(
        'progress',
        `${vm.name} ${isThere() ? 'has migrated' : 'does not migrate'} from ${qemu.host.name} to ${to.name}${isThere() ? ', and is not locked for itself there' : ''}, where nothing goes wrong`,
      )
  }
}

/** What came of a schedule. */
export interface Result {
  readonly violation: Violation | undefined
  readonly steps: number
  readonly reached: ReadonlyMap<string, number>
  /** A sum of what came after what: records and what libvirt said, without times. Two that differ are two stories. */
  readonly kind: number
  readonly story: readonly string[]
}

/** Plays one schedule, then lets everything come to rest, and looks at what is left. */
export async function play(
  { seed, setting, faults, moves }: Schedule,
  isTold = false,
  product: Product = PRODUCT,
): Promise<Result> {
  const engine = new Engine(seed, isTold)
  const land = new Land(
    engine,
    product,
    { ...setting, vms: setting.vms.map(({ name, disks }) => new Vm(name, disks)) },
    faults,
  )
  engine.afterStep = () => land.checkMoment()
  const isRenamed = moves.some(({ kind }) => kind === 'lvrename')
  for (const { kind, host } of moves) {
    const older = kind === 'upgrade' ? land.hosts[host] : undefined
    if (older === undefined) continue
    older.isOlder = true
    older.olderHasIds = isRenamed || engine.chance.isTrue('upgrade', 0.5)
  }
  for (const host of land.hosts) engine.after(NOBODY, 10, () => host.startAgent())
  for (const move of moves) engine.after(NOBODY, move.at, () => make(move, land, setting))
  const end = 10_000 + Math.max(10_000, ...moves.map(({ at }) => at))
  await engine.runUntil(end)
  land.faults = { ...NO_FAULTS }
  engine.tell(() => 'from here on nothing goes wrong any more')
  engine.after(NOBODY, 0, () => {
    for (const volume of setting.volumes) land.rename(volume, true, SPARE)
    for (const host of land.hosts) {
      for (const process of host.processes) process.killedIn = undefined
      host.isRunFull = false
      host.hangsAtRelease = false
      host.isReleaseSlow = false
      host.isLeaseSlow = false
      host.unhang()
      host.resumeLocking()
      host.restartLocking()
      host.boot()
      // A `release` that was killed leaves a record of a start that may be under way for as long as that daemon lives.
      if (host.libvirt.isInterrupted) host.libvirt.stopDaemon()
      host.libvirt.startDaemon()
      host.startAgent()
    }
  })
  engine.after(NOBODY, TIDIED_AFTER, () => land.tidy())
  await rest(land, end)
  // What a job writes to was exclusive while all was at rest.
  engine.after(NOBODY, 0, () => {
    for (const qemu of land.qemus.filter(hasBlockJob)) {
      qemu.host.libvirt.endBackup(qemu.vm)
      land.unplug(qemu, SPARE)
    }
  })
  // libvirt ends a backup in a thread of its own.
  if (land.qemus.some(({ disks }) => disks.some(({ isBackup }) => isBackup)))
    await engine.runUntil(engine.now - BEGINNING + 50)
  await migrateAll(land)
  return {
    violation: engine.violation,
    steps: engine.steps,
    reached: land.reached,
    kind: engine.kind,
    story: engine.story,
  }
}

/** What befalls a migration, and what brings back what that has taken. */
function befall(migration: Migration, { what: fate, after: milliseconds, phase }: Befall, from: Host, to: Host): void {
  const { engine } = from
  if (fate === 'lost reply') {
    migration.isReplyLost = true
    return
  }
  if (fate === 'destination refuses') {
    migration.isRefused = true
    return
  }
  const side = fate.startsWith('source') ? from : to
  const later = (pause: number, work: () => void): void => void engine.after(NOBODY, pause, work)
  const happen = (): void => {
    engine.tell(() => `meanwhile: ${fate}`)
    switch (fate) {
      case 'abort':
        migration.isAborted = true
        return
      case 'client':
        migration.isClientGone = true
        return
      case 'source crashes':
      case 'destination crashes':
        if (side.isHung) return
        side.libvirt.qemuOf(migration.vm)?.end()
        break
      case 'source daemon':
      case 'destination daemon':
        side.libvirt.stopDaemon()
        later(3000, () => side.libvirt.startDaemon())
        break
      case 'source agent':
      case 'destination agent':
        side.agent?.end()
        later(milliseconds % 20_000, () => side.startAgent())
        break
      case 'source power':
      case 'destination power':
        side.crash()
        later(20 * milliseconds, () => side.boot())
        break
    }
  }
  if (phase === undefined) later(milliseconds, happen)
  else migration.atPhase(phase, () => later(milliseconds % 12, happen))
}

/** The QEMU of a VM whose disks libvirt can change now. */
function changeable({ isHung, state, libvirt }: Host, vm: Vm): Qemu | undefined {
  const canBe = !isHung && state.lvmlockd === 'running' && libvirt.daemon !== undefined && !libvirt.isBusy(vm)
  return canBe ? libvirt.qemuOf(vm) : undefined
}

const VIRSH = {
  plug: 'attach-disk',
  unplug: 'detach-disk',
  blockcopy: 'blockcopy',
  backup: 'backup-begin',
  'end of backup': 'domjobabort',
  pivot: 'blockjob --pivot',
  snapshot: 'snapshot-create-as --disk-only',
  commit: 'blockcommit',
} as const

function make(move: Move, land: Land, { volumes }: Schedule['setting']): void {
  const { engine } = land
  const vm = 'vm' in move ? land.vms[move.vm] : undefined
  const where =
    move.kind === 'start' ||
    move.kind === 'restore a file' ||
    vm === undefined ||
    (move.kind === 'migrate' && move.how === 'offline')
      ? []
      : land.hosts.filter(({ libvirt }) => libvirt.statuses.has(vm.name))
  const host = where[move.host % where.length] ?? land.hosts[move.host]
  if (host === undefined) return
  const { libvirt } = host
  const told = (what: string): void => engine.tell(() => `${host.name}: ${what}`)
  if (vm !== undefined) {
    switch (move.kind) {
      case 'start':
        told(`virsh start ${vm.name}`)
        libvirt.start(vm)
        break
      case 'stop':
        told(`virsh shutdown ${vm.name}`)
        void libvirt.stop(vm)
        break
      case 'save':
        told(`virsh managedsave ${vm.name}`)
        libvirt.save(vm)
        break
      case 'save to a file':
        told(`virsh save ${vm.name} FILE`)
        libvirt.save(vm, true)
        break
      case 'restore a file':
        told(`virsh restore FILE, of ${vm.name}`)
        libvirt.restore(vm)
        break
      case 'stray release': {
        const { state, async } = libvirt.statuses.get(vm.name) ?? {}
        if (state !== 'running' || async !== 'none' || libvirt.qemuOf(vm)?.cpus !== 'running' || libvirt.isBusy(vm))
          return
        told(`qemu ${vm.name} release end, out of turn`)
        libvirt.strayRelease(vm)
        break
      }
      case 'domrename': {
        const isOff = land.hosts.every(
          ({ libvirt: other }) => !other.statuses.has(vm.name) && !other.isBusy(vm) && !other.hasMemoryOf(vm),
        )
        if (!isOff) return
        const before = vm.name
        vm.name = `${before.replace(/\d+$/, '')}${Number(/\d+$/.exec(before)?.[0] ?? 0) + 1}`
        told(`virsh domrename ${before} ${vm.name}, on all hosts`)
        for (const each of land.hosts) each.libvirt.rename(before, vm)
        land.reach('renamed')
        break
      }
      case 'suspend':
        told(`virsh suspend ${vm.name}`)
        void libvirt.setCpus(vm, 'paused', 'a person')
        break
      case 'resume': {
        // Nobody resumes what may run elsewhere. Of what was restored a person believes what lvguard has said.
        const isAlone = land.qemus.filter((qemu) => qemu.vm === vm).length === 1
        const isRestored = libvirt.qemuOf(vm)?.restored !== undefined
        const isSuspended = !land.contested.has(vm) && libvirt.statuses.get(vm.name)?.reason === 'user'
        if (!isAlone || !(isRestored || isSuspended)) return
        told(`virsh resume ${vm.name}`)
        if (isRestored) land.reach('resumed after a restore')
        void libvirt.setCpus(vm, 'running', 'a person')
        break
      }
      case 'migrate': {
        const to = land.hosts[(land.hosts.indexOf(host) + move.steps) % land.hosts.length]
        if (to === undefined || !host.isUp || !to.isUp) return
        told(`virsh migrate ${vm.name} to ${to.name} (${move.how})`)
        const migration = new Migration(vm, host, to, move.how)
        for (const fate of move.fates) befall(migration, fate, host, to)
        migration.start()
        break
      }
      case 'plug':
      case 'blockcopy':
      case 'backup':
      case 'end of backup':
      case 'pivot':
      case 'snapshot':
      case 'commit':
      case 'unplug': {
        const qemu = changeable(host, vm)
        if (qemu === undefined) return
        told(`virsh ${VIRSH[move.kind]} ${vm.name} ${SPARE}`)
        if (move.kind === 'blockcopy') land.plug(qemu, SPARE, true)
        else if (move.kind === 'snapshot') libvirt.snapshot(vm, SPARE)
        else if (move.kind === 'backup') libvirt.backup(vm, SPARE)
        else if (move.kind === 'end of backup') libvirt.endBackup(vm)
        else if (move.kind === 'commit') land.commit(qemu)
        else land[move.kind](qemu, SPARE)
        break
      }
      case 'lvcreate -s':
      case 'lvremove':
        if (!host.answersLvm) return
        // LVM would wait for the lock of the VG.
        if ([...host.commands].some(({ name }) => name === 'lvchange' || name === 'lvs')) return
        if (move.kind === 'lvremove') land.removeSnapshot(host)
        else land.makeSnapshot(host)
        break
      case 'plug snapshot':
      case 'plug snapshot to read':
      case 'unplug snapshot': {
        const qemu = changeable(host, vm)
        if (qemu === undefined) return
        told(`virsh ${move.kind === 'unplug snapshot' ? 'detach' : 'attach'}-disk ${vm.name} ${land.snapshotFor(vm)}`)
        if (move.kind === 'unplug snapshot') land.unplugSnapshot(qemu)
        else land.plugSnapshot(qemu, move.kind === 'plug snapshot' ? 'exclusive' : 'readonly')
        break
      }
      case 'demote':
      case 'promote':
        host.type([move.kind, vm.name])
        break
      case 'crash of QEMU': {
        const qemu = libvirt.qemuOf(vm)
        if (qemu === undefined || host.isHung) return
        told(`QEMU of ${vm.name} crashes`)
        qemu.end()
        break
      }
    }
  }
  switch (move.kind) {
    case 'agent ends':
      // At once, or in one of its next waits.
      if (host.agent?.isAlive !== true) return
      if (engine.chance.isTrue(`${host.name} agent`, 0.5)) host.agent.kill()
      else host.agent.dieWaiting(`${host.name} agent`, 40)
      break
    case 'agent starts':
      host.startAgent()
      break
    case 'lvmlockd ends':
      host.killLocking()
      break
    case 'lvmlockd starts':
      host.restartLocking()
      break
    case 'lvmlockd stands still':
      host.pauseLocking()
      return
    case 'lvmlockd goes on':
      host.resumeLocking()
      return
    case 'upgrade':
      host.upgrade()
      return
    case 'recover':
      host.isRecovering = true
      for (const vg of host.state.lockspaces.keys()) host.type(['recover', vg])
      return
    case 'start all':
      told('virsh start, of all VMs at once')
      for (const each of land.vms) libvirt.start(each)
      break
    case 'stop all':
      told('virsh shutdown, of all VMs at once')
      for (const each of land.vms) if (libvirt.statuses.has(each.name)) void libvirt.stop(each)
      break
    case 'libvirtd ends':
      libvirt.stopDaemon()
      break
    case 'libvirtd starts':
      libvirt.startDaemon()
      break
    case 'libvirtd restarts':
      libvirt.stopDaemon()
      libvirt.startDaemon()
      break
    case 'power':
      host.crash()
      break
    case 'boot':
      host.boot()
      break
    case 'hang':
      if (host.isUp && !host.isHung) host.hang()
      return
    case 'hang at release':
      host.hangsAtRelease = true
      return
    case 'slow release':
      host.isReleaseSlow = true
      return
    case 'slow lease':
      host.isLeaseSlow = true
      return
    case 'kill ends':
      host.isKillEnded = true
      return
    case 'unhang':
      host.hangsAtRelease = false
      host.unhang()
      host.restartLocking()
      break
    case '/run is full':
      told('/run is full')
      host.isRunFull = true
      return
    case '/run has room':
      host.isRunFull = false
      return
    case 'lvrename':
    case 'lvrename back':
      land.rename(volumes[move.volume] ?? '', move.kind === 'lvrename back', SPARE)
      return
    case 'active before': {
      const name = volumes[move.volume] ?? ''
      const main = land.mainOf(name)
      const [volume, owner] = [land.lv(main), land.lv(land.ownerOf(name))]
      // Whoever does that in the middle of a start or an end of a VM cannot know what it will be afterwards.
      const isFree = [...host.processes].every(({ kind }) => kind === 'agent') && !land.isOnRecord(host, name)
      const isShared = isFree && engine.chance.isTrue(`${host.name} person`, 0.3)
      const lock = isShared && !land.isBound(name) ? 'sh' : 'ex'
      if (!host.answersLvm) return
      land.tries.push({ volume: land.ownerOf(name), host, at: engine.now })
      if (
        owner.leaseOffset === undefined ||
        // Nobody shares what a VM writes to at this moment.
        land.qemus.some(({ disks }) => disks.some((disk) => disk.volume === name && disk.commit)) ||
        land.hosts.some((each) => land.cluster.devices.isActive(each.state, volume)) ||
        host.hasLostLease([volume.vg]) ||
        land.cluster.locks.acquire(host.state, owner, lock) !== undefined
      )
        return
      told(`lvchange ${lock === 'ex' ? '-aey' : '-asy'} ${name}, by a person`)
      land.cluster.devices.activate(host.state, volume)
      host.activeBefore.add(main)
      if (isFree) host.kept.set(main, { lock, isUsed: false, isDemoted: false })
    }
  }
}
