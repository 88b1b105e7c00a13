import { printable } from '../core/outcome.ts'
import { query } from '../system/run.ts'
import { self } from '../system/self.ts'

/** What a screen stresses. `styleText` of node:util is not in Node 18.19. */
const CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const
/** Gives a text a colour. */
export type Paint = (color: keyof typeof CODES, text: string) => string

/** No colour: the text as it is. */
export const plain: Paint = (_, text) => text
/** By the escape sequences of a terminal. */
export const colored: Paint = (color, text) => `\u001b[${CODES[color]}m${text}\u001b[0m`

/** Whether standard output is a terminal. */
export const isTerminal = (): boolean => self().isTerminal(1)

/** Colours on a terminal only, and none where the reader does not want them (no-color.org). */
export const paintFor = (environment: Readonly<Record<string, string | undefined>>, onTerminal: boolean): Paint =>
  onTerminal && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb' ? colored : plain

/** Columns of the terminal, at least 80; 80 where there is none. */
export async function terminalWidth(): Promise<number> {
  if (!isTerminal()) return 80
  const { stdout } = await query('stty', ['-F', '/dev/tty', 'size'], 1000)
  return Math.max(80, Number(/^\d+ (\d+)/.exec(stdout)?.[1] ?? 80))
}

/** Characters that a column keeps at least. */
const NARROWEST = 16

/** The cells of one line; an empty one shows nothing. */
export type Row = readonly string[]

const ESCAPE = /\u001b\[\d+m/g
const lengthOf = (text: string): number => text.replace(ESCAPE, '').length
const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - lengthOf(text)))

/** If a name does not fit, its middle is left out: the names of one VM's volumes often begin, or end, alike. */
export function shortened(text: string, width: number): string {
  if (text.length <= width) return text
  const kept = Math.max(2, width - 2)
  return `${text.slice(0, Math.ceil(kept / 2))}..${text.slice(text.length - Math.floor(kept / 2))}`
}

/**
 * A table with a head, two spaces between columns.
 * @param shrink the columns that give way where it is too wide, the widest first; they hold no colours
 */
export function columns(
  head: Row,
  rows: readonly Row[],
  {
    width,
    indent,
    shrink,
    paint,
  }: { readonly width: number; readonly indent: number; readonly shrink: readonly number[]; readonly paint: Paint },
): string[] {
  const used = head.map((_, at) => rows.some((row) => (row[at] ?? '') !== ''))
  const widths = head.map((word, at) =>
    used[at] === true ? Math.max(word.length, ...rows.map((row) => lengthOf(row[at] ?? ''))) : 0,
  )
  let over = indent + widths.reduce((sum, each) => sum + (each === 0 ? 0 : each + 2), 0) - 2 - width
  for (; over > 0; over--) {
    const widest = shrink.reduce((most, at) => ((widths[at] ?? 0) > (widths[most] ?? 0) ? at : most), shrink[0] ?? 0)
    if ((widths[widest] ?? 0) <= NARROWEST) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  const last = used.lastIndexOf(true)
  const cell = (text: string, at: number): string => {
    const fitting = shrink.includes(at) ? shortened(text, widths[at] ?? 0) : text
    return at === last ? fitting : padded(fitting, widths[at] ?? 0)
  }
  const line = (row: Row, of = (text: string): string => text): string =>
    ' '.repeat(indent) +
    row
      .flatMap((text, at) => (used[at] === true ? [of(cell(text, at))] : []))
      .join('  ')
      .trimEnd()
  return [line(head, (text) => paint('bold', text)), ...rows.map((row) => line(row.map((text) => safe(text))))]
}

/** Takes out what would move the cursor, as a name from the XML of a domain might. Our own colours stay. */
const safe = (text: string): string => (text.split(ESCAPE).length === 1 ? printable(text) : text)

/** Words with commas between them, on as many lines as they need. */
export function list(label: string, words: readonly string[], width: number): string[] {
  const indent = lengthOf(label)
  const lines: string[] = []
  let line = label
  const parts = words.flatMap((word, at) => (at < words.length - 1 ? `${word},` : word).split(' '))
  for (const part of parts) {
    if (lengthOf(line) > indent && lengthOf(line) + 1 + lengthOf(part) > width) {
      lines.push(line.trimEnd())
      line = ' '.repeat(indent)
    }
    line += lengthOf(line) === indent ? part : ` ${part}`
  }
  return [...lines, line.trimEnd()].map(safe)
}
