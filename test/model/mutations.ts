import type { LockState } from '../../src/core/lock-state.ts'
import type { DomainRecord, Records } from '../../src/core/record.ts'
import { type Decisions, PRODUCT } from './decisions.ts'
import type { MoveKind } from './faults.ts'
import type { Violation } from './world.ts'

/** One rule taken out of the program, and which rules of the protocol break by it. */
export interface Mutation {
  readonly name: string
  readonly breaks: readonly Violation['rule'][]
  readonly decisions: Decisions
  /** Rules that the mutation breaks at once: passed over, to see what comes of it. */
  readonly tolerated: readonly Violation['rule'][]
  /** The only kinds of moves to be tried, where chance alone would take too long. */
  readonly only: readonly MoveKind[]
  /** Takes so many schedules to show that it is tried in long runs only. */
  readonly isRare: boolean
}

const without = (
  name: string,
  breaks: Mutation['breaks'],
  changed: Partial<Decisions>,
  { tolerated = [], only = [], isRare = false }: Partial<Mutation> = {},
): Mutation => ({ name, breaks, decisions: { ...PRODUCT, ...changed }, tolerated, only, isRare })

/** Passed over, so that only a VM that runs twice counts. */
const HARM_ONLY = { tolerated: ['R1', 'R2', 'R3'] } as const

/** A record as if the agent had seen its domain run. */
const asRunning = (record: DomainRecord | undefined): DomainRecord | undefined =>
  record?.state === 'prepared' ? { ...record, state: 'running' } : record
const NO_LOCKS: LockState = { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() }
const ownOnly = (records: Records, uuid: string): Records => ({
  ...records,
  known: records.known.filter(({ domain }) => domain.uuid === uuid),
})

/**
 * What a test of this protocol has to find: each of these is one of the traps in DESIGN 2 and 4, or was found by this
 * test.
 */
export const MUTATIONS: readonly Mutation[] = [
  without(
    'R2: any incoming record lets a start take shared',
    ['twice'],
    {
      isIncoming: (evidence) =>
        PRODUCT.isIncoming({ ...evidence, idInDefinition: false, xmlId: evidence.record?.incoming?.id }),
    },
    HARM_ONLY,
  ),
  without(
    'R2: an id that stands in the persistent definition counts',
    ['twice'],
    {
      isIncoming: (evidence) => PRODUCT.isIncoming({ ...evidence, idInDefinition: false }),
    },
    { ...HARM_ONLY, only: ['start', 'migrate'] },
  ),
  without(
    'R11: acts on one host overlap',
    ['twice', 'unlocked', 'R4'],
    { excludes: false },
    { tolerated: [...HARM_ONLY.tolerated, 'quiet'] },
  ),
  without(
    'no state `prepared`: no status file means gone',
    ['R4', 'unlocked', 'twice'],
    {
      wantedOf: (sighting, record, around) => PRODUCT.wantedOf(sighting, asRunning(record), around),
    },
    HARM_ONLY,
  ),
  without('`migrate` takes a volume that is on record here, or locked', ['R3', 'R4'], {
    planIncoming: (volumes, facts, uuid) => {
      const record = facts.record?.state === 'prepared' || facts.record?.state === 'running' ? undefined : facts.record
      return PRODUCT.planIncoming(
        volumes,
        { ...facts, record, records: ownOnly(facts.records, uuid), users: new Map(), locks: NO_LOCKS },
        uuid,
      )
    },
  }),
  without(
    'R1: an exit status of 0 is a lock',
    ['twice'],
    { missingLocks: () => [] },
    { tolerated: ['R1', 'unlocked'] },
  ),
  without('R3: demoted before the flags of the job are valid', ['R3'], {
    wantedOf: (sighting, record, around) =>
      PRODUCT.wantedOf(
        sighting.kind === 'active' && sighting.status.async === 'migration out'
          ? { kind: 'active', status: { ...sighting.status, phase: 'begin3', flags: 0 } }
          : sighting,
        record,
        around,
      ),
  }),
  without('the lost reply: nobody is suspended', ['contested'], { contestedStep: () => 'none' }),
  without(
    'the lost reply: only a phase that was seen counts',
    ['contested'],
    {
      remembered: (status, before) => PRODUCT.remembered(status, before),
    },
    { only: ['agent', 'reply'] },
  ),
  without(
    'R12: the agent resumes what it has suspended once it is exclusive',
    ['stale'],
    { resumes: true },
    { only: ['stop', 'migrate', 'reply'] },
  ),
  without(
    'R12: a saved memory is restored whoever has locked its volumes since',
    ['stale'],
    { compare: () => ({ newer: [], unknown: [] }) },
    { only: ['start', 'stop', 'save'] },
  ),
  without('`prepare` asks who called it when it writes, not when it begins', ['quiet'], { remembersCaller: false }),
  without(
    '`release` waits for the lock before it says that the domain has ended',
    ['quiet'],
    { announcesRelease: false },
    { only: ['start', 'stop', 'spoil', 'limit'], isRare: true },
  ),
  without(
    '`release` takes a record away without the lock',
    ['quiet'],
    { forgetsUnderLock: false },
    { only: ['start', 'offline', 'stop', 'kill hook'], isRare: true },
  ),
  without(
    '`release` gives back what a later start has taken',
    ['R4'],
    { releasesItsOwn: false },
    { only: ['start', 'stop', 'daemon'], isRare: true },
  ),
  without(
    'the agent takes a record without volumes away without the lock',
    ['quiet', 'twice'],
    { locksForNoVolumes: false },
    { only: ['start', 'offline', 'stop', 'kill hook', 'agent'], isRare: true },
  ),
]
