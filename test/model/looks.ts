import type { Device, LeaseCount, LockState, VolumeTable } from '../../src/core/lock-state.ts'
import type { DomainRecord, Records } from '../../src/core/record.ts'
import type { HostFacts } from '../../src/core/start.ts'
import { fullName } from '../../src/core/volume.ts'
import { deviceOf, lockTable, volumeTable } from '../unit/support/lvm.ts'
import { type Domain, LOGICAL_VOLUMES } from './domains.ts'
import { isOpen } from './leases.ts'
import { type Process, type Steps, untilOrLimit } from './process.ts'
import type { Host, World } from './world.ts'

/** What one program of ours needs to act: where it runs and what it decides by. */
export interface Here {
  readonly world: World
  readonly host: Host
  /** Itself, once it runs. */
  readonly self: () => Process
  readonly excludes: boolean
  /** Of a hook: the daemon that called it. */
  readonly caller: Host['daemon']
}

const TABLE = volumeTable(LOGICAL_VOLUMES)

export const table = (): VolumeTable => TABLE

/** lvmlockctl: the locks that this host's lvmlockd holds. */
export const locksOf = ({ world, host }: Here): LockState =>
  lockTable(
    LOGICAL_VOLUMES.flatMap((volume) => {
      const mode = world.leases.get(volume.lv)?.get(host.name)
      return mode === undefined ? [] : [[volume, mode] as const]
    }),
  )

export const devicesOf = ({ host }: Here): Device[] =>
  LOGICAL_VOLUMES.filter(({ lv }) => host.devices.has(lv)).map((volume) => deviceOf(volume))

export const recordsOf = ({ host }: Here): Records => ({ known: [...host.records.values()], unreadable: [] })

/** leaseCounts of src/lvm/lvm.ts: read from the shared disk, without a lock. */
export const leaseCounts = ({ world }: Here): Map<string, LeaseCount> =>
  new Map(
    LOGICAL_VOLUMES.map(({ lv, uuid }) => [
      uuid,
      { lver: world.counts.get(lv)?.lver ?? 0, owner: world.counts.get(lv)?.owner === 'B' ? 2 : 1 },
    ]),
  )

/** isActiveHere of src/libvirt/status.ts: a file whose QEMU is gone is a leftover. */
export function isActiveHere({ host }: Here, domain: Domain): boolean {
  const status = host.statuses.get(domain.name)
  return status !== undefined && (status.pid === 0 || host.qemus.get(domain.name)?.pid === status.pid)
}

/**
 * lookAround of src/acts/host.ts: records, devices and open counts, then the locks, unless they were asked for already.
 */
export function* lookAround(here: Here, asked?: LockState): Steps<HostFacts> {
  const records = recordsOf(here)
  yield
  const devices = devicesOf(here)
  const users = new Map(
    LOGICAL_VOLUMES.filter(({ lv }) => isOpen(here.world, here.host, lv)).map(
      (volume) => [fullName(volume), ['qemu']] as const,
    ),
  )
  if (asked !== undefined) return { records, devices, users, locks: asked }
  yield
  return { records, devices, users, locks: locksOf(here) }
}

/** Writes a record, or takes it away, in one rename. */
export function put({ world, host }: Here, domain: Domain, record: DomainRecord | undefined): void {
  world.note(
    host,
    () =>
      `record of ${domain.name}: ${record === undefined ? 'removed' : `${record.state} ${record.volumes.map(({ lv, mode, before }) => `${lv}=${mode}/${before}`).join(' ')}`}`,
  )
  // The agent watches this folder too; what it writes itself is no news.
  if (record?.state === 'releasing' && host.records.get(domain.uuid)?.state !== 'releasing')
    host.hasStatusChanged = true
  if (record === undefined) host.records.delete(domain.uuid)
  else host.records.set(domain.uuid, record)
}

/** Takes the VG's lock (R11). @returns false where somebody else did not give it back in time */
export function* lockVg({ host, self, excludes }: Here): Steps<boolean> {
  const isFree = (): boolean => !excludes || host.vgLock.every((process) => !process.isAlive)
  const woken = yield untilOrLimit(isFree)
  if (woken === 'limit') return false
  host.vgLock = [self()]
  return true
}

/** Gives it back; children that inherited it keep it for as long as they live. */
export const unlockVg = ({ host, self }: Here): void => {
  host.vgLock = host.vgLock.filter((process) => process !== self())
}
