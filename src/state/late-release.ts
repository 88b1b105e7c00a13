import { join } from 'node:path'
import { RUN_FOLDER } from '../system/paths.ts'
import { existsSync, rmSync, writeFileSync } from '../system/files.ts'

/**
 * Marks domains whose volumes the agent gives back before their own `release` has said a word: on a busy host Node may
 * start later than the agent's passes find the domain gone. That `release` then finds no record. It must not take the
 * domain for one that ran before lvguard was installed, and give back what its XML names: somebody may have activated
 * that before, or since (R4).
 */
const fileOf = (uuid: string): string => join(RUN_FOLDER, `.${uuid}.gone`)

/** Best effort: without room in /run the `release` is as it would be without this. */
export function noteGivenBack(uuid: string): void {
  try {
    writeFileSync(fileOf(uuid), '', { mode: 0o600 })
  } catch {
    // A full /run.
  }
}

export const wasGivenBack = (uuid: string): boolean => existsSync(fileOf(uuid))

/** Its `release` has come, or another life of it begins. */
export function forgetGivenBack(uuid: string): void {
  try {
    rmSync(fileOf(uuid), { force: true })
  } catch {
    // A /run that cannot be written.
  }
}
