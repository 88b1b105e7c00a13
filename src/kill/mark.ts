import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from '../system/files.ts'
import { join } from 'node:path'
import type { Problem } from '../core/problem.ts'
import { isValidName } from '../core/volume.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import type { ProcessIdentity } from '../system/processes.ts'
import { makeRunFolder } from '../state/record-store.ts'
import { self } from '../system/self.ts'
import { isErrno } from '../system/error-message.ts'

/** A domain that was killed. */
export interface Killed extends ProcessIdentity {
  readonly name: string
  readonly uuid: string
  /** `VG/LV`. */
  readonly volumes: readonly string[]
}

/**
 * /run/lvguard/VG.killed: the VMs of this VG were cut off here. While the file is there, nothing of the VG is started,
 * let in or changed on this host. That the file exists is what counts. Its contents are for a process that goes on with
 * the kill, and for `recover`. The shell stub leaves an empty one.
 */
export interface Mark {
  readonly format: 1
  readonly vg: string
  /**
   * `sanlock`: its lease was lost; `person`: somebody has asked for it; `unknown`: the mark does not say. What a person
   * has cut off, only a person takes back.
   */
  readonly by: 'sanlock' | 'person' | 'unknown'
  /** ISO 8601. */
  readonly at: string
  /** The process that wipes the devices. */
  readonly worker?: ProcessIdentity
  readonly killed: readonly Killed[]
  /** What the VG's devices stood on, by the kernel's names. */
  readonly disks: readonly string[]
  /** `clear`: nothing of it could write any more when the kill ended; `left`: something could. */
  readonly state: 'started' | 'clear' | 'left'
}

const SUFFIX = '.killed'
const fileOf = (vg: string): string => join(RUN_FOLDER, vg + SUFFIX)

/** The VGs that are marked. A folder that is not there has no marks. @throws what the file system throws otherwise */
export function markedVgs(): ReadonlySet<string> {
  try {
    return new Set(
      readdirSync(RUN_FOLDER).flatMap((name) => {
        const vg = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : ''
        return isValidName(vg) ? [vg] : []
      }),
    )
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return new Set()
    throw error
  }
}

/** Why none of these VGs may be touched; nothing where none is marked. */
export function cutOffProblems(vgs: readonly string[]): Problem[] {
  const marked = markedVgs()
  return [...new Set(vgs)].filter((vg) => marked.has(vg)).map((vg) => ({ kind: 'cut-off', vg }))
}

/** What is known of a kill where no mark says anything. */
export const noMark = (vg: string): Mark => ({
  format: 1,
  vg,
  by: 'unknown',
  at: '',
  killed: [],
  disks: [],
  state: 'started',
})

/**
 * What a VG's mark says; undefined if there is none. Never throws: a mark that cannot be understood counts all the
 * same.
 */
export function readMark(vg: string): Mark | undefined {
  const empty = noMark(vg)
  let text: string
  try {
    text = readFileSync(fileOf(vg), 'utf8')
  } catch (error) {
    return isErrno(error, 'ENOENT') ? undefined : empty
  }
  try {
    const mark = JSON.parse(text) as Mark
    const isWhole =
      mark.format === 1 &&
      mark.vg === vg &&
      ['sanlock', 'person', 'unknown'].includes(mark.by) &&
      ['started', 'clear', 'left'].includes(mark.state) &&
      Array.isArray(mark.killed) &&
      mark.killed.every(isKilled) &&
      Array.isArray(mark.disks) &&
      mark.disks.every((disk) => /^[\w!.-]+$/.test(disk))
    if (!isWhole) return empty
    const { worker, ...rest } = mark
    // Without its start it names nobody.
    return worker !== undefined && isIdentity(worker) && worker.start !== '' ? mark : rest
  } catch {
    return empty
  }
}

const isKilled = ({ name, uuid, volumes, ...process }: Killed): boolean =>
  typeof name === 'string' && typeof uuid === 'string' && Array.isArray(volumes) && isIdentity(process)

const isIdentity = (process: ProcessIdentity | null): boolean =>
  Number.isSafeInteger(process?.pid) && (process?.pid ?? 0) > 0 && typeof process?.start === 'string'

/** Puts it in the place of the last one, in one rename. @throws what the file system throws */
export function writeMark(mark: Mark): void {
  makeRunFolder()
  const temporary = join(RUN_FOLDER, `.${mark.vg}-${self().pid}${SUFFIX}.new`)
  try {
    writeFileSync(temporary, `${JSON.stringify(mark)}\n`, { mode: 0o600 })
    renameSync(temporary, fileOf(mark.vg))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** Removes the mark, if there is one. @throws what the file system throws */
export const removeMark = (vg: string): void => {
  rmSync(fileOf(vg), { force: true })
}
