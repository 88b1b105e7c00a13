import type { Configuration } from './configuration.ts'
import type { DomainName } from './domain-name.ts'
import { type DomainPolicy, NO_POLICY, type Policy, configuredPolicy } from './policy.ts'
import type { Problem } from './problem.ts'
import { didYouMean } from './near.ts'
import type { PathMeaning, Stack, VolumeName, WantedVolume } from './volume.ts'
import { meaningOfPath } from './volume.ts'

/**
 * Which part of a disk a source is, where it is not the disk itself. `element`: no disk at all, but `<nvram>` and the
 * like. `commit target`: a backing file that a block job writes to. `backup`: what a backup job writes.
 */
export type DiskPart = 'backing file' | 'commit target' | 'data file' | 'mirror' | 'backup' | 'element'

/** One source in a domain's XML that can be a volume, with what decides about its lock. */
export interface Disk {
  /** `<target dev>`, such as `vda`; of an element that is no disk its own name. What a message and a policy call it. */
  readonly target: string
  /** Absent for the disk itself. */
  readonly part?: DiskPart
  /**
   * The path of its `<source>`: `dev` of type block, `file` of type file; absent for an empty drive and other types.
   */
  readonly path: string | undefined
  /** Of type volume: a volume of a storage pool, by their names. */
  readonly pool?: { readonly name: string; readonly volume: string }
  readonly readonly: boolean
  readonly shareable: boolean
  /**
   * If it is not there, libvirt decides: it goes on without it, or refuses the start itself (`startupPolicy` optional,
   * requisite).
   */
  readonly optional?: boolean
  /** A qcow2 image whose backing file only its own header names. */
  readonly image?: boolean
  /**
   * Named by a part of the XML that this program does not know. What the VM does with the source is not known, so only
   * a policy can say how it is to be locked.
   */
  readonly unknown?: boolean
  /** Where in its source it starts, in bytes (`<slice type='storage'>`); absent for 0. */
  readonly offset?: number
}

/** A VM as libvirt describes it to a hook. */
export interface Domain extends DomainName {
  readonly disks: readonly Disk[]
  /** What its `<metadata>` says about its disks' locks. */
  readonly policy?: DomainPolicy
  /** The id of our `<incoming>` element in `<metadata>` (DESIGN 4), if there is exactly one. */
  readonly incomingId: string | undefined
  /**
   * Whether libvirt had given its devices an `<alias>`: it does so after `prepare`, so that the XML of a domain whose
   * `prepare` was refused has none (measured on libvirt 9.0 and 11.3; captures/hook-stdin-refused). Nor has that of one
   * that failed soon after (an AppArmor profile that cannot be loaded, 11.3), but that one has a record.
   */
  readonly gotPastPrepare: boolean
}

/** A volume that a disk may be, by its names. */
export type Candidate = WantedVolume & {
  readonly path: string
  readonly optional?: boolean
  /** Only a backup job writes it (RecordedVolume.job). */
  readonly job?: true
  /**
   * Named by an element that is no disk. Its path may be one like /dev/dri/renderD128: it is a volume only if there is
   * a VG of that name.
   */
  readonly isElement?: boolean
  /** If its VG is managed, this is wrong with it. */
  readonly unknownUse?: string
}

/** A qcow2 image on a volume: its header, which can be read while the volume is active, names a backing file. */
export interface Image extends WantedVolume {
  /**
   * As the XML, or the image above, has it. A relative name in the header is looked for beside it, not beside what a
   * link there leads to (libvirt, virStorageSourceNewFromBackingRelative; measured on 9.0 and 11.3).
   */
  readonly path: string
  readonly target: string
  /** Of the disk; absent where it is the disk itself. */
  readonly part?: DiskPart
  readonly offset?: number
}

/** The part that the external data file of an image is: it is locked as its image. */
export const dataPartOf = ({ part }: Pick<Disk, 'part'>): DiskPart => part ?? 'data file'

