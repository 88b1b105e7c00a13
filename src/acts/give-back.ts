import { type Clock, CLOCK } from '../system/clock.ts'
import type { DomainName } from '../core/domain-name.ts'
import type { DomainRecord, RecordedVolume } from '../core/record.ts'
import { addressOf, deviceOf } from '../core/lock-state.ts'
import { type ReleasePlan, BOUND, UNTOLD, asTold, leavingAlone, stillHere, withoutPromoted } from '../core/release.ts'
import type { Change } from '../core/start.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { markedVgs } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { type Failure, classify } from '../lvm/failures.ts'
import { lockState } from '../lvm/lvm.ts'
import { warmQueries } from '../system/run.ts'
import { type Replace, type Replaced, readRecords, replaceRecord, replacing } from '../state/record-store.ts'
import type { VgLocks } from '../state/vg-lock.ts'
import { carryOut } from './changes.ts'
import { usersNow } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import { releaseIdlePools } from './idle-pools.ts'
import type { Outcome } from '../core/outcome.ts'
import { uuidsFor } from './identify.ts'

/** Milliseconds during which a volume in use is tried again, and between two tries. */
const IN_USE_LIMIT = 2000
const IN_USE_PAUSE = 200

const CHANGED: Outcome = { kind: 'nothing', reason: 'its record was changed meanwhile' }

/**
 * A domain that has ended, with its record and what was decided from it. If anything is to be deactivated, that was
 * decided under the VGs' locks.
 */
export interface EndedDomain {
  readonly domain: DomainName
  readonly record: DomainRecord | undefined
  readonly plan: ReleasePlan
}

/** Whether lvs has to tell something of its volumes before they can be given back. */
export const asksLvs = (plan: ReleasePlan): boolean =>
  plan.kind === 'deactivate' && plan.volumes.some(({ ids }) => ids === undefined)

/** A domain that has something to deactivate: which of its volumes are left, and why. */
interface Leaving {
  readonly domain: DomainName
  /** Changes its record, unless somebody else has. */
  readonly replace: Replace
  readonly wanted: readonly RecordedVolume[]
  readonly left: readonly RecordedVolume[]
  /** What stays on record, whatever becomes of the others. */
  readonly kept: readonly RecordedVolume[]
  readonly failures: readonly Failure[]
}

/**
 * Carries out plans that were made under the VGs' locks, in one lvchange a VG for all of them. The agent uses it too.
 * @param timeLeft milliseconds for which volumes of the first one that are in use are tried again; 0: one try
 * @param isSaid whether anybody will read why a domain's volumes are left
 * @returns what came of each, in their order
 */
