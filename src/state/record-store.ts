import { join } from 'node:path'
import { block, milliseconds } from '../system/clock.ts'
import {
  type DomainRecord,
  RECORD_FORMAT,
  type RecordState,
  type RecordedVolume,
  type Records,
} from '../core/record.ts'
import { isValidName } from '../core/volume.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import {
  closeSync,
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
import { lives, processOf } from '../system/processes.ts'
import { self } from '../system/self.ts'
import { isErrno } from '../system/error-message.ts'

const fileOf = (uuid: string): string => join(RUN_FOLDER, `${uuid}.json`)
const RECORD_FILE = /^[0-9a-f-]{36}\.json$/

/** Makes /run/lvguard, for root alone. @throws what mkdir(2) says */
export const makeRunFolder = (): void => {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 })
}

/**
 * All records of this host. Never throws: a folder that cannot be read is one unreadable record, a missing one is
 * empty.
 * @param only of these files in /run/lvguard
 */
export function readRecords(only?: readonly string[]): Records {
  let names: readonly string[]
  try {
    names = only ?? readdirSync(RUN_FOLDER)
  } catch (error) {
    return { known: [], unreadable: isErrno(error, 'ENOENT') ? [] : [RUN_FOLDER] }
  }
  const known: DomainRecord[] = []
  const unreadable: string[] = []
  for (const name of names.filter((name) => RECORD_FILE.test(name))) {
    const file = join(RUN_FOLDER, name)
    try {
      known.push(parseRecord(readFileSync(file, 'utf8'), name))
    } catch (error) {
      // Gone between the two looks: its domain's hook has just removed it.
      if (!isErrno(error, 'ENOENT')) unreadable.push(file)
    }
  }
  return { known, unreadable }
}

/** The domain's own record among those read. */
export const recordOf = (uuid: string, records: Records): DomainRecord | undefined =>
  records.known.find(({ domain }) => domain.uuid === uuid)

/** What came of a change of a record. `changed`: it is not what the caller decided on, and was left as it is. */
export type Replaced = 'replaced' | 'changed'

/**
 * The one way in which a record changes (R11). It looks at the record again. If that still is what the caller has read,
 * it puts the next one in its place, in one rename, or removes it. The caller holds the locks of the VGs that both
 * records name, from its own look until now. A caller that does not hold them uses `announceEnd`.
 * @param expected,next undefined: none
 * @throws what the file system throws (a full /run: ENOSPC, unless the old record is as long); the old record is in
 *   place then
 */
export function replaceRecord(
  uuid: string,
  expected: DomainRecord | undefined,
  next: DomainRecord | undefined,
): Replaced {
  const turn = takeTurn(uuid, TURN_TRIES)
  try {
    return replaceIf(uuid, expected, next, () => true)
  } finally {
    turn.end(true)
  }
}

/**
 * The same for a `release` that says that its domain has ended, before it waits for the locks of the VGs. An act that
 * has the locks may change the record between this one's look and its rename. So the two take turns. This one waits for
 * nobody. If it was held up for so long that the other may have taken its turn away, it does nothing.
 */
export function announceEnd(uuid: string, expected: DomainRecord | undefined, next: DomainRecord): Replaced {
  // Where three hundred hooks are at work, this one might get no processor in the middle of it.
  const calm = self().hurry()
  const end = milliseconds() + TURN_LIMIT
  const isInTime = (): boolean => milliseconds() < end
  const turn = takeTurn(uuid, 1)
  try {
    return turn.is === 'busy' ? 'changed' : replaceIf(uuid, expected, next, isInTime)
  } finally {
    turn.end(isInTime())
    calm()
  }
}

/**
 * Milliseconds that the turn of an announcement lasts. After that it no longer renames. Measured on two processors,
 * with sixty hooks at work: every fourth time it was held up for more than 50 ms (`npm run crowd 60`).
 */
const TURN_LIMIT = 1000
/** Milliseconds between two tries to take a turn. */
const TRY_PAUSE = 10
/**
 * After so many tries a turn belongs to a program that was killed before it could put its name there: twice as long as
 * the turn of an announcement lasts.
 */
const TURN_TRIES = (2 * TURN_LIMIT) / TRY_PAUSE + 1

/** The file of a turn, which is no record. It says which process has the turn, and whether that has ended it. */
const turnOf = (uuid: string): string => join(RUN_FOLDER, `.${uuid}.turn`)

interface Turn {
  /** `busy`: somebody else has it, after one try; `none`: no file can be made, so that nobody takes turns. */
  readonly is: 'taken' | 'busy' | 'none'
  /** @param isOwn nobody can have taken the turn away meanwhile */
  end(isOwn: boolean): void
}

const NO_TURN = { end: () => undefined } as const

function takeTurn(uuid: string, tries: number): Turn {
  for (let count = 1; ; count++) {
    let descriptor: number
    try {
      descriptor = openSync(turnOf(uuid), 'wx', 0o600)
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) return { is: 'none', ...NO_TURN }
      if (tries === 1) return { is: 'busy', ...NO_TURN }
      // Only an act that has the locks of the VGs takes a turn away, and there is one such act.
      if (count >= tries || isOver(uuid)) rmSync(turnOf(uuid), { force: true })
      else block(TRY_PAUSE)
      continue
    }
    const own = processOf(self().pid)
    if (own !== undefined) say(descriptor, `${own.pid} ${own.start}\n`)
    return {
      is: 'taken',
      end: (isOwn) => {
        // By the descriptor of the file that this one has made: the name may belong to another one's turn by now.
        if (isOwn) rmSync(turnOf(uuid), { force: true })
        else say(descriptor, OVER)
        closeSync(descriptor)
      },
    }
  }
}

