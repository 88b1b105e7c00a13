import { type DomainRecord, INCOMING_LIFETIME, IN_USE, mayRunElsewhere } from './record.ts'

/**
 * What libvirt's status file of a domain says, /run/libvirt/qemu/NAME.xml (FACTS 13): `<domstatus>` and its `<job>`, in
 * libvirt's words.
 */
export interface DomainStatus {
  /** `running`, `paused`, … (virDomainState). */
  readonly state: string
  /** `booted`, `migration`, `post-copy failed`, … */
  readonly reason: string
  /** Of QEMU; 0 until it runs. */
  readonly pid: number
  /** The asynchronous job: `none`, `migration out`, `migration in`, `save`, … */
  readonly async: string
  /** Of a migration; absent before libvirt has written it, and then the flags say nothing either. */
  readonly phase: string | undefined
  /** VIR_MIGRATE_* of the job. */
  readonly flags: number | undefined
}

/** What is seen of a domain on this host, in libvirt's folder of status files. */
export type Sighting =
  | { readonly kind: 'active'; readonly status: DomainStatus }
  /**
   * A status file whose QEMU is gone: its libvirt daemon died first. When the daemon is back, it calls `release`, if it
   * has not done so yet.
   */
  | { readonly kind: 'left-over' }
  /** No status file has its UUID. `passes`: in how many full passes in a row, this one among them. */
  | { readonly kind: 'gone'; readonly passes: number }
  /** The folder, or a file that may be its own, cannot be read or is not understood. */
  | { readonly kind: 'unknown'; readonly detail: string }

/** Why nothing is to be changed. */
export type Unchanged =
  | 'job-starting'
  | 'storage-copy'
  | 'offline'
  | 'left-paused'
  | 'ending'
  | 'not-understood'
  | 'unknown'
  | 'left-over'
  | 'starting'
  | 'gone-once'
  | 'daemon-down'
  | 'incoming'

/**
 * What the domain's state calls for. It concerns only the volumes that the domain needs exclusively; the others keep
 * their own mode.
 */
export type Wanted =
  /** `unlessShared`: as far as the record tells; where a lock is only shared here, a migration has left the domain. */
  | { readonly mode: 'exclusive'; readonly unlessShared?: true }
  /** `out`: the source demotes. `in`: shared is enough, and an exclusive lock is left as it is (R3). */
  | { readonly mode: 'shared'; readonly direction: 'out' | 'in' }
  | { readonly mode: 'inactive' }
  | { readonly mode: 'unchanged'; readonly why: Unchanged }

/**
 * libvirt-domain.h, virDomainMigrateFlags: VIR_MIGRATE_NON_SHARED_DISK, VIR_MIGRATE_NON_SHARED_INC,
 * VIR_MIGRATE_OFFLINE.
 */
const COPIES_STORAGE = 0x40 | 0x80
const OFFLINE = 0x400

const unchanged = (why: Unchanged): Wanted => ({ mode: 'unchanged', why })

interface Row {
  readonly when: string
  readonly is: (status: DomainStatus) => boolean
  readonly wanted: Wanted
}

const ALIVE = new Set(['running', 'blocked', 'paused', 'crashed', 'pmsuspended'])
/** Jobs that a domain does where it is (virDomainAsyncJob, libvirt 11.3). */
const AT_HOME = new Set(['none', 'dump', 'save', 'snapshot', 'start', 'backup'])
const hasPhase = ({ phase }: DomainStatus): boolean => phase !== undefined && phase !== 'none'
const hasFlag = ({ flags }: DomainStatus, bits: number): boolean => ((flags ?? 0) & bits) !== 0
const goesOut = ({ async }: DomainStatus): boolean => async === 'migration out'

