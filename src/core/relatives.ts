import type { Device, IdentityTable, LockState, VolumeTable } from './lock-state.ts'
import { NO_VOLUMES, deviceOf, identityOf, lockOf, seenHere } from './lock-state.ts'
import {
  type DomainRecord,
  IN_USE,
  type RecordedVolume,
  type Records,
  claimsOn,
  goesWithDomainStill,
  onAnyRecord,
} from './record.ts'
import { isOurs, withTold } from './start.ts'
import { fullName, mapperUuid } from './volume.ts'

/**
 * Recorded volumes with what lvs tells of them: their UUIDs, so that their release needs no lvs, and the pool of a thin
 * or VDO volume. Volumes with one lock come up together: with a COW snapshot its origin and all its other snapshots
 * (FACTS 26), with a thin volume its pool (FACTS 27). So a volume may be active only because another domain's volume
 * has the same lock. Then it does not count as active before: lvguard has brought it up, together with that volume.
 * @param before the locks and records of this host before anything was activated
 * @param told what lvs tells of volumes whose UUIDs are not on record
 */
export function withIdsAndPool(
  recorded: readonly RecordedVolume[],
  table: IdentityTable,
  before: { readonly locks: LockState; readonly records: Records; readonly devices: readonly Device[] },
  told: VolumeTable = NO_VOLUMES,
): RecordedVolume[] {
  const known = onAnyRecord(before.records).map((volume) => withTold(volume, told, before))
  return recorded.map((volume) => {
    const row = table.volumes.get(fullName(volume))
    if (row === undefined) return volume
    const kin = known.filter(({ ids }) => ids?.lock === row.lockUuid)
    const { ids } = identityOf(row)
    // By its UUID: another volume may have had its name when the start was decided, or it another name (R14).
    const device = deviceOf({ ...volume, ids }, before.devices)
    const isKinUp = kin.some((old) => goesWithDomainStill(old, seenHere(old, before.locks, before.devices).lock))
    const wasActive =
      device !== undefined && !isOurs(device, known, before.locks) && !(row.pool === undefined && isKinUp)
    const identified: RecordedVolume = { ...volume, ids, before: wasActive ? 'active' : 'inactive' }
    if (row.pool === undefined) return identified
    const wasFree = before.locks.kind === 'known' && lockOf(before.locks, row.lockUuid) === 'none'
    const poolBefore = wasFree || kin.some(({ pool }) => pool?.before === 'inactive') ? 'inactive' : 'active'
    return { ...identified, pool: { lv: row.pool, before: poolBefore } }
  })
}

/**
 * Whether two volumes have one lock, so that they go together: an origin and its COW snapshots (FACTS 26). `maybe`: the
 * UUIDs of the other one are not on record yet (R9).
 */
export function goTogether(
  volume: RecordedVolume,
  other: RecordedVolume,
  devices: readonly Device[],
): 'yes' | 'maybe' | 'no' {
  const { ids, pool } = volume
  if (ids === undefined || pool !== undefined || other.vg !== volume.vg) return 'no'
  if (other.ids !== undefined) return other.ids.lock === ids.lock ? 'yes' : 'no'
  const device = deviceOf(other, devices)
  if (device?.dmUuid === mapperUuid(ids.vg, ids.lock)) return 'yes'
  const hasKin = ids.lock !== ids.lv || deviceOf(volume, devices)?.hasSnapshot === true
  return device !== undefined && hasKin ? 'maybe' : 'no'
}

/**
 * Whether another domain that runs here uses a volume under the same lock: to deactivate this one would deactivate that
 * one too. They come up together. So if this one is active here and the other one is not, the other one is gone
 * (`lvremove` of a snapshot), and its record will drop it.
 */
export function isBoundByAnother(
  volume: RecordedVolume,
  records: Records,
  ownUuid: string,
  devices: readonly Device[],
): boolean {
  const isUp = deviceOf(volume, devices) !== undefined
  return othersVolumes(records, ownUuid).some(
    (other) => goTogether(volume, other, devices) === 'yes' && !(isUp && deviceOf(other, devices) === undefined),
  )
}

/** Whether that may be so, of a volume that is not `isBoundByAnother`: what has a snapshot stays for now (R9). */
export const mayBeBound = (
  volume: RecordedVolume,
  records: Records,
  ownUuid: string,
  devices: readonly Device[],
): boolean => othersVolumes(records, ownUuid).some((other) => goTogether(volume, other, devices) === 'maybe')

/** Whether another domain that runs here uses a volume, or one that goes with it. */
export const isUsedByAnother = (
  volume: RecordedVolume,
  records: Records,
  ownUuid: string,
  devices: readonly Device[],
): boolean =>
  claimsOn(volume, records, ownUuid, IN_USE).length > 0 || isBoundByAnother(volume, records, ownUuid, devices)

/** Whether that is so, or may be: then nothing is taken from it. */
export const mayBeUsedByAnother = (...words: Parameters<typeof isUsedByAnother>): boolean =>
  isUsedByAnother(...words) || mayBeBound(...words)

/** A pool that came up with a thin or VDO volume, and whose lock this host still holds. */
export interface IdlePool {
  readonly vg: string
  readonly lv: string
  /** UUID of the pool. */
  readonly lock: string
}

/**
 * The pools whose lock is to be given back after these volumes have gone: brought up for them, still locked, on no
 * other domain's record.
 * @param isInUse whether any device stands on a pool: another of its volumes is active, or the pool itself by its name
 */
export function idlePools(
  volumes: readonly RecordedVolume[],
  locks: LockState,
  records: Records,
  ownUuid: string,
  isInUse: (pool: { readonly vg: string; readonly lv: string; readonly dmUuid: string }) => boolean,
): IdlePool[] {
  const pools = new Map<string, IdlePool>()
  for (const { vg, pool, ids } of volumes) {
    if (pool?.before !== 'inactive' || ids === undefined) continue
    const isHeld = locks.kind === 'known' && locks.locks.has(ids.lock)
    const isWanted = othersVolumes(records, ownUuid).some(
      (other) => other.ids?.lock === ids.lock || (other.ids === undefined && other.vg === vg),
    )
    if (
      isHeld &&
      !isWanted &&
      records.unreadable.length === 0 &&
      !isInUse({ vg, lv: pool.lv, dmUuid: mapperUuid(ids.vg, ids.lock) })
    )
      pools.set(ids.lock, { vg, lv: pool.lv, lock: ids.lock })
  }
  return [...pools.values()]
}

const isOther = ({ domain, state }: DomainRecord, ownUuid: string): boolean =>
  domain.uuid !== ownUuid && IN_USE.includes(state)
const othersVolumes = (records: Records, ownUuid: string): RecordedVolume[] =>
  records.known.filter((record) => isOther(record, ownUuid)).flatMap(({ volumes }) => volumes)
