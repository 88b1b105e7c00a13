import { posix } from 'node:path'
import type { Configuration } from '../core/configuration.ts'
import { findingsOf, vgsNamedIn } from '../core/findings.ts'
import { lockState, vgTable } from '../lvm/lvm.ts'
import { query } from '../system/run.ts'
import { onHost } from '../system/paths.ts'
import { self } from '../system/self.ts'
import { within } from '../system/within.ts'

/** Whether this user may read records, leases and device-mapper: root, or a test (LVGUARD_ROOT). */
export const mayLook = (): boolean => self().uid() === 0 || onHost('') !== ''

/** Milliseconds within which a folder has to answer. */
const FOLDER_LIMIT = 10_000

/**
 * What of a configuration does not fit this host (core/findings.ts). Asks LVM, and takes no lock. What LVM cannot tell
 * is left out.
 */
export const findingsOn = async (configuration: Configuration): Promise<readonly string[]> =>
  (await fitOf(configuration)).findings

/**
 * The same, and which names in it could not be looked up (`unseen`): one sentence without its full stop, undefined if
 * all could.
 */
export async function fitOf(
  configuration: Configuration,
): Promise<{ readonly findings: readonly string[]; readonly unseen: string | undefined }> {
  const vgs = vgsNamedIn(configuration)
  const [locks, table, logFolder, fenceProgram] = await Promise.all([
    mayLook() && vgs.length > 0 ? lockState() : undefined,
    mayLook() && vgs.length > 0 ? vgTable(vgs) : undefined,
    logFolderOf(configuration),
    fenceProgramOf(configuration),
  ])
  const why = mayLook() ? 'lvs gives no answer, or is not installed' : 'only root can look'
  return {
    findings: findingsOf(configuration, {
      lockspaces: locks?.kind === 'known' ? new Set(locks.lockspaces.keys()) : undefined,
      table,
      logFolder,
      fenceProgram,
    }),
    unseen:
      vgs.length > 0 && table === undefined
        ? `whether this host has ${vgs.join(', ')} cannot be told: ${why}`
        : undefined,
  }
}

/** A child looks: if the folder is on storage that does not answer, the child waits, and not this program. */
async function logFolderOf({ logFile }: Configuration): Promise<'there' | 'missing' | 'silent' | undefined> {
  if (logFile === '') return undefined
  const looked = await within(FOLDER_LIMIT, query('test', ['-d', onHost(posix.dirname(logFile))]))
  if (looked === undefined) return 'silent'
  return looked.exitCode === 0 ? 'there' : looked.exitCode === 1 ? 'missing' : undefined
}

async function fenceProgramOf({ fenceCommand: [program] }: Configuration): Promise<'there' | 'missing' | undefined> {
  if (program === undefined) return undefined
  const looked = await within(FOLDER_LIMIT, query('test', ['-x', program]))
  return looked?.exitCode === 0 ? 'there' : looked?.exitCode === 1 ? 'missing' : undefined
}
