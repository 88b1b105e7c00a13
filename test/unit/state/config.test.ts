import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KEYS, parseConfiguration } from '../../../src/state/config.ts'
import { type Configuration, DEFAULTS } from '../../../src/core/configuration.ts'

const SHIPPED = readFileSync(new URL('../../../install/lvguard.conf', import.meta.url), 'utf8')
const errorsIn = (text: string): readonly string[] => {
  const parsed = parseConfiguration(text)
  return 'errors' in parsed ? parsed.errors : parsed.mistakes
}
const isUsable = (text: string): boolean => 'configuration' in parseConfiguration(text)
const parse = (text: string): Configuration => {
  const parsed = parseConfiguration(text)
  if ('errors' in parsed) throw new Error(parsed.errors.join())
  return parsed.configuration
}

describe('what a configuration may say', () => {
  test.each<[string, Partial<Configuration>]>([
    ['', {}],
    ['# volume_groups = 1\n\n', {}],
    ['volume_groups = []', { volumeGroups: [] }],
    ['volume_groups = [ "virtVG", "vg-2" ]', { volumeGroups: ['virtVG', 'vg-2'] }],
    ['volume_groups = [\n  "virtVG", # the first\n  "vg.2",\n]', { volumeGroups: ['virtVG', 'vg.2'] }],
    ["volume_groups = ['a']", { volumeGroups: ['a'] }],
    ['local_volume_groups = "ignore"', { localVolumeGroups: 'ignore' }],
    ['local_volume_groups = "activate"', { localVolumeGroups: 'activate' }],
    ['policy = []', { policy: [] }],
    [
      'policy = [ "virtVG/iso = shared", "scratchVG = ignore" ]',
      { policy: ['virtVG/iso = shared', 'scratchVG = ignore'] },
    ],
    // The same twice, and a volume in another mode than its volume group.
    [
      'policy = [ "virtVG/iso = shared", "virtVG/iso=shared", "virtVG = ignore" ]',
      { policy: ['virtVG/iso = shared', 'virtVG/iso=shared', 'virtVG = ignore'] },
    ],
    ['start_wait = 0', { startWait: 0 }],
    ['start_wait = 180', { startWait: 180 }],
    ['migrate_wait = 0', { migrateWait: 0 }],
    ['migrate_wait = 600', { migrateWait: 600 }],
    ['lock_wait = 1', { lockWait: 1 }],
    ['lock_wait = 600', { lockWait: 600 }],
    ['fence_command = []', { fenceCommand: [] }],
    [
      'fence_command = [ "/sbin/off", "--ip=%h-bmc", "100%%" ]',
      { fenceCommand: ['/sbin/off', '--ip=%h-bmc', '100%%'] },
    ],
    ['fence_delay = 30', { fenceDelay: 30 }],
    ['log_level = "error"', { logLevel: 'error' }],
    ['log_level = "warn"', { logLevel: 'warn' }],
    ['log_level = "debug"', { logLevel: 'debug' }],
    ['log_file = ""', { logFile: '' }],
    ['log_file = "/tmp/a b.log"', { logFile: '/tmp/a b.log' }],
    ['"log_level" = "warn"', { logLevel: 'warn' }],
    ['log_level = "warn"\r\nlock_wait = 5\r\n', { logLevel: 'warn', lockWait: 5 }],
  ])('%j', (text, expected) => expect(parse(text)).toEqual({ ...DEFAULTS, ...expected }))
})

