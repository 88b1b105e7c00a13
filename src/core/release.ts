import { type Device, type LockState, type Seen, seenHere } from './lock-state.ts'
import { type DomainRecord, type RecordedVolume, type Records, goesWithDomain, goesWithDomainStill } from './record.ts'
import { isUsedByAnother, mayBeBound } from './relatives.ts'
import type { ManagedVolume } from './scope.ts'

/** What a `release` is to do. `keep`: nothing now, and the record stays. `forget`: nothing, and the record goes. */
export type ReleasePlan =
  | { readonly kind: 'forget'; readonly reason: string }
  /** `hasEnded`: the domain has, and its record is to say so; else nobody can tell, or it runs. */
  | {
      readonly kind: 'keep'
      readonly reason: string
      readonly volumes: readonly RecordedVolume[]
      readonly hasEnded?: true
    }
  /** `kept`: its other volumes, which stay on record for later. */
  | {
      readonly kind: 'deactivate'
      readonly volumes: readonly RecordedVolume[]
      readonly kept?: readonly RecordedVolume[]
    }

/** What a `release` is decided from. */
export interface ReleaseFacts {
  readonly record: DomainRecord | undefined
  readonly records: Records
  /** Volumes that the XML names; used where there is no record. */
  readonly inXml: readonly ManagedVolume[]
  /** The XML shows that the domain got past its `prepare` (Domain.gotPastPrepare). */
  readonly gotPastPrepare: boolean
  /** A status file says that the domain runs here. */
  readonly runsHere: boolean
  readonly devices: readonly Device[]
}

/**
 * Decides a `release`: what this host brought up for the domain, without what another domain of this host has on
 * record. A domain without a record either ran before lvguard was installed, or was refused while there was no room for
 * a record. Only the first has volumes to give back.
 */
export function planRelease({ record, records, inXml, gotPastPrepare, runsHere, devices }: ReleaseFacts): ReleasePlan {
  const keep = (reason: string): ReleasePlan => ({ kind: 'keep', reason, volumes: record?.volumes ?? [] })
  if (records.unreadable.length > 0)
    return keep(`other VMs may use the same volumes, and ${records.unreadable.join(', ')} cannot be read`)
  if (runsHere) return keep('its status file says that it runs')
  if (record === undefined && !gotPastPrepare) return { kind: 'forget', reason: 'it took nothing' }
  if (record?.state === 'refused') return { kind: 'forget', reason: 'its start was refused and took nothing' }
  const own: readonly RecordedVolume[] =
    record?.volumes ??
    inXml.map(({ vg, lv, role, isLocal }) => ({ vg, lv, role, mode: isLocal ? 'local' : role, before: 'inactive' }))
  const uuid = record?.domain.uuid ?? ''
  const going = own.filter((volume) => goesWithDomain(volume) && !isUsedByAnother(volume, records, uuid, devices))
  const kept = going.filter((volume) => mayBeBound(volume, records, uuid, devices))
  return rest(
    going.filter((volume) => !kept.includes(volume)),
    kept,
    BOUND,
  )
}

/** What becomes of a domain's volumes: some go now, others stay on record for later. @param why they do */
function rest(volumes: readonly RecordedVolume[], kept: readonly RecordedVolume[], why: string): ReleasePlan {
  if (volumes.length > 0) return { kind: 'deactivate', volumes, ...(kept.length > 0 && { kept }) }
  if (kept.length > 0) return { kind: 'keep', reason: why, volumes: kept, hasEnded: true }
  return { kind: 'forget', reason: 'nothing of its own is active' }
}

/** Why what may go with another VM's volume is kept. */
export const BOUND = 'another VM may have its snapshot'
/** Why a volume without UUIDs is kept. */
export const UNTOLD = 'lvs does not tell whose lock it has'

/**
 * A plan with what lvs has told meanwhile of volumes whose UUIDs were not on record. Left out is what turns out to be
 * another domain's too, or to have the lock of what another domain uses. What lvs does not tell stays for now (R9): a
 * snapshot has the lock of its origin, and goes with it (FACTS 26).
 * @param identified the plan's volumes; those of which lvs has told nothing new are the same objects
 * @param records without those of domains that end now
 */