/** What stands where a volume's device should. */
export interface StandIn {
  readonly vg: string
  readonly lv: string
  readonly path: string
  /** `a regular file`, `a folder`, … */
  readonly is: string
  readonly disk: string
}

/** What the sources of a domain's disks come to, before anything is known of the VGs. */
export interface Candidates {
  readonly volumes: readonly Candidate[]
  /** Paths that would be inside a VG if there were one of that name, but that no LV can have. */
  readonly impossible: readonly { readonly vg: string; readonly path: string; readonly disk: string }[]
  /** Paths that name a volume, where there is something else than a device (FACTS 57). */
  readonly standIns: readonly StandIn[]
  readonly images: readonly Image[]
  /** Sources of which nobody can tell whether they are a volume (R9), and mistakes in the domain's policy. */
  readonly problems: readonly Problem[]
  /** Volumes in VGs that `volume_groups` leaves out, if there are VGs of these names: nobody locks them. */
  readonly leftOut?: readonly VolumeName[]
}

/** What a source turned out to be, where its path alone does not tell. */
export type SourceMeaning =
  | (PathMeaning & { readonly path: string; readonly partition?: string; readonly stack?: Stack })
  | ({ readonly kind: 'stand-in' } & Pick<StandIn, 'vg' | 'lv' | 'path' | 'is'>)
  | { readonly kind: 'problem'; readonly problem: Problem }

/** What a message calls a source: `disk vda`, `backing file of disk vda`, `nvram`. */
export const nameOf = ({ target, part }: Pick<Disk, 'target' | 'part'>): string =>
  part === 'element' ? target : part === undefined ? `disk ${target}` : `${part} of disk ${target}`

/**
 * The volumes that a domain's disks may be, in the VGs that are managed (all, unless the configuration lists them). A
 * volume that two disks name is wanted once, exclusively if either wants it so.
 * @param found what the sources are that are more than a plain path
 */
export function candidatesOf(
  domain: Domain,
  configuration: Pick<Configuration, 'volumeGroups'> & Partial<Pick<Configuration, 'policy'>>,
  found: ReadonlyMap<Disk, SourceMeaning> = new Map(),
): Candidates {
  const { volumeGroups } = configuration
  const policy = domain.policy ?? NO_POLICY
  const isExcluded = (vg: string): boolean => volumeGroups.length > 0 && !volumeGroups.includes(vg)
  const volumes = new Map<string, Candidate>()
  const impossible: { vg: string; path: string; disk: string }[] = []
  const standIns: StandIn[] = []
  const images: Image[] = []
  const problems: Problem[] = []
  const leftOut: VolumeName[] = []
  for (const disk of domain.disks) {
    const finding: SourceMeaning | undefined =
      found.get(disk) ?? (disk.path === undefined ? undefined : { ...meaningOfPath(disk.path), path: disk.path })
    if (finding === undefined || finding.kind === 'other' || policy.modes.get(disk.target) === 'ignore') continue
    if (finding.kind === 'problem') {
      problems.push(finding.problem)
      continue
    }
    const { path } = finding
    if (isExcluded(finding.vg)) {
      if (finding.kind === 'volume') leftOut.push({ vg: finding.vg, lv: finding.lv })
      continue
    }
    const configured = configuredPolicy(
      { vg: finding.vg, lv: 'lv' in finding ? finding.lv : undefined },
      configuration.policy ?? [],
    )
    const { mode, reason } = lockOfDisk(disk, policy, configured)
    // If a volume is left alone, whatever stands at its path is left alone too.
    if (mode === 'ignore') continue
    if (finding.kind === 'impossible') {
      impossible.push({ vg: finding.vg, path, disk: nameOf(disk) })
      continue
    }
    const { vg, lv } = finding
    if (finding.kind === 'stand-in') {
      standIns.push({ vg, lv, path, is: finding.is, disk: nameOf(disk) })
      continue
    }
    const { partition, stack } = finding
    const isSaid = configured !== undefined || policy.modes.has(disk.target)
    const wanted: Candidate = {
      vg,
      lv,
      mode,
      reason,
      path,
      ...(disk.part === 'backup' && { job: true }),
      ...(disk.part === 'element' && { isElement: true }),
      ...(disk.unknown === true && !isSaid && { unknownUse: disk.target }),
      ...(disk.optional === true && { optional: true }),
      ...(partition !== undefined && { partition }),
      ...(stack && { stack }),
    }
    volumes.set(`${vg}/${lv}`, together(volumes.get(`${vg}/${lv}`), wanted))
    if (disk.image === true) {
      const at = disk.offset === undefined ? {} : { offset: disk.offset }
      images.push({
        vg,
        lv,
        mode,
        reason,
        path: disk.path ?? path,
        target: disk.target,
        ...(disk.part !== undefined && { part: disk.part }),
        ...at,
        ...(stack && { stack }),
      })
    }
  }
  if (volumes.size > 0) problems.push(...policy.errors.map((detail): Problem => ({ kind: 'bad-policy', detail })))
  return {
    volumes: [...volumes.values()],
    impossible,
    standIns,
    images,
    problems,
    ...(leftOut.length > 0 && { leftOut }),
  }
}

