import { type Mode, fullName, isValidName } from './volume.ts'

/** What an administrator can say of a disk or of volumes: lock it in this mode, or leave it alone. */
export type Policy = Mode | 'ignore'

/** Whether a word is one that a policy may have. */
export const isPolicy = (word: string): word is Policy => word === 'exclusive' || word === 'shared' || word === 'ignore'

/** The policy in a domain's `<metadata>`. */
export interface DomainPolicy {
  /** By `<target dev>`. */
  readonly modes: ReadonlyMap<string, Policy>
  /** What is wrong with it, each in half a sentence. */
  readonly errors: readonly string[]
}

/** Of a domain whose `<metadata>` has none. */
export const NO_POLICY: DomainPolicy = { modes: new Map(), errors: [] }

/** One entry of `policy` in lvguard.conf: `VG = MODE` or `VG/LV = MODE`. */
export interface VolumePolicy {
  readonly vg: string
  /** Undefined: all volumes of the VG. */
  readonly lv: string | undefined
  readonly policy: Policy
}

/** Reads one entry of lvguard.conf; undefined if it is none. */
export function parseVolumePolicy(entry: string): VolumePolicy | undefined {
  const [, vg = '', lv, policy = ''] = /^\s*([^\s/=]+)(?:\/([^\s/=]+))?\s*=\s*(\w+)\s*$/.exec(entry) ?? []
  return isValidName(vg) && (lv === undefined || isValidName(lv)) && isPolicy(policy) ? { vg, lv, policy } : undefined
}

/** What two entries of lvguard.conf contradict each other about, in half a sentence; undefined if none do. */
export function contradictionIn(entries: readonly string[]): string | undefined {
  const known = new Map<string, Policy>()
  for (const { vg, lv, policy } of entries.flatMap((entry) => parseVolumePolicy(entry) ?? [])) {
    const name = lv === undefined ? vg : fullName({ vg, lv })
    const other = known.get(name)
    if (other !== undefined && other !== policy) return `both ${other} and ${policy} for ${name}`
    known.set(name, policy)
  }
  return undefined
}

/**
 * What lvguard.conf says of a volume; an entry for the volume itself goes before one for its VG.
 * @param lv undefined: the name is none that an LV can have, so only the entry for the VG counts
 */
export function configuredPolicy(
  { vg, lv }: { readonly vg: string; readonly lv: string | undefined },
  entries: readonly string[],
): Policy | undefined {
  const own = entries.map(parseVolumePolicy).filter((entry) => entry?.vg === vg)
  return (own.find((entry) => entry?.lv === lv) ?? own.find((entry) => entry?.lv === undefined))?.policy
}
