import { perProcess } from '../system/self.ts'
import { pause } from '../system/clock.ts'
import {
  type Address,
  type Device,
  type LeaseCount,
  type LockState,
  type LogicalVolume,
  NO_VOLUMES,
  type VolumeTable,
} from '../core/lock-state.ts'
import type { Holder } from '../core/problem.ts'
import { type Stack, type VolumeName, type WantedVolume, fullName } from '../core/volume.ts'
import { self } from '../system/self.ts'
import { nodeAt, openCountArguments, parseOpenCounts, usersOf } from './devices.ts'
import { type Target, lvchangeArguments } from './lvchange.ts'
import { INFO_ARGUMENTS, parseInfo } from './lvmlockctl.ts'
import { lvsArguments, lvsByUuidArguments, lvsOfVgsArguments, parseLvs } from './lvs.ts'
import { type CommandResult, QUERY_LIMIT, change, query } from '../system/run.ts'
import {
  type HostStatus,
  type Lease,
  dumpArguments,
  hostNameArguments,
  hostStatusArguments,
  leaderArguments,
  lockspacesArguments,
  parseHostName,
  parseHostStatus,
  parseLeader,
  parseOwnHostId,
  parseSharers,
} from '../sanlock/commands.ts'
import { inKnownForm } from './words.ts'

// lvmlockctl takes its answer at a socket of one fixed name. So of two lvmlockctl at the same moment one fails with
// EADDRINUSE (FACTS 55: `socket error -98`, lvm2 2.03.16). One takes about 10 ms. TRY_PAUSE is in milliseconds.
const TAKEN_SOCKET = /socket error -98/
const TRIES = 100
const TRY_PAUSE = 10

/**
 * What this host's lvmlockd holds. Takes no lock; never throws. Waits up to a few seconds for other lvmlockctl to end.
 * @param limit milliseconds for one answer
 */
export async function lockState(limit = QUERY_LIMIT): Promise<LockState> {
  let answer = await query('lvmlockctl', INFO_ARGUMENTS, limit)
  for (let tries = 1; tries < TRIES && isSocketTaken(answer); tries++) {
    // Of a random length, so that two that have collided do not collide again.
    await pause(TRY_PAUSE * (1 + self().random()))
    answer = await query('lvmlockctl', INFO_ARGUMENTS, limit)
  }
  return lockStateIn(answer)
}

/**
 * The same, if no other lvmlockctl is at work; otherwise undefined. If a hundred hooks repeated it all the time, they
 * would keep each other from getting an answer.
 */
export async function lockStateAtOnce(): Promise<LockState | undefined> {
  const answer = await query('lvmlockctl', INFO_ARGUMENTS)
  return isSocketTaken(answer) ? undefined : lockStateIn(answer)
}

const isSocketTaken = ({ stdout, stderr }: CommandResult): boolean => TAKEN_SOCKET.test(stdout + stderr)

function lockStateIn(answer: CommandResult): LockState {
  const { exitCode, stdout, stderr, isAbsent } = answer
  if (exitCode === 0) return parseInfo(stdout)
  if (isAbsent) return { kind: 'unknown', why: 'absent', detail: 'lvmlockctl was not found: apt install lvm2-lockd' }
  if (/connect failed|Cannot connect/.test(stdout + stderr))
    return { kind: 'unknown', why: 'down', detail: 'lvmlockd does not answer' }
  return { kind: 'unknown', why: 'failed', detail: `lvmlockctl: ${(stderr || stdout).trim().split('\n')[0] ?? ''}` }
}

/**
 * `lvmlockctl --drop`: lvmlockd forgets its locks of a VG whose lease was lost, and lets sanlock leave the lockspace.
 * If it does not know the VG, it does nothing (measured, lvm2 2.03.16: exit status 0).
 * @returns undefined if it was done, else why not
 */
export async function dropLocks(vg: string): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    const answer = await query('lvmlockctl', ['--drop', vg])
    if (answer.exitCode === 0) return undefined
    if (!isSocketTaken(answer) || tries === TRIES)
      return answer.isAbsent
        ? 'lvmlockctl was not found'
        : (answer.stderr || answer.stdout).trim().split('\n')[0] || 'lvmlockctl has failed'
    await pause(TRY_PAUSE * (1 + self().random()))
  }
}

