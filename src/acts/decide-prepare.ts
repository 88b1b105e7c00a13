import { readFileSync } from '../system/files.ts'
import { uptime } from '../system/clock.ts'
import { join } from 'node:path'
import type { DrbdState } from '../core/drbd.ts'
import { confirmedWords, planOnDrbd } from '../core/start-on-drbd.ts'
import { type Scope, lockspacesTellAll } from '../core/scope.ts'
import { type HostFacts, type StartPlan, planStart } from '../core/start.ts'
import { isIncoming } from '../core/takeover.ts'
import { drbdBelow } from '../drbd/drbd.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { DEFINITION_FOLDER } from '../system/paths.ts'
import { readRecords, recordOf } from '../state/record-store.ts'
import { type LocksQuestion, type Subject, lookAround, scopeFor, withCovers } from './host.ts'
import { isErrno } from '../system/error-message.ts'

/** What `prepare` has found and decided, before anything is changed. */
export interface PreparePlan {
  readonly facts: HostFacts
  readonly scope: Scope
  readonly plan: StartPlan
  readonly incoming: boolean
  readonly drbd: DrbdState
  /** A person's word that decides it. */
  readonly warning: string | undefined
}

const NOTHING_TO_DO: StartPlan = { kind: 'activate', changes: [], recorded: [] }

/**
 * Reads this host's state and decides a `prepare`. Changes nothing: `--dry-run` ends here.
 * @param calledAt when libvirt called, in seconds since boot (whole ones on Node 18)
 */
export async function decidePrepare(
  subject: Subject,
  asked?: LocksQuestion,
  calledAt = uptime(),
): Promise<PreparePlan> {
  const { domain } = subject
  const [first, drbd] = await Promise.all([lookAround(subject, readRecords(), asked), drbdBelow(subject.vgsToLock)])
  const told = await scopeFor(subject, first.locks)
  // If lvs was asked for that, its answer may have taken long, as in withCovers.
  const isOld = !lockspacesTellAll(subject.candidates, first.locks)
  const looked = isOld ? await lookAround(subject, first.records) : first
  const before = isOld ? await scopeFor(subject, looked.locks) : told
  const record = recordOf(domain.uuid, looked.records)
  const incoming = isIncoming({
    record,
    xmlId: domain.incomingId,
    idInDefinition: idInDefinition(domain.name, domain.incomingId),
    calledAt,
  })
  // Where DRBD speaks against it, it is refused without that (planOnDrbd): lvs might wait with DRBD.
  const isRefused = planOnDrbd(before, NOTHING_TO_DO, drbd, record, looked).kind === 'refuse'
  const askable = isRefused ? [] : before.volumes
  const { facts, scope, covers } = await withCovers(subject, { facts: looked, scope: before }, askable, incoming)
  const plan: StartPlan =
    covers === 'silent'
      ? { kind: 'refuse', problems: [noAnswerOfLvs()] }
      : planStart(scope.volumes, facts, domain.uuid, incoming, record?.volumes ?? [], covers)
  const warning = confirmedWords(scope.volumes, drbd, record, facts)
  const cutOff = cutOffProblems(subject.vgsToLock)
  return {
    facts,
    scope,
    plan:
      cutOff.length > 0
        ? { kind: 'refuse', problems: [...cutOff, ...scope.problems] }
        : planOnDrbd(scope, plan, drbd, record, facts),
    incoming,
    drbd,
    warning,
  }
}

/**
 * Whether a migration's id stands in the domain's persistent definition, where an offline migration may leave it
 * (DESIGN 4).
 */
function idInDefinition(name: string, id: string | undefined): boolean | 'unknown' {
  if (id === undefined) return false
  try {
    return readFileSync(join(DEFINITION_FOLDER, `${name}.xml`), 'utf8').includes(id)
  } catch (error) {
    return isErrno(error, 'ENOENT') ? false : 'unknown'
  }
}
