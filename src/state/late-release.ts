import { join } from 'node:path'
import { RUN_FOLDER } from '../system/paths.ts'
import { existsSync, rmSync, writeFileSync } from '../system/files.ts'

/**
 * Marks domains whose volumes the agent gives back before their own `release` has written anything. On a busy host the
 * Node of a `release` may start so late that the agent finds the domain gone first. That `release` then finds no
 * record. It must not take the domain for one that ran before lvguard was installed, and give back the volumes in its
 * XML: somebody else may have activated them, before or since (R4).
 */
const fileOf = (uuid: string): string => join(RUN_FOLDER, `.${uuid}.gone`)

/** Marks a domain, if it can: without room in /run there is no mark. Never throws. */
export function noteGivenBack(uuid: string): void {
  try {
    writeFileSync(fileOf(uuid), '', { mode: 0o600 })
  } catch {
    // A full /run.
  }
}

/** Whether the agent has given back the volumes of a domain before its own `release`. */
export const wasGivenBack = (uuid: string): boolean => existsSync(fileOf(uuid))

/** Removes the mark: the `release` of the domain has come, or another life of it begins. Never throws. */
export function forgetGivenBack(uuid: string): void {
  try {
    rmSync(fileOf(uuid), { force: true })
  } catch {
    // A /run that cannot be written.
  }
}
