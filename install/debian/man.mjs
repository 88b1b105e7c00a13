/** The man pages: lvguard(8) from the table of verbs, lvguard.conf(5) from the delivered configuration. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, VERSION, epoch, verbs } from './source.mjs'

/** For roff: no line begins a request, a `-` can be pasted into a shell. */
const escaped = (text) => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^(?=[.'])/gm, '\\&')
const bold = (text) => `\\fB${escaped(text)}\\fR`
/** A paragraph with its tag. */
const item = (tag, text) => ['.TP', tag, escaped(text)]
/** @param lines of which each is a sentence or an example of a command */
const paragraph = (lines) => ['.PP', escaped(lines.join(' '))]

const title = (name, section) =>
  `.TH ${name.toUpperCase()} ${section} "${new Date(epoch() * 1000).toISOString().slice(0, 10)}" "lvguard ${VERSION}" "lvguard"`

const synopsis = (name, { options, operands }) => [
  '.TP', [bold(`lvguard ${name}`), ...Object.entries(options).map(([option, { value }]) => `[${bold(`--${option}`)}${value === undefined ? '' : ` \\fI${value}\\fR`}]`), escaped(operands)].join(' ').trim(),
]

const verb = ([name, one]) => [
  ...synopsis(name, one), escaped(`${one.help[0].toUpperCase()}${one.help.slice(1)}.`),
  ...(one.more === undefined ? [] : ['.br', escaped(one.more.join(' '))]),
  ...(Object.keys(one.options).length === 0 ? [] : ['.RS', ...Object.entries(one.options).flatMap(([option, { value, help }]) => item(`${bold(`--${option}`)}${value === undefined ? '' : ` \\fI${value}\\fR`}`, `${help}.`)), '.RE']),
]

const FILES = [
  ['/etc/libvirt/hooks/qemu', 'the hook that libvirt runs: this same program'],
  ['/etc/libvirt/lvguard.conf', 'the configuration, lvguard.conf(5)'],
  ['/run/lvguard/', 'records of what is locked for which VM'],
  ['/var/lib/lvguard/', 'what is known of saved memory, and of hosts that are off'],
  ['/var/log/libvirt/lvguard.log', 'the log, one JSON object a line'],
  ['/usr/share/doc/lvguard/README.md', 'the manual'],
]

/** lvguard(8) */
export async function commandPage() {
  return `${[
    title('lvguard', 8),
    '.SH NAME', 'lvguard \\- keep the logical volumes of a VM locked to the one host that runs it',
    '.SH SYNOPSIS', '.B lvguard', '.I VERB', '[options] [operands]', '.br', '.B lvguard', '[\\fIVERB\\fR] \\fB\\-\\-help\\fR', '.br', '.B lvguard \\-\\-version',
    '.SH DESCRIPTION',
    ...paragraph([
      'lvguard is a libvirt qemu hook. On volume groups that several hosts share through lvmlockd and sanlock, a VM starts only on a host that holds all its volumes exclusively, and they are free again when it stops.',
      'The same program runs as a service, lvguard.service, called the agent: it changes the locks during a live migration, and repairs. And it is this command.',
    ]),
    ...paragraph(['DOMAIN is the name or the UUID of a VM.']),
    '.SH COMMANDS', ...Object.entries(await verbs()).flatMap(verb),
    '.SH EXIT STATUS',
    ...item(bold('0'), 'done, or would be done'), ...item(bold('1'), 'refused, wrong, or would be refused'), ...item(bold('2'), 'wrong usage'), ...item(bold('3'), 'a dry run that cannot see this host'),
    '.SH FILES', ...FILES.flatMap(([path, what]) => item(`\\fI${escaped(path)}\\fR`, what)),
    '.SH SEE ALSO', '.BR lvguard.conf (5),', '.BR virsh (1),', '.BR lvmlockd (8),', '.BR lvmlockctl (8),', '.BR sanlock (8)',
  ].join('\n')}\n`
}

/** lvguard.conf(5): the comments above each `#key = default` of the delivered file, under that key. */
export function configurationPage() {
  const [head, ...blocks] = readFileSync(join(ROOT, 'install/lvguard.conf'), 'utf8').trim().split('\n\n')
  const wordsOf = (lines) => lines.map((line) => line.replace(/^# ?/, '').trim()).filter((line) => line !== '')
  const keys = blocks.filter((block) => /^#\w+ = /m.test(block)).flatMap((block) => {
    const lines = block.split('\n')
    const key = lines.find((line) => /^#\w+ = /.test(line)).slice(1)
    const words = wordsOf(lines.filter((line) => !/^#\w+ = /.test(line)))
    return ['.TP', bold(key), escaped(words.join(' '))]
  })
  const more = blocks.filter((block) => !/^#\w+ = /m.test(block)).flatMap((block) => paragraph(wordsOf(block.split('\n'))))
  return `${[
    title('lvguard.conf', 5),
    '.SH NAME', 'lvguard.conf \\- configuration of lvguard, the libvirt qemu hook',
    '.SH DESCRIPTION', ...paragraph(wordsOf(head.split('\n'))), ...more,
    '.PP', `\\fBlvguard check\\-config\\fR says all that is wrong with it.`,
    '.SH KEYS', ...keys,
    '.SH FILES', '.I /etc/libvirt/lvguard.conf',
    '.SH SEE ALSO', '.BR lvguard (8)',
  ].join('\n')}\n`
}
