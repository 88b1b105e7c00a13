import type { Lock } from './lease.ts'

export type LockspaceState = 'started' | 'starting' | 'stopped'

/** `killed`: its socket is still there and nobody answers; `absent`: ended in order. LVM's messages differ. */
export type Lvmlockd = 'running' | 'killed' | 'absent'

/** What a host's lvmlockd knows of one VG. A lease that it does not know (any more) is an orphan (FACTS 34). */
export interface Lockspace {
  state: LockspaceState
  /** By LV UUID, in the order of first use. */
  readonly locks: Map<string, Lock>
}

/** A device that something other than LVM stacked over a volume, such as a partition mapped by kpartx. */
export interface ForeignDevice {
  readonly name: string
  readonly uuid: string
  /** UUIDs of the volumes below. */
  readonly over: readonly string[]
  /** How often something has it open; 0 if not given. */
  readonly openers?: number
}

/** The state of one host. Cluster's parts change it, so that their listeners learn of it. */
export class HostState {
  readonly name: string
  readonly id: number
  lvmlockd: Lvmlockd = 'running'
  /** Of lvm.conf: what is set there, by names such as `log/prefix`. */
  lvmConf: ReadonlyMap<string, string> = new Map()
  /** Model time of its last sign of life; undefined while it lives. */
  diedAt: number | undefined
  /** VGs whose lockspaces sanlock has left by itself since: its lvmlockd lists them still (FACTS 46b). */
  readonly left = new Set<string>()
  /** VGs whose lockspaces it has joined anew since. */
  readonly rejoined = new Set<string>()
  /** By VG name; a VG that is not in it has no lock manager. */
  readonly lockspaces = new Map<string, Lockspace>()
  /** UUIDs of the volumes activated by name. */
  readonly active = new Set<string>()
  /** How often something outside LVM has a volume open, by UUID. */
  readonly opens = new Map<string, number>()
  readonly foreign: ForeignDevice[] = []
  /** UUIDs of volumes whose lock `-an` leaves behind with error -211 and exit status 0 (FACTS 24). */
  readonly keepsLock = new Set<string>()
  /** Of devices whose table is `error` (`dmsetup wipe_table`), and of those that `dmsetup remove` has taken away. */
  readonly wiped = new Set<string>()
  readonly removed = new Set<string>()
  /** By device name, so that a device keeps its number. */
  readonly minors = new Map<string, number>()

  /** What `drbdsetup events2 --now`, `drbdsetup show` and `drbdadm dump` say where the shared VG is on DRBD. */
  drbd: { readonly events: string; readonly show: string; readonly dump: string } | undefined

  constructor(name: string, id: number) {
    this.name = name
    this.id = id
  }

  lockspace(vg: string): Lockspace {
    const lockspace = this.lockspaces.get(vg)
    if (lockspace === undefined) throw new Error(`${vg} has no lock manager`)
    return lockspace
  }
}
