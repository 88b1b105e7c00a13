import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import type { Device, LockState, LogicalVolume, VolumeTable } from '../../../src/core/lock-state.ts'
import type { Problem } from '../../../src/core/problem.ts'
import type { SavedImage } from '../../../src/core/saved-image.ts'
import { type Mode, type VolumeName, fullName } from '../../../src/core/volume.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import type { Target } from '../../../src/lvm/lvchange.ts'
import type { CommandResult } from '../../../src/system/run.ts'
import { deviceOf, lockTable, logicalVolume, volumeTable } from './lvm.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { UUID, domainXml } from './xml.ts'

export const ROOT_VOLUME = logicalVolume({ vg: 'virtVG', lv: 'root' })
export const HOME_VOLUME = logicalVolume({ vg: 'virtVG', lv: 'home' })
export const CONFIGURATION = { ...DEFAULTS, migrateWait: 0, logFile: '' }

const ENDED: CommandResult = { exitCode: 0, stdout: '', stderr: '', isAbsent: false, timedOut: false }
const failed = (stderr: string): CommandResult => ({ ...ENDED, exitCode: 5, stderr })

/**
 * Stands for src/lvm of one host, below prepare, release and migrate (a test puts it there with vi.mock). Its lvchange
 * can be told to misbehave as the real one was seen to: FACTS 23 to 25.
 */
export class HostDouble {
  readonly locks = new Map<string, Mode>()
  readonly active = new Map<string, LogicalVolume>()
  /** Volumes that another host holds exclusively. */
  readonly elsewhere = new Set<string>()
  /** Volumes that cannot be deactivated: something has them open. */
  readonly inUse = new Set<string>()
  /** Volumes whose device, if there is one, has a table of `error`: LVM counts it as active (FACTS 49). */
  readonly wiped = new Set<string>()
  /** lvchange -an exits 0, removes the device and leaves the lock (FACTS 24). */
  leavesLocks = false
  /** lvs never answers. */
  lvsHangs = false
  /** lvs does not know the VG at the moment: its storage is away. */
  vgIsMissing = false
  /** VGs of which this host has lost its lease. */
  readonly lostVgs = new Set<string>()
  readonly commands: string[] = []

  lockState = (): Promise<LockState> =>
    Promise.resolve(lockTable([...this.locks].map(([uuid, mode]) => [{ ...ROOT_VOLUME, lockUuid: uuid }, mode])))
  activeVolumes = (): Device[] =>
    [...this.active.values()].map((volume) => ({
      ...deviceOf(volume),
      ...(this.wiped.has(fullName(volume)) && { dead: 'error' as const }),
      ...(this.#hasSnapshot(volume) && { hasSnapshot: true as const }),
    }))
  /** COW ones, which come up with it. */
  #hasSnapshot({ uuid }: LogicalVolume): boolean {
    return [...this.active.values()].some(
      (other) => other.uuid !== uuid && other.lockUuid === uuid && other.pool === undefined,
    )
  }
  openVolumes = (): Promise<Map<string, string[]>> => Promise.resolve(new Map())
  volumeTable = (names: readonly VolumeName[]): Promise<VolumeTable | undefined> => {
    if (this.lvsHangs) return new Promise(() => undefined)
    if (this.vgIsMissing) return Promise.resolve(volumeTable([], { missingVgs: new Set(['virtVG']) }))
    return Promise.resolve(volumeTable(names.map((name) => logicalVolume(name))))
  }
  leaseOf = (): Promise<undefined> => Promise.resolve(undefined)
  holdersOf = (): Promise<[]> => Promise.resolve([])

  bringTo = (target: Target, names: readonly VolumeName[]): Promise<CommandResult> => {
    this.commands.push(`${target} ${names.map(fullName).join(' ')}`)
    const outcomes = names.map((name) => this.#change(target, this.active.get(fullName(name)) ?? logicalVolume(name)))
    return Promise.resolve(outcomes.find(({ exitCode }) => exitCode !== 0) ?? ENDED)
  }

  #change(target: Target, volume: LogicalVolume): CommandResult {
    const name = fullName(volume)
    if (target === 'inactive') {
      if (this.inUse.has(name)) return failed(`  Logical volume ${name} in use.\n`)
      this.active.delete(name)
      if (!this.leavesLocks) this.locks.delete(volume.lockUuid)
      return ENDED
    }
    if (this.elsewhere.has(name))
      return failed(`  LV locked by other host: ${name}\n  Failed to lock logical volume ${name}.\n`)
    this.active.set(name, volume)
    if (target !== 'local') this.locks.set(volume.lockUuid, target)
    return ENDED
  }

