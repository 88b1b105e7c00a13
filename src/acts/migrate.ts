import { readFileSync } from '../system/files.ts'
import { uptime } from '../system/clock.ts'
import { pause } from '../system/clock.ts'
import { agentState } from '../state/agent-presence.ts'
import { milliseconds } from '../system/clock.ts'
import { type DrbdState, NO_DRBD } from '../core/drbd.ts'
import { confirmedWords, planOnDrbd } from '../core/start-on-drbd.ts'
import { type LockState, type LogicalVolume, NO_VOLUMES, addressOf, isSameVolume } from '../core/lock-state.ts'
import { type IncomingFacts, givenBackAfterTrial, othersAlive, planIncoming } from '../core/migrate.ts'
import type { Problem } from '../core/problem.ts'
import { type DomainRecord, type RecordedVolume, goesWithDomain } from '../core/record.ts'
import { type Scope, isEmpty } from '../core/scope.ts'
import { type Change, type StartPlan, withIds } from '../core/start.ts'
import { stillHere } from '../core/release.ts'
import { fullName } from '../core/volume.ts'
import { lockDomain } from '../state/domain-locks.ts'
import { drbdBelow } from '../drbd/drbd.ts'
import { dropConfirmations } from '../drbd/notes.ts'
import { withIncomingId } from '../libvirt/incoming-xml.ts'
import { isActiveHere } from '../libvirt/status.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { leaseOf, lockState, volumesByUuid } from '../lvm/lvm.ts'
import { RecordChanged, lookingAgain, readRecords, recordOf, replacing } from '../state/record-store.ts'
import { type VgLocks, VgBusy } from '../state/vg-lock.ts'
import { awaitDemotion } from './await-demotion.ts'
import { carryOut } from './changes.ts'
import { problemOfBusy, problemOfError, problemsOf, refused, unlessFull } from './failures.ts'
import { heldProblem } from '../lvm/holders.ts'
import { type Subject, lookAround, missingOf, scopeFor, subjectWith } from './host.ts'
import { NOT_CONCERNED, type Outcome } from '../core/outcome.ts'

/** Milliseconds between two trials with lvchange, where a lease cannot be read or another host was quicker. */
const TRIAL_PAUSE = 1000

/** What `migrate` has found and decided, before anything is changed. */
export interface IncomingPlan {
  readonly plan: StartPlan
  readonly facts: IncomingFacts
  readonly scope: Scope
  readonly drbd: DrbdState
  /** A person's word that decides it. */
  readonly warning: string | undefined
}

/** Reads this host's state and decides a `migrate`. Changes nothing and waits for nobody: `--dry-run` ends here. */
export async function decideMigrate(subject: Subject): Promise<IncomingPlan> {
  const { domain } = subject
  const records = readRecords()
  const cutOff = cutOffProblems(subject.vgsToLock)
  if (cutOff.length > 0)
    return {
      plan: { kind: 'refuse', problems: cutOff },
      facts: nothingKnown(records),
      scope: { volumes: [], problems: cutOff },
      drbd: NO_DRBD,
      warning: undefined,
    }
  const [table, around, drbd] = await Promise.all([
    subject.table(),
    lookAround(subject, records),
    drbdBelow(subject.vgsToLock),
  ])
  const scope = await scopeFor(subject, around.locks)
  const facts: IncomingFacts = {
    ...around,
    table: table ?? NO_VOLUMES,
    record: recordOf(domain.uuid, records),
    activeHere: isActiveHere(domain),
    agent: agentState(),
  }
  const plan: StartPlan =
    table === undefined
      ? { kind: 'refuse', problems: [noAnswerOfLvs()] }
      : planIncoming(scope.volumes, facts, domain.uuid)
  // Locks that are held here already do not count: a domain that comes in takes new ones.
  return {
    plan: planOnDrbd(scope, plan, drbd, undefined, facts),
    facts,
    scope,
    drbd,
    warning: confirmedWords(scope.volumes, drbd, undefined, facts),
  }
}

/** The facts where nothing is asked, because the storage may not answer. */
const nothingKnown = (records: IncomingFacts['records']): IncomingFacts => ({
  locks: { kind: 'unknown', why: 'failed', detail: 'not asked for' },
  devices: [],
  records,
  users: new Map(),
  table: NO_VOLUMES,
  record: undefined,
  activeHere: 'unknown',
  agent: agentState(),
})

