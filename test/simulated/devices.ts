import { layersOf, layersOfOne } from './device-table.ts'
import type { ForeignDevice, HostState } from './host-state.ts'
import { type Volume, fullName } from './volume.ts'
import type { Volumes } from './volumes.ts'

export interface Device {
  readonly name: string
  readonly uuid: string
  readonly minor: number
  readonly open: number
  /** Minors of the devices that stand on it: what /sys/block/dm-N/holders shows. */
  readonly holders: readonly number[]
  /** Minors of the devices that it stands on. */
  readonly slaves: readonly number[]
  /** The volume whose device it is; undefined for what LVM keeps to itself, such as a pool. */
  readonly volume: Volume | undefined
}

/** What is active on each host, and who has it open. */
export class Devices {
  readonly #volumes: Volumes
  readonly #hosts: readonly HostState[]
  readonly #changed: () => void

  constructor(volumes: Volumes, hosts: readonly HostState[], changed: () => void) {
    this.#volumes = volumes
    this.#hosts = hosts
    this.#changed = changed
  }

  /** The devices of a host in the order of `dmsetup`, by name. */
  list(host: HostState): Device[] {
    const layers = layersOf(this.#volumes, host)
      .filter(({ uuid }) => !host.removed.has(uuid))
      // A table of that kind stands on nothing.
      .map((layer) => (host.wiped.has(layer.uuid) ? { ...layer, below: [] } : layer))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const names = new Set(layers.map(({ name }) => name))
    for (const name of host.minors.keys()) if (!names.has(name)) host.minors.delete(name)
    for (const name of names) if (!host.minors.has(name)) host.minors.set(name, freeMinor(host))
    const minor = (name: string): number => host.minors.get(name) ?? -1
    return layers.map(({ name, uuid, openers, volume, below: under }) => {
      const holders = layers.filter(({ below }) => below.includes(name)).map((above) => minor(above.name))
      return {
        name,
        uuid,
        minor: minor(name),
        open: openers + holders.length,
        holders,
        slaves: under.filter((each) => names.has(each)).map(minor),
        volume,
      }
    })
  }

  activate(host: HostState, volume: Volume): void {
    host.active.add(volume.uuid)
    for (const { uuid } of layersOfOne(this.#volumes, host, volume)) host.removed.delete(uuid)
    this.#changed()
  }

  deactivate(host: HostState, volume: Volume): void {
    host.active.delete(volume.uuid)
    this.#changed()
  }

  /** `dmsetup wipe_table`. */
  wipe(host: HostState, name: string): void {
    const device = this.list(host).find((each) => each.name === name)
    if (device !== undefined) host.wiped.add(device.uuid)
    this.#changed()
  }

  /** `dmsetup remove`, past LVM. A volume of which nothing is left is not active any more. */
  remove(host: HostState, name: string): 'removed' | 'busy' | 'not found' {
    const device = this.list(host).find((each) => each.name === name)
    if (device === undefined) return 'not found'
    if (device.open > 0) return 'busy'
    host.removed.add(device.uuid)
    host.wiped.delete(device.uuid)
    for (const uuid of host.active) {
      const volume = this.#volumes.byUuid(uuid)
      const layers = volume === undefined ? [] : layersOfOne(this.#volumes, host, volume)
      if (!layers.every((layer) => host.removed.has(layer.uuid))) continue
      host.active.delete(uuid)
      for (const layer of layers) host.removed.delete(layer.uuid)
    }
    this.#changed()
    return 'removed'
  }

  /** Whether it has a device: a snapshot has one with its origin, a pool with any of its thin volumes. */
  isActive(host: HostState, volume: Volume): boolean {
    if (host.active.has(this.#volumes.originOf(volume).uuid)) return true
    return (
      volume.kind.kind === 'thin-pool' && this.#volumes.thinVolumesOf(volume).some(({ uuid }) => host.active.has(uuid))
    )
  }

  /** Whether something outside LVM has it open or stands on it. */
  isOpen(host: HostState, { uuid }: Volume): boolean {
    return (host.opens.get(uuid) ?? 0) > 0 || host.foreign.some(({ over }) => over.includes(uuid))
  }

  /** @throws Error if the volume has no device on the host */
  open(host: HostState, name: string): void {
    const volume = this.#volumes.get(name)
    if (!this.isActive(host, volume)) throw new Error(`${fullName(volume)} is not active on ${host.name}`)
    host.opens.set(volume.uuid, (host.opens.get(volume.uuid) ?? 0) + 1)
    this.#changed()
  }

  close(host: HostState, name: string): void {
    const { uuid } = this.#volumes.get(name)
    host.opens.set(uuid, Math.max(0, (host.opens.get(uuid) ?? 0) - 1))
    this.#changed()
  }

  /** Stacks a device over a volume, as kpartx does, or over several, as dmsetup can. */
  stack(host: HostState, names: string | readonly string[], device: Omit<ForeignDevice, 'over'>): void {
    host.foreign.push({ ...device, over: [names].flat().map((name) => this.#volumes.get(name).uuid) })
    this.#changed()
  }

  unstack(host: HostState, deviceName: string): void {
    host.foreign.splice(0, host.foreign.length, ...host.foreign.filter(({ name }) => name !== deviceName))
    this.#changed()
  }

  forget({ uuid }: Volume): void {
    for (const host of this.#hosts) {
      host.active.delete(uuid)
      host.opens.delete(uuid)
      // What stands on it goes with it.
      host.foreign.splice(0, host.foreign.length, ...host.foreign.filter(({ over }) => !over.includes(uuid)))
    }
  }

  clear(host: HostState): void {
    host.active.clear()
    host.opens.clear()
    host.foreign.length = 0
    host.wiped.clear()
    host.removed.clear()
    this.#changed()
  }
}

function freeMinor({ minors }: HostState): number {
  const used = new Set(minors.values())
  let minor = 0
  while (used.has(minor)) minor += 1
  return minor
}
