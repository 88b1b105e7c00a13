import { agentState } from '../state/agent-presence.ts'
import { date, monotonic } from '../system/clock.ts'
import type { LeaseArea, VolumeLease } from '../core/lease-area.ts'
import { LOST, type SanlockStatus } from '../core/lease.ts'
import type { LockState, LogicalVolume } from '../core/lock-state.ts'
import { type Known, type LastSeen, type StatusFacts, known, unknown } from '../core/status.ts'
import { drbdMinors } from '../drbd/devices.ts'
import { drbdDevices } from '../drbd/drbd.ts'
import { markedVgs } from '../kill/mark.ts'
import { activeDomains, definedDomains } from '../libvirt/glance.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { leaseOf, lockState } from '../lvm/lvm.ts'
import { lvsOfVgsArguments, parseLvs } from '../lvm/lvs.ts'
import { query } from '../system/run.ts'
import { type HostStatus, hostStatusArguments, parseHostStatus, parseOwnHostId } from '../sanlock/commands.ts'
import { readRecords } from '../state/record-store.ts'
import { readLeases } from '../sanlock/read-leases.ts'
import { STATUS_ARGUMENTS, parseSanlockStatus } from '../sanlock/status.ts'
import { self } from '../system/self.ts'

/** Milliseconds for one answer, because a person waits. */
const LIMIT = 10_000
/** The same where nobody waits, and late is better than "unknown": a busy host may need so long (FACTS 35). */
const PATIENT_LIMIT = 60_000
/** How many leases sanlock is asked for at once, where they cannot be read all together. */
const AT_ONCE = 4

/** What sanlock says without a look at a disk, with the host_ids of this host. */
export interface SanlockSeen {
  readonly status: Known<SanlockStatus>
  readonly ownIds: ReadonlyMap<string, number>
}

/** All the effects of a status. None of them takes a lock, each has a time limit, and none throws. */
export interface StatusWorld {
  host(): string
  /** Seconds of the monotonic clock. */
  now(): number
  /** ISO 8601. */
  at(): string
  locks(): Promise<LockState>
  sanlock(): Promise<SanlockSeen>
  /** All LVs of all VGs, with a lock manager or without. */
  volumes(): Promise<Known<readonly LogicalVolume[]>>
  /**
   * All leases of a VG, in one look at the shared disk.
   * @returns `isSilent`: the disk does not answer, and must not be asked for each lease
   */
  leases(vg: string): Promise<Known<LeaseArea> & { readonly isSilent?: boolean }>
  /** The same of one volume, asked of sanlock; undefined if it does not say. */
  lease(volume: LogicalVolume): Promise<VolumeLease | undefined>
  /** When this host has seen the others of a VG's lockspace, by host_id. */
  seen(vg: string): Promise<ReadonlyMap<number, HostStatus>>
  drbd(): Promise<StatusFacts['drbd']>
  /** What files tell. */
  files(): Pick<StatusFacts, 'records' | 'active' | 'devices' | 'killed' | 'agent'> & {
    readonly defined: StatusFacts['defined']
  }
}

/** This host as it is. @param limit milliseconds for one answer */
const worldWithin = (limit: number): StatusWorld => ({
  host: () => self().hostname(),
  now: monotonic,
  at: () => date().toISOString(),
  locks: () => lockState(limit),
  sanlock: async () => {
    const { exitCode, stdout, stderr, isAbsent, timedOut } = await query('sanlock', STATUS_ARGUMENTS, limit)
    const silent = (why: string): SanlockSeen => ({ status: unknown(why), ownIds: new Map() })
    if (isAbsent) return silent('it was not found: apt install sanlock')
    if (exitCode !== 0)
      return silent(
        timedOut ? `no answer within ${limit / 1000} s` : stderr.trim().split('\n')[0] || 'it does not answer',
      )
    const status = parseSanlockStatus(stdout)
    if (status === undefined) return silent('its answer is not understood')
    const ids = status.lockspaces.flatMap(({ vg }): [string, number][] => {
      const id = parseOwnHostId(stdout, vg)
      return id === undefined ? [] : [[vg, id]]
    })
    return { status: known(status), ownIds: new Map(ids) }
  },
  volumes: async () => {
    const { stdout, stderr, isAbsent, timedOut } = await query('lvs', lvsOfVgsArguments([]), limit)
    if (isAbsent) return unknown('lvs was not found: apt install lvm2')
    if (timedOut) return unknown(`lvs does not answer within ${limit / 1000} s`)
    try {
      return known([...parseLvs(stdout, stderr).volumes.values()])
    } catch {
      return unknown(stderr.trim().split('\n')[0] || 'lvs does not answer in its own form')
    }
  },
  leases: async (vg) => {
    const read = await readLeases(vg, limit)
    return read.kind === 'read' ? known(read.area) : { ...unknown(read.why), isSilent: read.isSilent }
  },
  lease: async (volume) => {
    const lease = await leaseOf(volume)
    if (lease === undefined) return undefined
    const sharer = (hostId: number): { hostId: number; generation: number } => ({ hostId, generation: 0 })
    return {
      resource: volume.lockUuid,
      exclusive: lease.exclusive === undefined ? undefined : sharer(lease.exclusive),
      shared: lease.shared.map(sharer),
    }
  },
  seen: async (vg) => parseHostStatus((await query('sanlock', hostStatusArguments(vg), limit)).stdout),
  drbd: async () => {
    if (drbdMinors().length === 0) return known([])
    const found = await drbdDevices()
    return found.kind === 'known' ? known(found.devices) : unknown(found.detail)
  },
  files: () => ({
    records: readRecords(),
    active: activeDomains(),
    defined: definedDomains().found,
    devices: activeVolumes(),
    killed: marked(),
    agent: agentState(),
  }),
})