  /** What stands for src/state/vg-lock.ts: nobody else is on this host. */
  lockVgs = (vgs: readonly string[]): Promise<{ descriptors: Map<string, number>; release: () => void }> =>
    Promise.resolve({ descriptors: new Map(vgs.map((vg) => [vg, 0])), release: () => undefined })
}

/** What stands in the place of src/lvm/lvm.ts, src/lvm/devices.ts, src/sanlock/ask.ts and src/state/vg-lock.ts (vi.mock). */
export const lvmOf = (host: () => HostDouble) => ({
  lockState: () => host().lockState(),
  openVolumes: () => host().openVolumes(),
  volumeTable: (...words: Parameters<HostDouble['volumeTable']>) => host().volumeTable(...words),
  leaseOf: () => host().leaseOf(),
  holdersOf: () => host().holdersOf(),
  makesDevices: () => Promise.resolve(true),
  bringTo: (...words: Parameters<HostDouble['bringTo']>) => host().bringTo(...words),
})
export const devicesOf = (host: () => HostDouble) => ({ activeVolumes: () => host().activeVolumes() })
export const vouchOf = (host: () => HostDouble) => ({
  lostLeases: (vgs: readonly string[]): Promise<Problem[]> =>
    Promise.resolve(
      vgs.filter((vg) => host().lostVgs.has(vg)).map((vg) => ({ kind: 'lease-lost', vg, isKnown: true })),
    ),
})
/** What the disk says of the lease of ROOT_VOLUME. */
export const leasesOf = (lver: () => number, owner = 'node1') => ({
  leaseCounts: () => Promise.resolve(new Map([[ROOT_VOLUME.uuid, { lver: lver(), owner: 1 }]])),
  ownHostId: () => Promise.resolve(1),
  hostNameOf: () => Promise.resolve(owner),
  volumesByUuid: () => Promise.resolve(undefined),
})
/** A note of a memory of tintin that was saved when that lease was at 5. */
export const SAVED: SavedImage = {
  format: 1,
  domain: { name: 'tintin', uuid: UUID },
  at: '2026-11-27T22:31:09.123Z',
  volumes: [{ vg: ROOT_VOLUME.vg, lv: ROOT_VOLUME.lv, uuid: ROOT_VOLUME.uuid, lver: 5 }],
}
export const vgLockOf = (host: () => HostDouble) => ({
  lockVgs: (vgs: readonly string[]) => host().lockVgs(vgs),
  VgBusy: class extends Error {},
})

/** The XML of a domain with these volumes; with an alias, as it is once a prepare is over. */
export const xmlOf = (volumes: readonly LogicalVolume[], started = false): string =>
  domainXml({
    disks: volumes.map(({ vg, lv }, index) => ({
      type: 'block',
      target: `vd${index}`,
      path: `/dev/${vg}/${lv}`,
      ...(started ? { alias: `virtio-disk${index}` } : {}),
    })),
  })
export const domainOf = (volumes: readonly LogicalVolume[], started = false) => parseDomain(xmlOf(volumes, started))

/** /run/lvguard of the double's host. */
export const runFolder = (root: string): string => {
  const folder = join(root, 'run/lvguard')
  mkdirSync(folder, { recursive: true })
  return folder
}

/** Records of one domain. */
export const recordsFor =
  (name: string, uuid: string) =>
  (state: DomainRecord['state'], volumes: DomainRecord['volumes']): DomainRecord => ({
    format: 1,
    domain: { name, uuid },
    state,
    volumes,
  })

/** Puts a domain that runs into libvirt's folder below a root; its XML is that of tintin. */
export const runsBelow =
  (root: { write(path: string, text: string): void }) =>
  (
    name: string,
    uuid: string,
    xml: string,
    status = "state='running' reason='booted'",
    job = "type='none' async='none'",
  ) => {
    const pid = name === 'tintin' ? 7 : 8
    root.write(`proc/${pid}/stat`, '')
    root.write(
      `run/libvirt/qemu/${name}.xml`,
      `<domstatus ${status} pid='${pid}'>\n<job ${job}/>\n${xml.replace('tintin', name).replace(UUID, uuid)}</domstatus>\n`,
    )
  }
