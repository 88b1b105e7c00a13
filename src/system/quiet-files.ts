import { readFileSync, readdirSync } from './files.ts'

/** Looks that never throw, for /proc, /sys and /run: what is there now may be gone at the next look. */

/** The text of a file; undefined if it cannot be read. */
export function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** The same without the blanks around it, as the attributes in /sys have a line feed behind them. */
export const trimmedTextOf = (file: string): string | undefined => textOf(file)?.trim()

/** The names in a folder; none if it cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