/** This host, for a person who waits. */
export const STATUS_WORLD = worldWithin(LIMIT)
/** The same with more time for each answer: for check, evacuate and sync, which nobody has to see at once. */
export const PATIENT_WORLD = worldWithin(PATIENT_LIMIT)

const marked = (): ReadonlySet<string> => {
  try {
    return markedVgs()
  } catch {
    return new Set()
  }
}

/**
 * Everything that is seen from here, at one moment. All questions are asked together, so a person waits only for the
 * slowest.
 */
export async function look(world: StatusWorld): Promise<StatusFacts> {
  const volumes = world.volumes()
  const locking = Promise.all([world.locks(), world.sanlock()])
  const drbd = world.drbd()
  // While the commands run.
  await undefined
  const files = world.files()
  const [locks, { status: sanlock, ownIds }] = await locking
  const vgs = [...ownIds.keys()]
  const [areas, seen, table] = await Promise.all([
    Promise.all(
      vgs.map(async (vg): Promise<[string, Known<LeaseArea>]> => [vg, await leasesOf(vg, sanlock, volumes, world)]),
    ),
    Promise.all(vgs.map(async (vg): Promise<[string, ReadonlyMap<number, LastSeen>]> => [vg, await world.seen(vg)])),
    volumes,
  ])
  return {
    host: world.host(),
    at: world.at(),
    now: world.now(),
    locks,
    sanlock,
    ownIds,
    table,
    areas: new Map(areas),
    seen: new Map(seen),
    drbd: await drbd,
    ...files,
  }
}

/**
 * The leases of a VG. If this host cannot renew its own lease on a disk, that disk is not read: the read might never
 * end (FACTS 45).
 */
async function leasesOf(
  vg: string,
  sanlock: Known<SanlockStatus>,
  volumes: Promise<Known<readonly LogicalVolume[]>>,
  world: StatusWorld,
): Promise<Known<LeaseArea>> {
  const status = sanlock.kind === 'known' ? sanlock.value : undefined
  const own = status?.lockspaces.find((each) => each.vg === vg)
  if (status === undefined || own === undefined || own.renewed === 0)
    return unknown('this host has not joined the lockspace yet')
  const age = status.now - own.renewed
  if (own.hasFailed || age >= (LOST / 2) * own.ioTimeout)
    return unknown(`this host has not renewed its lease for ${Math.round(age)} s, so that the disk is not asked`)
  const area = await world.leases(vg)
  if (area.kind === 'known' || area.isSilent === true) return area
  return oneByOne(vg, area.why, await volumes, world)
}

/**
 * Asks sanlock for each lease. That is slow, but right for every form that sanlock itself knows. Ends at the first
 * lease that sanlock does not tell.
 */
async function oneByOne(
  vg: string,
  why: string,
  volumes: Known<readonly LogicalVolume[]>,
  world: StatusWorld,
): Promise<Known<LeaseArea>> {
  if (volumes.kind === 'unknown') return unknown(why)
  const waiting = volumes.value.filter((row) => row.vg === vg && row.leaseOffset !== undefined)
  const leases = new Map<string, VolumeLease>()
  let isTold = true
  const ask = async (): Promise<void> => {
    for (let row = waiting.pop(); row !== undefined && isTold; row = waiting.pop()) {
      const lease = await world.lease(row)
      if (lease === undefined) isTold = false
      else leases.set(row.lockUuid, lease)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, ask))
  if (!isTold) return unknown(why)
  const hosts = [...(await world.seen(vg))].map(
    ([hostId, { name, ioTimeout }]) => [hostId, { hostId, name, generation: 0, timestamp: 1, ioTimeout }] as const,
  )
  return known({ hosts: new Map(hosts), leases })
}
