import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statIfAny,
  writeFileSync,
  writeSync,
} from '../system/files.ts'
import { join } from 'node:path'
import { date } from '../system/clock.ts'
import type { Problem } from '../core/problem.ts'
import type { SavedImage } from '../core/saved-image.ts'
import { isValidName } from '../core/volume.ts'
import { RUN_FOLDER, SAVED_FOLDER, SAVE_IMAGE_FOLDER } from '../system/paths.ts'
import type { ProcessIdentity } from '../system/processes.ts'
import { isErrno, messageOf } from '../system/error-message.ts'
import { namesIn } from '../system/quiet-files.ts'
import { makeRunFolder } from './record-store.ts'
import { self } from '../system/self.ts'

/**
 * How many files are kept. If there are more, the oldest are removed: this program does not learn that a domain no
 * longer exists.
 */
export const KEPT_IMAGES = 1000
/** Seconds within which libvirt calls `release` after it has written a managed save image to its end. */
const NEW_IMAGE = 120
/**
 * Seconds within which libvirt calls `prepare` after `restore`, in the same thread. Not asked of a managed save: while
 * its file is there, each `virsh start` of the domain calls `restore` first.
 */
const RESTORE_LIFETIME = 120

const fileOf = (uuid: string): string => join(SAVED_FOLDER, `${uuid}.json`)
const markOf = (uuid: string): string => join(RUN_FOLDER, `${uuid}.restore`)

/**
 * What was noted when the domain's memory was saved here last.
 * @throws Error if there is a file that cannot be read or understood
 */
