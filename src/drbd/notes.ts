import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from '../system/files.ts'
import { join } from 'node:path'
import type { Confirmation } from '../core/drbd.ts'
import { CONFIRM_OFF_FOLDER, RUN_FOLDER } from '../paths.ts'
import { makeRunFolder } from '../record-store.ts'

/** One file for each resource and peer, so that they can be removed by hand, too. */
const fileOf = ({ resource, peer }: Pick<Confirmation, 'resource' | 'peer'>): string => join(CONFIRM_OFF_FOLDER, `${encodeURIComponent(resource)}+${encodeURIComponent(peer)}.json`)

/** What persons have confirmed on this host. Never throws: what cannot be read or understood is no confirmation. */
export function readConfirmations(): Confirmation[] {
  let names: string[]
  try {
    names = readdirSync(CONFIRM_OFF_FOLDER)
  } catch {
    return []
  }
  return names.filter((name) => name.endsWith('.json')).flatMap((name) => {
    try {
      const read = JSON.parse(readFileSync(join(CONFIRM_OFF_FOLDER, name), 'utf8')) as Confirmation
      const isWhole = read.format === 1 && [read.resource, read.peer, read.host, read.at].every((each) => typeof each === 'string') && fileOf(read) === join(CONFIRM_OFF_FOLDER, name)
      return isWhole ? [read] : []
    } catch {
      return []
    }
  })
}

/** Puts one down, in one rename. @throws what the file system throws */
export function writeConfirmation(confirmation: Confirmation): void {
  mkdirSync(CONFIRM_OFF_FOLDER, { recursive: true, mode: 0o700 })
  writeWhole(fileOf(confirmation), `${JSON.stringify(confirmation)}\n`)
}

/** Removes those that hold no longer. Never throws: whoever finds one that is left sees for itself that it does not hold while the peer is seen. */
export function dropConfirmations(over: readonly Confirmation[]): void {
  for (const confirmation of over) {
    try {
      rmSync(fileOf(confirmation), { force: true })
    } catch {
      // The next look tries again.
    }
  }
}

/** Kept by the agent: since when it does not see a peer, ISO 8601, by `RESOURCE PEER`. For messages only. */
const UNSEEN_FILE = join(RUN_FOLDER, 'drbd')

/** Never throws: what cannot be read is not known. */
export function readUnseen(): Map<string, string> {
  try {
    const read = JSON.parse(readFileSync(UNSEEN_FILE, 'utf8')) as Record<string, unknown>
    return new Map(Object.entries(read).flatMap(([peer, since]) => (typeof since === 'string' ? [[peer, since]] : [])))
  } catch {
    return new Map()
  }
}

/** @throws what the file system throws */
export function writeUnseen(unseen: ReadonlyMap<string, string>): void {
  if (unseen.size === 0) {
    rmSync(UNSEEN_FILE, { force: true })
    return
  }
  makeRunFolder()
  writeWhole(UNSEEN_FILE, `${JSON.stringify(Object.fromEntries(unseen))}\n`)
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
