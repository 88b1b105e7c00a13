import type { Configuration } from './configuration.ts'
import type { VolumeTable } from './lock-state.ts'
import { didYouMean } from './near.ts'
import { parseVolumePolicy } from './policy.ts'
import { fullName } from './volume.ts'

/** What this host has of what a configuration names. Undefined: not known, and then nothing is said of it. */
export interface HostNames {
  /** VGs with a lock manager whose locking is started here. */
  readonly lockspaces: ReadonlySet<string> | undefined
  /** What lvs says of the VGs that the configuration names. */
  readonly table: VolumeTable | undefined
  /** Of the folder of log_file. */
  readonly logFolder: 'there' | 'missing' | 'silent' | undefined
  /** Of fence_command. */
  readonly fenceProgram: 'there' | 'missing' | undefined
}

/** The VGs that a configuration names, each once. */
export const vgsNamedIn = ({ volumeGroups, policy }: Pick<Configuration, 'volumeGroups' | 'policy'>): string[] => [
  ...new Set([...volumeGroups, ...policy.flatMap((entry) => parseVolumePolicy(entry)?.vg ?? [])]),
]

/**
 * What does not fit this host in a configuration whose form is right, each in one sentence without its full stop. If
 * the name of a VG is mistyped, nobody locks that VG.
 */
export function findingsOf(
  configuration: Configuration,
  { lockspaces, table, logFolder, fenceProgram }: HostNames,
): string[] {
  const { volumeGroups, policy, logFile } = configuration
  const rows = [...(table?.volumes.values() ?? [])]
  const vgs = [...new Set([...(lockspaces ?? []), ...rows.map(({ vg }) => vg)])]
  const isMissing = (vg: string): boolean => table?.missingVgs.has(vg) === true && lockspaces?.has(vg) !== true
  const others = (used: readonly string[]): string[] => vgs.filter((vg) => !used.includes(vg))
  const ofGroups = volumeGroups.flatMap((vg) => {
    if (isMissing(vg))
      return [`volume_groups names ${vg}, which this host does not have${didYouMean(vg, others(volumeGroups))}`]
    const isLocal =
      lockspaces?.has(vg) !== true &&
      rows.some((row) => row.vg === vg) &&
      rows.every((row) => row.vg !== vg || row.lockType === 'none')
    return isLocal
      ? [
          `volume_groups names ${vg}, which has no lock manager: its volumes are not locked (vgs -o +vg_lock_type ${vg})`,
        ]
      : []
  })
  const leftOut =
    volumeGroups.length === 0
      ? []
      : [...(lockspaces ?? [])].filter((vg) => !volumeGroups.includes(vg)).map(leftOutWords)
  const ofPolicy = policy.flatMap((text) => {
    const entry = parseVolumePolicy(text)
    if (entry === undefined) return []
    const { vg, lv } = entry
    if (isMissing(vg))
      return [`policy '${text}' names the volume group ${vg}, which this host does not have${didYouMean(vg, vgs)}`]
    if (volumeGroups.length > 0 && !volumeGroups.includes(vg))
      return [`policy '${text}' counts for nothing: volume_groups leaves ${vg} out`]
    const isKnown = table !== undefined && !table.lockedOutVgs.has(vg)
    if (!isKnown || lv === undefined || table.volumes.has(fullName({ vg, lv }))) return []
    return [
      `policy '${text}' names ${vg}/${lv}, which does not exist${didYouMean(
        lv,
        rows.filter((row) => row.vg === vg).map((row) => row.lv),
      )}`,
    ]
  })
  const folder = logFile.replace(/\/[^/]*$/, '') || '/'
  const ofLog = {
    there: [],
    missing: [`log_file is in the folder ${folder}, which does not exist`],
    silent: [`log_file is in the folder ${folder}, which does not answer: nothing is logged`],
  }[logFolder ?? 'there']
  const ofFence =
    fenceProgram === 'missing'
      ? [`fence_command names ${configuration.fenceCommand[0]}, which this host does not have, or which is no program`]
      : []
  return [...ofGroups, ...leftOut, ...ofPolicy, ...ofLog, ...ofFence]
}

/** The warning about a VG with a lock manager that `volume_groups` does not name. */
export const leftOutWords = (vg: string): string =>
  `${vg} has a lock manager, and volume_groups in lvguard.conf leaves it out: VMs on it run without a lock`
