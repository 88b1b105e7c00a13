/** What packaging takes from the sources: version and date of the release. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
export const VERSION = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version

/**
 * The releases that NEWS.md tells of, newest first: `## 0.2.0 (2026-11-28)` and the paragraphs and `- ` items below it.
 * @returns {{ version: string, date: Date, body: string }[]} `date`: noon of that day, UTC
 * @throws Error if the newest is not the version of package.json
 */
export function releases() {
  const text = readFileSync(join(ROOT, 'NEWS.md'), 'utf8')
  const found = text
    .split(/^## /m)
    .slice(1)
    .map((part) => {
      const [, version, day] = /^([0-9.]+) \((\d{4}-\d\d-\d\d)\)\n/.exec(part) ?? []
      if (day === undefined) throw new Error(`NEWS.md: not a release: ${part.split('\n')[0]}`)
      return { version, date: new Date(`${day}T12:00:00Z`), body: part.slice(part.indexOf('\n')).trim() }
    })
  if (found[0]?.version !== VERSION)
    throw new Error(`NEWS.md begins with ${found[0]?.version}, and package.json says ${VERSION}`)
  return found
}

/**
 * Seconds of the epoch that all files of the package bear: SOURCE_DATE_EPOCH, or the day of the release. The same in a
 * clone and in the tarball.
 */
export function epoch() {
  const given = process.env.SOURCE_DATE_EPOCH
  if (given === undefined) return releases()[0].date.getTime() / 1000
  if (!/^\d+$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH is a number of seconds, not ${given}`)
  return Number(given)
}
