/** lvguard.conf(5), from the delivered configuration. lvguard(8) is install/lvguard.8 (npm run man). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, VERSION, epoch } from './source.mjs'

/** For roff: no line begins a request, a `-` can be pasted into a shell. */
const escaped = (text) => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^(?=[.'])/gm, '\\&')
const bold = (text) => `\\fB${escaped(text)}\\fR`
/** @param lines of which each is a sentence or an example of a command */
const paragraph = (lines) => ['.PP', escaped(lines.join(' '))]

const title = (name, section) =>
  `.TH ${name.toUpperCase()} ${section} "${new Date(epoch() * 1000).toISOString().slice(0, 10)}" "lvguard ${VERSION}" "lvguard"`

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
