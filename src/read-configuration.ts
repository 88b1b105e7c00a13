import { readFileSync } from 'node:fs'
import type { Parsed } from './config.ts'
import { DEFAULTS } from './core/configuration.ts'
import { CONFIGURATION_FILE } from './paths.ts'

/** The configuration of this host; the defaults where there is no file. A file that cannot be read is wrong. */
export async function readConfiguration(): Promise<Parsed> {
  let text: string
  try {
    text = readFileSync(CONFIGURATION_FILE, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { configuration: DEFAULTS }
    return { errors: [`it cannot be read (${error instanceof Error ? error.message : String(error)})`] }
  }
  const { parseConfiguration } = await import('./config.ts')
  return parseConfiguration(text)
}
