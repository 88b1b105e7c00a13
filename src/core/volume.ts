import { posix } from 'node:path'

/** How a volume has to be activated, and so locked, on the host that uses it. */
export type Mode = 'exclusive' | 'shared'

/** A logical volume by the names that LVM commands take. */
export interface VolumeName {
  readonly vg: string
  readonly lv: string
}

/** A volume that a domain uses, with the mode it needs and the sentence that says why. */
export interface WantedVolume extends VolumeName {
  readonly mode: Mode
  /**
   * The VM uses only a partition of it, by this name. The mapping of the partitions holds the volume open, and other
   * VMs may use other partitions.
   */
  readonly partition?: string
  /** The VM uses a device that stands on the volume, such as LUKS: that device holds the volume open. */
  readonly stack?: Stack
  /** e.g. `disk vda`, `disk hda, <readonly/>`. */
  readonly reason: string
}

/** A device on a volume, by the kernel's names. */
export interface Stack {
  /** The device right on the volume. */
  readonly holder: string
  /** Path of the device that the VM uses. */
  readonly top: string
  /** Where that device is an LV itself, of a guest's own VG: its VG. */
  readonly vg?: string
}

/** `VG/LV`, the form that LVM prints and takes. */
export const fullName = (volume: VolumeName): string => `${volume.vg}/${volume.lv}`

// lvm(8), VALID NAMES: a-z A-Z 0-9 + _ . - ; no hyphen at the start, not `.` or `..`.
const VALID_NAME = /^(?!-)(?!\.{1,2}$)[A-Za-z0-9+_.-]{1,127}$/

/**
 * Whether LVM accepts this as the name of a VG or an LV (lvm(8), VALID NAMES). No other name ever reaches a command.
 */
export const isValidName = (name: string): boolean => VALID_NAME.test(name)

/**
 * What a path in a domain's XML means to LVM.
 * - `volume`: names a logical volume, if there is a VG of that name;
 * - `impossible`: below a VG's folder, or like a device-mapper name of it, but no name that an LV can have;
 * - `other`: not a path of an LV.
 */
export type PathMeaning =
  | ({ readonly kind: 'volume' } & VolumeName)
  | { readonly kind: 'impossible'; readonly vg: string }
  | { readonly kind: 'other' }

const OTHER: PathMeaning = { kind: 'other' }

/**
 * Reads /dev/VG/LV and /dev/mapper/VG-LV (a hyphen inside a name is doubled there: FACTS 30 and dmsetup(8), mangling).
 * Says nothing about whether such a VG exists.
 */
export function meaningOfPath(path: string): PathMeaning {
  if (!path.startsWith('/')) return OTHER
  const [empty, dev, vg, lv, ...rest] = posix.normalize(path).split('/')
  if (empty !== '' || dev !== 'dev' || vg === undefined || lv === undefined) return OTHER
  if (vg === 'mapper') return rest.length === 0 ? meaningOfMapperName(lv) : OTHER
  if (!isValidName(vg)) return OTHER
  if (rest.length > 0 || !isValidName(lv)) return { kind: 'impossible', vg }
  return { kind: 'volume', vg, lv }
}

/**
 * Splits a device-mapper name at its single hyphens; a doubled one stands for a hyphen inside a name.
 * Three parts are a layer that LVM keeps for itself (VG-LV-real).
 */
export function meaningOfMapperName(name: string): PathMeaning {
  const parts = ['']
  for (const token of name.match(/--|-|[^-]+/g) ?? []) {
    if (token === '-') parts.push('')
    else parts.push((parts.pop() ?? '') + (token === '--' ? '-' : token))
  }
  const [vg, lv, layer] = parts
  if (vg === undefined || lv === undefined || !isValidName(vg)) return OTHER
  if (layer !== undefined || !isValidName(lv)) return { kind: 'impossible', vg }
  return { kind: 'volume', vg, lv }
}

/** The device-mapper name of an LV: `VG-LV` with the hyphens of both names doubled. */
export const mapperName = ({ vg, lv }: VolumeName): string => `${vg.replaceAll('-', '--')}-${lv.replaceAll('-', '--')}`

/** The device-mapper UUID of an LV (FACTS 30): `LVM-`, the VG's UUID and the LV's, both without dashes. */
export const mapperUuid = (vgUuid: string, lvUuid: string): string =>
  `LVM-${vgUuid.replaceAll('-', '')}${lvUuid.replaceAll('-', '')}`

/** A UUID of LVM with the dashes that it shows: 6-4-4-4-4-4-6. */
export const dashed = (uuid: string): string =>
  uuid.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7')
