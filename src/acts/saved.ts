import { date, monotonic, uptime } from '../system/clock.ts'
import type { DomainName } from '../core/domain-name.ts'
import type { Configuration } from '../core/configuration.ts'
import { type LeaseCount, lockOf } from '../core/lock-state.ts'
import type { Holder, Problem } from '../core/problem.ts'
import type { RecordedVolume } from '../core/record.ts'
import {
  type Comparison,
  type Newer,
  type SavedImage,
  afterFailedRestore,
  compare,
  countedVolumes,
} from '../core/saved-image.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { holdersOf, hostNameOf, leaseCounts, lockState, ownHostId, volumesByUuid } from '../lvm/lvm.ts'
import {
  announceRestore,
  managedSave,
  readSavedImage,
  removeSavedImage,
  savedImages,
  writeSavedImage,
} from '../state/saved-images.ts'
import { callingDaemon } from './daemon.ts'
import { messageOf } from '../system/error-message.ts'
import type { Outcome } from '../core/outcome.ts'

/** The warning that a saved memory could not be noted, so that a `restore` will not tell whether it is too old. */
export const unnoted = ({ name }: Pick<DomainName, 'name'>, why: string): string =>
  `whether the saved memory of ${name} is still as new as its disks will not be told when it is restored: ${why}`

/**
 * After a save, while this host still holds the locks: writes down how often each lease has been taken, so that a later
 * `restore` sees whether anybody has locked a volume since (R12). Never throws.
 * @param isDoubtful the domain may have run on another host before the save, which the counts do not show
 * @returns what could not be written down, in a sentence
 */
export async function noteSaved(
  { name, uuid }: DomainName,
  volumes: readonly RecordedVolume[],
  isDoubtful = false,
): Promise<string | undefined> {
  const exclusive = volumes.filter(({ role, mode }) => role === 'exclusive' && mode !== 'local')
  const counted = countedVolumes(volumes)
  const cannotTell = (why: string): string => unnoted({ name }, why)
  try {
    // An older note would be taken for this one, if this program were ended before it writes the new one.
    removeSavedImage(uuid)
    if (exclusive.length === 0) return undefined
    const mayBeOlder = isDoubtful || (await isSharedHere(exclusive))
    const note = (saved: SavedImage['volumes']): void =>
      writeSavedImage({
        format: 1,
        domain: { name, uuid },
        at: date().toISOString(),
        volumes: saved,
        ...(mayBeOlder && { doubtful: true }),
      })
    // The doubt needs no lease, and must not be lost where none answers.
    if (mayBeOlder) note(counted.map(({ vg, lv, ids }) => ({ vg, lv, uuid: ids.lv, lver: 0 })))
    const counts = await leaseCounts(counted.map(({ ids }) => ids.lv))
    const taken = await takenByOthers(counted, counts)
    const saved = counted.flatMap(({ vg, lv, ids }) => {
      const lver = counts.get(ids.lv)?.lver
      return lver === undefined ? [] : [{ vg, lv, uuid: ids.lv, lver: taken.has(ids.lv) ? lver - 1 : lver }]
    })
    if (saved.length > 0) note(saved)
    const missing = exclusive.filter((volume) => !saved.some(({ vg, lv }) => vg === volume.vg && lv === volume.lv))
    return missing.length === 0
      ? undefined
      : cannotTell(`${missing.map(fullName).join(', ')} has no lease of its own that can be read`)
  } catch (error) {
    return cannotTell(messageOf(error))
  }
}

/**
 * Whether this host has no more than a shared lock on a volume that the domain needs for itself. The record does not
 * tell: it says `exclusive` before lvchange runs, and still says so if the promotion was refused. That happens at the
 * destination of a migration in doubt.
 */
async function isSharedHere(volumes: readonly RecordedVolume[]): Promise<boolean> {
  const locks = await lockState()
  return locks.kind === 'known' && volumes.some(({ ids }) => ids !== undefined && lockOf(locks, ids.lock) === 'shared')
}

/**
 * Volumes that this host holds no longer, and that another host locked last. That happens if a `release` comes late,
 * after the agent has given the volumes back. The memory is older than that lock.
 */