export async function releaseAllUnderLock(
  all: readonly EndedDomain[],
  locks: VgLocks,
  timeLeft: () => number,
  isSaid: (domain: DomainName) => boolean = () => true,
  clock: Clock = CLOCK,
): Promise<Outcome[]> {
  // A VG may have been cut off since the plan, or taken back since these locks were asked for. Then they are too few:
  // the next look asks for all (R11).
  const marked = markedVgs()
  const isTakenBack = ({ vg }: RecordedVolume): boolean => !marked.has(vg) && !locks.descriptors.has(vg)
  const isLate = ({ plan }: EndedDomain): boolean =>
    plan.kind === 'deactivate' && [...plan.volumes, ...(plan.kept ?? [])].some(isTakenBack)
  const isDemoted = ({ plan }: EndedDomain): boolean =>
    plan.kind === 'deactivate' && plan.volumes.some(({ demoted }) => demoted === true)
  const locksNow = all.some(isDemoted) ? await lockState() : undefined
  const planNow = ({ plan }: EndedDomain): ReleasePlan => {
    const rest = leavingAlone(plan, (vg) => marked.has(vg))
    return locksNow === undefined ? rest : withoutPromoted(rest, locksNow, activeVolumes())
  }
  const planned = all.map((one) => (isLate(one) ? one : { ...one, plan: planNow(one) }))
  const volumes = planned.flatMap(({ plan }) => (plan.kind === 'deactivate' ? plan.volumes : []))
  const identify = await uuidsFor(volumes)
  const ended = volumes.every(({ ids }) => ids !== undefined) ? planned : allAsTold(planned, identify, isLate)
  const wanted = ended.flatMap((one): Leaving[] => {
    const { domain, record, plan } = one
    if (plan.kind !== 'deactivate' || isLate(one)) return []
    const own = plan.volumes
    const replace = replacing(domain.uuid, record)
    const kept = plan.kept ?? []
    return putReleasing(domain, [...own, ...kept], replace) === 'changed'
      ? []
      : [{ domain, replace, wanted: own, left: own, kept, failures: [] }]
  })
  const leaving = wanted.length === 0 ? [] : await deactivateAll(wanted, locks, timeLeft, clock)
  const outcomes: Outcome[] = []
  for (const one of ended) {
    const { domain, record, plan } = one
    const own = leaving.find((each) => each.domain === domain)
    try {
      // Volumes that stay here are nobody's now. On record they would keep others out until the rest is given back.
      if (plan.kind === 'keep' && plan.hasEnded === true && record !== undefined)
        putReleasing(domain, plan.volumes, replacing(domain.uuid, record))
      outcomes.push(
        plan.kind !== 'deactivate'
          ? settle(one, plan)
          : own === undefined
            ? CHANGED
            : await conclude(own, locks, isSaid(domain)),
      )
    } catch (error) {
      // One domain's record is not the others' fault.
      outcomes.push({ kind: 'left', volumes: own?.wanted ?? [], why: messageOf(error) })
    }
  }
  return outcomes
}

/** Carries out a plan with nothing to deactivate. Volumes that are kept are named (R4). */
export function settle(
  { domain, record }: Pick<EndedDomain, 'domain' | 'record'>,
  plan: Exclude<ReleasePlan, { kind: 'deactivate' }>,
): Outcome {
  if (plan.kind === 'keep') return { kind: 'left', volumes: plan.volumes, why: plan.reason }
  // There is nothing to remove, and no lock may be held.
  if (record === undefined) return { kind: 'nothing', reason: plan.reason }
  return replaceRecord(domain.uuid, record, undefined) === 'changed'
    ? CHANGED
    : { kind: 'nothing', reason: plan.reason }
}

/** Plans with what lvs has told of volumes whose UUIDs were not on record. */
function allAsTold(
  ended: readonly EndedDomain[],
  identify: (own: readonly RecordedVolume[]) => RecordedVolume[],
  isLate: (one: EndedDomain) => boolean,
): EndedDomain[] {
  const { known, unreadable } = readRecords()
  const facts = {
    records: { known: known.filter(({ domain }) => !ended.some((one) => one.domain.uuid === domain.uuid)), unreadable },
    devices: activeVolumes(),
  }
  return ended.map((one) =>
    one.plan.kind !== 'deactivate' || isLate(one)
      ? one
      : { ...one, plan: asTold(one.plan, identify(one.plan.volumes), facts, one.domain.uuid) },
  )
}

