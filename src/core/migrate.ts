import type { AgentState } from './agent-state.ts'
import type { LockState, LogicalVolume, VolumeTable } from './lock-state.ts'
import { identityOf, isSameVolume, lockOf } from './lock-state.ts'
import { type Holder, type Problem, problemOfAbsent } from './problem.ts'
import { type DomainRecord, IN_USE, type RecordedVolume, claimsOn } from './record.ts'
import type { ManagedVolume } from './scope.ts'
import { type HostFacts, claimedMeanwhile, planStart, withIds } from './start.ts'
import type { StartPlan } from './start.ts'
import { fullName } from './volume.ts'

/** What a `migrate` on the destination is decided from, beside the state of this host. */
export interface IncomingFacts extends HostFacts {
  readonly table: VolumeTable
  /** This domain's own record on this host. */
  readonly record: DomainRecord | undefined
  /** libvirt's status files say that the domain is active here; `unknown` counts as yes. */
  readonly activeHere: boolean | 'unknown'
  /** The agent of this host: it promotes the volumes when the domain has come in. */
  readonly agent: AgentState
}

/**
 * Decides whether a domain may come in, before any lock is touched: an `lvchange -asy` on a volume that is exclusive
 * here would turn somebody's lock into a shared one, and nobody would notice (FACTS 20). An earlier `incoming` record
 * of the same domain is taken over.
 * @returns the volumes to take shared as a trial
 */
export function planIncoming(volumes: readonly ManagedVolume[], facts: IncomingFacts, domainUuid: string): StartPlan {
  const { record, activeHere, table, locks } = facts
  const runs = activeHere !== false || record?.state === 'prepared' || record?.state === 'running'
  if (runs) return { kind: 'refuse', problems: [{ kind: 'active-here' }] }
  const earlier = record?.state === 'incoming' ? record.volumes : []
  const plan = planStart(volumes, facts, domainUuid, true, earlier)
  const problems: Problem[] =
    plan.kind === 'refuse' ? [...plan.problems] : claimedMeanwhile(plan.recorded, table, facts.records, domainUuid)
  if (facts.agent.kind !== 'runs' && volumes.some(({ role, isLocal }) => role === 'exclusive' && !isLocal))
    problems.push(withoutAgent(facts.agent))
  for (const { vg, lv, role, isLocal, reason } of volumes) {
    const volume = table.volumes.get(fullName({ vg, lv }))
    if (isLocal) continue
    // What it is, and whether it is locked here already, is not known: R9.
    if (volume === undefined) problems.push(problemOfAbsent({ vg, lv }, table, reason))
    else if (!volume.shareable) problems.push({ kind: 'not-shareable', volume: fullName(volume), type: volume.layout })
    else if (role === 'exclusive' && isLockedHere(volume, locks) && !isOfTrial(volume, earlier))
      problems.push({ kind: 'locked-here', volume: fullName(volume) })
  }
  return problems.length > 0 ? { kind: 'refuse', problems } : plan
}

/**
 * What the trial of a `migrate` gives back: what it takes, and what an earlier trial or life of the domain has left
 * here. Not what another domain has on record, whatever it is called by now (R14), nor what was active before.
 */
export const givenBackAfterTrial = (
  recorded: readonly RecordedVolume[],
  { table, records }: IncomingFacts,
  domainUuid: string,
): RecordedVolume[] =>
  recorded
    .filter(({ before }) => before === 'inactive')
    .map((volume) => withIds(volume, table))
    .filter((volume) => claimsOn(volume, records, domainUuid, IN_USE).length === 0)

const withoutAgent = (agent: Exclude<AgentState, { kind: 'runs' }>): Problem =>
  agent.kind === 'absent' ? { kind: 'no-agent' } : { ...agent, kind: 'agent-hangs' }

const isLockedHere = (volume: LogicalVolume, locks: LockState): boolean =>
  locks.kind === 'unknown' || lockOf(locks, volume.lockUuid) !== 'none'

/** Locked by a trial of this very domain that was killed half-way. */
const isOfTrial = (volume: LogicalVolume, earlier: readonly RecordedVolume[]): boolean =>
  earlier.some((old) => old.before === 'inactive' && isSameVolume(old, identityOf(volume)))

/** The other hosts that hold a lock and are not known to be dead. A dead host's lock keeps nobody out (FACTS 32). */
export const othersAlive = (holders: readonly Holder[]): Holder[] =>
  holders.filter(
    ({ isThisHost, silentFor, expiresAfter }) => !isThisHost && (silentFor === undefined || silentFor < expiresAfter),
  )
