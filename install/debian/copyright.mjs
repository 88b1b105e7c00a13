/**
 * The file copyright, in Debian's machine-readable form: lvguard's own licence, and those of the packages that the
 * program has in it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './source.mjs'

/** A text as a field's value: each line indented, an empty one a dot. */
const indented = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n')

const holdersOf = (text) =>
  text
    .split('\n')
    .map((line) => line.trim().replace(/^[-*] /, ''))
    .filter((line) => /^copyright\b.*\d|^copyright\b.*\(c\)|^copyright node/i.test(line))
    .map((line) => line.replace(/^copyright\s*/i, '').replace(/^\(c\)\s*/i, ''))

/**
 * @param packages as build.mjs writes them beside the program, from what esbuild says that went in
 * @returns /usr/share/doc/lvguard/copyright
 */
export function copyright(packages) {
  const own = readFileSync(join(ROOT, 'LICENSE'), 'utf8').replace(/^MIT License\n+/, '')
  const byText = new Map()
  for (const one of packages) byText.set(one.text, [...(byText.get(one.text) ?? []), one])
  const paragraphs = [...byText].map(([text, ones], at) => {
    const [{ license }] = ones
    const holders = holdersOf(text)
    return [
      `Files: ${ones.map(({ folder }) => `vendor/${folder.replace(/^node_modules\//, '').replaceAll('/node_modules/', '/')}/*`).join('\n ')}`,
      `Copyright: ${holders.length === 0 ? `the authors of ${ones.map(({ name }) => name).join(', ')}` : holders.join('\n ')}`,
      // The same short name may have one text only: each text gets a name of its own.
      `License: ${license}-${at + 1}`,
      // One package says no more of its licence than its name.
      indented(
        text.startsWith('Licence: ')
          ? `${license}, as its package.json says; the text of the MIT licence is that of lvguard below.`
          : text,
      ),
      `Comment: ${ones.map(({ name, version }) => `${name} ${version}`).join(', ')}, bundled in /usr/sbin/lvguard`,
    ].join('\n')
  })
  return `${[
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: lvguard\nComment: /usr/sbin/lvguard has the packages below vendor/ in it, minified. Their own files, as npm gives them, are in the\n source tarball under vendor/ (npm run release).',
    `Files: *\nCopyright: ${holdersOf(own).join('\n ')}\nLicense: MIT\n${indented(own)}`,
    ...paragraphs,
  ].join('\n\n')}\n`
}