async function deactivateAll(
  ended: readonly Leaving[],
  locks: VgLocks,
  timeLeft: () => number,
  clock: Clock,
): Promise<readonly Leaving[]> {
  warmQueries()
  const end = clock.now() + Math.min(IN_USE_LIMIT, timeLeft())
  let leaving = ended
  for (;;) {
    const before = activeVolumes()
    const nameNow = (volume: RecordedVolume): string => fullName(deviceOf(volume, before) ?? volume)
    const all = leaving.flatMap(({ left }) => left)
    const names = new Set(all.map(nameNow))
    // A volume that two of them share is named once.
    const changes = new Map(
      all.map((volume): [string, Change] => [
        volume.ids?.lv ?? fullName(volume),
        { vg: volume.vg, lv: volume.lv, to: 'inactive', reason: 'the domain has ended', ...addressOf(volume, before) },
      ]),
    )
    const { failed } = await carryOut([...changes.values()], locks, 'go-on')
    const [state, devices] = [await lockState(), activeVolumes()]
    const failures = classify(failed?.stderr ?? '')
    leaving = leaving.map(({ domain, replace, wanted, left, kept }) => {
      // LVM's message about a volume, by its present name, belongs to the domain of that volume only.
      const own = failures.filter(
        (failure) =>
          !('volume' in failure) ||
          !names.has(failure.volume) ||
          left.some((volume) => nameNow(volume) === failure.volume),
      )
      return { domain, replace, wanted, left: stillHere(left, state, devices), kept, failures: own }
    })
    const [first] = leaving
    const isInUse = first !== undefined && first.left.length > 0 && first.failures.some(({ kind }) => kind === 'in-use')
    if (!isInUse || clock.now() + IN_USE_PAUSE > end) return leaving
    await new Promise<void>((resolve) => void clock.after(IN_USE_PAUSE, resolve))
  }
}

/** What is left stays on record. */
async function conclude(
  { domain, replace, wanted, left, kept, failures }: Leaving,
  locks: VgLocks,
  isSaid: boolean,
): Promise<Outcome> {
  if (left.length > 0) {
    putReleasing(domain, [...left, ...kept], replace)
    const isInUse = failures.some(({ kind }) => kind === 'in-use')
    return { kind: 'left', volumes: left, why: isInUse && isSaid ? await usersInWords(left) : reasonOf(failures, left) }
  }
  const bound = await releaseIdlePools(wanted, locks, domain.uuid)
  if (bound.length > 0) {
    putReleasing(domain, [...bound, ...kept], replace)
    return {
      kind: 'left',
      volumes: bound.map(({ vg, lv, pool }) => ({ vg, lv: pool?.lv ?? lv })),
      why: 'the pool came up with its volume, and does not go with it',
    }
  }
  if (kept.length === 0) replace(undefined)
  else putReleasing(domain, kept, replace)
  const marked = markedVgs()
  // What is on a VG that was cut off is said elsewhere.
  const here = kept.filter(({ vg }) => !marked.has(vg))
  return here.length > 0
    ? { kind: 'left', volumes: here, why: here.some(({ ids }) => ids === undefined) ? UNTOLD : BOUND }
    : { kind: 'done', did: 'released', volumes: wanted }
}

/**
 * Writes into the record that the domain has ended, and which volumes are still to be given back. Never throws.
 * @returns `full`: it cannot be written. What is on record already says the same, less precisely
 */
export function putReleasing(
  { name, uuid }: DomainName,
  volumes: readonly RecordedVolume[],
  replace: Replace,
): Replaced | 'full' {
  try {
    return replace({ format: 1, domain: { name, uuid }, state: 'releasing', volumes })
  } catch {
    return 'full'
  }
}

function reasonOf(failures: readonly Failure[], left: readonly VolumeName[]): string {
  if (failures.some(({ kind }) => kind === 'lvmlockd-down')) return 'lvmlockd is not running'
  const text = failures.map((failure) => (failure.kind === 'other' ? failure.text : failure.kind)).join('; ')
  return text === ''
    ? `LVM said nothing, and ${left.map(fullName).join(', ')} is still active or locked`
    : `LVM says '${text}'`
}

/** Who still has volumes open: `it is still in use here, mounted on /mnt`. */
async function usersInWords(left: readonly VolumeName[]): Promise<string> {
  const users = await Promise.all(
    left.map(async (volume) => ({ volume, words: (await usersNow(fullName(volume))).join(', ') })),
  )
  return users
    .map(({ volume, words }) =>
      left.length === 1 ? `it is still in use here, ${words}` : `${fullName(volume)} is still in use here, ${words}`,
    )
    .join('; ')
}
