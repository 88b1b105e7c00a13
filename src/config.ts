import { readFileSync } from 'node:fs'
import { TomlError, parse } from 'smol-toml'
import { type Configuration, DEFAULTS } from './core/configuration.ts'
import { isValidName } from './core/volume.ts'
import { CONFIGURATION_FILE } from './paths.ts'

/** What is wrong with lvguard.conf: all of it at once, each with its line. */
export class BadConfiguration extends Error {
  override readonly name = 'BadConfiguration'
  constructor(readonly errors: readonly string[]) {
    super(errors.join('; '))
  }
}

interface Key {
  readonly field: keyof Configuration
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

const isInteger = (low: number, high: number) => (value: unknown): boolean => typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
const isOneOf = (...words: string[]) => (value: unknown): boolean => typeof value === 'string' && words.includes(value)

/** Every key that lvguard.conf may have. install/lvguard.conf shows the same ones, each with its default (tested). */
export const KEYS: Readonly<Record<string, Key>> = {
  volume_groups: {
    field: 'volumeGroups', expected: 'a list of names of volume groups, such as [ "virtVG" ]',
    accepts: (value) => Array.isArray(value) && value.every((vg) => typeof vg === 'string' && isValidName(vg)),
  },
  local_volume_groups: { field: 'localVolumeGroups', expected: '"ignore" or "activate"', accepts: isOneOf('ignore', 'activate') },
  migrate_wait: { field: 'migrateWait', expected: 'a whole number of seconds from 0 to 600', accepts: isInteger(0, 600) },
  lock_wait: { field: 'lockWait', expected: 'a whole number of seconds from 1 to 600', accepts: isInteger(1, 600) },
  log_level: { field: 'logLevel', expected: '"error", "warn", "info" or "debug"', accepts: isOneOf('error', 'warn', 'info', 'debug') },
  log_file: {
    field: 'logFile', expected: 'an absolute path, or "" for no log',
    accepts: (value) => typeof value === 'string' && (value === '' || value.startsWith('/')),
  },
}

/**
 * Reads the text of an lvguard.conf: libvirt's `key = value` form, which is TOML.
 * @throws BadConfiguration
 */
export function parseConfiguration(text: string): Configuration {
  const lines = text.split('\n')
  const lineOf = (key: string): number => lines.findIndex((line) => line.split(/[=.\]]/)[0]?.replace(/["'[\s]/g, '') === key) + 1
  let values: Record<string, unknown>
  try {
    values = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new BadConfiguration([`line ${error.line}: ${error.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? 'not valid'}`])
  }
  const errors = Object.entries(values).flatMap(([name, value]) => {
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined
    if (key === undefined) return [`line ${lineOf(name)}: unknown key ${name}`]
    return key.accepts(value) ? [] : [`line ${lineOf(name)}: ${name} must be ${key.expected}`]
  })
  if (errors.length > 0) throw new BadConfiguration(errors)
  const set = Object.entries(values).flatMap(([name, value]) => (KEYS[name] === undefined ? [] : [[KEYS[name].field, value]]))
  return { ...DEFAULTS, ...(Object.fromEntries(set) as Partial<Configuration>) }
}

/**
 * The configuration of this host; the defaults where there is no file.
 * @throws BadConfiguration also for a file that cannot be read
 */
export function readConfiguration(): Configuration {
  let text: string
  try {
    text = readFileSync(CONFIGURATION_FILE, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return DEFAULTS
    throw new BadConfiguration([`it cannot be read (${error instanceof Error ? error.message : String(error)})`])
  }
  return parseConfiguration(text)
}
