import type { DomainRecord, Records } from '../../src/core/record.ts'
import { type Decisions, PRODUCT } from './decisions.ts'
import type { Violation } from './world.ts'

/** One rule taken out of the program, and which rules of the protocol may break first. */
export interface Mutation {
  readonly name: string
  readonly breaks: readonly Violation['rule'][]
  readonly decisions: Decisions
}

const without = (name: string, breaks: Mutation['breaks'], changed: Partial<Decisions>): Mutation => ({ name, breaks, decisions: { ...PRODUCT, ...changed } })

/** A record as if the agent had seen its domain run. */
const asRunning = (record: DomainRecord | undefined): DomainRecord | undefined => (record?.state === 'prepared' ? { ...record, state: 'running' } : record)
const ownOnly = (records: Records, uuid: string): Records => ({ ...records, known: records.known.filter(({ domain }) => domain.uuid === uuid) })

/** What a test of this protocol has to find: each of these is one of the traps in DESIGN 2 and 4. */
export const MUTATIONS: readonly Mutation[] = [
  without('R2: any incoming record lets a start take shared', ['twice'], {
    isIncoming: (evidence) => PRODUCT.isIncoming({ ...evidence, idInDefinition: false, xmlId: evidence.record?.incoming?.id }),
  }),
  without('R2: an id that stands in the persistent definition counts', ['twice'], {
    isIncoming: (evidence) => PRODUCT.isIncoming({ ...evidence, idInDefinition: false }),
  }),
  without('R2: an incoming record of any age counts', ['twice'], {
    isIncoming: (evidence) => PRODUCT.isIncoming({ ...evidence, now: evidence.record?.incoming?.at ?? 0 }),
  }),
  without('R11: acts on one host overlap', ['twice', 'unlocked', 'R4'], { excludes: false }),
  without('the state `prepared`: no status file means gone', ['unlocked', 'R4', 'R1', 'twice'], {
    wantedOf: (sighting, record, around) => PRODUCT.wantedOf(sighting, asRunning(record), around),
  }),
  without('`migrate` takes a volume that is on record here, or of a domain that starts here', ['R3', 'R4', 'unlocked', 'twice'], {
    planIncoming: (volumes, facts, uuid) => {
      const record = facts.record?.state === 'prepared' || facts.record?.state === 'running' ? undefined : facts.record
      return PRODUCT.planIncoming(volumes, { ...facts, record, records: ownOnly(facts.records, uuid), users: new Map(), locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() } }, uuid)
    },
  }),
  without('R1: an exit status of 0 is a lock', ['R1', 'unlocked', 'quiet'], { missingLocks: () => [] }),
  without('R3: demoted as soon as a job shows, before its flags are valid', ['R3'], {
    wantedOf: (sighting, record, around) => PRODUCT.wantedOf(sighting.kind === 'active' && sighting.status.async === 'migration out' ? { kind: 'active', status: { ...sighting.status, phase: 'begin3', flags: 0 } } : sighting, record, around),
  }),
  without('the lost reply: nobody is suspended', ['contested'], { contestedStep: () => 'none' }),
  without('the lost reply: only a phase that was seen counts', ['contested'], {
    contestedStep: (result) => (result.memory === undefined ? 'none' : PRODUCT.contestedStep(result)),
  }),
  without('`prepare` asks for its parent when it writes, not when it begins', ['quiet'], { remembersCaller: false }),
  without('`release` waits for the lock before it says that the domain has ended', ['quiet'], { announcesRelease: false }),
  without('`release` takes a record away without the lock', ['quiet'], { forgetsUnderLock: false }),
]