describe('what is wrong, with its line', () => {
  test.each<[string, string]>([
    [
      'volume_groups = "virtVG"',
      'line 1: volume_groups must be a list of names of volume groups, such as [ "virtVG" ]',
    ],
    ['volume_groups = [ "-f" ]', 'line 1: volume_groups must be'],
    ['volume_groups = [ "a b" ]', 'line 1: volume_groups must be'],
    ['volume_groups = [ 1 ]', 'line 1: volume_groups must be'],
    ['local_volume_groups = "yes"', 'line 1: local_volume_groups must be "ignore" or "activate"'],
    ['local_volume_groups = true', 'line 1: local_volume_groups must be'],
    [
      'policy = "virtVG = shared"',
      'line 1: policy must be a list of "VG = MODE" or "VG/LV = MODE", with MODE exclusive, shared or ignore',
    ],
    ['policy = [ "virtVG = on" ]', 'line 1: policy must be'],
    ['policy = [ "a/b/c = shared" ]', 'line 1: policy must be'],
    ['policy = [ 1 ]', 'line 1: policy must be'],
    [
      'log_level = "info"\npolicy = [ "virtVG/iso = shared", "scratchVG = ignore", "virtVG/iso=exclusive" ]',
      'line 2: policy says both shared and exclusive for virtVG/iso',
    ],
    ['policy = [ "virtVG = shared", "virtVG = ignore" ]', 'line 1: policy says both shared and ignore for virtVG'],
    ['start_wait = 601', 'line 1: start_wait must be a whole number of seconds from 0 to 600'],
    ['migrate_wait = -1', 'line 1: migrate_wait must be a whole number of seconds from 0 to 600'],
    ['migrate_wait = 601', 'line 1: migrate_wait must be'],
    ['migrate_wait = 1.5', 'line 1: migrate_wait must be'],
    ['migrate_wait = "30"', 'line 1: migrate_wait must be'],
    ['migrate_wait = inf', 'line 1: migrate_wait must be'],
    ['migrate_wait = nan', 'line 1: migrate_wait must be'],
    ['lock_wait = 0', 'line 1: lock_wait must be a whole number of seconds from 1 to 600'],
    [
      'fence_command = "/sbin/off %h"',
      "line 1: fence_command must be a list of texts: a program with its whole path, and each of its arguments, with %h for the host's name",
    ],
    ['fence_command = [ "off", "%h" ]', 'line 1: fence_command must be'],
    ['fence_command = [ "/sbin/off", "%n" ]', 'line 1: fence_command must be'],
    ['fence_command = [ "/sbin/off", 1 ]', 'line 1: fence_command must be'],
    ['fence_delay = 31', 'line 1: fence_delay must be a whole number of seconds from 0 to 30'],
    ['log_level = "info "', 'line 1: log_level must be "error", "warn", "info" or "debug"'],
    ['log_level = "toString"', 'line 1: log_level must be'],
    ['log_file = "lvguard.log"', 'line 1: log_file must be an absolute path, or "" for no log'],
    ['log_file = 1', 'line 1: log_file must be'],
    ['\n\nlog_levels = "info"', 'line 3: unknown key log_levels'],
    ['Log_Level = "info"', 'line 1: unknown key Log_Level'],
    ['[section]\nlog_level = "info"', 'line 1: unknown key section'],
    ['# log\nlog.level = "info"', 'line 2: unknown key log'],
    ['__proto__ = 1', 'line 1: unknown key __proto__'],
    ['constructor = 1', 'line 1: unknown key constructor'],
    ['"toString" = 1', 'line 1: unknown key toString'],
    ['log_level = info', 'line 1: a text stands in quotes; write key = value, such as log_level = "info"'],
    ['\nlog_level', 'line 2: log_level has no value; write key = value, such as log_level = "info"'],
    ['log_level = "info"\nlog_level = "warn"', 'line 2: log_level stands here a second time'],
    ['lock_wait = 99999999999999999999', 'line 1: lock_wait must be a whole number'],
    // TOML's own messages in words.
    ['\n\nstart_wait: 30', 'line 3: write key = value, such as start_wait = 30'],
    ['start_wait: long', 'line 1: write key = value, such as start_wait = 180'],
    ['start_wait 30', 'line 1: write key = value, such as start_wait = '],
    ['volume_groups', 'line 1: volume_groups has no value; write key = value, such as volume_groups = [ "virtVG" ]'],
    ['volume_groups =', 'line 1: volume_groups has no value; write key = value, such as volume_groups = [ "virtVG" ]'],
    [
      'volume_groups = virtVG',
      'line 1: a list stands in brackets, its texts in quotes; write key = value, such as volume_groups = [ "virtVG" ]',
    ],
    ['volume_groups = [ virtVG ]', 'line 1: the list is not closed, or not all of its texts stand in quotes'],
    ['volume_groups = [ "virtVG" "b" ]', 'line 1: the list is not closed, or not all'],
    // The line that opens the list, and not the one where a parser gives up.
    ['\nvolume_groups = [ "virtVG"\nlog_level = "info"\n', 'line 2: the list is not closed, or not all'],
    ['volume_groups = [ "virtVG"\n', 'line 1: the list is not closed, or not all'],
    ['policy = [\n  "virtVG = shared",\n\nlog_level = "info"\n', 'line 1: the list is not closed, or not all'],
    ['on_contested = "alert', 'line 1: the text is not closed'],
    ['// volume_groups = 1', 'line 1: a comment begins with #'],
    ['; x', 'line 1: a comment begins with #'],
    ['= 3', 'line 1: write key = value, such as log_level = "info"'],
    [
      'log_file = /var/log/x.log',
      'line 1: a text stands in quotes; write key = value, such as log_file = "/var/log/x.log"',
    ],
    ['volume_group = [ "virtVG" ]', 'line 1: unknown key volume_group; did you mean volume_groups?'],
    ['log_levle = "info"', 'line 1: unknown key log_levle; did you mean log_level?'],
  ])('%j', (text, message) => {
    const errors = errorsIn(text)
    expect(errors).toHaveLength(1)
    expect(errors[0]?.startsWith(message)).toBe(true)
    expect(errors[0]).not.toMatch(/\n|undefined|line 0/)
  })

  test('all of it at once', () => {
    expect(
      errorsIn('colour = "blue"\nlock_wait = 0\n\nlog_level = "all"\nlog_file = ""\n').map((error) =>
        error.slice(0, 17),
      ),
    ).toEqual(['line 1: unknown k', 'line 2: lock_wait', 'line 4: log_level'])
  })

  test('all of it at once, also behind lines that are no TOML', () => {
    expect(
      errorsIn('start_wait: 30\nlock_wait = 0\nvolume_groups = virtVG\ncolour = 1\n').map((error) =>
        error.slice(0, 17),
      ),
    ).toEqual(['line 1: write key', 'line 2: lock_wait', 'line 3: a list st', 'line 4: unknown k'])
  })

  test('a list that is not closed does not make every line behind it wrong', () => {
    const errors = errorsIn('volume_groups = [ "virtVG",\n\nlog_level = "info"\nlock_wait = 5\n')
    expect(errors.length).toBeLessThanOrEqual(2)
    expect(isUsable('volume_groups = [ "virtVG",\n\nlog_level = "info"\nlock_wait = 5\n')).toBe(false)
  })

  test('a byte order mark is no mistake', () =>
    expect(parse('\ufefflog_level = "warn"\n')).toEqual({ ...DEFAULTS, logLevel: 'warn' }))

  test('nothing makes it throw, and it gives a configuration or says what is wrong', () => {
    const line = fc.tuple(
      fc.constantFrom(...Object.keys(KEYS), 'x', '[a]', ''),
      fc.constantFrom(' = ', '=', ''),
      fc.oneof(fc.string(), fc.constantFrom('1', '[]', '""', '"/x"', '"debug"', '1e3', '[', '{}', '{a = 1}')),
    )
    fc.assert(
      fc.property(
        fc.array(
          line.map((words) => words.join('')),
          { maxLength: 5 },
        ),
        (lines) => {
          const parsed = parseConfiguration(lines.join('\n'))
          if ('errors' in parsed) expect(parsed.errors.length).toBeGreaterThan(0)
          else expect(Object.keys(parsed.configuration).sort()).toEqual(Object.keys(DEFAULTS).sort())
        },
      ),
      { numRuns: 500 },
    )
  })

  test('lists inside lists inside lists are wrong, not the end of the program', () => {
    expect(() => parseConfiguration(`volume_groups = ${'['.repeat(100_000)}${']'.repeat(100_000)}`)).not.toThrow()
  })
})

