import type { HostState, LockspaceState, Lvmlockd } from './host-state.ts'
import { Lease, type Lock } from './lease.ts'
import type { Time } from './time.ts'
import { type Volume, type VolumeGroup, fullName } from './volume.ts'
import type { Volumes } from './volumes.ts'

/** sanlock's figures for io_timeout 10: a silent host FAILs after 80 s and is DEAD after 140 s (measured, FACTS 32). */
const FAIL_AFTER = 80
const DEAD_AFTER = 140
/** A living host's last renewal is some seconds old. */
const RENEWAL_AGE = 3

/** The leases on the shared disk, and what the lvmlockd of each host knows of them. */
export class Locks {
  readonly #volumes: Volumes
  readonly #hosts: readonly HostState[]
  readonly #time: Time
  readonly #changed: () => void
  readonly #leases = new Map<string, Lease>()
  /** A pool's lock stays when its last thin volume goes, until the pool itself is deactivated (FACTS 27). */
  keepPools = false

  constructor(volumes: Volumes, hosts: readonly HostState[], time: Time, changed: () => void) {
    this.#volumes = volumes
    this.#hosts = hosts
    this.#time = time
    this.#changed = changed
  }

  /** Takes the lock in the mode, or says which host_id is in the way. lvmlockd lists the volume in both cases. */
  acquire(host: HostState, volume: Volume, mode: 'ex' | 'sh'): number | undefined {
    const { locks } = host.lockspace(volume.vg)
    const lease = this.lease(volume)
    const isDead = (id: number): boolean =>
      this.#hosts.some((other) => other.id === id && this.liveness(other, volume.vg) === 'DEAD')
    const obstacle = lease.take(host.id, mode, this.#time.monotonic(), isDead)
    locks.set(volume.uuid, lease.held(host.id))
    return obstacle
  }

  release(host: HostState, volume: Volume): void {
    this.lease(volume).drop(host.id)
    host.lockspace(volume.vg).locks.set(volume.uuid, 'un')
  }

  /** What the lease on the shared disk says that this host holds for the volume, whatever its lvmlockd knows of it. */
  held(host: HostState, name: string): Lock {
    const volume = this.#volumes.lockVolume(this.#volumes.get(name))
    return volume === undefined ? 'un' : this.lease(volume).held(host.id)
  }

  lease(volume: Volume): Lease {
    const known = this.#leases.get(volume.uuid)
    if (known !== undefined) return known
    if (volume.leaseOffset === undefined) throw new Error(`${fullName(volume)} has no lease`)
    const lease = new Lease()
    this.#leases.set(volume.uuid, lease)
    return lease
  }

  /** All leases of a VG with their places in its lvmlock volume. */
  leases(group: VolumeGroup): { readonly volume: Volume; readonly lease: Lease; readonly offset: number }[] {
    return group.volumes.flatMap((volume) =>
      volume.leaseOffset === undefined ? [] : [{ volume, lease: this.lease(volume), offset: volume.leaseOffset }],
    )
  }

  /**
   * From now on `-an` of the volume on the host says error -211, exits 0 and leaves the lock (FACTS 24); or no longer
   * so.
   */
  keepOnDeactivation(host: HostState, name: string, keep = true): void {
    const volume = this.#volumes.lockVolume(this.#volumes.get(name))
    if (volume !== undefined && keep) host.keepsLock.add(volume.uuid)
    else if (volume !== undefined) host.keepsLock.delete(volume.uuid)
  }

  setLockspace(host: HostState, vg: string, state: LockspaceState): void {
    host.lockspace(vg).state = state
    this.#changed()
  }

  setLvmlockd(host: HostState, lvmlockd: Lvmlockd): void {
    host.lvmlockd = lvmlockd
  }

  /**
   * A new lvmlockd. With `adopt` all is as before; without, the leases stay and it knows of no lockspace (FACTS 34).
   */
  restartLvmlockd(host: HostState, { adopt }: { readonly adopt: boolean }): void {
    host.lvmlockd = 'running'
    for (const lockspace of adopt ? [] : host.lockspaces.values()) {
      lockspace.state = 'stopped'
      lockspace.locks.clear()
    }
    this.#changed()
  }

  /** No more renewals from this host. Its leases are in the way until it counts as dead. */
  silence(host: HostState): void {
    host.diedAt ??= this.#time.now
  }

  /** It joins its lockspaces anew, which makes void whatever it held before. */
  join(host: HostState): void {
    this.revive(host)
    host.lvmlockd = 'running'
    for (const lease of this.#leases.values()) lease.drop(host.id)
    for (const lockspace of host.lockspaces.values()) {
      lockspace.state = 'started'
      lockspace.locks.clear()
    }
    this.#changed()
  }

  /** It renews again in all its lockspaces. */
  revive(host: HostState): void {
    host.diedAt = undefined
    host.left.clear()
    host.rejoined.clear()
  }

  /** It has joined the lockspace of one VG anew; it lives when it has joined all. */
  rejoin(host: HostState, vg: string): void {
    host.left.delete(vg)
    host.rejoined.add(vg)
    if ([...host.lockspaces.keys()].every((name) => host.rejoined.has(name))) this.revive(host)
  }

  liveness(host: HostState, vg: string): 'LIVE' | 'FAIL' | 'DEAD' {
    const age = this.renewalAge(host, vg)
    return age > DEAD_AFTER ? 'DEAD' : age > FAIL_AFTER ? 'FAIL' : 'LIVE'
  }

  /** Seconds since the host's last renewal in the lockspace of a VG. */
  renewalAge(host: HostState, vg: string): number {
    const isRenewed = host.diedAt === undefined || host.rejoined.has(vg)
    return RENEWAL_AGE + (isRenewed ? 0 : this.#time.now - (host.diedAt ?? 0))
  }

  forget(volume: Volume): void {
    this.#leases.delete(volume.uuid)
    for (const host of this.#hosts) {
      host.lockspaces.get(volume.vg)?.locks.delete(volume.uuid)
      host.keepsLock.delete(volume.uuid)
    }
  }

  reset(): void {
    this.keepPools = false
    this.#leases.clear()
    for (const host of this.#hosts) {
      host.keepsLock.clear()
      this.join(host)
    }
  }
}
