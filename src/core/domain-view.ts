import type { Device, LockState } from './lock-state.ts'
import type { DomainName } from './domain-name.ts'
import type { DomainRecord, MigrationMemory, RecordedVolume, Records } from './record.ts'
import type { Unchanged, Wanted } from './reconcile.ts'
import type { ReleasePlan } from './release.ts'
import type { Change } from './start.ts'
import type { Mode, VolumeName } from './volume.ts'

/** Something that the agent cannot, or must not, put right: said, and left as it is. */
export type Report =
  | { readonly kind: 'unchanged'; readonly why: Unchanged; readonly detail: string }
  /** A VM runs here on a volume of a VG whose locking is not (any more) in force. */
  | { readonly kind: 'lockspace-lost'; readonly vg: string }
  | { readonly kind: 'locks-unknown'; readonly detail: string }
  | { readonly kind: 'records-unreadable'; readonly files: readonly string[] }
  /** Another domain of this host has the volume on record. */
  | { readonly kind: 'claimed'; readonly volume: string; readonly domain: string }
  /** The domain has come to write what another domain of this host uses. */
  | { readonly kind: 'written'; readonly volume: string; readonly domain: string }
  /** Another domain of this host has it on record too, and one of them writes to it. */
  | { readonly kind: 'also-used'; readonly volume: string; readonly domain: string }
  /** Its pool's lock covers it, or its type cannot be shared (FACTS 27): no live migration. */
  | { readonly kind: 'pool-lock'; readonly volume: string }
  /** It is active here, seems unlocked, and lvs has not told yet whose lock covers it. */
  | { readonly kind: 'lock-owner-unknown'; readonly volume: string }

/** A domain as the agent sees it, at one moment. */
export interface DomainView {
  readonly domain: DomainName
  readonly wanted: Wanted
  readonly record: DomainRecord | undefined
  /** QEMU runs: its status file has a process id. */
  readonly runs: boolean
  /** The volumes in the live XML that are in VGs with a lock manager, each with the mode of its role. */
  readonly live: readonly (VolumeName & {
    readonly mode: Mode
    readonly reason: string
    readonly partition?: string
    readonly job?: true
  })[]
  /**
   * Every volume that the live XML names, in whatever VG and whatever a policy says of it; undefined where it is not
   * understood as a whole, or a job is under way. What is not among them is not plugged in.
   */
  readonly named?: readonly VolumeName[] | undefined
  /** What its record is to remember of a migration out. */
  readonly memory?: MigrationMemory | undefined
}

/** This host at the same moment: under the VG's lock where it is for acting (R11). */
export interface DriveFacts {
  readonly locks: LockState
  readonly devices: readonly Device[]
  readonly records: Records
}

/** What is to be done for a domain. */
export type DrivePlan =
  | { readonly kind: 'nothing'; readonly reports: readonly Report[] }
  | {
      readonly kind: 'drive'
      /** To be put in place before the changes; undefined where the record is right already. */
      readonly record: DomainRecord | undefined
      readonly changes: readonly Change[]
      /** No longer in the live XML: to be given back if nobody has them open (R4). */
      readonly unplugged: readonly RecordedVolume[]
      /** `virsh domjobabort`: a job that copies storage onto a volume that is not exclusive here. */
      readonly abortJob: boolean
      /** The UUIDs of a volume in use are not on record: lvs is to be asked again. */
      readonly isUntold: boolean
      readonly reports: readonly Report[]
    }
  | { readonly kind: 'release'; readonly plan: ReleasePlan; readonly reports: readonly Report[] }
