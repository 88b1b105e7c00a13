import { STATUS, shownOption, synopsisOf } from './usage.ts'
import { VERB_NAMES, verbOf } from './verbs.ts'

/**
 * A text in roff(7): escapes backslashes, hyphens (so that they can be copied), and control characters at line starts.
 */
const escaped = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')

const FILES: readonly (readonly [string, string])[] = [
  ['/etc/libvirt/hooks/qemu', 'The program itself: hook, agent and command are one file.'],
  ['/etc/libvirt/lvguard.conf', 'The configuration; each key stands there with its default.'],
  ['/run/lvguard', 'What is locked here for which VM.'],
  ['/var/log/libvirt/lvguard.log', 'The log of the hook. The lines of the agent are in the journal.'],
  ['/usr/share/doc/lvguard/README.md', 'Set-up, daily life, bad days, and every message.'],
]

/**
 * lvguard(8) in the macros of man(7), from the same table as `--help`. The same sources give the same text: it has no
 * date of a build.
 */
export function manPage(version: string): string {
  const verbs = VERB_NAMES.flatMap((name) => {
    const { help, more = [], options, status } = verbOf(name)
    return [
      `.SS ${escaped(name)}`,
      `.B ${escaped(synopsisOf(name, verbOf(name)))}`,
      '.PP',
      escaped(sentence(help)),
      ...(more.length === 0 ? [] : ['.PP', ...more.map(escaped)]),
      ...Object.entries(options).flatMap(([option, known]) => [
        '.TP',
        `.B ${escaped(shownOption(option, known))}`,
        escaped(sentence(known.help)),
      ]),
      ...(status === undefined ? [] : ['.PP', escaped(status)]),
    ]
  })
  return [
    `.\\" From src/cli/verbs.ts, by npm run man.`,
    `.TH LVGUARD 8 "" "lvguard ${version}" "System Administration"`,
    // No hyphenation, so that words can be copied. Aligned to the left, without wide gaps.
    '.nh',
    '.ad l',
    '.SH NAME',
    'lvguard \\- keeps the logical volumes of a VM locked to the one host that runs it',
    '.SH SYNOPSIS',
    ...VERB_NAMES.flatMap((name, at) => [
      ...(at === 0 ? [] : ['.br']),
      `.B ${escaped(synopsisOf(name, verbOf(name)))}`,
    ]),
    '.SH DESCRIPTION',
    'lvguard is a libvirt qemu hook, for volume groups that several hosts share through lvmlockd and sanlock.',
    'libvirt runs it at each start and each stop of a VM; a service, the agent, changes the locks while a VM migrates.',
    'These are its commands. DOMAIN is a name or a UUID.',
    '.SH COMMANDS',
    ...verbs,
    '.SH EXIT STATUS',
    escaped(STATUS),
    'A command that has others names them above.',
    '.SH FILES',
    ...FILES.flatMap(([path, what]) => ['.TP', `.I ${escaped(path)}`, escaped(what)]),
    '.SH SEE ALSO',
    '.BR virsh (1),',
    '.BR lvmlockd (8),',
    '.BR lvmlockctl (8),',
    '.BR sanlock (8),',
    '.BR lvguard.conf (5)',
    '',
  ].join('\n')
}

/**
 * lvguard.conf(5), from the file as it is delivered: each key stands there as a comment, with its default, behind the
 * comment that explains it.
 * @param text install/lvguard.conf
 */
export function configurationPage(version: string, text: string): string {
  const [head = '', ...parts] = text.trim().split(/\n\n+/)
  const plain = (lines: readonly string[]): string[] => lines.map((line) => escaped(line.replace(/^#\s?/, '')))
  const keys = parts.flatMap((part) => {
    const lines = part.split('\n')
    const at = lines.findIndex((line) => /^#\w+ = /.test(line))
    return at < 0
      ? ['.PP', ...plain(lines)]
      : ['.TP', `\\fB${escaped((lines[at] ?? '').slice(1))}\\fR`, ...plain(lines.slice(0, at))]
  })
  return [
    '.\\" From install/lvguard.conf, by npm run man.',
    `.TH LVGUARD.CONF 5 "" "lvguard ${version}" "File Formats"`,
    '.nh',
    '.ad l',
    '.SH NAME',
    'lvguard.conf \\- configuration of lvguard',
    '.SH SYNOPSIS',
    '.I /etc/libvirt/lvguard.conf',
    '.SH DESCRIPTION',
    ...plain(head.split('\n')),
    '.PP',
    'Each key is shown with its default.',
    '.SH KEYS',
    ...keys,
    '.SH SEE ALSO',
    '.BR lvguard (8)',
    '',
  ].join('\n')
}

const sentence = (words: string): string =>
  `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.)]$/.test(words) ? '' : '.'}`