/**
 * `migrate begin -`, on the destination. Waits until the source has demoted, takes the volumes shared as a trial, and
 * gives them back. Then it prints the XML with an id. With that id the `prepare` of this migration, and no other, may
 * take them shared (DESIGN 4).
 * @param xml the domain XML as it came
 */
export async function migrate(subject: Subject, xml: string): Promise<Outcome> {
  if (!subject.isConcerned) return NOT_CONCERNED
  const end = milliseconds() + subject.configuration.migrateWait * 1000
  const first = await decideMigrate(subject)
  dropConfirmations(first.drbd.over)
  if (isEmpty(first.scope)) return NOT_CONCERNED
  if (first.plan.kind === 'refuse')
    return (await isOffline(first))
      ? { kind: 'done', did: 'let-in', volumes: [] }
      : refused(subject, first.plan.problems, true)
  const volumes = volumesOf(first)
  for (;;) {
    const waited = await awaitDemotion(volumes, Math.max(0, end - milliseconds()), {
      leaseOf,
      pause,
      now: milliseconds,
    })
    const refuse = (problems: readonly Problem[]): Outcome =>
      refused(
        subject,
        problems.map((problem) => withUse(problem, first.scope)),
        true,
      )
    if (waited.kind === 'held') return refuse([await heldProblem(fullName(waited.volume), first.facts.table)])
    const shared = waited.kind === 'free' ? await sharedByMany(first, waited.sharers) : undefined
    const trial: Trial = shared === undefined ? await tryShared(subject) : { kind: 'failed', problems: [shared] }
    if (trial.kind === 'passed')
      return {
        kind: 'done',
        did: 'let-in',
        volumes: first.scope.volumes,
        stdout: withIncomingId(xml, trial.id),
        ...(first.warning !== undefined && { warning: first.warning }),
      }
    const isOver = milliseconds() + TRIAL_PAUSE > end
    if (isOver || trial.problems.some(({ kind }) => kind !== 'held')) return refuse(trial.problems)
    await pause(TRIAL_PAUSE)
  }
}

/**
 * A problem if a volume that the domain needs for itself is shared by more hosts than the one that it leaves. After a
 * migration whose reply was lost the domain may run on two hosts already (FACTS 19): it does not come to a third one.
 */
async function sharedByMany(
  { scope, facts }: IncomingPlan,
  sharers: ReadonlyMap<LogicalVolume, readonly number[]>,
): Promise<Problem | undefined> {
  for (const [{ vg, lv }, hosts] of sharers) {
    const isOwn = scope.volumes.some((volume) => volume.vg === vg && volume.lv === lv && volume.role === 'exclusive')
    if (!isOwn || hosts.length < 2) continue
    const problem = await heldProblem(fullName({ vg, lv }), facts.table)
    const others = problem.kind === 'held' ? othersAlive(problem.holders) : []
    if (problem.kind === 'held' && others.length > 1) return { ...problem, holders: others, isByMany: true }
  }
  return undefined
}

/** Marks a problem with a volume that the domain only reads: no agent demotes such a volume on its way out (R3). */
const withUse = (problem: Problem, { volumes }: IncomingPlan['scope']): Problem =>
  problem.kind === 'held' && volumes.some((volume) => fullName(volume) === problem.volume && volume.role === 'shared')
    ? { ...problem, isOnlyRead: true }
    : problem

/** Problems that keep out a live migration, but not an offline one. */
const OF_LIVE_ONLY: ReadonlySet<Problem['kind']> = new Set<Problem['kind']>([
  'not-shareable',
  'no-agent',
  'agent-hangs',
])

/**
 * Whether this is an offline migration: then its volumes need not be shared. libvirt does not say so (FACTS 6). But if
 * nobody holds what the domain needs for itself, it runs nowhere. Such a domain is let in without a trial, and without
 * an id. If a `prepare` follows all the same, it is a fresh start, which asks for exclusive.
 */
async function isOffline({ plan, scope, facts }: IncomingPlan): Promise<boolean> {
  const problems = plan.kind === 'refuse' ? plan.problems : []
  if (!problems.some(({ kind }) => kind === 'not-shareable') || !problems.every(({ kind }) => OF_LIVE_ONLY.has(kind)))
    return false
  const own = scope.volumes.filter(({ role, isLocal }) => role === 'exclusive' && !isLocal)
  // A thin volume's lease is its pool's, a snapshot's its origin's.
  const owners = new Set(own.map((volume) => facts.table.volumes.get(fullName(volume))?.lockUuid ?? ''))
  const table = (await volumesByUuid([...owners]))?.volumes ?? NO_VOLUMES.volumes
  const leases = await Promise.all([...table.values()].filter(({ uuid }) => owners.has(uuid)).map(leaseOf))
  return (
    owners.size > 0 &&
    leases.length === owners.size &&
    leases.every((lease) => lease !== undefined && lease.exclusive === undefined && lease.shared.length === 0)
  )
}

