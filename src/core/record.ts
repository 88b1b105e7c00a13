import { type Identified, type Seen, isSameVolume } from './lock-state.ts'
import type { DomainName } from './domain-name.ts'
import type { Mode, VolumeName } from './volume.ts'

/** What this host did to one volume for a domain. */
export interface RecordedVolume extends VolumeName {
  /** What the domain needs of it while it runs. */
  readonly role: Mode
  /** What it was activated with; differs from the role while a migration is under way. `local`: without a lock. */
  readonly mode: Mode | 'local'
  /** `active`: it was active before, so that it is never deactivated for this domain (R4). */
  readonly before: 'inactive' | 'active'
  /**
   * It was active before, lvguard has shared it for a migration out, and so it goes with the VM (goesWithDomain).
   */
  readonly demoted?: true
  /**
   * Only a backup job writes it. A person has activated it for that, and so it stays as it is when the job has ended
   * (R4), on no record.
   */
  readonly job?: true
  /**
   * The domain uses a partition of it, by this name, and others may use others. `true`: which one, an earlier version
   * did not say.
   */
  readonly partition?: string | true
  /**
   * Of a thin or VDO volume, by the name of its pool's LV: whether this host held the pool's lock before (FACTS 27).
   */
  readonly pool?: { readonly lv: string; readonly before: 'inactive' | 'active' }
  /** Absent until LVM has told it: then `release` needs no lvs. */
  readonly ids?: { readonly lv: string; readonly vg: string; readonly lock: string }
}

/**
 * Whether this host deactivates a volume when its domain has gone: lvguard brought it up for the domain, or has demoted
 * it. What was active before stays active (R4), unless the domain takes it along to another host: if it stayed shared
 * here, it could be exclusive nowhere (FACTS 58).
 */
export const goesWithDomain = ({ before, demoted }: Pick<RecordedVolume, 'before' | 'demoted'>): boolean =>
  before === 'inactive' || demoted === true

/**
 * The same by the lock that this host has on the volume now. What was demoted, and is exclusive here again, has gone
 * nowhere, though its record may not say so yet: then it is what was active before, and stays (R4).
 */
export const goesWithDomainStill = (volume: Pick<RecordedVolume, 'before' | 'demoted'>, lock: Seen['lock']): boolean =>
  goesWithDomain(volume) && (volume.before === 'inactive' || lock !== 'exclusive')

/**
 * - `incoming`: `migrate` let the domain in; nothing is locked;
 * - `prepared`: written before the locks are taken, and left so while the domain runs;
 * - `running`: the agent has seen it run;
 * - `refused`: a `prepare` failed and took nothing, so that the `release` that follows touches nothing (R1);
 * - `releasing`: the domain is gone, these volumes are still to be deactivated.
 */
export type RecordState = 'incoming' | 'prepared' | 'running' | 'refused' | 'releasing'

/**
 * Of the records that this version writes and reads. Whoever raises it raises `record_format` in install.sh and in the
 * package's preinst too: they keep an older lvguard from being installed over newer records.
 */
export const RECORD_FORMAT = 1

/** One file per domain in /run/lvguard: what this host has activated for it. */
export interface DomainRecord {
  readonly format: typeof RECORD_FORMAT
  readonly domain: DomainName
  readonly state: RecordState
  readonly volumes: readonly RecordedVolume[]
  /**
   * The libvirt daemon that called the hook: process id, and start time in clock ticks since boot (proc(5), field 22).
   */
  readonly daemon?: { readonly pid: number; readonly start: string }
  /**
   * Of no VM, but of a command that a person runs (`lvguard with`); `hands-over`: a VM that the command itself starts
   * here takes its volumes over.
   */
  readonly command?: 'keeps' | 'hands-over'
  /** libvirt restores a saved memory of it. If that start fails, the memory is as good as before. */
  readonly restored?: true
  /**
   * Of state `incoming`: the id that the XML of its `prepare` must carry, and when `migrate` ended, in seconds since
   * boot.
   */
  readonly incoming?: { readonly id: string; readonly at: number }
  /** Kept by the agent while it may matter (core/contested.ts). */
  readonly migration?: MigrationMemory
}

/**
 * What is remembered of a migration out whose end is in doubt: the domain may run on both hosts. The last phase, what
 * is seen of the other host, and whether the agent has suspended the domain for it.
 */
export interface MigrationMemory {
  readonly phase: string
  /** `asked`: on record before the command; `done`: libvirt has done it. */
  readonly suspend?: 'asked' | 'done'
  /**
   * By the UUID of each exclusive volume's lock: `lver` of its lease when the migration came to that phase (FACTS 51).
   * Absent: it is not known.
   */
  readonly lvers?: Readonly<Record<string, number>>
  /** The host that is seen to have locked one of them since: the domain has run there. */
  readonly lockedBy?: string
}

/**
 * Whether a domain may have run, or may still run, on another host beside this one, as its record tells: a migration of
 * it is remembered, or a volume that it needs for itself is shared here. Then its memory may be older than its disk
 * (R12).
 */
export const mayRunElsewhere = ({ migration, volumes }: Pick<DomainRecord, 'migration' | 'volumes'>): boolean =>
  migration !== undefined || volumes.some(({ role, mode }) => role === 'exclusive' && mode === 'shared')

/**
 * A `prepare` may use up an incoming record for so long, in seconds. The random id proves the migration (DESIGN 4); the
 * time only ends a record that no `prepare` comes for. Measured: with eight migrations at once on one emulated
 * processor libvirt called `prepare` more than 30 s after `migrate` had ended.
 */
export const INCOMING_LIFETIME = 120

/** What is known of all domains of this host. */
export interface Records {
  readonly known: readonly DomainRecord[]
  /** Files that are not records of a format this program knows. R9: whoever wants to act on any volume must refuse. */
  readonly unreadable: readonly string[]
}

/** What this host has activated for anybody, as far as the records can be read. */
export const onAnyRecord = ({ known }: Records): RecordedVolume[] => known.flatMap(({ volumes }) => volumes)

/** Another domain's record that names a volume, with what it says of it. */
export interface Claim {
  readonly record: DomainRecord
  readonly volume: RecordedVolume
}

/** The records of other domains of this host that lay claim to a volume: in one of these states, and naming it. */
export const claimsOn = (
  volume: Identified,
  records: Records,
  ownUuid: string,
  states: readonly RecordState[],
): Claim[] =>
  records.known
    .filter(({ domain, state }) => domain.uuid !== ownUuid && states.includes(state))
    .flatMap((record) =>
      record.volumes.filter((other) => isSameVolume(other, volume)).map((claimed) => ({ record, volume: claimed })),
    )

/** Whether two uses are of two partitions of one volume: both may be in use at once. */
export const isOtherPartition = (own: RecordedVolume['partition'], other: RecordedVolume['partition']): boolean =>
  own !== undefined && other !== undefined && own !== other

/** Whether two uses of one volume exclude each other: one of them writes, and they are not two partitions of it. */
export const isConflict = (
  one: Pick<RecordedVolume, 'role' | 'partition'>,
  other: Pick<RecordedVolume, 'role' | 'partition'>,
): boolean =>
  (one.role === 'exclusive' || other.role === 'exclusive') && !isOtherPartition(one.partition, other.partition)

/**
 * States of a domain that uses its volumes. A domain that took nothing, or has not taken anything yet, makes no claim.
 */
export const IN_USE: readonly RecordState[] = ['prepared', 'running']
