import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Command, eventOf, parseCommand } from '../../../src/cli/command.ts'
import { helpText, usageLine } from '../../../src/cli/usage.ts'
import { VERB_NAMES, verbOf } from '../../../src/cli/verbs.ts'
import { parseCall } from '../../../src/core/call.ts'
import { KEYS } from '../../../src/state/config.ts'
import { GENERATED } from '../../man.ts'
import { hostileName } from '../support/arbitraries.ts'

/** A command in short words: `--dry-run tintin prepare begin - json`, `help agent`; of wrong usage its sentence. */
function short(command: Command): string {
  switch (command.kind) {
    case 'run': {
      const operands = command.verb === '--dry-run' ? Object.values(eventOf(command.operands)) : command.operands
      const options = Object.entries(command.options)
        .filter(([name]) => name !== 'dry-run')
        .map(([name, value]) => (value === true ? name : `${name}=${value}`))
      return [command.verb, ...operands, ...options].join(' ')
    }
    case 'help':
      return ['help', ...(command.verb === undefined ? [] : [command.verb])].join(' ')
    case 'version':
      return 'version'
    case 'usage':
      return `usage: ${command.error}`
  }
}
const parsed = (words: string): string => short(parseCommand(words === '' ? [] : words.split(' ')))

describe('what a person types, in any order', () => {
  test.each<[string, string]>([
    ['--help', 'help'],
    ['-h', 'help'],
    ['--version', 'version'],
    ['--dry-run --help', 'help --dry-run'],
    ['--dry-run tintin prepare -h', 'help --dry-run'],
    ['demote --help', 'help demote'],
    ['-h demote', 'help demote'],
    ['agent -h', 'help agent'],
    ['agent', 'agent'],
    ['check-config', 'check-config'],
    ['check-config /tmp/a.conf --json', 'check-config /tmp/a.conf json'],
    ['demote tintin', 'demote tintin'],
    ['demote --force tintin', 'demote tintin force'],
    ['demote tintin --force', 'demote tintin force'],
    ['--force demote tintin', 'demote tintin force'],
    ['demote -- -f', 'demote -f'],
    ['promote tintin', 'promote tintin'],
    ['status', 'status'],
    ['status tintin virtVG/milou --json', 'status tintin virtVG/milou json'],
    ['status --watch', 'status watch=2'],
    ['status --watch 5', 'status watch=5'],
    ['status --watch=7', 'status watch=7'],
    ['--watch status', 'status watch=2'],
    // A VM is not taken for the seconds.
    ['status --watch tintin', 'status tintin watch=2'],
    ['evacuate --dry-run', 'evacuate'],
    ['evacuate tintin --to node2 --parallel 4', 'evacuate tintin to=node2 parallel=4'],
    ['return', 'return'],
    // A domain that is called like a verb.
    ['--dry-run evacuate prepare', '--dry-run evacuate prepare begin -'],
    ['with virtVG/a -- ls -l', 'with virtVG/a ls -l'],
    ['holders virtVG/a virtVG/b', 'holders virtVG/a virtVG/b'],
    ['--dry-run tintin prepare', '--dry-run tintin prepare begin -'],
    ['--dry-run tintin release', '--dry-run tintin release end -'],
    ['--dry-run tintin stopped', '--dry-run tintin stopped end -'],
    ['--dry-run tintin prepare begin -', '--dry-run tintin prepare begin -'],
    ['--dry-run tintin release end crashed', '--dry-run tintin release end crashed'],
    ['--dry-run --json tintin prepare', '--dry-run tintin prepare begin - json'],
    ['--dry-run tintin prepare --json', '--dry-run tintin prepare begin - json'],
    ['--dry-run tintin prepare --xml a.xml', '--dry-run tintin prepare begin - xml=a.xml'],
    ['tintin prepare --xml=a.xml --json --dry-run', '--dry-run tintin prepare begin - xml=a.xml json'],
    ['tintin prepare --dry-run --json', '--dry-run tintin prepare begin - json'],
    ['--json --dry-run --xml a.xml tintin migrate', '--dry-run tintin migrate begin - json xml=a.xml'],
    ['--xml a.xml tintin --dry-run prepare', '--dry-run tintin prepare begin - xml=a.xml'],
    ['--dry-run -- --help prepare', '--dry-run --help prepare begin -'],
    ['--dry-run --xml --help tintin prepare', '--dry-run tintin prepare begin - xml=--help'],
    // A domain that is called like an operation, or like a verb.
    ['--dry-run prepare prepare', '--dry-run prepare prepare begin -'],
    ['--dry-run agent release', '--dry-run agent release end -'],
  ])('%j', (words, expected) => expect(parsed(words)).toBe(expected))
})

