import { type Mode, type VolumeName, fullName } from '../core/volume.ts'

/** To what an lvchange brings volumes: a mode, `inactive`, or `local` (active without a lock, for a VG that has none). */
export type Target = Mode | 'local' | 'inactive'

const ACTIVATE: Readonly<Record<Target, string>> = { exclusive: 'ey', shared: 'sy', local: 'y', inactive: 'n' }

/**
 * The words of one lvchange for all volumes: sixteen in one command took a tenth of sixteen commands (FACTS 23).
 * `--yes` because it asks questions (FACTS 26); `--ignoreactivationskip` because thin snapshots carry that flag, and without it
 * lvchange exits 0 and activates nothing (lvmthin(7)).
 */
export const lvchangeArguments = (target: Target, volumes: readonly VolumeName[]): string[] => [
  '--yes', '--activate', ACTIVATE[target], ...(target === 'inactive' ? [] : ['--ignoreactivationskip']), '--', ...volumes.map(fullName),
]