/** The table of DESIGN 4 for a domain that is active here; the first row that fits counts. */
export const TABLE: readonly Row[] = [
  {
    when: 'migration out, phase not yet written',
    is: (status) => goesOut(status) && !hasPhase(status),
    wanted: unchanged('job-starting'),
  },
  {
    when: 'migration out, flags not readable',
    is: (status) => goesOut(status) && status.flags === undefined,
    wanted: unchanged('not-understood'),
  },
  {
    when: 'migration out that copies storage',
    is: (status) => goesOut(status) && hasFlag(status, COPIES_STORAGE),
    wanted: unchanged('storage-copy'),
  },
  {
    when: 'migration out, offline',
    is: (status) => goesOut(status) && hasFlag(status, OFFLINE),
    wanted: unchanged('offline'),
  },
  { when: 'migration out', is: goesOut, wanted: { mode: 'shared', direction: 'out' } },
  { when: 'migration in', is: ({ async }) => async === 'migration in', wanted: { mode: 'shared', direction: 'in' } },
  { when: 'a job of another kind', is: ({ async }) => !AT_HOME.has(async), wanted: unchanged('not-understood') },
  {
    when: 'paused by a migration, no job',
    is: ({ state, reason }) => state === 'paused' && (reason === 'migration' || reason === 'post-copy'),
    wanted: unchanged('left-paused'),
  },
  {
    when: 'post-copy failed, no job',
    is: ({ reason }) => reason === 'post-copy failed',
    wanted: unchanged('left-paused'),
  },
  // QEMU is about to be killed, or (the source of a migration) has been: `release` follows.
  { when: 'going down', is: ({ state }) => state === 'shutdown' || state === 'shutoff', wanted: unchanged('ending') },
  { when: 'active', is: ({ state }) => ALIVE.has(state), wanted: { mode: 'exclusive' } },
  { when: 'anything else', is: () => true, wanted: unchanged('not-understood') },
]

/** What a status file calls for. Every file has an answer: what is not understood is left as it is. */
export const wantedByStatus = (status: DomainStatus): Wanted =>
  TABLE.find(({ is }) => is(status))?.wanted ?? unchanged('not-understood')

/**
 * Whether a domain is paused because it was suspended when its memory was saved, and was restored so. libvirt gives it
 * the reason `migration`, because a saved memory comes in like that of a migration (qemuProcessStart; measured with
 * libvirt 9.0 and 11.3). The record tells the difference: no volume of it was shared for a migration. That is not enough:
 * after a promotion that was refused the record says `exclusive` too.
 */
const isRestoredPaused = ({ async, state, reason }: DomainStatus, record: DomainRecord | undefined): boolean =>
  async === 'none' &&
  state === 'paused' &&
  reason === 'migration' &&
  record !== undefined &&
  IN_USE.includes(record.state) &&
  record.volumes.some(({ role }) => role === 'exclusive') &&
  !mayRunElsewhere(record)

/** What is known beside the status file. */
export interface Surroundings {
  /** A libvirt daemon runs on this host, so that the absence of a status file means something. */
  readonly libvirtAlive: boolean
  /** The daemon that the record names lives (pid and start time); `unknown` if it names none. */
  readonly recordDaemonAlive: boolean | 'unknown'
  /** Seconds since boot. */
  readonly now: number
}

/** A domain counts as gone when so many full passes in a row have not seen it. */
export const GONE_PASSES = 2

/**
 * The wanted mode of a domain's volumes, from what is seen of it and its record (DESIGN 4). Taken for acting only while
 * the VG's lock is held (R11): a `migrate` at its trial, a `prepare` and a `release` hold it too.
 */
export function wantedOf(
  sighting: Sighting,
  record: DomainRecord | undefined,
  { libvirtAlive, recordDaemonAlive, now }: Surroundings,
): Wanted {
  switch (sighting.kind) {
    case 'active':
      return isRestoredPaused(sighting.status, record)
        ? { mode: 'exclusive', unlessShared: true }
        : wantedByStatus(sighting.status)
    case 'left-over':
      return record?.state === 'releasing' ? { mode: 'inactive' } : unchanged('left-over')
    case 'unknown':
      return unchanged('unknown')
    case 'gone':
      break
  }
  const isGone = sighting.passes >= GONE_PASSES
  switch (record?.state) {
    case undefined:
      return unchanged('gone-once')
    case 'incoming':
      // Without an id: a trial that was killed. With an id that is young: its `prepare` may be on the way.
      if (
        record.incoming !== undefined &&
        now - record.incoming.at >= 0 &&
        now - record.incoming.at < INCOMING_LIFETIME
      )
        return unchanged('incoming')
      return isGone ? { mode: 'inactive' } : unchanged('gone-once')
    case 'prepared':
      // A start in progress has no status file until QEMU runs. It has ended for certain only if the daemon that
      // started it has ended.
      if (recordDaemonAlive !== false) return unchanged('starting')
      // Of `lvguard with`, which is that daemon: libvirt knows nothing of it.
      if (record.command !== undefined) return isGone ? { mode: 'inactive' } : unchanged('gone-once')
      break
    case 'running':
      break
    case 'releasing':
      // libvirt itself has called `release`, or is about to: one look is enough.
      return { mode: 'inactive' }
    case 'refused':
      return isGone ? { mode: 'inactive' } : unchanged('gone-once')
  }
  if (!libvirtAlive) return unchanged('daemon-down')
  return isGone ? { mode: 'inactive' } : unchanged('gone-once')
}