/**
 * What LVM's metadata says of volumes, read without a lock. Undefined if lvs itself cannot be had or does not answer in
 * its own form.
 */
export const volumeTable = (volumes: readonly VolumeName[]): Promise<VolumeTable | undefined> =>
  volumes.length === 0 ? Promise.resolve(NO_VOLUMES) : askLvs(lvsArguments(volumes), volumes)

/** The same of the LVs with these UUIDs, with their dashes, active or not. One that LVM does not know is left out. */
export const volumesByUuid = (uuids: readonly string[]): Promise<VolumeTable | undefined> =>
  uuids.length === 0 ? Promise.resolve(NO_VOLUMES) : askLvs(lvsByUuidArguments(uuids), [])

/** The same of all LVs of these VGs; a VG that LVM does not know is in `missingVgs`. */
export const vgTable = (vgs: readonly string[]): Promise<VolumeTable | undefined> =>
  vgs.length === 0 ? Promise.resolve(NO_VOLUMES) : askLvs(lvsOfVgsArguments(vgs), [])

async function askLvs(words: readonly string[], asked: readonly VolumeName[]): Promise<VolumeTable | undefined> {
  const { stdout, stderr } = await query('lvs', words)
  try {
    return parseLvs(stdout, stderr, asked)
  } catch {
    return undefined
  }
}

/**
 * Who has any of these active volumes open on this host, by `VG/LV`. Runs nothing if none is active. If the open counts
 * cannot be read, each volume counts as open (R9). A device that a VM itself stacks on a volume does not count as a
 * user; who opens that device does.
 */
export async function openVolumes(
  volumes: readonly Used[],
  devices: readonly Device[],
): Promise<Map<string, string[]>> {
  const active = volumes.flatMap((volume) => {
    const device = devices.find(({ vg, lv }) => vg === volume.vg && lv === volume.lv)
    return device === undefined ? [] : [{ volume, device }]
  })
  if (active.length === 0) return new Map()
  const { exitCode, stdout } = await query('dmsetup', openCountArguments)
  const counts = exitCode === 0 ? parseOpenCounts(stdout) : undefined
  return new Map(
    active.flatMap(({ volume, device }): [string, string[]][] => {
      const users = [
        ...usersOfVolume(volume, device, counts),
        ...(volume.stack === undefined ? [] : usersOfStack(volume.stack, counts)),
      ]
      return users.length === 0 ? [] : [[fullName(volume), users]]
    }),
  )
}

type Used = VolumeName & Pick<WantedVolume, 'partition' | 'stack'>
type Counts = ReadonlyMap<string, number> | undefined

const UNREADABLE = ['whether it is open cannot be read']

function usersOfVolume({ partition, stack }: Used, device: Device, counts: Counts): string[] {
  // The mapping of its partitions does not count as a user.
  if (partition !== undefined) return []
  const count = counts?.get(device.dmUuid)
  if (count === undefined) return UNREADABLE
  const others = stack === undefined ? count : count - 1
  return others <= 0 ? [] : usersOf(device, others, stack?.holder)
}

function usersOfStack({ top }: Stack, counts: Counts): string[] {
  const { node, dmUuid } = nodeAt(top)
  if (dmUuid === undefined) return usersOf({ node }, undefined)
  const count = counts?.get(dmUuid)
  return count === 0 ? [] : count === undefined ? UNREADABLE : usersOf({ node }, count)
}

/** One lvchange for volumes of one VG, under that VG's lock. Never throws for what lvchange did. */
export const bringTo = (target: Target, volumes: readonly Address[], lockDescriptor: number): Promise<CommandResult> =>
  change('lvchange', inKnownForm(lvchangeArguments(target, volumes)), lockDescriptor)

/**
 * Whether LVM makes devices on this host at all. A set-up without device-mapper (`global/activation=0`) has locks only,
 * and no VM can run there. Reads lvm.conf, nothing else, and once in a process.
 */
export const makesDevices = (): Promise<boolean> => (madeDevices().answer ??= askWhetherDevices())

const madeDevices = perProcess((): { answer?: Promise<boolean> } => ({}))

async function askWhetherDevices(): Promise<boolean> {
  const { exitCode, stdout } = await query('lvmconfig', ['--typeconfig', 'full', 'global/activation'])
  return exitCode !== 0 || stdout.trim() !== 'activation=0'
}

