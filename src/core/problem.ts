import type { DrbdProblem } from './drbd.ts'
import type { Dead, VolumeTable } from './lock-state.ts'
import { type VolumeName, fullName } from './volume.ts'

/** A host that holds a lock, as far as sanlock on this host knows it (FACTS 31). */
export interface Holder {
  readonly name: string
  readonly hostId: number
  readonly mode: 'exclusive' | 'shared'
  /** Seconds since its last renewal was seen here; undefined if that could not be read. */
  readonly silentFor: number | undefined
  /**
   * Seconds from its last renewal until its locks can be taken: 8 × io_timeout + 60, 140 with sanlock's default (FACTS
   * 32).
   */
  readonly expiresAfter: number
  /** The lease names this very host: an lvmlockd that was killed left it behind (FACTS 34). */
  readonly isThisHost: boolean
}

/** Why a domain is refused. Each kind has its own two lines in `explain` (explain.ts). */
export type Problem =
  /**
   * `pool`: a logical storage pool on its VG that this host knows; where such a pool starts, it takes every volume
   * (FACTS 18). `isOnlyRead`: by the domain that is to migrate, so that no agent demotes it on its way out (R3).
   * `isByMany`: shared by more hosts than the one that the domain leaves.
   */
  | {
      readonly kind: 'held'
      readonly volume: string
      readonly holders: readonly Holder[]
      readonly pool?: string
      readonly isOnlyRead?: boolean
      readonly isByMany?: boolean
    }
  | { readonly kind: 'not-started'; readonly vg: string }
  | { readonly kind: 'starting'; readonly vg: string }
  | { readonly kind: 'lvmlockd-down' }
  | { readonly kind: 'lvmlockd-off'; readonly vg: string }
  | { readonly kind: 'locks-unknown'; readonly detail: string }
  | { readonly kind: 'missing-volume'; readonly volume: string; readonly disk: string }
  /** LVM says neither what it is nor that it is not there. */
  | { readonly kind: 'volume-unknown'; readonly volume: string; readonly disk: string; readonly detail: string }
  | { readonly kind: 'missing-vg'; readonly vg: string; readonly disk: string }
  /** Named where lvguard does not know what the VM does with it; `element`: also what a policy calls it. */
  | { readonly kind: 'unknown-use'; readonly path: string; readonly element: string }
  /** A device of LVM is active, and LVM does not see its VG. */
  | { readonly kind: 'unseen-vg'; readonly volume: string; readonly disk: string }
  /** At a volume's path there is something that is no device (FACTS 57). */
  | { readonly kind: 'no-device'; readonly path: string; readonly is: string; readonly disk: string }
  | { readonly kind: 'impossible-name'; readonly path: string; readonly disk: string }
  | { readonly kind: 'open'; readonly volume: string; readonly users: readonly string[] }
  /** `isCommand`: no VM, but `lvguard with`. */
  | {
      readonly kind: 'on-record'
      readonly volume: string
      readonly domain: string
      readonly hasEnded: boolean
      readonly isCommand?: boolean
    }
  | { readonly kind: 'locked-here'; readonly volume: string; readonly pool?: string }
  | { readonly kind: 'not-shareable'; readonly volume: string; readonly type: string }
  | { readonly kind: 'no-lock'; readonly volume: string }
  /**
   * Of a saved memory: somebody has locked the volume since. `at`: when it was saved; `by`: who locked it last;
   * `holders`: other hosts that hold it now.
   */
  | {
      readonly kind: 'stale-memory'
      readonly volume: string
      readonly at: string
      readonly by: string
      readonly holders: readonly Holder[]
    }
  /**
   * Of a saved memory: its VM may have run on another host too when it was saved. `holders`: as above. `volume`: empty
   * where none is known.
   */
  | {
      readonly kind: 'doubtful-memory'
      readonly volume: string
      readonly at: string
      readonly holders: readonly Holder[]
    }
  | { readonly kind: 'not-active'; readonly volume: string }
  /** It was active here under another name when the start was decided (lvrename), and nothing tells for whom. */
  | { readonly kind: 'renamed'; readonly volume: string; readonly was: string }
  /** The VMs of its VG were cut off here (kill/mark.ts). */
  | { readonly kind: 'cut-off'; readonly vg: string }
  /** This host has no lease of it any more; or nobody can tell (`isKnown`). */
  | { readonly kind: 'lease-lost'; readonly vg: string; readonly isKnown: boolean }
  /** The daemon that called this hook has ended while it waited. */
  | { readonly kind: 'caller-ended' }
  /** Its device is there, and leads to no storage (FACTS 49). */
  | { readonly kind: 'dead-device'; readonly volume: string; readonly is: Dead }
  | { readonly kind: 'active-here' }
  | { readonly kind: 'no-agent' }
  | { readonly kind: 'agent-hangs'; readonly pid: number; readonly seconds: number }
  | { readonly kind: 'vg-busy'; readonly vg: string; readonly seconds: number; readonly isQueue: boolean }
  /** LVM knows the VG and leaves it alone: it has another host's system ID, or is exported. `text`: LVM's own words. */
  | { readonly kind: 'vg-refused'; readonly vg: string; readonly text: string }
  /** A program that lvguard calls, and the packages that bring it. */
  | { readonly kind: 'not-installed'; readonly command: string; readonly packages: string }
  | DrbdProblem
  | { readonly kind: 'records-unreadable'; readonly files: readonly string[] }
  | { readonly kind: 'record-unwritable'; readonly detail: string }
  | { readonly kind: 'unknown-source'; readonly detail: string }
  | { readonly kind: 'bad-image'; readonly volume: string; readonly detail: string }
  | { readonly kind: 'bad-policy'; readonly detail: string }
  | { readonly kind: 'bad-xml'; readonly detail: string }
  | { readonly kind: 'bad-configuration'; readonly errors: readonly string[] }
  | { readonly kind: 'other'; readonly detail: string }

/** What was being done when the problem arose: it decides the verb of the first line and the advice of the second. */
export type Attempt = 'start' | 'migration' | 'end'

/**
 * The problem of a volume that lvs does not report. It counts as missing only if lvs says that it is not there (R9).
 */
export function problemOfAbsent(
  volume: VolumeName,
  { unexplained }: Pick<VolumeTable, 'unexplained'>,
  disk: string,
): Problem {
  const name = fullName(volume)
  const detail = unexplained.get(name)
  // LVM's words on a VG that it leaves alone have advice of their own.
  const text = /^LVM says '(Cannot access VG \S+ with system ID .+|Volume group \S+ is exported)'$/.exec(
    detail ?? '',
  )?.[1]
  if (text !== undefined) return { kind: 'vg-refused', vg: volume.vg, text }
  return detail === undefined
    ? { kind: 'missing-volume', volume: name, disk }
    : { kind: 'volume-unknown', volume: name, disk, detail }
}
