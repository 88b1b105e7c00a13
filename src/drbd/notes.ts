import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from '../system/files.ts'
import { join } from 'node:path'
import type { Confirmation } from '../core/drbd.ts'
import type { FenceAnswer } from '../core/fence.ts'
import { outlive, query } from '../system/run.ts'
import { CONFIRM_OFF_FOLDER, RUN_FOLDER } from '../system/paths.ts'
import { textOf } from '../system/quiet-files.ts'
import { makeRunFolder } from '../state/record-store.ts'
import { within } from '../system/within.ts'

/** One file for each resource and peer: a person can remove one of them, too. */
const fileOf = ({ resource, peer }: Pick<Confirmation, 'resource' | 'peer'>): string =>
  join(CONFIRM_OFF_FOLDER, `${encodeURIComponent(resource)}+${encodeURIComponent(peer)}.json`)

/** What was confirmed on this host. Never throws: what cannot be read or understood is no confirmation. */
export function readConfirmations(): Confirmation[] {
  let names: string[]
  try {
    names = readdirSync(CONFIRM_OFF_FOLDER)
  } catch {
    return []
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const read = parseConfirmation(textOf(join(CONFIRM_OFF_FOLDER, name)) ?? '')
      return read !== undefined && fileOf(read) === join(CONFIRM_OFF_FOLDER, name) ? [read] : []
    })
}

function parseConfirmation(text: string): Confirmation | undefined {
  try {
    const read = JSON.parse(text) as Confirmation
    const isWhole =
      read.format === 1 &&
      [read.resource, read.peer, read.host, read.at].every((each) => typeof each === 'string') &&
      (read.by === undefined || read.by === 'fence')
    return isWhole ? read : undefined
  } catch {
    return undefined
  }
}

/** Milliseconds for a look into /var, if the caller has to answer in time. */
const LOOK_LIMIT = 2000

/**
 * The same for a caller that cannot wait for /var: a child looks. If the child does not end in time, there are none.
 * Each file is one line.
 */
export async function confirmationsInTime(): Promise<Confirmation[]> {
  const looked = await within(
    LOOK_LIMIT,
    query('/bin/sh', ['-c', 'exec cat -- "$0"/*.json', CONFIRM_OFF_FOLDER], LOOK_LIMIT),
  )
  return (looked?.stdout ?? '').split('\n').flatMap((line) => parseConfirmation(line) ?? [])
}

/** Puts one down, in one rename. @throws what the file system throws */
export function writeConfirmation(confirmation: Confirmation): void {
  mkdirSync(CONFIRM_OFF_FOLDER, { recursive: true, mode: 0o700 })
  writeWhole(fileOf(confirmation), `${JSON.stringify(confirmation)}\n`)
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's.
const WRITER = 'umask 077; mkdir -p "${0%/*}" && printf "%s\\n" "$1" > "$0.new" && exec mv -f "$0.new" "$0"'

/**
 * The same, by a child that is not waited for: /var may be on storage that does not answer, and the caller has to
 * answer in time.
 */
export const writeConfirmationLater = (confirmation: Confirmation): void =>
  void outlive('/bin/sh', ['-c', WRITER, fileOf(confirmation), JSON.stringify(confirmation)])

/** In /run/lvguard; no VG can have a name with a colon in it. */
const answerFile = (host: string): string => join(RUN_FOLDER, `fence:${host}`)

/**
 * What the last call of the fence-peer handler has answered for a host. Never throws: what cannot be read is no answer.
 */
export function readFenceAnswer(host: string): FenceAnswer | undefined {
  try {
    const read = JSON.parse(textOf(answerFile(host)) ?? 'null') as FenceAnswer | null
    const isWhole =
      read !== null &&
      [read.host, read.resource, read.peer].every((each) => typeof each === 'string') &&
      typeof read.at === 'number'
    return isWhole ? read : undefined
  } catch {
    return undefined
  }
}

/** Keeps the answer of this call for the next ones. @throws what the file system throws */
export function writeFenceAnswer(answer: FenceAnswer): void {
  makeRunFolder()
  writeWhole(answerFile(answer.host), `${JSON.stringify(answer)}\n`)
}

/**
 * Removes confirmations that hold no longer. Never throws. If one is left, it does no harm: a reader sees by itself
 * that it does not hold while the peer is seen.
 */
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

/** Reads it. Never throws: what cannot be read is not known. */
export function readUnseen(): Map<string, string> {
  try {
    const read = JSON.parse(readFileSync(UNSEEN_FILE, 'utf8')) as Record<string, unknown>
    return new Map(Object.entries(read).flatMap(([peer, since]) => (typeof since === 'string' ? [[peer, since]] : [])))
  } catch {
    return new Map()
  }
}

/** Writes it. @throws what the file system throws */
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
