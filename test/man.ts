/** `npm run man`: writes install/lvguard.8 anew, from the table of verbs. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { manPage } from '../src/cli/man.ts'

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

export const MAN_FILE = fileOf('install/lvguard.8')
/** What that file must say. */
export const manText = (): string => manPage((JSON.parse(readFileSync(fileOf('package.json'), 'utf8')) as { version: string }).version)

export async function main(): Promise<number> {
  writeFileSync(MAN_FILE, manText())
  return 0
}
