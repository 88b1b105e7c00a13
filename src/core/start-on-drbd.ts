import { type Device, type LockState, deviceOf, seenHere, suffices } from './lock-state.ts'
import type { DomainRecord, RecordState } from './record.ts'
import type { Problem } from './problem.ts'
import type { ManagedVolume, Scope } from './scope.ts'
import type { StartPlan } from './start.ts'
import { type DrbdState, countsAsOff } from './drbd.ts'

/** What this host holds now, and has active. */
export interface HeldFacts {
  readonly locks: LockState
  readonly devices: readonly Device[]
}

/** States of a domain that has, or had, its volumes here. */
const HAD_VOLUMES: readonly RecordState[] = ['prepared', 'running', 'releasing']

/**
 * Whether a lock is one that this domain has had here all the time: it is on the domain's own record, active, and
 * strong enough. Such a lock is as good as that of a VM that runs. A lock that is not on record may have been taken by
 * hand since, on this host's copy alone.
 */
function isStillHeld(
  { vg, lv, role }: ManagedVolume,
  record: DomainRecord | undefined,
  { locks, devices }: HeldFacts,
): boolean {
  if (record === undefined || !HAD_VOLUMES.includes(record.state)) return false
  const { device, lock } = seenHere({ vg, lv }, locks, devices)
  return (
    device !== undefined &&
    lock !== 'unknown' &&
    suffices(lock, role) &&
    record.volumes.some((volume) => deviceOf(volume, [device]) !== undefined)
  )
}

const needsLock = (
  vg: string,
  volumes: readonly ManagedVolume[],
  record: DomainRecord | undefined,
  held: HeldFacts,
): boolean => volumes.some((volume) => volume.vg === vg && !volume.isLocal && !isStillHeld(volume, record, held))

/**
 * The plan, unless DRBD speaks against it: then one problem for each VG on which a lock has to be taken anew. What is
 * below a VG comes first, because the rest may follow from it.
 * @param record the domain's own
 */
export function planOnDrbd(
  { volumes, problems }: Scope,
  plan: StartPlan,
  { troubles }: DrbdState,
  record: DomainRecord | undefined,
  held: HeldFacts,
): StartPlan {
  const below = [...troubles]
    .filter(([vg]) => needsLock(vg, volumes, record, held))
    .map(([vg, trouble]): Problem => ({ kind: 'drbd', vg, trouble }))
  const others =
    problems.length > 0
      ? problems.map((problem) => whyMissing(problem, troubles))
      : plan.kind === 'refuse'
        ? plan.problems
        : []
  return below.length + others.length === 0 ? plan : { kind: 'refuse', problems: [...below, ...others] }
}

/** A VG that LVM does not find, on a device that it cannot read. */
function whyMissing(problem: Problem, troubles: DrbdState['troubles']): Problem {
  const trouble = problem.kind === 'missing-vg' ? troubles.get(problem.vg) : undefined
  return problem.kind === 'missing-vg' && (trouble?.kind === 'not-primary' || trouble?.kind === 'not-up-to-date')
    ? { kind: 'drbd', vg: problem.vg, trouble }
    : problem
}

/** The sentence about a start that a person's word has decided; undefined where none did. */
export function confirmedWords(
  volumes: readonly ManagedVolume[],
  { confirmed }: DrbdState,
  record: DomainRecord | undefined,
  held: HeldFacts,
): string | undefined {
  const words = [...confirmed]
    .filter(([vg]) => needsLock(vg, volumes, record, held))
    .flatMap(([, each]) => each.map(countsAsOff))
  return words.length === 0 ? undefined : [...new Set(words)].join('; ')
}
