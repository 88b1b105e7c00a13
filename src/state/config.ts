import { TomlError, parse } from 'smol-toml'
import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { isFenceWord } from '../core/fence.ts'
import { didYouMean, nearest } from '../core/near.ts'
import { contradictionIn, parseVolumePolicy } from '../core/policy.ts'
import { isValidName } from '../core/volume.ts'

/**
 * What a file comes to. Each mistake is named with its line.
 *
 * What a mistake does depends on its key. Some keys decide what is locked: volume_groups, local_volume_groups, policy.
 * A mistake in one of them, or in a line that nobody can assign to a key, makes the file unusable (`errors`): a VM
 * could start without its lock. So nothing starts, and nothing is let in, until it is mended. Every other key
 * (Key.harmless) has a default that is safe. A mistake in it leaves the key at that default (`mistakes`). It is said at
 * each event, by the agent, by a dry run and by check-config. A slip in log_level at night must not keep every VM of a
 * host from starting.
 */
export type Parsed =
  | { readonly configuration: Configuration; readonly mistakes: readonly string[] }
  | { readonly errors: readonly string[] }

interface Key {
  readonly field: keyof Configuration
  readonly expected: string
  /** A right value, as it is written. */
  readonly example: string
  readonly accepts: (value: unknown) => boolean
  /** What is wrong with a value whose form is right, behind `KEY says `; undefined if nothing. */
  readonly contradiction?: (value: unknown) => string | undefined
  /** Decides nothing about what is locked, and has a default that is safe. */
  readonly harmless?: true
}

const isInteger =
  (low: number, high: number) =>
  (value: unknown): boolean =>
    typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
const isOneOf =
  (...words: string[]) =>
  (value: unknown): boolean =>
    typeof value === 'string' && words.includes(value)

/** Every key that lvguard.conf may have. install/lvguard.conf shows the same ones, each with its default (tested). */
export const KEYS: Readonly<Record<string, Key>> = {
  volume_groups: {
    field: 'volumeGroups',
    expected: 'a list of names of volume groups, such as [ "virtVG" ]',
    example: '[ "virtVG" ]',
    accepts: (value) => Array.isArray(value) && value.every((vg) => typeof vg === 'string' && isValidName(vg)),
  },
  local_volume_groups: {
    field: 'localVolumeGroups',
    expected: '"ignore" or "activate"',
    example: '"ignore"',
    accepts: isOneOf('ignore', 'activate'),
  },
  policy: {
    field: 'policy',
    expected:
      'a list of "VG = MODE" or "VG/LV = MODE", with MODE exclusive, shared or ignore, such as [ "virtVG/iso = shared" ]',
    example: '[ "virtVG/iso = shared" ]',
    accepts: (value) =>
      Array.isArray(value) &&
      value.every((entry) => typeof entry === 'string' && parseVolumePolicy(entry) !== undefined),
    contradiction: (value) => contradictionIn(value as readonly string[]),
  },
  start_wait: {
    field: 'startWait',
    expected: 'a whole number of seconds from 0 to 600',
    example: '180',
    accepts: isInteger(0, 600),
    harmless: true,
  },
  migrate_wait: {
    field: 'migrateWait',
    expected: 'a whole number of seconds from 0 to 600',
    example: '30',
    accepts: isInteger(0, 600),
    harmless: true,
  },
  lock_wait: {
    field: 'lockWait',
    expected: 'a whole number of seconds from 1 to 600',
    example: '30',
    accepts: isInteger(1, 600),
    harmless: true,
  },
  on_contested: {
    field: 'onContested',
    expected: '"suspend" or "alert"',
    example: '"suspend"',
    accepts: isOneOf('suspend', 'alert'),
    harmless: true,
  },
  on_stale_image: {
    field: 'onStaleImage',
    expected: '"refuse" or "alert"',
    example: '"refuse"',
    accepts: isOneOf('refuse', 'alert'),
    harmless: true,
  },
  on_lost_lease: {
    field: 'onLostLease',
    expected: '"kill" or "alert"',
    example: '"kill"',
    accepts: isOneOf('kill', 'alert'),
    harmless: true,
  },
  kill_fallback: {
    field: 'killFallback',
    expected: '"reset" or "none"',
    example: '"reset"',
    accepts: isOneOf('reset', 'none'),
    harmless: true,
  },
  fence_command: {
    field: 'fenceCommand',
    expected:
      "a list of texts: a program with its whole path, and each of its arguments, with %h for the host's name (%% for a percent sign)",
    example: '[ "/usr/sbin/fence_ipmilan", "--ip=%h-bmc", "--action=off" ]',
    accepts: (value) =>
      Array.isArray(value) &&
      value.every((word) => typeof word === 'string' && isFenceWord(word)) &&
      (value.length === 0 || String(value[0]).startsWith('/')),
    harmless: true,
  },
  fence_delay: {
    field: 'fenceDelay',
    expected: 'a whole number of seconds from 0 to 30',
    example: '10',
    accepts: isInteger(0, 30),
    harmless: true,
  },
  mute: {
    field: 'mute',
    expected: 'a list of codes of lvguard check, such as [ "LVG104" ]',
    example: '[ "LVG104" ]',
    accepts: (value) =>
      Array.isArray(value) && value.every((code) => typeof code === 'string' && /^LVG\d{3}$/.test(code)),
    harmless: true,
  },
  log_level: {
    field: 'logLevel',
    expected: '"error", "warn", "info" or "debug"',
    example: '"info"',
    accepts: isOneOf('error', 'warn', 'info', 'debug'),
    harmless: true,
  },
  log_file: {
    field: 'logFile',
    expected: 'an absolute path, or "" for no log',
    example: '"/var/log/libvirt/lvguard.log"',
    accepts: (value) => typeof value === 'string' && (value === '' || value.startsWith('/')),
    harmless: true,
  },
}

