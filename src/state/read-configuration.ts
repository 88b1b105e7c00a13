import { readFileSync } from '../system/files.ts'
import type { Parsed } from './config.ts'
import { DEFAULTS } from '../core/configuration.ts'
import { unreadable } from '../system/file-words.ts'
import { CONFIGURATION_FILE } from '../system/paths.ts'
import { isErrno } from '../system/error-message.ts'

/** What an administrator calls it. */
export const CONFIGURATION_NAME = '/etc/libvirt/lvguard.conf'

/**
 * The configuration of this host; the defaults where there is no file. A file that cannot be read is an error in it.
 */
export async function readConfiguration(): Promise<Parsed> {
  let text: string
  try {
    text = readFileSync(CONFIGURATION_FILE, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { configuration: DEFAULTS, mistakes: [] }
    return { errors: [unreadable(CONFIGURATION_NAME, error)] }
  }
  const { parseConfiguration } = await import('./config.ts')
  return parseConfiguration(text)
}