async function takenByOthers(
  volumes: ReturnType<typeof countedVolumes>,
  counts: ReadonlyMap<string, LeaseCount>,
): Promise<Set<string>> {
  // Asked after the leases were read: what is held now has been held then.
  const locks = await lockState()
  const given = volumes.filter(({ ids }) => locks.kind === 'known' && !locks.locks.has(ids.lv))
  const ownIds = await ownIdsOf(given)
  return new Set(given.flatMap(({ vg, ids }) => (counts.get(ids.lv)?.owner === ownIds.get(vg) ? [] : [ids.lv])))
}

/**
 * Removes the note of a saved memory. The note is not about the memory that is there now, if there is any. Never
 * throws.
 */
export function forgetSaved({ uuid }: DomainName): void {
  try {
    removeSavedImage(uuid)
  } catch {
    // The next restore is refused then, with the way out.
  }
}

/**
 * A start from a saved memory has failed. That is no reason to refuse the next one. Never throws.
 * @param how `refused` by this host's own `prepare`, or `failed` after it
 */
export async function noteFailedRestore({ uuid }: DomainName, how: 'refused' | 'failed'): Promise<void> {
  try {
    const image = readSavedImage(uuid)
    if (image === undefined || (how === 'refused' && image.spent === true)) return
    const [counts, ownIds] = await Promise.all([
      leaseCounts(image.volumes.map((volume) => volume.uuid)),
      ownIdsOf(image.volumes),
    ])
    const changed = afterFailedRestore(image, counts, ownIds)
    if (changed !== undefined) writeSavedImage(changed)
  } catch {
    // The next restore is refused then, with the way out.
  }
}

/**
 * The domain starts, anew or from its saved memory: from now on its disk is newer than that memory. No lease tells this
 * if the host had the volumes already. Costs one look if nothing was saved. Never throws.
 */
export function noteStarted({ uuid }: DomainName): void {
  try {
    const image = readSavedImage(uuid)
    if (image !== undefined && image.spent !== true) writeSavedImage({ ...image, spent: true })
  } catch {
    // As a rule the leases tell it too.
  }
}

/**
 * Another VM is about to write to volumes that belong to a saved memory. It uses a lock that this host already had (LVM
 * takes one at boot), or that it keeps for the VM that starts next. No lease tells this: one more lock by this host
 * does not count as a lock of somebody else (compare). Never throws.
 * @param own UUID of the domain that writes
 */
export function noteWritten(own: string, volumes: readonly Pick<RecordedVolume, 'ids'>[]): void {
  const written = new Set(volumes.flatMap(({ ids }) => ids?.lv ?? []))
  if (written.size === 0) return
  for (const image of savedImages()) {
    if (image.domain.uuid !== own && image.volumes.some(({ uuid }) => written.has(uuid))) noteStarted(image.domain)
  }
}

const ownIdsOf = async (volumes: readonly VolumeName[]): Promise<Map<string, number>> => {
  const vgs = [...new Set(volumes.map(({ vg }) => vg))]
  const ids = await Promise.all(vgs.map(async (vg) => [vg, await ownHostId(vg)] as const))
  return new Map(ids.flatMap(([vg, id]) => (id === undefined ? [] : [[vg, id]])))
}

/**
 * `restore begin -`: says whether anybody has locked a volume since the memory was saved here. Prints nothing (R6):
 * libvirt goes on with the XML of the image. Changes nothing but the mark for the `prepare` that follows.
 *
 * The restore of a file is refused here, that of a managed save by its `prepare`. The reason: if `restore` refuses a
 * managed save, libvirt 11.3 removes the saved memory. It says that the domain has started, although nothing runs
 * (qemuDomainObjRestore in qemu_driver.c leaves its result at 0; seen on Debian 13).
 */