/** Policies in a domain's `<metadata>` for disks that it does not have, each in a sentence without its full stop. */
export function idlePolicies({ policy, disks }: Pick<Domain, 'policy' | 'disks'>): string[] {
  const targets = disks.map(({ target }) => target)
  return [...(policy?.modes.keys() ?? [])]
    .filter((target) => !targets.includes(target))
    .map(
      (target) =>
        `the policy in its <metadata> names the disk ${target}, which it does not have${didYouMean(target, [...new Set(targets)])}`,
    )
}

/**
 * One volume that two disks name: exclusive if either wants it so, optional only if both can do without it, a partition
 * only if both name the same one.
 */
function together(known: Candidate | undefined, wanted: Candidate): Candidate {
  if (known === undefined) return wanted
  const {
    optional: _,
    partition: __,
    stack: ___,
    isElement: ____,
    job: _____,
    ...kept
  } = known.mode === 'shared' && wanted.mode === 'exclusive' ? wanted : known
  const { partition, stack } = known
  return {
    ...kept,
    ...(known.isElement === true && wanted.isElement === true && { isElement: true }),
    ...(known.job === true && wanted.job === true && { job: true }),
    ...((known.unknownUse ?? wanted.unknownUse) !== undefined && { unknownUse: known.unknownUse ?? wanted.unknownUse }),
    ...(known.optional === true && wanted.optional === true && { optional: true }),
    ...(partition !== undefined && partition === wanted.partition && { partition }),
    ...(stack !== undefined && stack.holder === wanted.stack?.holder && stack.top === wanted.stack.top && { stack }),
  }
}

/** The images below a disk, which many VMs read, and what a job of libvirt writes for this VM alone. */
const isApart = ({ part }: Disk): boolean =>
  part === 'backing file' || part === 'commit target' || part === 'mirror' || part === 'backup'

/**
 * How a disk's volume is to be locked, and the sentence that says why: as the domain's own policy says, else the
 * configuration's, else by its elements. A domain's policy for a disk is not meant for what is apart from it.
 */
function lockOfDisk(
  disk: Disk,
  policy: DomainPolicy,
  configured: Policy | undefined,
): { readonly mode: Policy; readonly reason: string } {
  const name = nameOf(disk)
  const own = isApart(disk) ? undefined : policy.modes.get(disk.target)
  if (own !== undefined) return { mode: own, reason: `${name}, policy in its <metadata>` }
  if (configured !== undefined) return { mode: configured, reason: `${name}, policy in lvguard.conf` }
  if (disk.part === 'backing file') return { mode: 'shared', reason: name }
  const element = disk.readonly ? ', <readonly/>' : disk.shareable ? ', <shareable/>' : ''
  return { mode: element === '' ? 'exclusive' : 'shared', reason: name + element }
}
