import { TomlError, parse } from 'smol-toml'
import { type Configuration, DEFAULTS } from './core/configuration.ts'
import { parseVolumePolicy } from './core/policy.ts'
import { isValidName } from './core/volume.ts'

/** A configuration, or all that is wrong with it, each with its line. */
export type Parsed = { readonly configuration: Configuration } | { readonly errors: readonly string[] }

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
  policy: {
    field: 'policy', expected: 'a list of "VG = MODE" or "VG/LV = MODE", with MODE exclusive, shared or ignore, such as [ "virtVG/iso = shared" ]',
    accepts: (value) => Array.isArray(value) && value.every((entry) => typeof entry === 'string' && parseVolumePolicy(entry) !== undefined),
  },
  start_wait: { field: 'startWait', expected: 'a whole number of seconds from 0 to 600', accepts: isInteger(0, 600) },
  migrate_wait: { field: 'migrateWait', expected: 'a whole number of seconds from 0 to 600', accepts: isInteger(0, 600) },
  lock_wait: { field: 'lockWait', expected: 'a whole number of seconds from 1 to 600', accepts: isInteger(1, 600) },
  on_contested: { field: 'onContested', expected: '"suspend" or "alert"', accepts: isOneOf('suspend', 'alert') },
  on_stale_image: { field: 'onStaleImage', expected: '"refuse" or "alert"', accepts: isOneOf('refuse', 'alert') },
  log_level: { field: 'logLevel', expected: '"error", "warn", "info" or "debug"', accepts: isOneOf('error', 'warn', 'info', 'debug') },
  log_file: {
    field: 'logFile', expected: 'an absolute path, or "" for no log',
    accepts: (value) => typeof value === 'string' && (value === '' || value.startsWith('/')),
  },
}

/** Reads the text of an lvguard.conf: libvirt's `key = value` form, which is TOML. */
export function parseConfiguration(text: string): Parsed {
  const lines = text.split('\n')
  const lineOf = (key: string): number => lines.findIndex((line) => line.split(/[=.\]]/)[0]?.replace(/["'[\s]/g, '') === key) + 1
  let values: Record<string, unknown>
  try {
    values = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    return { errors: [`line ${error.line}: ${error.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? 'not valid'}`] }
  }
  const errors = Object.entries(values).flatMap(([name, value]) => {
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined
    if (key === undefined) return [`line ${lineOf(name)}: unknown key ${name}`]
    return key.accepts(value) ? [] : [`line ${lineOf(name)}: ${name} must be ${key.expected}`]
  })
  if (errors.length > 0) return { errors }
  const set = Object.entries(values).flatMap(([name, value]) => (KEYS[name] === undefined ? [] : [[KEYS[name].field, value]]))
  return { configuration: { ...DEFAULTS, ...(Object.fromEntries(set) as Partial<Configuration>) } }
}
