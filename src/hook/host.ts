import type { Configuration } from '../core/configuration.ts'
import { type Candidates, type Domain, candidatesOf } from '../core/domain.ts'
import type { LockState, VolumeTable } from '../core/lock-state.ts'
import type { Records } from '../core/record.ts'
import { type ManagedVolume, type Scope, isSettledByLockspaces, scopeOf, vgsOf } from '../core/scope.ts'
import type { HostFacts } from '../core/start.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, openVolumes, volumeTable } from '../lvm/lvm.ts'
import { existsSync } from 'node:fs'
import { onHost } from '../paths.ts'
import { readRecords } from '../record-store.ts'

/** What a domain's event is about: its volumes, with the questions to LVM that were asked on the way. */
export interface Subject {
  readonly domain: Domain
  readonly candidates: Candidates
  readonly scope: Scope
  /** Answers of lvs: running since the names were known, so that it costs no time beside lvchange. */
  readonly table: Promise<VolumeTable | undefined>
}

/**
 * Finds a domain's volumes. Asks lvmlockctl first, and waits for lvs only where a VG has no lockspace here.
 * @param locks a question to lvmlockctl that may have been asked before the XML was read
 */
export async function subjectOf(domain: Domain, configuration: Configuration, locks: Promise<LockState>): Promise<Subject> {
  const candidates = candidatesOf(domain)
  if (vgsOf(candidates).length === 0) return { domain, candidates, scope: { volumes: [], problems: [] }, table: volumeTable([]) }
  const table = volumeTable(candidates.volumes)
  const known = await locks
  const answers = isSettledByLockspaces(candidates, known, configuration) ? undefined : await table
  const scope = scopeOf(candidates, known, answers, configuration, (path) => existsSync(onHost(path)))
  // Nothing can be told apart without lvs: R9.
  if (answers === undefined && !isSettledByLockspaces(candidates, known, configuration)) {
    return { domain, candidates, scope: { ...scope, problems: [{ kind: 'locks-unknown', detail: 'lvs does not answer' }] }, table }
  }
  return { domain, candidates, scope, table }
}

/** The second look (R11): what is true on this host, read while the locks of its VGs are held. */
export async function lookAround(volumes: readonly ManagedVolume[], records: Records = readRecords()): Promise<HostFacts> {
  const devices = activeVolumes()
  const [locks, users] = await Promise.all([lockState(), openVolumes(volumes, devices)])
  return { locks, devices, records, users }
}
