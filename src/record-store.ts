import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DomainRecord, RecordState, RecordedVolume, Records } from './core/record.ts'
import { isValidName } from './core/volume.ts'
import { RUN_FOLDER } from './paths.ts'

const fileOf = (uuid: string): string => join(RUN_FOLDER, `${uuid}.json`)
const RECORD_FILE = /^[0-9a-f-]{36}\.json$/

const isCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code

/** Makes /run/lvguard, for root alone. Throws what mkdir throws. */
export const makeRunFolder = (): void => {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 })
}

/**
 * All records of this host. Never throws: a folder that cannot be read is one unreadable record, a missing one is empty.
 * @param only of these files in /run/lvguard
 */
export function readRecords(only?: readonly string[]): Records {
  let names: readonly string[]
  try {
    names = only ?? readdirSync(RUN_FOLDER)
  } catch (error) {
    return { known: [], unreadable: isCode(error, 'ENOENT') ? [] : [RUN_FOLDER] }
  }
  const known: DomainRecord[] = []
  const unreadable: string[] = []
  for (const name of names.filter((name) => RECORD_FILE.test(name))) {
    const file = join(RUN_FOLDER, name)
    try {
      known.push(parseRecord(readFileSync(file, 'utf8'), name))
    } catch (error) {
      // Gone between the two looks: its domain's hook has just removed it.
      if (!isCode(error, 'ENOENT')) unreadable.push(file)
    }
  }
  return { known, unreadable }
}

/** The domain's own record among those read. */
export const recordOf = (uuid: string, records: Records): DomainRecord | undefined => records.known.find(({ domain }) => domain.uuid === uuid)

/**
 * Puts a record in the place of the domain's last one, in one rename.
 * @throws what the file system throws (a full /run: ENOSPC); the old record is in place then
 */
export function writeRecord(record: DomainRecord): void {
  makeRunFolder()
  const temporary = join(RUN_FOLDER, `.${record.domain.uuid}-${process.pid}`)
  try {
    writeFileSync(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600 })
    renameSync(temporary, fileOf(record.domain.uuid))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** Removes a domain's record; one that is not there is no error. */
export const removeRecord = (uuid: string): void => {
  rmSync(fileOf(uuid), { force: true })
}

const STATES: readonly RecordState[] = ['incoming', 'prepared', 'running', 'refused', 'releasing']
const ROLES = ['exclusive', 'shared']
const MODES = [...ROLES, 'local']

function parseRecord(text: string, name: string): DomainRecord {
  const record = JSON.parse(text) as DomainRecord
  const isWhole = record.format === 1 && `${record.domain.uuid}.json` === name && typeof record.domain.name === 'string' &&
    STATES.includes(record.state) && Array.isArray(record.volumes) && record.volumes.every(isVolume)
  if (!isWhole) throw new Error('not a record of format 1')
  return record
}

const isVolume = ({ vg, lv, role, mode, before, pool }: RecordedVolume): boolean =>
  (pool === undefined || (typeof pool.lv === 'string' && isValidName(pool.lv))) && typeof vg === 'string' && typeof lv === 'string' && isValidName(vg) && isValidName(lv) && ROLES.includes(role) && MODES.includes(mode) && (before === 'inactive' || before === 'active')
