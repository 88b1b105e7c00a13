import type { Configuration } from './configuration.ts'
import type { Candidates } from './domain.ts'
import { type LockState, NO_VOLUMES, type VolumeTable } from './lock-state.ts'
import { type Problem, problemOfAbsent } from './problem.ts'
import { type VolumeName, type WantedVolume, fullName } from './volume.ts'

/** A volume that this host has to activate for a domain. */
export type ManagedVolume = Omit<WantedVolume, 'mode'> & {
  readonly role: WantedVolume['mode']
  /** In a VG without a lock manager: activated without a lock. */
  readonly isLocal: boolean
}

/** Which of a domain's paths are volumes that lvguard manages, and what is wrong with the others. */
export interface Scope {
  readonly volumes: readonly ManagedVolume[]
  readonly problems: readonly Problem[]
}

/** Names of the VGs that a domain's paths speak of. */
export const vgsOf = (candidates: Candidates): string[] =>
  [...new Set([...candidates.volumes, ...candidates.impossible, ...candidates.standIns].map(({ vg }) => vg))].sort()

/**
 * Whether lvmlockctl alone tells which paths are managed. It does if every VG has a lockspace here. If not, a VG is
 * local, missing, or not started, and lvs has to say which. lvs also has to say whether a volume is there that the
 * domain can do without.
 */
export function lockspacesTellAll(candidates: Candidates, locks: LockState): boolean {
  return (
    !candidates.volumes.some(({ optional }) => optional) &&
    vgsOf(candidates).every((vg) => locks.kind === 'known' && locks.lockspaces.has(vg))
  )
}

/**
 * Sorts a domain's paths.
 * @param table answers of lvs; may be left out only where lockspacesTellAll
 * @param exists whether a path is there, for paths that no VG accounts for
 * @param isActive whether device-mapper has a device of LVM's for a volume, for VGs that lvs does not see
 */
export function scopeOf(
  candidates: Candidates,
  locks: LockState,
  table: VolumeTable | undefined,
  configuration: Configuration,
  exists: (path: string) => boolean,
  isActive: (volume: VolumeName) => boolean = () => false,
): Scope {
  const problems: Problem[] = [...candidates.problems]
  const volumes: ManagedVolume[] = []
  const known = (vg: string): boolean => locks.kind === 'known' && locks.lockspaces.has(vg)
  const lockTypes = new Map([...(table?.volumes.values() ?? [])].map(({ vg, lockType }) => [vg, lockType]))

  for (const { vg, path, disk } of candidates.impossible) {
    if (known(vg) || configuration.volumeGroups.includes(vg)) problems.push({ kind: 'impossible-name', path, disk })
  }
  for (const { is, path, disk, ...volume } of candidates.standIns) {
    const { vg } = volume
    const lockType = table?.volumes.get(fullName(volume))?.lockType
    const isManaged =
      known(vg) || configuration.volumeGroups.includes(vg) || lockTypes.has(vg) || table?.missingVgs.has(vg) !== true
    if (isManaged && (lockType !== 'none' || configuration.localVolumeGroups === 'activate'))
      problems.push({ kind: 'no-device', path, is, disk })
  }
  for (const { path, mode, optional, isElement, unknownUse, ...volume } of candidates.volumes) {
    const { vg } = volume
    // A VG with a lock manager locks what stands on this volume itself. A guest's VG has no locks.
    const guestVg = volume.stack?.vg
    if (guestVg !== undefined && (known(guestVg) || lockTypes.get(vg) === 'none')) continue
    if (
      unknownUse !== undefined &&
      (known(vg) || (table?.missingVgs.has(vg) === false && lockTypes.get(vg) !== 'none'))
    ) {
      problems.push({ kind: 'unknown-use', path, element: unknownUse })
      continue
    }
    // A filter or a devices file hides its VG from LVM: nobody could lock it.
    if (!known(vg) && table?.missingVgs.has(vg) === true && isActive(volume)) {
      problems.push({ kind: 'unseen-vg', volume: fullName(volume), disk: volume.reason })
      continue
    }
    const isMissing = table !== undefined && !table.volumes.has(fullName(volume))
    if (
      isMissing &&
      optional === true &&
      !table.unexplained.has(fullName(volume)) &&
      (known(vg) || table.missingVgs.has(vg))
    )
      continue
    if (known(vg)) {
      volumes.push({ ...volume, role: mode, isLocal: false })
      if (isMissing) problems.push(problemOfAbsent(volume, table, volume.reason))
      continue
    }
    const lockType = lockTypes.get(vg)
    if (lockType === 'none') {
      if (configuration.localVolumeGroups === 'activate') volumes.push({ ...volume, role: mode, isLocal: true })
    } else if (lockType !== undefined) {
      problems.push(locks.kind === 'unknown' ? problemOfUnknown(locks.why, locks.detail) : { kind: 'not-started', vg })
    } else if (table?.lockedOutVgs.has(vg) === true) {
      problems.push({ kind: 'lvmlockd-off', vg })
    } else if (table?.missingVgs.has(vg) === true) {
      // A path that is no LV is left alone. One that is not there at all may be an LV whose storage is not connected.
      if (configuration.volumeGroups.includes(vg) || (isElement !== true && !exists(path)))
        problems.push({ kind: 'missing-vg', vg, disk: volume.reason })
    } else {
      problems.push(problemOfAbsent(volume, table ?? NO_VOLUMES, volume.reason))
    }
  }
  return { volumes, problems }
}

const problemOfUnknown = (why: 'down' | 'absent' | 'failed', detail: string): Problem =>
  why === 'down'
    ? { kind: 'lvmlockd-down' }
    : why === 'absent'
      ? { kind: 'not-installed', command: 'lvmlockctl', packages: 'lvm2-lockd' }
      : { kind: 'locks-unknown', detail }

/** Nothing that lvguard manages, and nothing wrong. */
export const isEmpty = ({ volumes, problems }: Scope): boolean => volumes.length === 0 && problems.length === 0
