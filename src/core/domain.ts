import type { Configuration } from './configuration.ts'
import type { WantedVolume } from './volume.ts'
import { fullName, meaningOfPath } from './volume.ts'

/** One `<disk>` of a domain's XML, with what decides about its lock. */
export interface Disk {
  /** `<target dev>`, such as `vda`; what a message calls the disk. */
  readonly target: string
  /** The path of its `<source>`: `dev` of type block, `file` of type file; absent for an empty drive and other types. */
  readonly path: string | undefined
  readonly readonly: boolean
  readonly shareable: boolean
}

/** A VM as libvirt describes it to a hook. */
export interface Domain {
  readonly name: string
  /** Lower case, checked: 8-4-4-4-12 hexadecimal digits. It names the record's file. */
  readonly uuid: string
  readonly disks: readonly Disk[]
  /** The id of our `<incoming>` element in `<metadata>` (DESIGN 4), if there is exactly one. */
  readonly incomingId: string | undefined
  /**
   * Whether libvirt had given its devices an `<alias>`: it does so after `prepare`, so that the XML of a domain whose
   * `prepare` was refused has none (measured on libvirt 9.0 and 11.3; captures/hook-stdin-refused). Nor has that of one that failed
   * soon after (an AppArmor profile that cannot be loaded, 11.3), but that one has a record.
   */
  readonly gotPastPrepare: boolean
}

/** What the paths of a domain's disks come to, before anything is known of the VGs. */
export interface Candidates {
  readonly volumes: readonly (WantedVolume & { readonly path: string })[]
  /** Paths that would be inside a VG if there were one of that name, but that no LV can have. */
  readonly impossible: readonly { readonly vg: string; readonly path: string; readonly disk: string }[]
}

/**
 * The volumes that a domain's disks may be, in the VGs that are managed (all, unless the configuration lists them). A volume that two disks name is wanted once, exclusively if either wants it so.
 */
export function candidatesOf(domain: Domain, { volumeGroups }: Pick<Configuration, 'volumeGroups'>): Candidates {
  const isExcluded = (vg: string): boolean => volumeGroups.length > 0 && !volumeGroups.includes(vg)
  const volumes = new Map<string, WantedVolume & { readonly path: string }>()
  const impossible: { vg: string; path: string; disk: string }[] = []
  for (const { target, path, readonly, shareable } of domain.disks) {
    if (path === undefined) continue
    const meaning = meaningOfPath(path)
    if (meaning.kind !== 'other' && isExcluded(meaning.vg)) continue
    if (meaning.kind === 'impossible') impossible.push({ vg: meaning.vg, path, disk: `disk ${target}` })
    if (meaning.kind !== 'volume') continue
    const { vg, lv } = meaning
    const element = readonly ? ', <readonly/>' : shareable ? ', <shareable/>' : ''
    const wanted: WantedVolume = { vg, lv, mode: element === '' ? 'exclusive' : 'shared', reason: `disk ${target}${element}` }
    const known = volumes.get(fullName(wanted))
    if (known === undefined || (known.mode === 'shared' && wanted.mode === 'exclusive')) volumes.set(fullName(wanted), { ...wanted, path })
  }
  return { volumes: [...volumes.values()], impossible }
}
