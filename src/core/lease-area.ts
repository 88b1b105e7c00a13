import type { LeaseCount } from './lock-state.ts'

/** A host of the lockspace, by its own record. */
export interface DeltaLease {
  readonly hostId: number
  /** The name it joined with; empty where nobody ever had this host_id. */
  readonly name: string
  /** How often this host_id has joined. A lease of an older generation belongs to nobody any more. */
  readonly generation: number
  /** Seconds of that host's own clock; 0: it has left in order, or never came. */
  readonly timestamp: number
  /** Seconds. */
  readonly ioTimeout: number
}

/** A host in a lease. */
export interface Sharer {
  readonly hostId: number
  readonly generation: number
}

/** The lease of one volume. */
export interface VolumeLease {
  /** UUID of the LV, with its dashes; or a name of LVM's own, as `GLLK` and `VGLK`. */
  readonly resource: string
  readonly exclusive: Sharer | undefined
  readonly shared: readonly Sharer[]
  /** How often it has been taken, and by whom last (FACTS 51); absent where that was not read. */
  readonly taken?: LeaseCount
}

/** All that is in the lease area of one VG. */
export interface LeaseArea {
  /** By host_id; only those whose record has a name. */
  readonly hosts: ReadonlyMap<number, DeltaLease>
  /** By `resource`. A slot that no LV uses is not in it. */
  readonly leases: ReadonlyMap<string, VolumeLease>
}