describe('what a mistake does: nothing starts, or one key has its default', () => {
  test.each([
    'volume_groups = "virtVG"',
    'volume_groups = [ virtVG ]',
    'volume_groups: x',
    'volume_groups',
    'volume_group = [ "virtVG" ]',
    'Volume_Groups = []',
    'local_volume_groups = "yes"',
    'local_volume_group = "activate"',
    'policy = [ "virtVG = on" ]',
    'policy = [ "a/b = shared", "a/b = ignore" ]',
    'policies = []',
    'polciy = []',
    'colour = "red"',
    '[section]',
    '[log_level]\npolicy = [ "virtVG = exclusive" ]',
    '[[log_files]]\npolicy = []',
    '[log_levl]\npolicy = []',
    'volume_groups = []\nvolume_groups = []',
    'what is this',
    '"',
    'volume_groups = [ "virtVG"',
    'log_level = "info"\npolicy = "x"',
  ])('%j keeps every VM from starting', (text) => expect(isUsable(text)).toBe(false))

  test.each<[string, Partial<Configuration>]>([
    ['log_level = "all"', {}],
    ['log_level = info', {}],
    ['log_level: info', {}],
    ['log_levle = "debug"', {}],
    ['log_file = "x"', {}],
    ['start_wait: 30', {}],
    ['start_wait = 601', {}],
    ['migrate_wait = "30"', {}],
    ['lock_wait = 0', {}],
    ['on_contested = "pause"', {}],
    // The key that is right counts, the one that is wrong does not: which of two is meant nobody knows.
    ['volume_groups = [ "virtVG" ]\nlog_level = 3\nlock_wait = 5', { volumeGroups: ['virtVG'], lockWait: 5 }],
    ['log_level = "debug"\nlog_level = "warn"', {}],
  ])('%j leaves its key at the default', (text, expected) => {
    expect(parse(text)).toEqual({ ...DEFAULTS, ...expected })
    expect(errorsIn(text)).toHaveLength(1)
  })
})

describe('the file that is installed', () => {
  const uncommented = SHIPPED.replace(/^#(?=\w+ = )/gm, '')

  test('as it is, it changes nothing', () => expect(parse(SHIPPED)).toEqual(DEFAULTS))
  test('with every line uncommented it says what holds anyway', () => expect(parse(uncommented)).toEqual(DEFAULTS))
  test('it has every key, once, and every key has a field of its own', () => {
    const keys = [...uncommented.matchAll(/^(\w+) = /gm)].map(([, key]) => key)
    expect(keys.sort()).toEqual(Object.keys(KEYS).sort())
    expect(
      Object.values(KEYS)
        .map(({ field }) => field)
        .sort(),
    ).toEqual(Object.keys(DEFAULTS).sort())
  })
})