/** The lease of a volume, read from the shared disk (FACTS 31); undefined if it cannot be read (dlm, or no answer). */
export async function leaseOf(volume: LogicalVolume): Promise<Lease | undefined> {
  const { lockType, leaseOffset } = volume
  if (lockType !== 'sanlock' || leaseOffset === undefined) return undefined
  const [leader, dump] = await Promise.all([
    query('sanlock', leaderArguments(volume, leaseOffset)),
    query('sanlock', dumpArguments(volume.vg, leaseOffset)),
  ])
  const parsed = leader.exitCode === 0 ? parseLeader(leader.stdout) : undefined
  const shared = dump.exitCode === 0 ? parseSharers(dump.stdout, volume.lockUuid) : undefined
  return parsed === undefined || shared === undefined ? undefined : { exclusive: parsed.owner, shared }
}

/**
 * How often the leases of these volumes have been taken, by the UUID of the LV that has the lease. Read from the shared
 * disk, without a lock (FACTS 51). A lease that cannot be read (dlm, or no answer) is left out.
 */
export async function leaseCounts(lockUuids: readonly string[]): Promise<Map<string, LeaseCount>> {
  const rows = [...((await volumesByUuid(lockUuids))?.volumes.values() ?? [])]
  const counts = await Promise.all(
    rows.map(async (row): Promise<[string, LeaseCount][]> => {
      if (row.lockType !== 'sanlock' || row.leaseOffset === undefined) return []
      const { exitCode, stdout } = await query('sanlock', leaderArguments(row, row.leaseOffset))
      const leader = exitCode === 0 ? parseLeader(stdout) : undefined
      return leader === undefined ? [] : [[row.uuid, leader.taken]]
    }),
  )
  return new Map(counts.flat())
}

/** This host's own host_id in a VG's lockspace; undefined if sanlock does not say. */
export const ownHostId = async (vg: string): Promise<number | undefined> =>
  parseOwnHostId((await query('sanlock', lockspacesArguments())).stdout, vg)

/** The name with which a host joined a VG's lockspace, for a message. */
export async function hostNameOf(vg: string, hostId: number): Promise<string> {
  const known = parseHostStatus((await query('sanlock', hostStatusArguments(vg))).stdout).get(hostId)?.name ?? ''
  const name = known !== '' ? known : parseHostName((await query('sanlock', hostNameArguments(vg, hostId))).stdout)
  return name === '' ? `host_id ${hostId}` : name
}

/**
 * The hosts that hold a volume, for a message (FACTS 31). If it is shared, this host is left out. Empty if the lease
 * cannot be read.
 * @param now this host's monotonic clock, seconds, as sanlock uses it
 */
export async function holdersOf(volume: LogicalVolume, now: () => number): Promise<Holder[]> {
  const { vg } = volume
  const [lease, status, spaces] = await Promise.all([
    leaseOf(volume),
    query('sanlock', hostStatusArguments(vg)),
    query('sanlock', lockspacesArguments()),
  ])
  if (lease === undefined) return []
  const hosts = parseHostStatus(status.stdout)
  const own = parseOwnHostId(spaces.stdout, vg)
  const holding =
    lease.exclusive === undefined
      ? lease.shared.filter((id) => id !== own).map((hostId) => ({ hostId, mode: 'shared' as const }))
      : [{ hostId: lease.exclusive, mode: 'exclusive' as const }]
  return Promise.all(
    holding.map(async ({ hostId, mode }) => {
      const host = hosts.get(hostId)
      const name =
        host?.name !== undefined && host.name !== ''
          ? host.name
          : parseHostName((await query('sanlock', hostNameArguments(vg, hostId))).stdout)
      return {
        hostId,
        mode,
        name: name === '' ? `host_id ${hostId}` : name,
        isThisHost: hostId === own,
        ...ageOf(host, now()),
      }
    }),
  )
}

// FACTS 32: a dead host's locks can be taken 8 × io_timeout + 60 s after its last renewal.
const ageOf = (host: HostStatus | undefined, now: number): Pick<Holder, 'silentFor' | 'expiresAfter'> => ({
  silentFor: host === undefined || host.lastLive === 0 ? undefined : now - host.lastLive,
  expiresAfter: 8 * (host?.ioTimeout ?? 10) + 60,
})