export function readSavedImage(uuid: string): SavedImage | undefined {
  let text: string
  try {
    text = readFileSync(fileOf(uuid), 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
  const image = JSON.parse(text) as SavedImage
  const isWhole =
    image.format === 1 &&
    image.domain.uuid === uuid &&
    typeof image.at === 'string' &&
    Array.isArray(image.volumes) &&
    image.volumes.every(isVolume)
  if (!isWhole) throw new Error(`${fileOf(uuid)} is not of format 1`)
  return image
}

const isVolume = ({ vg, lv, uuid, lver }: SavedImage['volumes'][number]): boolean =>
  typeof vg === 'string' &&
  typeof lv === 'string' &&
  isValidName(vg) &&
  isValidName(lv) &&
  typeof uuid === 'string' &&
  /^[A-Za-z0-9-]+$/.test(uuid) &&
  Number.isSafeInteger(lver)

/**
 * Puts it in the place of the domain's last one, in one rename. It outlives a boot.
 * @throws what the file system throws
 */
export function writeSavedImage(image: SavedImage): void {
  mkdirSync(SAVED_FOLDER, { recursive: true, mode: 0o700 })
  const temporary = join(SAVED_FOLDER, `.${image.domain.uuid}-${self().pid}`)
  try {
    const descriptor = openSync(temporary, 'w', 0o600)
    try {
      writeSync(descriptor, `${JSON.stringify(image)}\n`)
      // It is for the next boot, too.
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, fileOf(image.domain.uuid))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  const names = readdirSync(SAVED_FOLDER).filter((name) => name.endsWith('.json'))
  if (names.length <= KEPT_IMAGES) return
  const byAge = names
    .map((name) => ({ name, time: timeOf(join(SAVED_FOLDER, name)) ?? 0 }))
    .sort((a, b) => a.time - b.time)
  for (const { name } of byAge.slice(0, names.length - KEPT_IMAGES)) rmSync(join(SAVED_FOLDER, name), { force: true })
}

/** What was noted of all domains; what cannot be read or understood is left out. Never throws. */
export const savedImages = (): SavedImage[] =>
  namesIn(SAVED_FOLDER).flatMap((name) => {
    try {
      return (name.endsWith('.json') ? readSavedImage(name.slice(0, -'.json'.length)) : undefined) ?? []
    } catch {
      return []
    }
  })

/** Removes the note of a domain, if there is one. @throws what the file system throws */
export const removeSavedImage = (uuid: string): void => rmSync(fileOf(uuid), { force: true })

interface Saved {
  readonly name: string
  readonly uuid: string
}

/** Milliseconds of the epoch at which a file was written last. */
const timeOf = (file: string): number | undefined => statIfAny(file)?.mtimeMs

/**
 * libvirt's own file of a managed save: `new` if it has just been written, `noted` if it is the one that was noted
 * last.
 * @param now milliseconds of the epoch
 */
export function managedSave({ name, uuid }: Saved, now = date().getTime()): 'new' | 'noted' | 'other' | 'none' {
  const time = name.includes('/') ? undefined : timeOf(join(SAVE_IMAGE_FOLDER, `${name}.save`))
  if (time === undefined) return 'none'
  const notedAt = timeOf(fileOf(uuid))
  if (notedAt !== undefined && time <= notedAt) return 'noted'
  return now - time < NEW_IMAGE * 1000 ? 'new' : 'other'
}

/** What a `restore` leaves for the `prepare` that follows. */
export interface AnnouncedRestore {
  /** What speaks against that memory: the `prepare` refuses the start with it. */
  readonly problems: readonly Problem[]
}

/**
 * Says that the next `prepare` of the domain belongs to this `restore`: libvirt calls both with the same XML as a fresh
 * start.
 * @param at seconds since boot
 * @throws what the file system throws
 */
export function announceRestore(
  domain: Saved,
  daemon: ProcessIdentity,
  at: number,
  problems: readonly Problem[] = [],
): void {
  makeRunFolder()
  const mark: Mark = {
    ...daemon,
    at,
    managed: managedSave(domain) !== 'none',
    ...(problems.length > 0 && { problems }),
  }
  writeFileSync(markOf(domain.uuid), JSON.stringify(mark), { mode: 0o600 })
}

type Mark = ProcessIdentity & {
  readonly at: number
  readonly managed?: boolean
  readonly problems?: readonly Problem[]
}

/**
 * Whether this `prepare` belongs to a `restore` of the same libvirt daemon, a moment ago. Uses the mark up. A restore
 * that failed before its `prepare` leaves its mark. Of a managed save that does no harm: libvirt keeps its file until
 * the domain runs again. Without that file this is a fresh start, after `virsh managedsave-remove` or with
 * `--force-boot`.
 *
 * With `virsh restore FILE` no such file tells the two apart. So a fresh start of the same domain within
 * RESTORE_LIFETIME is taken for its restore. It can lose nothing by that:
 * - it is compared as the restore just was. If another host has locked a volume in those two minutes, it is refused
 *   once, with the way out;
 * - it is noted as a start like any other (SavedImage.spent), so that the memory is refused from then on. That is taken
 *   back only if libvirt says that the domain never ran (`failed`), and then the memory is as good as before.
 *
 * A restore is never taken for a fresh start: its `prepare` comes in the same thread, and if somebody starts the domain
 * in between, libvirt refuses the restore.
 * @param now seconds since boot
 * @returns undefined: it is a fresh start
 */
export function takeRestore(domain: Saved, daemon: ProcessIdentity, now: number): AnnouncedRestore | undefined {
  try {
    const { pid, start, at, managed, problems = [] } = JSON.parse(readFileSync(markOf(domain.uuid), 'utf8')) as Mark
    rmSync(markOf(domain.uuid), { force: true })
    const isOfThisDaemon = pid === daemon.pid && start === daemon.start && now >= at
    const isRestore = managed === true ? managedSave(domain) !== 'none' : now - at < RESTORE_LIFETIME
    // Problems that were found count, whoever has called: a hook script that calls this program is another process each
    // time.
    return isRestore && (isOfThisDaemon || problems.length > 0) ? { problems } : undefined
  } catch (error) {
    return isErrno(error, 'ENOENT') ? undefined : unreadable(domain, error)
  }
}

/** The findings of the `restore` cannot be read: the memory may be older than its disk (R9). */
function unreadable(domain: Saved, error: unknown): AnnouncedRestore | undefined {
  try {
    if (managedSave(domain) === 'none') return undefined
  } catch {
    // Nor can this.
  }
  return { problems: [{ kind: 'other', detail: `${markOf(domain.uuid)} cannot be used: ${messageOf(error)}` }] }
}
