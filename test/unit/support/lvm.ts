import type { Device, LockTable, LogicalVolume, VolumeTable } from '../../../src/core/lock-state.ts'
import type { DomainRecord, RecordState, RecordedVolume, Records } from '../../../src/core/record.ts'
import { type Mode, type VolumeName, fullName, mapperUuid } from '../../../src/core/volume.ts'

/** 38 characters like a UUID of LVM's, the same for the same seed. */
export function lvmUuid(seed: string): string {
  const digits = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
  let state = [...seed].reduce((hash, letter) => (Math.imul(hash, 31) + (letter.codePointAt(0) ?? 0)) >>> 0, 7)
  const letters = Array.from({ length: 32 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return digits[(state >>> 8) % digits.length]
  }).join('')
  return [0, 6, 10, 14, 18, 22, 26].map((start, part, starts) => letters.slice(start, starts[part + 1] ?? 32)).join('-')
}

/** What lvs says of a plain LV of a shared VG. */
export const logicalVolume = (name: VolumeName, changed: Partial<LogicalVolume> = {}): LogicalVolume => {
  const uuid = lvmUuid(fullName(name))
  return {
    ...name,
    uuid,
    vgUuid: lvmUuid(name.vg),
    lockType: 'sanlock',
    lockUuid: uuid,
    layout: 'linear',
    shareable: true,
    leaseOffset: 70_254_592,
    ...changed,
  }
}

export const volumeTable = (volumes: readonly LogicalVolume[], changed: Partial<VolumeTable> = {}): VolumeTable => ({
  volumes: new Map(volumes.map((volume) => [fullName(volume), volume])),
  missingVgs: new Set(),
  lockedOutVgs: new Set(),
  unexplained: new Map(),
  ...changed,
})

export const deviceOf = (volume: LogicalVolume, node = 'dm-1'): Device => ({
  vg: volume.vg,
  lv: volume.lv,
  node,
  dmUuid: mapperUuid(volume.vgUuid, volume.uuid),
})

export const lockTable = (
  locks: readonly (readonly [volume: LogicalVolume, mode: Mode])[] = [],
  lockspaces: readonly string[] = ['virtVG'],
): LockTable => ({
  kind: 'known',
  lockspaces: new Map(lockspaces.map((vg) => [vg, 'sanlock'])),
  locks: new Map(locks.map(([volume, mode]) => [volume.lockUuid, mode])),
})

export const recorded = (name: VolumeName, changed: Partial<RecordedVolume> = {}): RecordedVolume => ({
  vg: name.vg,
  lv: name.lv,
  role: 'exclusive',
  mode: 'exclusive',
  before: 'inactive',
  ...changed,
})

/** 00000000-0000-4000-8000-00000000000N */
export const uuidOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`

export const recordOf = (
  number: number,
  state: RecordState,
  volumes: readonly RecordedVolume[],
  changed: Partial<DomainRecord> = {},
): DomainRecord => ({ format: 1, domain: { name: `vm${number}`, uuid: uuidOf(number) }, state, volumes, ...changed })

export const records = (...known: DomainRecord[]): Records => ({ known, unreadable: [] })
