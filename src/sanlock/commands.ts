import { hostNameIn } from '../core/host-name.ts'
import type { LeaseCount, LogicalVolume } from '../core/lock-state.ts'

/** What a lease on the shared disk says, read without a lock (FACTS 31). */
export interface Lease {
  /** host_id of the exclusive holder; undefined if nobody holds it exclusively. */
  readonly exclusive: number | undefined
  /** host_ids of those that share it. */
  readonly shared: readonly number[]
}

/** What this host's sanlock knows of a host of the lockspace. */
export interface HostStatus {
  /** The name it joined with; sanlock's own default is `UUID.hostname`, of which the hostname is kept. */
  readonly name: string
  /** This host's monotonic clock, seconds, when that host's last renewal was seen. */
  readonly lastLive: number
  /** Seconds; sanlock's default is 10. */
  readonly ioTimeout: number
}

const leaseDisk = (vg: string): string => `/dev/mapper/${vg.replaceAll('-', '--')}-lvmlock`

/** The words that ask for the leader record of a volume's lease. @param offset bytes in the lease area */
export const leaderArguments = (volume: LogicalVolume, offset: number): string[] => [
  'direct',
  'read_leader',
  '-r',
  `lvm_${volume.vg}:${volume.lockUuid}:${leaseDisk(volume.vg)}:${offset}`,
]
/** The words that ask who shares a lease. @param offset bytes in the lease area */
export const dumpArguments = (vg: string, offset: number): string[] => [
  'direct',
  'dump',
  `${leaseDisk(vg)}:${offset}:1048576`,
]
/** The words that ask what this host's sanlock knows of all hosts of a VG's lockspace. */
export const hostStatusArguments = (vg: string): string[] => ['client', 'host_status', '-D', '-s', `lvm_${vg}`]
/** The words that ask for the name with which a host has joined. */
export const hostNameArguments = (vg: string, hostId: number): string[] => [
  'direct',
  'read_leader',
  '-s',
  `lvm_${vg}:${hostId}:${leaseDisk(vg)}:0`,
]
/** The words that ask for this host's lockspaces, each with its own host_id. */
export const lockspacesArguments = (): string[] => ['client', 'gets']

const fieldsOf = (text: string, pattern: RegExp): Map<string, string> =>
  new Map([...text.matchAll(pattern)].map(([, key = '', value = '']) => [key, value.trim()]))

/** The leader record of a volume's lease. */
export interface Leader {
  /** host_id of the exclusive holder; undefined: free, or shared. */
  readonly owner: number | undefined
  /** How often any host has taken it, and the host_id of the one that did so last (FACTS 51). */
  readonly taken: LeaseCount
}

/**
 * Reads `sanlock direct read_leader -r` (sanlock 3.8.5): time stamp 0 is free, or shared.
 * @returns undefined if the answer is not a leader record
 */
export function parseLeader(stdout: string): Leader | undefined {
  const fields = fieldsOf(stdout, /^(\w+) +(\S+)$/gm)
  const [owner, timestamp, lver] = ['owner_id', 'timestamp', 'lver'].map((name) => Number(fields.get(name)))
  if (!isCount(owner) || !isCount(timestamp) || !isCount(lver) || fields.get('resource_name') === undefined)
    return undefined
  return { owner: timestamp === 0 ? undefined : owner, taken: { lver, owner } }
}

const isCount = (value: number | undefined): value is number => Number.isSafeInteger(value)

/**
 * The sharers in `sanlock direct dump`: lines `HHHH gen SH`, decimal with leading zeros (FACTS 31), below the line of
 * the lease itself.
 * @returns undefined if that line, or the form of one below it, is not what is known
 */
export function parseSharers(stdout: string, lockUuid: string): number[] | undefined {
  const lines = stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const own = lines.findIndex((line) => line.split(/\s+/)[2] === lockUuid)
  if (own < 0) return undefined
  const sharers = lines.slice(own + 1).map((line) => /^(\d{4,}) \d{4,} SH$/.exec(line)?.[1])
  return sharers.includes(undefined) ? undefined : sharers.map(Number)
}

/** `sanlock client host_status -D`, by host_id. */
export function parseHostStatus(stdout: string): Map<number, HostStatus> {
  const hosts = new Map<number, HostStatus>()
  for (const part of stdout.split(/^(?=\d+ timestamp )/m)) {
    const fields = fieldsOf(part, /^\s+(\w+)=(.*)$/gm)
    const id = Number.parseInt(part, 10)
    const lastLive = Number(fields.get('last_live'))
    const ioTimeout = Number(fields.get('io_timeout'))
    if (!Number.isSafeInteger(id) || !Number.isSafeInteger(lastLive)) continue
    hosts.set(id, {
      name: hostNameIn(fields.get('owner_name') ?? ''),
      lastLive,
      ioTimeout: ioTimeout > 0 ? ioTimeout : 10,
    })
  }
  return hosts
}

/** The host's name in `sanlock direct read_leader -s`. Empty if nobody has that host_id. */
export const parseHostName = (stdout: string): string => hostNameIn(/^resource_name +(\S+)$/m.exec(stdout)?.[1] ?? '')

/** This host's own host_id in a lockspace: `s lvm_VG:ID:/dev/…` of `sanlock client gets`. */
export function parseOwnHostId(stdout: string, vg: string): number | undefined {
  for (const [, space, id] of stdout.matchAll(/^s ([^:\s]+):(\d+):/gm)) if (space === `lvm_${vg}`) return Number(id)
  return undefined
}
