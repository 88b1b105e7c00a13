import type { LogicalVolume, VolumeTable } from '../core/lock-state.ts'
import { type VolumeName, fullName, isValidName } from '../core/volume.ts'
import { inKnownForm } from './words.ts'

const FIELDS = [
  'vg_name',
  'lv_name',
  'lv_uuid',
  'vg_uuid',
  'vg_lock_type',
  'lv_layout',
  'lv_role',
  'lv_lockargs',
  'pool_lv',
  'pool_lv_uuid',
  'origin_uuid',
] as const
type Row = Readonly<Record<(typeof FIELDS)[number], string>>

/** `--nolocking`: never waits for a lock, not even the VG's (`lvs` blocked 20 s behind a contended one: FACTS 35). */
export const lvsArguments = (volumes: readonly VolumeName[]): string[] =>
  inKnownForm(['--nolocking', '--reportformat', 'json', '-o', FIELDS.join(','), '--', ...volumes.map(fullName)])

/** The same of all LVs of these VGs. */
export const lvsOfVgsArguments = (vgs: readonly string[]): string[] =>
  inKnownForm(['--nolocking', '--reportformat', 'json', '-o', FIELDS.join(','), '--', ...vgs])

/**
 * The same of all LVs with one of these UUIDs, whatever VG they are in. The UUIDs must be LVM's: letters, digits and
 * dashes.
 */
export const lvsByUuidArguments = (uuids: readonly string[]): string[] =>
  inKnownForm([
    '--nolocking',
    '--reportformat',
    'json',
    '-o',
    FIELDS.join(','),
    '--select',
    uuids.map((uuid) => `lv_uuid=${uuid}`).join(' || '),
  ])

/**
 * Reads what lvs answered. If one of several names is missing, lvs exits with 5, and still reports the others.
 * @param asked the volumes that were named; the answer must say something about each
 * @throws SyntaxError if stdout is not the report that lvs was told to print; also if a part of it is missing, or a
 *   column of a row (R15)
 */
export function parseLvs(stdout: string, stderr: string, asked: readonly VolumeName[] = []): VolumeTable {
  const rows = rowsOf(JSON.parse(stdout)).map(volumeOf)
  const volumes = new Map(rows.map((row) => [fullName(row), row]))
  const missingVgs = namesIn(stderr, /Volume group "([^"]+)" not found/g)
  const lockedOutVgs = namesIn(stderr, /Cannot access VG (\S+) with lock type \S+ that requires lvmlockd/g)
  const missing = namesIn(stderr, /Failed to find logical volume "([^"]+)"/g)
  const isExplained = (volume: VolumeName): boolean =>
    volumes.has(fullName(volume)) ||
    missing.has(fullName(volume)) ||
    missingVgs.has(volume.vg) ||
    lockedOutVgs.has(volume.vg)
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^WARNING: /.test(line))
  const why = ({ vg }: VolumeName): string => {
    const said = lines.find((line) => line.includes(vg)) ?? lines[0]
    return said === undefined ? 'lvs says nothing of it' : `LVM says '${said}'`
  }
  return {
    volumes,
    missingVgs,
    lockedOutVgs,
    unexplained: new Map(
      asked.filter((volume) => !isExplained(volume)).map((volume) => [fullName(volume), why(volume)]),
    ),
  }
}

const namesIn = (stderr: string, pattern: RegExp): Set<string> =>
  new Set([...stderr.matchAll(pattern)].map(([, vg]) => vg ?? ''))

const listIn = (value: unknown, name: string): readonly unknown[] => {
  const list = property(value, name)
  if (!Array.isArray(list)) throw new SyntaxError(`lvs reports no '${name}'`)
  return list
}

function rowsOf(report: unknown): readonly Row[] {
  return listIn(report, 'report')
    .flatMap((part) => listIn(part, 'lv'))
    .map((row) => {
      if (!isRow(row)) throw new SyntaxError('lvs reports a volume without all of its columns')
      return row
    })
}

const property = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
const isRow = (value: unknown): value is Row => FIELDS.every((field) => typeof property(value, field) === 'string')

// lvmlockd.c of lvm2 2.03: thin, cache, RAID, mirror, VDO, writecache and COW snapshots are refused sh (FACTS 27,
// DESIGN 5).
const SHAREABLE_LAYOUTS = new Set(['linear', 'striped'])

function volumeOf(row: Row): LogicalVolume {
  const roles = row.lv_role.split(',')
  const layouts = row.lv_layout.split(',')
  // A cached LV names its cache pool there, but has a lock of its own.
  const isInPool = layouts.includes('thin') || layouts.includes('vdo')
  const isCowSnapshot = roles.includes('thicksnapshot')
  // lvm2 2.03.31 refuses to share it, 2.03.16 does not (FACTS 37a). But each host would have the snapshot's exceptions
  // in its own memory, and miss those of the other host.
  const isCowOrigin = roles.includes('thickorigin')
  // lvs prints the name of a hidden LV in brackets.
  const poolName = row.pool_lv.replace(/^\[(.*)\]$/, '$1')
  const hasPool = isInPool && row.pool_lv_uuid !== ''
  const offset = /^[\d.]+:(\d+)$/.exec(row.lv_lockargs)?.[1]
  return {
    vg: row.vg_name,
    lv: row.lv_name,
    uuid: row.lv_uuid,
    vgUuid: row.vg_uuid,
    lockType: row.vg_lock_type === '' ? 'none' : row.vg_lock_type,
    lockUuid: hasPool ? row.pool_lv_uuid : isCowSnapshot && row.origin_uuid !== '' ? row.origin_uuid : row.lv_uuid,
    layout: isCowSnapshot ? 'snapshot' : isCowOrigin ? `${row.lv_layout}, with a snapshot` : row.lv_layout,
    shareable: layouts.every((layout) => SHAREABLE_LAYOUTS.has(layout)) && !isCowSnapshot && !isCowOrigin,
    ...(hasPool && isValidName(poolName) && { pool: poolName }),
    leaseOffset: offset === undefined ? undefined : Number(offset),
  }
}