describe('wrong usage is said in one line, with what was probably meant', () => {
  test.each<[string, RegExp]>([
    ['', /nothing to do/],
    ['tintin', /no command tintin$/],
    ['statsu', /no command statsu; did you mean status\?/],
    ['statistics', /no command statistics$/],
    ['Agent', /no command Agent; did you mean agent\?/],
    ['demot tintin', /no command demot; did you mean demote\?/],
    ['check-conf', /did you mean check-config\?/],
    ['dry-run tintin prepare', /did you mean --dry-run\?|did you mean lvguard --dry-run/],
    ['tintin demote', /did you mean lvguard demote tintin\?/],
    ['tintin prepare', /did you mean lvguard --dry-run tintin prepare\?/],
    ['tintin prepare begin', /did you mean lvguard --dry-run tintin prepare begin\?/],
    ['tintin preprae', /did you mean lvguard --dry-run tintin preprae\?/],
    ['--what', /--what alone is nothing to do/],
    ['--dryrun tintin prepare', /did you mean lvguard --dry-run tintin prepare\?/],
    ['--dry-run', /--dry-run needs NAME OPERATION/],
    ['--dry-run tintin', /--dry-run needs NAME OPERATION/],
    ['--dry-run tintin prepare begin - more', /--dry-run needs NAME OPERATION/],
    ['--dry-run --xml', /--xml needs a file/],
    ['--dry-run tintin prepare --xml', /--xml needs a file/],
    ['--dry-run tintin prepare --jsno', /no option --jsno of a dry run; did you mean --json\?/],
    ['--dry-run tintin prepare --json=yes', /--json takes no value/],
    ['--dry-run tintin prepare --xml a --xml b', /--xml stands there twice/],
    ['--dry-run tintin prepare --force', /no option --force of a dry run/],
    ['--dry-run tintin prepare -j', /no option -j of a dry run/],
    ['--dry-run tintin prepare --constructor', /no option --constructor of a dry run/],
    ['--json tintin prepare', /did you mean lvguard --dry-run tintin prepare\?/],
    // An operation that libvirt does not have would pass for one with nothing to do.
    ['--dry-run tintin Prepare', /no operation Prepare; did you mean prepare\?/],
    ['--dry-run tintin PREPARE', /no operation PREPARE; did you mean prepare\?/],
    ['--dry-run tintin preprare', /no operation preprare; did you mean prepare\?/],
    ['--dry-run tintin relase', /no operation relase; did you mean release\?/],
    ['--dry-run tintin boot', /no operation boot; libvirt's are prepare, start, /],
    ['--dry-run tintin constructor', /no operation constructor/],
    ['--dry-run prepare tintin', /the name comes first; did you mean lvguard --dry-run tintin prepare\?/],
    ['--dry-run tintin prepare end', /sub-operation of prepare is begin, not end/],
    ['--dry-run tintin release begin', /sub-operation of release is end, not begin/],
    ['agent now', /agent needs no further word/],
    ['agent --force', /no option --force of agent/],
    ['demote', /demote needs one domain/],
    ['demote a b', /demote needs one domain/],
    ['demote --what tintin', /no option --what of demote/],
    ['status --watch=soon', /--watch needs a number of seconds/],
    ['holders', /holders needs volumes, as VG\/LV/],
    ['promote --force tintin', /no option --force of promote/],
    ['check-config a b', /check-config needs at most one file/],
  ])('%j', (words, expected) => {
    const command = parseCommand(words === '' ? [] : words.split(' '))
    expect(command.kind).toBe('usage')
    if (command.kind !== 'usage') return
    expect(command.error).toMatch(expected)
    const line = usageLine(command.error, command.verb)
    expect(line).toMatch(/^lvguard: .+[?.] See lvguard(?: \S+)? --help\n$/)
    expect(line.slice(0, -1)).not.toMatch(/\n|undefined/)
  })

  test('whatever is typed, nothing but a verb that was named is run', () => {
    const word = fc.oneof(
      hostileName,
      fc.constantFrom('--dry-run', '--json', '--xml', '--force', '-h', 'prepare', 'begin', ...VERB_NAMES),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        if (parseCall(words).kind === 'hook') return
        const command = parseCommand(words)
        if (command.kind === 'run')
          expect(words.some((each) => each === command.verb || each.startsWith('--dry-run'))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('help', () => {
  test('names every verb once, with its one line, and is narrow enough to be read', () => {
    const text = helpText(undefined)
    for (const name of VERB_NAMES) {
      expect(text.split('\n').filter((line) => line.startsWith(`  ${name} `))).toHaveLength(1)
      expect(text).toContain(verbOf(name).help)
    }
    expect(text).not.toMatch(/undefined|.{161}/)
  })

  test.each(VERB_NAMES)('%s has its own, with its options', (name) => {
    const text = helpText(name)
    expect(text).toContain(`Usage: lvguard ${name}`)
    for (const [option, { help }] of Object.entries(verbOf(name).options))
      expect(text).toMatch(new RegExp(`^  --${option}.*${help.replace(/[()]/g, '.')}$`, 'm'))
    expect(text).not.toMatch(/undefined|.{161}|[^\0-\x7f]/)
  })
})

describe('what is generated from this table, and from lvguard.conf', () => {
  test.each(GENERATED)('%s is up to date; if not: npm run man', (file, text) =>
    expect(readFileSync(file, 'utf8')).toBe(text()),
  )

  const hasMan = (): boolean => {
    try {
      execFileSync('man', ['--version'])
      return true
    } catch {
      return false
    }
  }
  test.skipIf(!hasMan()).each(GENERATED.flatMap(([file]) => (/\.\d$/.test(file) ? [file] : [])))(
    'man finds nothing wrong with %s',
    (file) => {
      const warned = execFileSync(
        'sh',
        ['-c', 'LC_ALL=C.UTF-8 man --warnings -Tutf8 -Z -l "$1" 2>&1 > /dev/null', 'sh', file],
        { encoding: 'utf8' },
      )
      expect(warned).toBe('')
    },
  )
  test('lvguard.conf(5) has each key', () => {
    const page = readFileSync(GENERATED[1]?.[0] ?? '', 'utf8')
    expect([...page.matchAll(/^\\fB(\w+) = /gm)].map(([, key]) => key).sort()).toEqual(Object.keys(KEYS).sort())
  })

  const completed = (...words: string[]): string[] =>
    execFileSync(
      'bash',
      [
        '-c',
        `
    virsh() { echo tintin; echo milou; printf '%s\\n' 'cap haddock' 'x$(echo run)' 'x*'; }; lvs() { echo '  virtVG/tintin'; }; vgs() { echo '  virtVG'; }
    . "$1"; shift; COMP_WORDS=(lvguard "$@"); COMP_CWORD=$#; _lvguard; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        GENERATED[2]?.[0] ?? '',
        ...words,
      ],
      { encoding: 'utf8' },
    )
      .trim()
      .split('\n')
  test.each<[readonly string[], readonly string[]]>([
    [['sta'], ['status']],
    [['ev'], ['evacuate']],
    [['status', '--j'], ['--json']],
    [
      ['status', 'virt'],
      ['virtVG/tintin', 'virtVG'],
    ],
    [['status', 'mi'], ['milou']],
    [
      ['holders', ''],
      ['--json', '--help', 'virtVG/tintin'],
    ],
    [['kill', 'v'], ['virtVG']],
    [['evacuate', '--to', 'x', 't'], ['tintin']],
    [['nope', 'virt'], ['']],
    // A name is never run, nor expanded, and comes so that it may be typed.
    [
      ['status', 'x'],
      ['x\\$\\(echo\\ run\\)', 'x\\*'],
    ],
    [['demote', 'c'], ['cap\\ haddock']],
  ])('completion of %j', (words, expected) => expect(completed(...words)).toEqual(expected))
})