const volumesOf = ({ plan, facts }: IncomingPlan): LogicalVolume[] =>
  (plan.kind === 'activate' ? plan.recorded : []).flatMap((volume) => facts.table.volumes.get(fullName(volume)) ?? [])

type Trial =
  | { readonly kind: 'passed'; readonly id: string }
  | { readonly kind: 'failed'; readonly problems: readonly Problem[] }

async function tryShared(subject: Subject): Promise<Trial> {
  let locks: VgLocks | undefined
  try {
    const held = await lockDomain(subject.domain.uuid, subject.vgsToLock, subject.configuration.lockWait)
    locks = held
    // What lvs said before the wait for the source, and for these locks, may not be true any more (R11, R14). It is
    // asked before the locks are: its answer may take long.
    const { domain, configuration, candidates } = subject
    return await lookingAgain(async () => {
      const anew = subjectWith(domain, configuration, candidates)
      // The storage of what was cut off may not answer.
      if (cutOffProblems(anew.vgsToLock).length === 0) await anew.table()
      return trySharedUnderLock(anew, held)
    })
  } catch (error) {
    if (error instanceof VgBusy) return { kind: 'failed', problems: [problemOfBusy(error)] }
    return { kind: 'failed', problems: [problemOfError(error)] }
  } finally {
    locks?.release()
  }
}

async function trySharedUnderLock(subject: Subject, locks: VgLocks): Promise<Trial> {
  const { domain } = subject
  const { plan, facts } = await decideMigrate(subject)
  if (plan.kind === 'refuse') return { kind: 'failed', problems: plan.problems }
  // What an earlier life of this domain brought up and could not give back stays on record.
  const leftovers = (facts.record?.volumes ?? []).filter(
    (old) => goesWithDomain(old) && !plan.recorded.some((volume) => isSameVolume(withIds(volume, facts.table), old)),
  )
  const replace = replacing(domain.uuid, facts.record)
  const put = (volumes: readonly RecordedVolume[], incoming?: DomainRecord['incoming']): void => {
    const domainOf = { name: domain.name, uuid: domain.uuid }
    const next: DomainRecord = {
      format: 1,
      domain: domainOf,
      state: 'incoming',
      volumes: [...volumes, ...leftovers],
      ...(incoming && { incoming }),
    }
    if (replace(next) === 'changed') throw new RecordChanged()
  }
  const ours = givenBackAfterTrial(plan.recorded, facts, domain.uuid)
  // On record before it is locked: after a crash, whoever finds the record may deactivate the volume.
  put(plan.recorded)
  const { failed } = await carryOut(plan.changes, locks)
  const after = await lockState()
  const missing = failed === undefined ? await missingOf(plan.recorded, facts.table, after, activeVolumes()) : []
  // Volumes that are here now and were not before, for this domain or for nobody. That includes what a trial has left
  // that was killed.
  const here = (locksNow: LockState): RecordedVolume[] => stillHere(ours, locksNow, activeVolumes())
  const undo = here(after).map(
    (volume): Change => ({
      vg: volume.vg,
      lv: volume.lv,
      to: 'inactive',
      reason: 'the trial is over',
      ...addressOf(volume, activeVolumes()),
    }),
  )
  await carryOut(undo, locks, 'go-on')
  const left = undo.length === 0 ? [] : here(await lockState())
  if (failed === undefined && missing.length === 0 && left.length === 0) {
    // The kernel's own random UUID: loading Node's crypto takes 5 ms.
    const id = readFileSync('/proc/sys/kernel/random/uuid', 'utf8').trim()
    put([], { id, at: uptime() })
    return { kind: 'passed', id }
  }
  // Stays on record if something could not be given back: libvirt calls nothing after a refused `migrate` (FACTS 5).
  unlessFull(() => (left.length === 0 && leftovers.length === 0 ? replace(undefined) : put(left)))
  // Who holds the volumes is asked last, when nothing is locked here any more.
  const problems = failed === undefined ? missing : await problemsOf(failed, facts.table, after)
  return {
    kind: 'failed',
    problems:
      problems.length > 0
        ? problems
        : [{ kind: 'other', detail: 'a volume that was taken on trial could not be given back' }],
  }
}