export async function restore(
  domain: DomainName,
  { onStaleImage }: Pick<Configuration, 'onStaleImage'>,
): Promise<Outcome> {
  const { problems, warning } = await checkSaved(domain)
  const speaking = onStaleImage === 'refuse' ? problems : []
  const isLeft = speaking.length > 0 && managedSave(domain) !== 'none'
  const refused: Outcome = { kind: 'refused', problems: speaking, attempt: 'start', volumes: [] }
  if (speaking.length > 0 && !isLeft) return refused
  try {
    announceRestore(domain, callingDaemon().daemon, uptime(), speaking)
  } catch {
    // A full /run. The `prepare` that follows will say so. But the problems of this memory must not be lost.
    if (isLeft) return refused
  }
  if (isLeft) return { kind: 'nothing', reason: 'the saved memory is older than its volumes: its prepare refuses it' }
  const insisted = `since the memory of ${domain.name} was saved, and on_stale_image lets it be restored`
  const stale = problems.flatMap((problem) =>
    problem.kind === 'stale-memory'
      ? [`${problem.volume} has been locked ${insisted}`]
      : problem.kind === 'doubtful-memory'
        ? [
            `${domain.name} may have run on another host before its memory was saved, and on_stale_image lets it be restored`,
          ]
        : [],
  )
  const said = [...stale, ...(warning === undefined ? [] : [warning])].join('; ')
  return { kind: 'nothing', reason: 'the saved memory is as new as its volumes', ...(said !== '' && { warning: said }) }
}

/**
 * What speaks against restoring a saved memory, and what cannot be told. Changes nothing.
 * @param taken UUIDs of volumes that this `prepare` has locked itself
 */
export async function checkSaved(
  { name, uuid }: DomainName,
  taken: ReadonlySet<string> = new Set(),
): Promise<{ readonly problems: readonly Problem[]; readonly warning: string | undefined }> {
  let image: SavedImage | undefined
  try {
    image = readSavedImage(uuid)
  } catch (error) {
    return {
      problems: [],
      warning: `whether the saved memory of ${name} is as new as its disks cannot be told (${messageOf(error)})`,
    }
  }
  if (image === undefined) return { problems: [], warning: undefined }
  const { at, spent } = image
  const [first] = image.volumes
  if (spent === true && first !== undefined)
    return {
      problems: [
        { kind: 'stale-memory', volume: fullName(first), at, by: 'this host', holders: await otherHolders(first.uuid) },
      ],
      warning: undefined,
    }
  if (image.doubtful === true)
    return {
      problems: [
        first === undefined
          ? { kind: 'doubtful-memory', volume: '', at, holders: [] }
          : { kind: 'doubtful-memory', volume: fullName(first), at, holders: await otherHolders(first.uuid) },
      ],
      warning: undefined,
    }
  const { newer, unknown } = await compared(image, taken)
  const warning =
    unknown.length === 0
      ? undefined
      : `whether the saved memory of ${name} is as new as ${unknown.join(', ')} cannot be told: no lease can be read`
  return { problems: await Promise.all(newer.map((volume) => problemOf(volume, at))), warning }
}

/** Asks for the locks of this host only if a lease has been taken since. */
async function compared(image: SavedImage, taken: ReadonlySet<string>): Promise<Comparison> {
  const counts = await leaseCounts(image.volumes.map((volume) => volume.uuid))
  const first = compare(image, counts, { taken, held: new Set(), ownIds: new Map() })
  if (first.newer.length === 0) return first
  const [ownIds, locks] = await Promise.all([ownIdsOf(image.volumes), lockState()])
  return compare(image, counts, { taken, held: new Set(locks.kind === 'known' ? locks.locks.keys() : []), ownIds })
}

async function problemOf({ volume, vg, uuid, by }: Newer, at: string): Promise<Problem> {
  // Taken by this very `prepare`: nobody else has it.
  if (by === undefined) return { kind: 'stale-memory', volume, at, by: 'another host', holders: [] }
  const [ownId, holders] = await Promise.all([ownHostId(vg), otherHolders(uuid)])
  return { kind: 'stale-memory', volume, at, by: by === ownId ? 'this host' : await hostNameOf(vg, by), holders }
}

/** The hosts that hold a volume now, other than this one: the VM may run there. Empty if the lease cannot be read. */
async function otherHolders(uuid: string): Promise<Holder[]> {
  const [row] = (await volumesByUuid([uuid]))?.volumes.values() ?? []
  return row === undefined ? [] : (await holdersOf(row, monotonic)).filter(({ isThisHost }) => !isThisHost)
}