const OVER = 'over\n'

/** Whether a turn belongs to nobody any more: its program has said so, or has ended. */
function isOver(uuid: string): boolean {
  try {
    const text = readFileSync(turnOf(uuid), 'utf8')
    const [, pid, start] = /^(\d+) (\d+)\n/.exec(text) ?? []
    return text.endsWith(OVER) || (pid !== undefined && start !== undefined && !lives({ pid: Number(pid), start }))
  } catch {
    return false
  }
}

/** If /run is full, nothing is written: then the others wait for as long as a turn can last. */
function say(descriptor: number, text: string): void {
  try {
    writeSync(descriptor, text)
  } catch {
    // They take it away then.
  }
}

/** @param mayStill asked just before anything is changed */
function replaceIf(
  uuid: string,
  expected: DomainRecord | undefined,
  next: DomainRecord | undefined,
  mayStill: () => boolean,
): Replaced {
  if (!isOnRecord(uuid, expected)) return 'changed'
  if (next !== undefined) return write(uuid, next, mayStill) ? 'replaced' : 'changed'
  // If there was no record, none is removed: one that appears at this moment belongs to another act.
  if (expected !== undefined) rmSync(fileOf(uuid), { force: true })
  return 'replaced'
}

/**
 * Replaces a domain's record step by step. It replaces only what it has itself read or written last, never what
 * somebody else has written.
 */
export type Replace = (next: DomainRecord | undefined) => Replaced

/** @param known what was read of it, and decided on; undefined: it has none */
export function replacing(uuid: string, known: DomainRecord | undefined): Replace {
  let expected = known
  return (next) => {
    const replaced = replaceRecord(uuid, expected, next)
    if (replaced === 'replaced') expected = next
    return replaced
  }
}

/** Somebody else has changed the record that an act decided on. */
export class RecordChanged extends Error {
  override readonly name = 'RecordChanged'
  constructor() {
    super('its record in /run/lvguard was changed by somebody else meanwhile')
  }
}

/** How often an act looks again at a record that others change. */
const LOOKS = 3

/**
 * Does an act again, from its look on, if it ends because somebody else has changed the record.
 * @throws what the act throws, RecordChanged if it ends so LOOKS times
 */
export async function lookingAgain<T>(act: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks++) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof RecordChanged) || looks === LOOKS) throw error
    }
  }
}

/** A record that cannot be read may not be replaced by anybody. */
function isOnRecord(uuid: string, expected: DomainRecord | undefined): boolean {
  const { known, unreadable } = readRecords([`${uuid}.json`])
  return unreadable.length === 0 && JSON.stringify(known[0]) === JSON.stringify(expected)
}

/** @returns false: it may not be any more, and nothing was changed */
function write(uuid: string, record: DomainRecord, mayStill: () => boolean): boolean {
  makeRunFolder()
  const temporary = join(RUN_FOLDER, `.${uuid}-${self().pid}`)
  const text = `${JSON.stringify(record)}\n`
  try {
    writeFileSync(temporary, text, { mode: 0o600 })
    const may = mayStill()
    if (may) renameSync(temporary, fileOf(uuid))
    else rmSync(temporary, { force: true })
    return may
  } catch (error) {
    rmSync(temporary, { force: true })
    if (!isErrno(error, 'ENOSPC')) throw error
    if (!mayStill()) return false
    if (overwrite(fileOf(uuid), text)) return true
    throw error
  }
}

/**
 * For a full /run: writes a record over the old one, in the same file, which needs no room. So a `release` can still
 * say that its domain has ended: that record is the shorter one. Blanks fill the rest, which JSON allows. It is one
 * write(2). Whoever reads in the middle of it finds no JSON, and the record counts as unreadable for that moment (R9).
 * @returns false where there is no such file, or the old record is shorter
 */
function overwrite(file: string, text: string): boolean {
  const room = (statIfAny(file)?.size ?? 0) - Buffer.byteLength(text)
  if (room < 0) return false
  const descriptor = openSync(file, 'r+')
  try {
    writeSync(descriptor, text + ' '.repeat(room))
  } finally {
    closeSync(descriptor)
  }
  return true
}

const STATES: readonly RecordState[] = ['incoming', 'prepared', 'running', 'refused', 'releasing']
const ROLES = ['exclusive', 'shared']
const MODES = [...ROLES, 'local']

function parseRecord(text: string, name: string): DomainRecord {
  const record = JSON.parse(text) as DomainRecord
  const isWhole =
    record.format === RECORD_FORMAT &&
    `${record.domain.uuid}.json` === name &&
    typeof record.domain.name === 'string' &&
    STATES.includes(record.state) &&
    Array.isArray(record.volumes) &&
    record.volumes.every(isVolume)
  if (!isWhole) throw new Error(`not a record of format ${RECORD_FORMAT}`)
  return record
}

const isVolume = ({ vg, lv, role, mode, before, pool }: RecordedVolume): boolean =>
  (pool === undefined || (typeof pool.lv === 'string' && isValidName(pool.lv))) &&
  typeof vg === 'string' &&
  typeof lv === 'string' &&
  isValidName(vg) &&
  isValidName(lv) &&
  ROLES.includes(role) &&
  MODES.includes(mode) &&
  (before === 'inactive' || before === 'active')
