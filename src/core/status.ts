import type { AgentState } from './agent-state.ts'
import type { DrbdDevice } from './drbd.ts'
import type { LeaseArea } from './lease-area.ts'
import type { SanlockStatus } from './lease.ts'
import type { Device, LockState, LogicalVolume } from './lock-state.ts'
import type { Records } from './record.ts'
import type { Mode, VolumeName } from './volume.ts'

/** Something that was looked at, or why it could not be. */
export type Known<T> =
  | { readonly kind: 'known'; readonly value: T }
  | { readonly kind: 'unknown'; readonly why: string }
/** Something that was seen. */
export const known = <T>(value: T): Known<T> => ({ kind: 'known', value })
/** Something that was not seen. @param why half a sentence */
export const unknown = (why: string): { readonly kind: 'unknown'; readonly why: string } => ({ kind: 'unknown', why })

/** When this host's sanlock saw another host renew last. */
export interface LastSeen {
  /** Seconds of this host's monotonic clock; 0: never. */
  readonly lastLive: number
  /** Seconds. */
  readonly ioTimeout: number
  /** The name it joined with; empty or absent where it is not known. */
  readonly name?: string
}

/** A domain, as far as a table shows it (libvirt/glance.ts). */
export interface ListedDomain {
  readonly name: string
  readonly uuid: string
  readonly volumes: readonly VolumeName[]
}

/** All that a status is made of. A part that could not be looked at says so. */
export interface StatusFacts {
  readonly host: string
  /** ISO 8601. */
  readonly at: string
  /** Seconds of the monotonic clock, which is sanlock's. */
  readonly now: number
  readonly locks: LockState
  readonly sanlock: Known<SanlockStatus>
  /** This host's host_id, by VG. */
  readonly ownIds: ReadonlyMap<string, number>
  readonly table: Known<readonly LogicalVolume[]>
  /** By VG; only of those with sanlock whose locking is started here. */
  readonly areas: ReadonlyMap<string, Known<LeaseArea>>
  /** By VG, then by host_id. */
  readonly seen: ReadonlyMap<string, ReadonlyMap<number, LastSeen>>
  readonly records: Records
  readonly active: {
    readonly found: readonly (ListedDomain & {
      readonly state: string
      readonly reason: string
      readonly job: string
    })[]
    readonly unreadable: readonly string[]
  }
  readonly defined: readonly ListedDomain[]
  readonly devices: readonly Device[]
  /** VGs that were cut off here. */
  readonly killed: ReadonlySet<string>
  readonly agent: AgentState
  readonly drbd: Known<readonly DrbdDevice[]>
}

/**
 * `left`: it has left in order; `silent`: it has not renewed for a while; `dead`: for so long that its locks can be
 * taken.
 */
export type HostState = 'this host' | 'alive' | 'silent' | 'dead' | 'left' | 'unknown'
/** `killed`: cut off here, and nothing starts on it; `lost`: this host has lost its lease. */
export type Locking = 'started' | 'starting' | 'stopping' | 'not started' | 'late' | 'lost' | 'killed' | 'unknown'

/** A host in the lockspace of a VG, as this host sees it. */
export interface StatusHost {
  readonly vg: string
  readonly host: string
  readonly hostId: number
  readonly state: HostState
  /** Seconds since its last renewal was seen here; of this host, since its last renewal. Absent: not known. */
  readonly silentFor?: number
  /**
   * Seconds until its locks can be taken, if it stays silent; 0: now. Absent while it is alive, or where that is not
   * known.
   */
  readonly freeIn?: number
}

/** A VG with a lock manager. */
export interface VgStatus {
  readonly vg: string
  /** `sanlock`, `dlm`. */
  readonly lockManager: string
  readonly locking: Locking
  readonly hostId?: number
  /** Seconds since this host's last renewal. */
  readonly renewed?: number
}

/** A host that holds a volume. `silentFor`, `freeIn`: as in StatusHost. */
export interface Holding {
  readonly host: string
  readonly hostId?: number
  readonly here: boolean
  readonly mode: Mode
  readonly state: HostState
  readonly silentFor?: number
  readonly freeIn?: number
  /** The lease on the disk names this host, and its lvmlockd does not know of it. */
  readonly isOrphan?: true
}

/** A volume of such a VG, and who has it. */
export interface VolumeStatus {
  readonly volume: string
  readonly vg: string
  readonly lv: string
  readonly uuid: string
  /** `unknown`: nobody here can say who else holds it. */
  readonly state: 'held' | 'free' | 'unknown'
  readonly holders: readonly Holding[]
  /** VMs of this host that use it; where none does, those whose definition here names it. */
  readonly vms: readonly string[]
  /** The volume whose lock covers it: its pool, or its origin. */
  readonly lockOf?: string
  /** There is a device of it here. */
  readonly active: boolean
}

/** A VM of this host. */
export interface VmStatus {
  readonly name: string
  readonly uuid: string
  /**
   * libvirt's word, or `migrating out`, `migrating in`; of one that libvirt does not name `incoming`, `starting`,
   * `gone?`, `ended`; `command`: no VM, but `lvguard with`.
   */
  readonly state: string
  readonly volumes: readonly string[]
}

/** What `lvguard status` shows. With --json it prints just this. */
export interface Status {
  readonly format: 1
  readonly host: string
  readonly at: string
  readonly agent: AgentState['kind']
  readonly vgs: readonly VgStatus[]
  readonly hosts: readonly StatusHost[]
  readonly drbd: readonly DrbdDevice[]
  readonly vms: readonly VmStatus[]
  readonly volumes: readonly VolumeStatus[]
  /** What a person should look at, each in one sentence without its full stop. */
  readonly attention: readonly string[]
  /** What could not be read. The rest says nothing of it, and is no all-clear. */
  readonly unknown: readonly string[]
}