const keyNamed = (name: string): Key | undefined => (Object.hasOwn(KEYS, name) ? KEYS[name] : undefined)

interface Mistake {
  readonly line: number
  readonly text: string
  /** The key whose default holds; undefined: the file is unusable. */
  readonly spoils: string | undefined
}

/** Reads the text of an lvguard.conf: libvirt's `key = value` form, which is TOML. */
export function parseConfiguration(text: string): Parsed {
  const { values, mistakes: ofForm } = read(text.replace(/^\ufeff/, '').split('\n'))
  const lines = text.split('\n')
  const lineOf = (key: string): number =>
    lines.findIndex((line) => line.split(/[=.\]]/)[0]?.replace(/["'[\s\ufeff]/g, '') === key) + 1
  const ofValues = Object.entries(values).flatMap(([name, value]): Mistake[] => {
    const key = keyNamed(name)
    // `[log_level]` takes every line that follows it. Nobody can know which of them were meant for the file itself.
    const mayHide = [value].flat().some((each) => typeof each === 'object')
    if (key === undefined) {
      const meant = nearest(name, Object.keys(KEYS))
      // If the line may have been meant for a key that decides about locks, that key is not left at its default.
      return [
        {
          line: lineOf(name),
          text: `unknown key ${name}${didYouMean(name, Object.keys(KEYS))}`,
          spoils: meant === undefined || mayHide ? undefined : harmless(meant),
        },
      ]
    }
    if (!key.accepts(value))
      return [
        { line: lineOf(name), text: `${name} must be ${key.expected}`, spoils: mayHide ? undefined : harmless(name) },
      ]
    const contradiction = key.contradiction?.(value)
    return contradiction === undefined
      ? []
      : [{ line: lineOf(name), text: `${name} says ${contradiction}`, spoils: harmless(name) }]
  })
  const mistakes = [...ofForm, ...ofValues].sort((a, b) => a.line - b.line)
  const inWords = mistakes.map(({ line, text: what }) => `line ${line}: ${what}`)
  if (mistakes.some(({ spoils }) => spoils === undefined)) return { errors: inWords }
  const spoiled = new Set(mistakes.map(({ spoils }) => spoils))
  const set = Object.entries(values).flatMap(([name, value]) => {
    const key = keyNamed(name)
    return key === undefined || spoiled.has(name) ? [] : [[key.field, value]]
  })
  return { configuration: { ...DEFAULTS, ...(Object.fromEntries(set) as Partial<Configuration>) }, mistakes: inWords }
}

const harmless = (name: string): string | undefined => (keyNamed(name)?.harmless === true ? name : undefined)

/** The greatest number of lines with a wrong form that are named. A person who has more of them mends these first. */
const MOST_LINES = 20

/**
 * Reads what can be read. A parser of TOML stops at the first line that it does not understand. That line is named and
 * taken out, and the rest is read again: so all mistakes are known at once.
 */
function read(lines: readonly string[]): {
  readonly values: Readonly<Record<string, unknown>>
  readonly mistakes: readonly Mistake[]
} {
  const left = [...lines]
  const mistakes: Mistake[] = []
  while (mistakes.length < MOST_LINES) {
    try {
      return { values: parse(left.join('\n')), mistakes }
    } catch (error) {
      if (!(error instanceof TomlError))
        return { values: {}, mistakes: [{ line: 1, text: 'it cannot be understood', spoils: undefined }] }
      const line = left[error.line - 1] ?? ''
      const isDuplicate = /redefine/.test(error.message)
      // If that line is right by itself, the mistake is above it: a list or a text is not closed.
      if (line.trim() === '' || (!isDuplicate && isRight(line)))
        return {
          values: {},
          mistakes: [...mistakes, unclosed(left, error)].map((mistake) => ({ ...mistake, spoils: undefined })),
        }
      const name = keyOf(line)
      mistakes.push({
        line: error.line,
        text: wordsOf(line, name, isDuplicate, error),
        spoils: name === undefined ? undefined : harmless(name),
      })
      left[error.line - 1] = ''
    }
  }
  return { values: {}, mistakes }
}

/**
 * The list or text that is not closed, at the line where it begins. That is the last line above the error that opens
 * one and is not right by itself.
 */
function unclosed(lines: readonly string[], error: TomlError): Mistake {
  const above = lines.slice(0, error.line)
  const begin = above.findLastIndex((line) => /^[^=#]*=\s*(?:\[|"""|''')/.test(line) && !isRight(line))
  const at = begin < 0 ? error.line - 1 : begin
  const line = lines[at] ?? ''
  return { line: at + 1, text: wordsOf(line, keyOf(line), false, error), spoils: undefined }
}

/** The key at the start of a line that was meant to set one. */
const keyOf = (line: string): string | undefined => /^\s*"?([\w-]+)"?\s*(?:[=:]|$|\s)/.exec(line)?.[1]

function isRight(line: string): boolean {
  try {
    parse(line)
    return true
  } catch {
    return false
  }
}

/** What is wrong with the form of a line, and how it is written. */
function wordsOf(line: string, name: string | undefined, isDuplicate: boolean, error: TomlError): string {
  const key = name === undefined ? undefined : keyNamed(name)
  const right = (value = ''): string => {
    const written = isRight(`x = ${value}`) && key?.accepts(parse(`x = ${value}`)['x']) === true ? value : key?.example
    return written === undefined
      ? 'key = value, such as log_level = "info"'
      : `key = value, such as ${name} = ${written}`
  }
  if (isDuplicate && name !== undefined) return `${name} stands here a second time`
  if (/^\s*(?:\/\/|;|--)/.test(line)) return 'a comment begins with #'
  const [, colon] = /^\s*"?[\w-]+"?\s*:\s*(.*?)\s*$/.exec(line) ?? []
  if (colon !== undefined) return `write ${right(colon)}`
  const [, value] = /^[^=]*=\s*(.*?)\s*$/.exec(line) ?? []
  if (value === undefined)
    return name === undefined || !/^\s*[\w-]+\s*$/.test(line)
      ? `write ${right()}`
      : `${name} has no value; write ${right()}`
  if (name === undefined) return `write ${right()}`
  if (value === '' || value.startsWith('#')) return `${name} has no value; write ${right()}`
  if (/^\d+$/.test(value)) return `${name} must be ${key?.expected ?? 'a smaller number'}`
  if (value.startsWith('['))
    return `the list is not closed, or not all of its texts stand in quotes with commas between them; write ${right()}`
  if (/^["']/.test(value)) return `the text is not closed, or something stands behind it; write ${right()}`
  if (key?.example.startsWith('[') === true)
    return `a list stands in brackets, its texts in quotes; write ${right(`[ "${value}" ]`)}`
  if (/^[\w./-]+$/.test(value)) return `a text stands in quotes; write ${right(`"${value}"`)}`
  return `it cannot be understood (${error.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? ''}); write ${right()}`
}
