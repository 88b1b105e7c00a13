import { parseArgs } from 'node:util'
import { didYouMean, nearest } from '../core/near.ts'
import { OPERATIONS, isOperation } from '../core/call.ts'
import { VERB_NAMES, type VerbName, verbOf } from './verbs.ts'

/** What a person asks for. */
export type Command =
  /** `rest`: those of the operands that stand behind `--`. */
  | {
      readonly kind: 'run'
      readonly verb: VerbName
      readonly operands: readonly string[]
      readonly rest: readonly string[]
      readonly options: Options
    }
  | { readonly kind: 'help'; readonly verb: VerbName | undefined }
  | { readonly kind: 'version' }
  /** Wrong usage: one sentence without its full stop, and the verb whose help tells more. */
  | { readonly kind: 'usage'; readonly error: string; readonly verb: VerbName | undefined }

/** Those that were given: `true`, or the word that followed. */
export type Options = Readonly<Record<string, string | true>>

/** Options that may stand anywhere; `dry-run` is a verb in the form of an option. */
const GENERAL = ['help', 'version', 'dry-run']
const VALUED = [
  ...new Set(
    VERB_NAMES.flatMap((name) =>
      Object.entries(verbOf(name).options).flatMap(([option, { value }]) => (value === undefined ? [] : [option])),
    ),
  ),
]

/** Reads a command line of a person: a verb with its options and operands, in any order. `--` ends the options. */
export function parseCommand(words: readonly string[]): Command {
  const { tokens } = parseArgs({
    args: withDefaults(words),
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      ...Object.fromEntries(VALUED.map((name) => [name, { type: 'string' as const }])),
      help: { type: 'boolean', short: 'h' },
    },
  })
  const given = tokens.filter((token) => token.kind === 'option')
  const operands = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  const has = (name: string): boolean => given.some((token) => token.name === name)
  const word = operands[0]
  const named = VERB_NAMES.find((name) => name === word)
  // Whether the verb has the option --dry-run itself. Not if an event of libvirt follows: a domain may be called like a
  // verb.
  const isOfVerb =
    named !== undefined && Object.hasOwn(verbOf(named).options, 'dry-run') && !isOperation(operands[1] ?? '')
  const verb = has('dry-run') && !isOfVerb ? '--dry-run' : named
  if (has('help')) return { kind: 'help', verb }
  if (has('version')) return { kind: 'version' }
  const usage = (error: string): Command => ({ kind: 'usage', error, verb })
  if (verb === undefined)
    return usage(
      wordsOfNoVerb(
        operands,
        given.map(({ rawName }) => rawName),
      ),
    )
  const known = verbOf(verb)
  for (const { name, rawName, value } of given) {
    if (name === 'dry-run' && verb === '--dry-run') continue
    const option = Object.hasOwn(known.options, name) ? known.options[name] : undefined
    if (option === undefined || rawName !== `--${name}`)
      return usage(
        `there is no option ${rawName}${verb === '--dry-run' ? ' of a dry run' : ` of ${verb}`}${didYouMean(
          rawName,
          [...Object.keys(known.options), ...GENERAL].map((each) => `--${each}`),
        )}`,
      )
    if (option.value !== undefined && value === undefined)
      return usage(`${rawName} needs a ${option.value.toLowerCase()}`)
    if (option.isValueOptional !== undefined && !/^\d{1,6}$/.test(value ?? ''))
      return usage(`${rawName} needs a number of ${option.value?.toLowerCase() ?? ''}`)
    if (option.value === undefined && value !== undefined) return usage(`${rawName} takes no value`)
    if (given.filter((other) => other.name === name).length > 1) return usage(`${rawName} stands there twice`)
  }
  const own = verb === '--dry-run' ? operands : operands.slice(1)
  if (own.length < known.count[0] || own.length > known.count[1]) return usage(`${verb} needs ${known.needs}`)
  const error = verb === '--dry-run' ? errorInEvent(own) : undefined
  if (error !== undefined) return usage(error)
  const end = tokens.find(({ kind }) => kind === 'option-terminator')?.index ?? Number.POSITIVE_INFINITY
  const rest = tokens.flatMap((token) => (token.kind === 'positional' && token.index > end ? [token.value] : []))
  return {
    kind: 'run',
    verb,
    operands: own,
    rest,
    options: Object.fromEntries(given.map(({ name, value }) => [name, value ?? true])),
  }
}

const OPTIONAL: ReadonlyMap<string, string> = new Map(
  VERB_NAMES.flatMap((name) =>
    Object.entries(verbOf(name).options).flatMap(([option, { isValueOptional }]) =>
      isValueOptional === undefined ? [] : [[`--${option}`, isValueOptional.otherwise] as const],
    ),
  ),
)

/** The words, with a default for each option whose value was left out: the word that follows it is no number. */
function withDefaults(words: readonly string[]): string[] {
  const end = words.indexOf('--')
  return words.map((word, at) => {
    const otherwise = end >= 0 && at > end ? undefined : OPTIONAL.get(word)
    return otherwise === undefined || /^\d+$/.test(words[at + 1] ?? '') ? word : `${word}=${otherwise}`
  })
}

function wordsOfNoVerb(operands: readonly string[], options: readonly string[]): string {
  const [word, operation] = operands
  if (word === undefined)
    return options[0] === undefined
      ? 'nothing to do'
      : `${options[0]} alone is nothing to do${didYouMean(
          options[0],
          GENERAL.map((each) => `--${each}`),
        )}`
  // A dry run without the word.
  if (
    operation !== undefined &&
    (isOperation(operation) || nearest(operation, Object.keys(OPERATIONS)) !== undefined)
  ) {
    return `libvirt calls this with NAME OPERATION SUB-OPERATION EXTRA; did you mean lvguard --dry-run ${operands.join(' ')}?`
  }
  // NAME and verb exchanged.
  if (operation !== undefined && VERB_NAMES.some((name) => name === operation))
    return `there is no command ${word}; did you mean lvguard ${operation} ${word}?`
  return `there is no command ${word}${didYouMean(word, VERB_NAMES)}`
}

/**
 * What is wrong with the words of a dry run. A mistyped operation would otherwise look like one with nothing to do.
 */
function errorInEvent([name = '', operation = '', subOperation]: readonly string[]): string | undefined {
  const operations = Object.keys(OPERATIONS)
  if (!isOperation(operation)) {
    if (isOperation(name)) return `the name comes first; did you mean lvguard --dry-run ${operation} ${name}?`
    const meant = didYouMean(operation, operations)
    return `there is no operation ${operation}${meant === '' ? `; libvirt's are ${operations.join(', ')}` : meant}`
  }
  const expected = OPERATIONS[operation]
  return subOperation === undefined || subOperation === expected
    ? undefined
    : `the sub-operation of ${operation} is ${expected}, not ${subOperation}`
}

/** The event that the operands of a dry run stand for. */
export const eventOf = ([name = '', operation = '', subOperation, extra = '-']: readonly string[]): {
  name: string
  operation: string
  subOperation: string
  extra: string
} => ({ name, operation, subOperation: subOperation ?? OPERATIONS[operation] ?? 'begin', extra })
