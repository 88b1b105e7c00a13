import type { LeaseCount } from './lock-state.ts'
import type { DomainName } from './domain-name.ts'
import type { RecordedVolume } from './record.ts'
import { type VolumeName, fullName } from './volume.ts'

/** A volume that a domain had for itself when its memory was saved. */
export interface SavedVolume extends VolumeName {
  /** Of the LV, which has the lease itself. */
  readonly uuid: string
  /** How often its lease had been taken by then (FACTS 51). */
  readonly lver: number
}

/** One file a domain in /var/lib/lvguard/saved: what its volumes were when its memory was saved on this host last. */
export interface SavedImage {
  readonly format: 1
  readonly domain: DomainName
  /** When, in the form of ISO 8601. */
  readonly at: string
  readonly volumes: readonly SavedVolume[]
  /** The domain has been started here since, anew or from that memory: whatever the leases say, its disk is newer. */
  readonly spent?: true
  /**
   * The domain may have run on another host beside this one when it was saved: its record says so (mayRunElsewhere), or
   * a volume that it needs for itself was no more than shared here. Then the `lver` of its volumes may be 0, which is
   * no count, or there may be no volumes at all.
   */
  readonly doubtful?: true
}

/**
 * The volumes whose leases tell whether a saved memory is still as new as its disks: those that the domain has for
 * itself, with a lease of their own. A thin volume has the lease of its pool (FACTS 27), which is taken for the pool's
 * other volumes too.
 */
export const countedVolumes = (
  volumes: readonly RecordedVolume[],
): (RecordedVolume & Required<Pick<RecordedVolume, 'ids'>>)[] =>
  volumes.flatMap((volume) =>
    volume.role === 'exclusive' &&
    volume.mode !== 'local' &&
    volume.ids !== undefined &&
    volume.ids.lock === volume.ids.lv
      ? [{ ...volume, ids: volume.ids }]
      : [],
  )

/** A volume that somebody has locked since the memory was saved (R12). */
export interface Newer {
  readonly volume: string
  readonly vg: string
  readonly uuid: string
  /** host_id of the host that locked it last; undefined where that was this very `prepare`. */
  readonly by: number | undefined
}

/** What the leases say of a saved image. */
export interface Comparison {
  readonly newer: readonly Newer[]
  /** Names of volumes whose leases cannot be read. */
  readonly unknown: readonly string[]
}

/** What this host has to do with the leases. */
export interface OwnLocks {
  /** UUIDs of volumes that this `prepare` has locked itself. */
  readonly taken: ReadonlySet<string>
  /** UUIDs of all that this host holds now. */
  readonly held: ReadonlySet<string>
  /** Its host_id, by VG. */
  readonly ownIds: ReadonlyMap<string, number>
}

const NO_LOCKS: OwnLocks = { taken: new Set(), held: new Set(), ownIds: new Map() }

/**
 * Compares a saved image with the leases as they are now. One more lock is this host's own in two cases: this `prepare`
 * has taken it; or this host took it last and still has it, as LVM takes it at boot. In the second case no VM has been
 * started on it here: that would have set SavedImage.spent. If a count went down, it is another lease, of which nothing
 * is known (R9): that counts as newer.
 */
export function compare(
  { volumes }: SavedImage,
  counts: ReadonlyMap<string, LeaseCount>,
  { taken, held, ownIds }: OwnLocks = NO_LOCKS,
): Comparison {
  const newer: Newer[] = []
  const unknown: string[] = []
  for (const volume of volumes) {
    const { vg, uuid } = volume
    const count = counts.get(uuid)
    const isTaken = taken.has(uuid)
    const isOwn = isTaken || (held.has(uuid) && count?.owner === ownIds.get(vg))
    if (count === undefined) unknown.push(fullName(volume))
    else if (count.lver !== volume.lver && !(isOwn && count.lver === volume.lver + 1))
      newer.push({ volume: fullName(volume), vg, uuid, by: isTaken ? undefined : count.owner })
  }
  return { newer, unknown }
}

/**
 * The image after a restore that failed: this host has locked its volumes once more, and nothing was written to them.
 * @param ownIds host_id of this host, by VG
 * @returns undefined if nothing is to be changed
 */
export function afterFailedRestore(
  image: SavedImage,
  counts: ReadonlyMap<string, LeaseCount>,
  ownIds: ReadonlyMap<string, number>,
): SavedImage | undefined {
  const volumes = image.volumes.map((volume) => {
    const count = counts.get(volume.uuid)
    const isOwnTry = count?.lver === volume.lver + 1 && count.owner === ownIds.get(volume.vg)
    return isOwnTry ? { ...volume, lver: volume.lver + 1 } : volume
  })
  const { spent, ...kept } = image
  const isSame = spent === undefined && volumes.every((volume, index) => volume === image.volumes[index])
  return isSame ? undefined : { ...kept, volumes }
}