export function asTold(
  plan: ReleasePlan,
  identified: readonly RecordedVolume[],
  { records, devices }: Pick<ReleaseFacts, 'records' | 'devices'>,
  ownUuid: string,
): ReleasePlan {
  if (plan.kind !== 'deactivate') return plan
  const isTold = ({ ids, mode }: RecordedVolume): boolean => ids !== undefined || mode === 'local'
  const untold = identified.filter((volume) => !isTold(volume))
  const going = identified.filter(
    (volume) =>
      isTold(volume) && (plan.volumes.includes(volume) || !isUsedByAnother(volume, records, ownUuid, devices)),
  )
  const bound = going.filter(
    (volume) => !plan.volumes.includes(volume) && mayBeBound(volume, records, ownUuid, devices),
  )
  return rest(
    going.filter((volume) => !bound.includes(volume)),
    [...(plan.kept ?? []), ...untold, ...bound],
    untold.length > 0 ? UNTOLD : bound.length > 0 ? BOUND : 'its other volumes are left for later',
  )
}

/** The plan without VGs that were cut off here: their volumes stay on record until the VG can be used again. */
export function leavingAlone(plan: ReleasePlan, isLeftAlone: (vg: string) => boolean): ReleasePlan {
  if (plan.kind !== 'deactivate') return plan
  const kept = plan.volumes.filter(({ vg }) => isLeftAlone(vg))
  const volumes = plan.volumes.filter(({ vg }) => !isLeftAlone(vg))
  if (kept.length === 0) return plan
  return volumes.length === 0
    ? {
        kind: 'keep',
        reason: `what it has on ${kept[0]?.vg} is left for later`,
        volumes: [...(plan.kept ?? []), ...kept],
        hasEnded: true,
      }
    : { kind: 'deactivate', volumes, kept: [...(plan.kept ?? []), ...kept] }
}

/**
 * A plan without volumes that were active before, were shared for a migration, and are exclusive here again: the domain
 * has not taken them to another host, so they stay (R4). Their record may not say so yet. Where the lock cannot be read,
 * such a volume stays for now (R9).
 */
export function withoutPromoted(plan: ReleasePlan, locks: LockState, devices: readonly Device[]): ReleasePlan {
  if (plan.kind !== 'deactivate') return plan
  const lockOn = (volume: RecordedVolume): Seen['lock'] => seenHere(volume, locks, devices).lock
  const unread = plan.volumes.filter((volume) => volume.before === 'active' && lockOn(volume) === 'unknown')
  const volumes = plan.volumes.filter(
    (volume) => !unread.includes(volume) && goesWithDomainStill(volume, lockOn(volume)),
  )
  const kept = [...(plan.kept ?? []), ...unread]
  if (volumes.length > 0) return { ...plan, volumes, ...(kept.length > 0 && { kept }) }
  if (kept.length === 0) return { kind: 'forget', reason: 'what it has here was active before' }
  const reason =
    unread.length === 0
      ? 'its other volumes are left for later'
      : 'whether it is still shared for a migration cannot be read'
  return { kind: 'keep', reason, volumes: kept, hasEnded: true }
}

/**
 * The volumes that are still active or locked here: an lvchange can exit 0 and leave the lock (FACTS 24). Where the
 * lock cannot be read the volume counts as taken (R9). A thin volume gives back its device only: its lock belongs to
 * the pool (FACTS 27).
 */
export function stillHere(
  volumes: readonly RecordedVolume[],
  locks: LockState,
  devices: readonly Device[],
): RecordedVolume[] {
  return volumes.filter((volume) => {
    const { device, lock } = seenHere(volume, locks, devices)
    if (device !== undefined) return true
    if (volume.mode === 'local') return false
    if (locks.kind === 'unknown') return true
    // Without its UUID nobody can tell whose the held locks are.
    if (volume.ids === undefined) return locks.locks.size > 0
    return volume.ids.lock === volume.ids.lv && lock !== 'none'
  })
}
