/** `npm run man`: writes the manual pages and the completion of bash in install/ anew, from the table of verbs and install/lvguard.conf. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bashCompletion } from '../src/cli/completion.ts'
import { configurationPage, manPage } from '../src/cli/man.ts'

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))
const version = (): string => (JSON.parse(readFileSync(fileOf('package.json'), 'utf8')) as { version: string }).version

/** Each file, and what it must say. */
export const GENERATED: readonly (readonly [file: string, text: () => string])[] = [
  [fileOf('install/lvguard.8'), () => manPage(version())],
  [
    fileOf('install/lvguard.conf.5'),
    () => configurationPage(version(), readFileSync(fileOf('install/lvguard.conf'), 'utf8')),
  ],
  [fileOf('install/lvguard.bash-completion'), bashCompletion],
]

export async function main(): Promise<number> {
  for (const [file, text] of GENERATED) writeFileSync(file, text())
  return 0
}
