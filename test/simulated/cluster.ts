import { Devices } from './devices.ts'
import { HostState } from './host-state.ts'
import { Locks } from './locks.ts'
import { Time } from './time.ts'
import { type Volume, uuidOf } from './volume.ts'
import { type VolumeOptions, Volumes } from './volumes.ts'

/** 2.03.16: Debian 12; 2.03.31: Debian 13; from 2.03.33 on a conflict names the host_id (FACTS 22). */
export type LvmVersion = '2.03.16' | '2.03.31' | '2.03.33'

export interface ClusterOptions {
  readonly lvm?: LvmVersion
  readonly volumeGroupUuid?: string
  readonly lvmlockUuid?: string
  readonly clock?: () => number
}

/** Two hosts on one volume group that they share through lvmlockd and sanlock, and a local one each. Deterministic. */
export class Cluster {
  readonly lvm: LvmVersion
  readonly volumeGroup = 'virtVG'
  readonly localVolumeGroup = 'localVG'
  readonly hosts: readonly [HostState, HostState] = [new HostState('host1', 1), new HostState('host2', 2)]
  readonly time: Time
  readonly volumes: Volumes
  readonly locks: Locks
  readonly devices: Devices
  readonly #listeners: (() => void)[] = []

  constructor(options: ClusterOptions = {}) {
    const {
      lvm = '2.03.16',
      volumeGroupUuid = uuidOf(this.volumeGroup),
      lvmlockUuid = uuidOf(`${this.volumeGroup}/lvmlock`),
    } = options
    const changed = (): void => this.#changed()
    this.lvm = lvm
    this.time = new Time(options.clock)
    this.volumes = new Volumes([
      { name: this.volumeGroup, uuid: volumeGroupUuid, lvmlockUuid, volumes: [] },
      { name: this.localVolumeGroup, uuid: uuidOf(this.localVolumeGroup), lvmlockUuid: undefined, volumes: [] },
    ])
    this.locks = new Locks(this.volumes, this.hosts, this.time, changed)
    this.devices = new Devices(this.volumes, this.hosts, changed)
    for (const host of this.hosts) host.lockspaces.set(this.volumeGroup, { state: 'started', locks: new Map() })
  }

  /** Calls back after every change that can show in a host's devices. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** A new volume; an old one of that name is removed first, wherever it is locked or active. */
  create(lv: string, options: VolumeOptions = {}): Volume {
    this.remove(`${options.vg ?? this.volumeGroup}/${lv}`)
    return this.volumes.create(lv, options)
  }

  rename(name: string, lv: string): void {
    this.volumes.rename(this.volumes.get(name), lv)
    this.#changed()
  }

  remove(name: string): void {
    const volume = this.volumes.find(name)
    if (volume === undefined) return
    this.volumes.remove(volume)
    this.locks.forget(volume)
    this.devices.forget(volume)
    this.#changed()
  }

  /**
   * The power goes: no device, no lvmlockd, and its leases stay on the disk until `locks.join`, or until it counts as
   * dead.
   */
  crash(host: HostState): void {
    this.locks.silence(host)
    this.locks.setLvmlockd(host, 'absent')
    this.devices.clear(host)
  }

  /** All hosts up, all lockspaces started, no lock, no device; the volumes stay. */
  reset(): void {
    this.locks.reset()
    for (const host of this.hosts) {
      this.devices.clear(host)
      host.drbd = undefined
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
