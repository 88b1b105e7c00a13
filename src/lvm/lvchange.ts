import type { Address } from '../core/lock-state.ts'
import { type Mode, fullName } from '../core/volume.ts'

/**
 * The state to which an lvchange brings volumes: a mode, `inactive`, or `local` (active without a lock, for a VG that
 * has none).
 */
export type Target = Mode | 'local' | 'inactive'

const ACTIVATE: Readonly<Record<Target, string>> = { exclusive: 'ey', shared: 'sy', local: 'y', inactive: 'n' }

/**
 * The words of one lvchange for all volumes: sixteen in one command took a tenth of sixteen commands (FACTS 23).
 * `--yes` because it asks questions (FACTS 26); `--ignoreactivationskip` because thin snapshots carry that flag, and
 * without it lvchange exits 0 and activates nothing (lvmthin(7)).
 * @param volumes of one VG; by their names, or all by their UUIDs
 */
export function lvchangeArguments(target: Target, volumes: readonly Address[]): string[] {
  const uuids = volumes.flatMap((volume) => ('uuid' in volume ? [volume.uuid] : []))
  const select = uuids.length === 0 ? [] : ['--select', uuids.map((uuid) => `lv_uuid=${uuid}`).join(' || ')]
  const operands =
    uuids.length === 0
      ? volumes.flatMap((volume) => ('uuid' in volume ? [] : [fullName(volume)]))
      : [...new Set(volumes.map(({ vg }) => vg))]
  return [
    '--yes',
    '--activate',
    ACTIVATE[target],
    ...(target === 'inactive' ? [] : ['--ignoreactivationskip']),
    ...select,
    '--',
    ...operands,
  ]
}
