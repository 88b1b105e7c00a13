import { type Option, VERB_NAMES, type Verb, type VerbName, verbOf } from './verbs.ts'

const PROGRAM = 'lvguard'

/** What an option looks like, with what follows it. */
export const shownOption = (name: string, { value, isValueOptional }: Option): string =>
  `--${name}${value === undefined ? '' : isValueOptional === undefined ? ` ${value}` : ` [${value}]`}`

/** `lvguard VERB [--option] OPERAND`. */
export const synopsisOf = (name: VerbName, { options, operands }: Verb): string =>
  [PROGRAM, name, ...Object.entries(options).map(([option, known]) => `[${shownOption(option, known)}]`), operands]
    .filter((word) => word !== '')
    .join(' ')

const aligned = (rows: readonly (readonly [string, string])[]): string[] => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

const optionRows = ({ options }: Verb): (readonly [string, string])[] =>
  Object.entries(options).map(([name, option]) => [shownOption(name, option), option.help])

/** The exit statuses of every verb that has none of its own. */
export const STATUS =
  'Exit status: 0 done, or would be done; 1 refused, wrong, or would be refused; 2 wrong usage; 3 a dry run that cannot see this host.'

/** `lvguard --help`, or `lvguard VERB --help`. */
export function helpText(name: VerbName | undefined): string {
  if (name !== undefined) {
    const verb = verbOf(name)
    const lines = [
      `Usage: ${synopsisOf(name, verb)}`,
      '',
      `${PROGRAM} ${name}: ${verb.help}`,
      ...(verb.more ?? []),
      ...(Object.keys(verb.options).length === 0 ? [] : ['', ...aligned(optionRows(verb))]),
    ]
    return [...lines, '', verb.status ?? STATUS, ''].join('\n')
  }
  const synopses = VERB_NAMES.map((each) => synopsisOf(each, verbOf(each)))
  const [first = '', ...more] = [...synopses, `${PROGRAM} [VERB] --help`, `${PROGRAM} --version`]
  return [
    `Usage: ${first}`,
    ...more.map((each) => `       ${each}`),
    '       qemu NAME OPERATION SUB-OPERATION EXTRA < domain.xml      (as libvirt calls it)',
    '',
    'Keeps the logical volumes of a VM locked to the one host that runs it.',
    '',
    ...aligned(VERB_NAMES.map((each) => [each, verbOf(each).help])),
    '',
    'DOMAIN is a name or a UUID.',
    STATUS,
    'Configuration: /etc/libvirt/lvguard.conf. Log: /var/log/libvirt/lvguard.log. Records: /run/lvguard.',
    '',
  ].join('\n')
}

/** Wrong usage, in one line. */
export const usageLine = (error: string, verb: VerbName | undefined): string =>
  `${PROGRAM}: ${error}${/[?.]$/.test(error) ? '' : '.'} See ${PROGRAM}${verb === undefined ? '' : ` ${verb}`} --help\n`
