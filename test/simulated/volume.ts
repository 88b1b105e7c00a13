/**
 * A logical volume of the model, and what LVM calls each kind of it. Pure data; the state of locks and devices is
 * elsewhere.
 */
export type Kind =
  | { readonly kind: 'linear' }
  | { readonly kind: 'striped' }
  | { readonly kind: 'raid1' }
  | { readonly kind: 'cache' }
  | { readonly kind: 'thin-pool' }
  | { readonly kind: 'thin'; readonly pool: string; readonly origin?: string }
  /** A copy-on-write snapshot, the "thick" one. */
  | { readonly kind: 'snapshot'; readonly origin: string }

export interface Volume {
  readonly vg: string
  readonly lv: string
  readonly uuid: string
  readonly kind: Kind
  /** Where its lease is in the lvmlock volume; undefined: no lock_args, so no lock of its own (FACTS 24, 27). */
  readonly leaseOffset: number | undefined
  /** Thin snapshots carry it: `lvchange -ay` without `--ignoreactivationskip` exits 0 and activates nothing. */
  readonly skipActivation: boolean
}

export interface VolumeGroup {
  readonly name: string
  readonly uuid: string
  /** UUID of the hidden volume with the leases; undefined for a VG without a lock manager. */
  readonly lvmlockUuid: string | undefined
  /** In the order of their creation: lvchange works in that order, whatever the order of its words (measured). */
  readonly volumes: Volume[]
}

export const fullName = ({ vg, lv }: Pick<Volume, 'vg' | 'lv'>): string => `${vg}/${lv}`

/** The name under /dev/mapper, where a dash of the name itself is doubled. */
export const mapperName = (vg: string, lv: string): string => `${vg.replaceAll('-', '--')}-${lv.replaceAll('-', '--')}`

/** `VG/LV`, `/dev/VG/LV` or `/dev/mapper/VG-LV` as lvm commands take it; a lone word is a VG. */
export function parseName(word: string): { readonly vg: string; readonly lv: string | undefined } {
  const mapped = word.startsWith('/dev/mapper/') ? word.slice('/dev/mapper/'.length) : undefined
  const path =
    mapped === undefined ? word.replace(/^\/dev\//, '') : mapped.replace(/(?<!-)-(?!-)/, '/').replaceAll('--', '-')
  const slash = path.indexOf('/')
  return slash < 0 ? { vg: path, lv: undefined } : { vg: path.slice(0, slash), lv: path.slice(slash + 1) }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** An LVM UUID (6-4-4-4-4-4-6 letters and digits) that depends on the seed only. */
export function uuidOf(seed: string): string {
  let state = 2_166_136_261
  for (const character of seed) state = Math.imul(state ^ character.charCodeAt(0), 16_777_619) >>> 0
  const group = (length: number): string =>
    Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return LETTERS.charAt((state >>> 8) % LETTERS.length)
    }).join('')
  return [6, 4, 4, 4, 4, 4, 6].map(group).join('-')
}
