import type { DeltaLease, LeaseArea, Sharer, VolumeLease } from '../core/lease-area.ts'

/**
 * The leases of a volume group as sanlock keeps them in /dev/mapper/VG-lvmlock (sanlock 3.8.5: src/ondisk.c,
 * src/leader.h, src/paxos_lease.h; each field was compared with `sanlock direct dump`). It begins with a record for
 * each host_id. Each MiB behind that may begin with the lease of a volume: its leader record, a request record, then a
 * block for each host_id. All numbers are little-endian.
 */

/**
 * Bytes: a lease of a volume may begin at each multiple of this. sanlock's own align_size is this or a multiple of it.
 */
export const SLOT = 1024 * 1024
/** Bytes of the host records that are read: all 2000 host_ids with sectors of 512 bytes, 256 with 4096. */
export const HOST_RECORDS = SLOT

const MAGIC = { host: 0x12212010, lease: 0x06152010 } as const
/** The major part of a record's version (DELTA_DISK_VERSION_MAJOR, PAXOS_DISK_VERSION_MAJOR). */
const MAJOR = { host: 0x0003, lease: 0x0006 } as const
const SECTOR_SIZES = [512, 4096]
/** MBLOCK_SHARED: the bit of a host that shares. */
const SHARED = 1
/** MBLOCK_OFFSET: the byte in a host's block at which the part with that bit begins. */
const MODE_BLOCK = 128
/** Sectors before the block of host_id 1: the leader and the request. */
const BEFORE_BLOCKS = 2

/**
 * Bytes of a slot that hold the lease and the blocks of all host_ids up to one.
 * @param highest the greatest host_id that has ever joined
 */
export const bytesOfLease = (highest: number, sectorSize: number): number =>
  Math.ceil(((BEFORE_BLOCKS + highest) * sectorSize) / 4096) * 4096

/**
 * Bytes of a sector of this area, from its first record; undefined if that is none of sanlock's, or of a version that
 * is not known.
 */
export function sectorSizeOf(area: Buffer): number | undefined {
  if (!isRecord(area, 0, 'host')) return undefined
  const size = area.readUInt32LE(12)
  return SECTOR_SIZES.includes(size) ? size : undefined
}

const isRecord = (bytes: Buffer, at: number, what: keyof typeof MAGIC): boolean =>
  bytes.length >= at + 512 &&
  bytes.readUInt32LE(at) === MAGIC[what] &&
  bytes.readUInt32LE(at + 4) >>> 16 === MAJOR[what]

/** A name of up to 48 bytes, ended by a 0 if it is shorter. */
function nameAt(bytes: Buffer, at: number): string {
  const text = bytes.toString('latin1', at, at + 48)
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}

const numberAt = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at))

/**
 * The records of the hosts that have, or have had, a host_id here.
 * @returns undefined if one of them is not understood
 */
export function parseDeltaLeases(area: Buffer, lockspace: string): Map<number, DeltaLease> | undefined {
  const sectorSize = sectorSizeOf(area)
  if (sectorSize === undefined) return undefined
  const hosts = new Map<number, DeltaLease>()
  for (let hostId = 1; hostId * sectorSize <= area.length; hostId++) {
    const at = (hostId - 1) * sectorSize
    if (!isRecord(area, at, 'host') || nameAt(area, at + 56) !== lockspace) return undefined
    const name = nameAt(area, at + 104)
    if (name !== '')
      hosts.set(hostId, {
        hostId,
        name,
        generation: numberAt(area, at + 40),
        timestamp: numberAt(area, at + 152),
        ioTimeout: area.readUInt16LE(at + 174) || 10,
      })
  }
  return hosts
}

/**
 * The lease at the beginning of a slot.
 * @param highest the greatest host_id that may stand in it
 * @returns undefined if there is none; `unknown` if what is there is not understood
 */
export function parseLease(
  slot: Buffer,
  lockspace: string,
  highest: number,
  sectorSize: number,
): VolumeLease | undefined | 'unknown' {
  if (slot.length < 512 || slot.readUInt32LE(0) !== MAGIC.lease) return undefined
  if (!isRecord(slot, 0, 'lease') || slot.readUInt32LE(12) !== sectorSize || nameAt(slot, 56) !== lockspace)
    return 'unknown'
  const resource = nameAt(slot, 104)
  if (resource.startsWith('#')) return undefined
  const [owner, generation, timestamp] = [numberAt(slot, 32), numberAt(slot, 40), numberAt(slot, 152)]
  const shared: Sharer[] = []
  for (let hostId = 1; hostId <= highest; hostId++) {
    const at = (BEFORE_BLOCKS + hostId - 1) * sectorSize + MODE_BLOCK
    if (at + 16 > slot.length) return 'unknown'
    if ((slot.readUInt32LE(at) & SHARED) !== 0) shared.push({ hostId, generation: numberAt(slot, at + 8) })
  }
  return {
    resource,
    exclusive: timestamp === 0 ? undefined : { hostId: owner, generation },
    shared,
    taken: { lver: numberAt(slot, 48), owner },
  }
}

/**
 * The whole lease area of a VG.
 * @param area the host records
 * @param slots the beginning of each MiB behind the host records, each of `bytesOfLease` bytes
 * @returns undefined if anything in it is not understood: a lease that is not seen must not pass for a free one (R9)
 */
export function parseLeaseArea(area: Buffer, slots: readonly Buffer[], vg: string): LeaseArea | undefined {
  const lockspace = `lvm_${vg}`
  const [hosts, sectorSize] = [parseDeltaLeases(area, lockspace), sectorSizeOf(area)]
  if (hosts === undefined || sectorSize === undefined) return undefined
  const highest = Math.max(0, ...hosts.keys())
  const leases = new Map<string, VolumeLease>()
  for (const slot of slots) {
    const lease = parseLease(slot, lockspace, highest, sectorSize)
    if (lease === 'unknown') return undefined
    if (lease !== undefined) leases.set(lease.resource, lease)
  }
  return { hosts, leases }
}
