import { type Kind, type Volume, type VolumeGroup, parseName, uuidOf } from './volume.ts'

export interface VolumeOptions {
  readonly vg?: string
  readonly kind?: Kind
  readonly uuid?: string
  readonly leaseOffset?: number
  /** `false`: an LV without lock_args. Thin volumes and snapshots never have any. */
  readonly lockArgs?: boolean
  readonly skipActivation?: boolean
}

/** The first lease of an LV in the lvmlock volume (as in the captures), and the size of each. */
const FIRST_LEASE = 70_254_592
export const LEASE_SIZE = 1_048_576

/** The volume groups and their logical volumes: what LVM's metadata says, the same on both hosts. */
export class Volumes {
  readonly groups: readonly VolumeGroup[]
  #created = 0

  constructor(groups: readonly VolumeGroup[]) {
    this.groups = groups
  }

  /** @throws Error if there is no such VG, or already such an LV */
  create(lv: string, options: VolumeOptions = {}): Volume {
    const { kind = { kind: 'linear' }, lockArgs = true, skipActivation = false } = options
    const group = options.vg === undefined ? this.groups[0] : this.group(options.vg)
    if (group === undefined) throw new Error(`the model has no volume group ${options.vg}`)
    if (group.volumes.some((volume) => volume.lv === lv)) throw new Error(`${group.name}/${lv} exists`)
    const leased = group.lvmlockUuid !== undefined && lockArgs && kind.kind !== 'thin' && kind.kind !== 'snapshot'
    const volume: Volume = {
      vg: group.name,
      lv,
      kind,
      skipActivation,
      uuid: options.uuid ?? uuidOf(`${group.name}/${lv} ${this.#created++}`),
      leaseOffset: leased ? (options.leaseOffset ?? freeLease(group)) : undefined,
    }
    group.volumes.push(volume)
    return volume
  }

  /** It stays what it is: its UUID, its lock and its device do. So does what it is to others. */
  rename(volume: Volume, lv: string): void {
    const volumes = this.group(volume.vg)?.volumes ?? []
    const now = (name: string): string => (name === volume.lv ? lv : name)
    for (const [index, each] of volumes.entries()) {
      const { kind } = each
      if (each === volume) volumes[index] = { ...volume, lv }
      else if (kind.kind === 'snapshot') volumes[index] = { ...each, kind: { ...kind, origin: now(kind.origin) } }
      else if (kind.kind === 'thin') volumes[index] = { ...each, kind: { ...kind, pool: now(kind.pool) } }
    }
  }

  remove(volume: Volume): void {
    const volumes = this.group(volume.vg)?.volumes
    volumes?.splice(volumes.indexOf(volume), 1)
  }

  group(name: string): VolumeGroup | undefined {
    return this.groups.find((group) => group.name === name)
  }

  find(name: string): Volume | undefined {
    const { vg, lv } = parseName(name)
    return this.group(vg)?.volumes.find((volume) => volume.lv === lv)
  }

  /** @throws Error if there is no such volume */
  get(name: string): Volume {
    const volume = this.find(name)
    if (volume === undefined) throw new Error(`the model has no volume ${name}`)
    return volume
  }

  /** The volume that a snapshot's commands act on; any other volume itself. */
  originOf(volume: Volume): Volume {
    return volume.kind.kind === 'snapshot' ? this.get(`${volume.vg}/${volume.kind.origin}`) : volume
  }

  /**
   * The volume whose lock covers this one: a thin volume's pool, a snapshot's origin, or itself; undefined if none
   * does.
   */
  lockVolume(volume: Volume): Volume | undefined {
    const covering = volume.kind.kind === 'thin' ? this.get(`${volume.vg}/${volume.kind.pool}`) : this.originOf(volume)
    return covering.leaseOffset === undefined ? undefined : covering
  }

  snapshotsOf(origin: Volume): Volume[] {
    return this.#siblings(origin).filter(({ kind }) => kind.kind === 'snapshot' && kind.origin === origin.lv)
  }

  thinVolumesOf(pool: Volume): Volume[] {
    return this.#siblings(pool).filter(({ kind }) => kind.kind === 'thin' && kind.pool === pool.lv)
  }

  byUuid(uuid: string): Volume | undefined {
    return this.groups.flatMap(({ volumes }) => volumes).find((volume) => volume.uuid === uuid)
  }

  #siblings(volume: Volume): readonly Volume[] {
    return this.group(volume.vg)?.volumes ?? []
  }
}

function freeLease(group: VolumeGroup): number {
  const used = new Set(group.volumes.map(({ leaseOffset }) => leaseOffset))
  let offset = FIRST_LEASE
  while (used.has(offset)) offset += LEASE_SIZE
  return offset
}
