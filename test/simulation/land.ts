import type { DomainRecord, RecordedVolume } from '../../src/core/record.ts'
import type { HookEvent } from '../../src/core/call.ts'
import { Cluster, type LvmVersion } from '../simulated/cluster.ts'
import { HostState } from '../simulated/host-state.ts'
import type { Lock } from '../simulated/lease.ts'
import { runTool } from '../simulated/tools.ts'
import { qcow2 } from '../support/qcow2.ts'
import { type Kind, type Volume, fullName, mapperName, uuidOf } from '../simulated/volume.ts'
import type { Actor, Engine, Violation } from './engine.ts'
import { Host, NOBODY } from './host.ts'
import { hasBlockJob, mayBeChanged } from './libvirt.ts'
import type { Process } from './process.ts'
import { Qemu, type Vm, type VmDisk, atRest, chainOf } from './vm.ts'

/** How much goes wrong by itself, as probabilities. */
export interface FaultRates {
  /** That something takes ten to three hundred times as long. */
  readonly slowness: number
  /** That a command is killed, before what it does or after it. */
  readonly commands: number
  /** That an lvchange exits with 0 and does nothing. */
  readonly lies: number
  /** That a hook is killed on its way. */
  readonly hookKills: number
  /** That a start fails after its `prepare`. */
  readonly failedStarts: number
  /** That inotify says nothing. */
  readonly lostEvents: number
}

export const NO_FAULTS: FaultRates = { slowness: 0, commands: 0, lies: 0, hookKills: 0, failedStarts: 0, lostEvents: 0 }

/** The product's code, to be called in a process of the simulation. */
export interface Product {
  hook(event: HookEvent, xml: string, process: Process): Promise<number>
  agent(): Promise<number>
  /** What a person types. */
  command(words: readonly string[]): Promise<number>
}

export interface Setting {
  readonly hosts: number
  readonly lvm: LvmVersion
  /** libvirt tells `release` why a domain has ended (FACTS 11). */
  readonly tellsReasons: boolean
  /** lvm.conf names `lvguard kill` as global/lvmlockctl_kill_command. */
  readonly hasKillCommand?: boolean
  readonly volumeGroups: readonly string[]
  /** `VG/LV`, in the order of their creation. */
  readonly volumes: readonly string[]
  /** Of these, those that are not linear; also what `lvcreate` may make in the middle of it. */
  readonly kinds?: Readonly<Record<string, Kind>>
  /** Of these, those without lock_args: LVM activates them without a lock (FACTS 24). */
  readonly lockless: readonly string[]
  readonly vms: readonly Vm[]
  /** What domains are defined with names their backing files (Vm.namesBelow). */
  readonly namesBelow?: boolean
}

/** Why the CPUs of a VM come to run. */
export type Reason = 'fresh' | 'restored' | 'libvirt' | 'a person' | string

interface Contents {
  version: number
  writer: Qemu | undefined
}

/** Two or three hosts on a shared disk, with all that is on them. */
export class Land {
  readonly cluster: Cluster
  readonly hosts: readonly Host[]
  readonly vms: readonly Vm[]
  readonly tellsReasons: boolean
  readonly hasKillCommand: boolean
  qemus: Qemu[] = []
  /** VMs that libvirt has made two of (FACTS 19). */
  readonly contested = new Set<Vm>()
  /** Those of which an agent that was not there at that moment can see no sign of it (Libvirt.recover). */
  readonly unseen = new Set<Vm>()
  readonly #renamedAt = new Map<string, number>()
  /** VMs that the agent has suspended. */
  readonly suspended = new Set<Vm>()
  /** When each VM was last seen to migrate out, in a way that calls for sharing. */
  readonly leaving = new Map<Vm, number>()
  /** When the CPUs of VMs began to run, and where. */
  readonly ran: { readonly vm: Vm; readonly host: Host; readonly at: number }[] = []
  /** When hosts asked for locks of volumes. */
  readonly tries: { readonly volume: string; readonly host: Host; readonly at: number }[] = []
  /** When each QEMU first came into a phase of a migration after which another may run. */
  readonly doubts = new Map<Qemu, number>()
  readonly reached = new Map<string, number>()
  readonly #contents = new Map<string, Contents>()
  /** Of qcow2 images, by the UUIDs of their volumes: their first cluster. */
  readonly #headers = new Map<string, Buffer>()
  readonly #uuids = new Map<string, string>()
  readonly #kinds: Readonly<Record<string, Kind>>
  readonly #records = new Map<Host, Map<string, DomainRecord>>()

  constructor(
    readonly engine: Engine,
    readonly product: Product,
    setting: Setting,
    public faults: FaultRates,
  ) {
    const { lvm, vms, volumes, volumeGroups, tellsReasons, hasKillCommand = false, kinds = {} } = setting
    this.#kinds = kinds
    this.vms = vms
    this.tellsReasons = tellsReasons
    this.hasKillCommand = hasKillCommand
    const seconds = (): number => engine.now / 1000
    this.cluster = new Cluster({ lvm, clock: seconds })
    // Model time is the engine's; what a command waits for it waits for itself (commands.ts).
    Object.defineProperty(this.cluster.time, 'now', { get: seconds })
    Object.defineProperty(this.cluster.time, 'advance', { value: () => undefined })
    const states = this.cluster.hosts as unknown as HostState[]
    while (states.length < setting.hosts) states.push(new HostState(`host${states.length + 1}`, states.length + 1))
    const groups = this.cluster.volumes.groups as unknown as {
      name: string
      uuid: string
      lvmlockUuid: string | undefined
      volumes: never[]
    }[]
    for (const name of volumeGroups)
      if (!groups.some((group) => group.name === name))
        groups.push({ name, uuid: uuidOf(name), lvmlockUuid: uuidOf(`${name}/lvmlock`), volumes: [] })
    for (const state of states)
      for (const vg of volumeGroups) state.lockspaces.set(vg, { state: 'started', locks: new Map() })
    for (const name of volumes) this.#create(name, !setting.lockless.includes(name))
    for (const vm of vms) {
      vm.namesBelow = setting.namesBelow ?? true
      const chain = chainOf(vm.disks)
      for (const [index, { volume }] of chain.entries())
        if (index > 0) this.#makeImage(chain[index - 1]?.volume ?? '', volume, index < chain.length - 1)
    }
    this.hosts = states.map((state) => new Host(this, state))
  }

  #create(name: string, lockArgs = true): void {
    const [vg = '', lv = ''] = name.split('/')
    const kind = this.#kinds[name]
    // lvcreate sets that flag on a thin snapshot.
    const skipActivation = kind?.kind === 'thin' && kind.origin !== undefined
    this.#uuids.set(name, this.cluster.create(lv, { vg, lockArgs, skipActivation, ...(kind && { kind }) }).uuid)
    this.#contents.set(name, { version: 0, writer: undefined })
  }

  /** qemu-img create -f qcow2 -b BELOW: one with the smallest clusters, which is read quickest. */
  #makeImage(volume: string, below: string, isImage: boolean): void {
    const backing = `/dev/${fullName(this.lv(below))}`
    const bytes = qcow2({ clusterBits: 9, backing, format: isImage ? 'qcow2' : 'raw' })
    this.#headers.set(this.lv(volume).uuid, bytes)
  }

  headerOf(uuid: string | undefined): Buffer {
    return this.#headers.get(uuid ?? '') ?? RAW
  }

  reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }

  // ---- volumes: a schedule knows each by the name that it was made with, whatever it is called by now

  lv(name: string): Volume {
    return this.cluster.volumes.byUuid(this.#uuids.get(name) ?? '') ?? this.cluster.volumes.get(name)
  }

  /** @returns undefined where no schedule knows it */
  firstNameOf(uuid: string): string | undefined {
    for (const [name, each] of this.#uuids) if (each === uuid) return name
    return undefined
  }

  exists = (name: string): boolean => this.#uuids.has(name)

  /** The volume with which it comes up and goes: its origin, where it is a snapshot (FACTS 26). */
  mainOf = (name: string): string => {
    const kind = this.#kinds[name]
    return kind?.kind === 'snapshot' ? `${name.split('/')[0]}/${kind.origin}` : name
  }

  /** The volume whose lock covers it: its origin, or its pool (FACTS 27). */
  ownerOf = (name: string): string => {
    const kind = this.#kinds[name]
    return kind?.kind === 'thin' ? `${name.split('/')[0]}/${kind.pool}` : this.mainOf(name)
  }

  /** LVM shares it with no other host: it is a thin volume, a snapshot, or has one. */
  isBound = (name: string): boolean =>
    this.#kinds[name] !== undefined ||
    [...this.#uuids.keys()].some((other) => other !== name && this.ownerOf(other) === name)

  /** LVM shares none (FACTS 27). */
  isThin = (name: string): boolean => this.#kinds[name]?.kind === 'thin'

  /** A snapshot that is there, and that a VM does not have in its definition. */
  snapshotFor = ({ disks }: Vm): string | undefined =>
    Object.keys(this.#kinds).find(
      (name) =>
        this.#kinds[name]?.kind === 'snapshot' && this.exists(name) && !disks.some(({ volume }) => volume === name),
    )

  held(host: Host, name: string): Lock {
    return this.cluster.locks.held(host.state, fullName(this.lv(name)))
  }

  /**
   * lvrename to a name that nobody has, and back again.
   * @param heir a volume that may get its name meanwhile (R14)
   */
  rename(name: string, isBack: boolean, heir: string): void {
    const { vg, lv } = this.lv(name)
    const first = name.slice(vg.length + 1)
    const now = isBack ? first : `${first}_old`
    if (lv === now || name === heir) return
    // A hook that has just activated it, and does not find it by its name any more, leaves it as it is: `lvguard check`
    // shows it, and whoever renames a volume in the middle of a start looks after it.
    for (const host of this.hosts)
      for (const { kind, label, renamed } of host.processes)
        if (
          kind === 'hook' &&
          this.vms.some(
            (vm) =>
              label.endsWith(` ${vm.name}`) && vm.disks.some(({ volume }) => this.mainOf(volume) === this.mainOf(name)),
          )
        )
          for (const each of [name, heir]) {
            host.activeBefore.add(this.mainOf(each))
            host.renamed.add(this.mainOf(each))
            renamed.add(this.mainOf(each))
          }
    if (isBack && fullName(this.lv(heir)) === name) this.#rename(heir, heir.slice(vg.length + 1))
    this.#rename(name, now)
    const isFree =
      heir.startsWith(`${vg}/`) &&
      // A command that names a volume by its name has found it a moment ago.
      this.hosts.every((host) => [...host.commands].every((command) => command.name !== 'lvchange')) &&
      this.hosts.every((host) => !host.isLocked(vg)) &&
      fullName(this.lv(heir)) === heir &&
      !this.qemus.some(({ disks, closing }) => closing.has(heir) || disks.some(({ volume }) => volume === heir)) &&
      !this.hosts.some((host) => host.activeBefore.has(heir) || this.held(host, heir) !== 'un')
    if (!isBack && isFree && this.engine.chance.isTrue('heir', 0.5)) this.#rename(heir, first)
  }

  /**
   * What a person does about what he has begun: `lvchange -an` of what nobody uses, and nobody has on record (LVG205);
   * `vgchange --lock-start` where `lvguard recover`, or an agent that was killed, has come no further; that, and
   * `dmsetup remove` of what was wiped, where there was no room for a mark.
   */
  tidy(): void {
    // A mark that says nothing was left by a kill that was ended before it could write into it.
    for (const host of this.hosts)
      for (const vg of host.state.lockspaces.keys()) {
        const mark = host.disk.find(`/run/lvguard/${vg}.killed`)
        if (mark?.kind === 'file' && mark.text === '') host.type(['recover', vg])
      }
    for (const host of this.hosts)
      for (const [vg, { state }] of host.state.lockspaces)
        if (host.disk.find(`/run/lvguard/${vg}.killed`) === undefined) {
          if (state === 'stopped' && (host.isRecovering || host.agentEnded > 0 || host.hadNoRoomForMark))
            host.startLocking(vg)
          for (const { name, uuid } of this.cluster.devices.list(host.state))
            if (host.state.wiped.has(uuid) && name.startsWith(mapperName(vg, ''))) host.removeDevice(name)
        }
    for (const host of this.hosts)
      for (const name of host.renamed) {
        const volume = this.lv(name)
        const isUsed =
          this.qemus.some(
            (qemu) => qemu.host === host && qemu.disks.some((disk) => this.mainOf(disk.volume) === name),
          ) || this.isOnRecord(host, name)
        if (
          isUsed ||
          host.kept.get(name)?.isDemoted === false ||
          !host.isUp ||
          !this.cluster.devices.isActive(host.state, volume)
        )
          continue
        this.#deactivate(host, volume)
      }
  }

  /** What a person types. */
  #deactivate(host: Host, volume: Volume): void {
    const name = fullName(volume)
    this.engine.tell(() => `${host.name}: lvchange -an ${name}, by a person`)
    runTool({ cluster: this.cluster, host: host.state }, 'lvchange', ['--activate', 'n', name])
  }

  /** When a volume, or another one that had its name, got its name. */
  renamedAt(name: string): number {
    return this.#renamedAt.get(name) ?? Number.NEGATIVE_INFINITY
  }

  #rename(name: string, now: string): void {
    const { vg, lv } = this.lv(name)
    for (const each of [name, `${vg}/${now}`, `${vg}/${lv}`]) this.#renamedAt.set(each, this.engine.now)
    this.engine.tell(() => `lvrename ${vg} ${lv} ${now}`)
    this.cluster.rename(`${vg}/${lv}`, now)
    this.reach('volume renamed')
  }

  nameOf = (uuid: string): string => this.vms.find((vm) => vm.uuid === uuid)?.name ?? uuid

  /** A volume, or one that comes up with it, is on record on a host. */
  isOnRecord(host: Host, name: string): boolean {
    const main = this.mainOf(name)
    return [...this.recordsOf(host).values()].some(({ volumes }) =>
      volumes.some((volume) => this.#mainOnRecord(volume) === main),
    )
  }

  /** What is on record of a domain there has the lock of a volume. */
  isUnder(host: Host, uuid: string, name: string): boolean {
    const owner = this.ownerOf(name)
    const own = this.recordsOf(host).get(uuid)?.volumes ?? []
    return own.some((volume) => this.ownerOf(this.#mainOnRecord(volume)) === owner)
  }

  #mainOnRecord({ vg, lv, ids }: RecordedVolume): string {
    const uuid = ids?.lv ?? this.cluster.volumes.find(`${vg}/${lv}`)?.uuid ?? ''
    return this.mainOf(this.firstNameOf(uuid) ?? '')
  }

  /**
   * Another VM that writes here under the lock of a volume, as its record says, and does not leave. @param isOwn what
   * does not count
   */
  writerUnder(host: Host, name: string, isOwn: (vm: Vm) => boolean): Vm | undefined {
    return this.qemus.find(
      ({ vm, host: where, disks }) =>
        where === host &&
        !isOwn(vm) &&
        !this.isLeaving(vm) &&
        disks.some(
          (disk) =>
            disk.use === 'exclusive' &&
            this.ownerOf(disk.volume) === this.ownerOf(name) &&
            this.recordsOf(host)
              .get(vm.uuid)
              ?.volumes.some(({ ids, role }) => role === 'exclusive' && ids?.lv === this.#uuids.get(disk.volume)),
        ),
    )?.vm
  }

  /** It was seen to migrate out a moment ago. */
  isLeaving = (vm: Vm): boolean => this.engine.now - (this.leaving.get(vm) ?? Number.NEGATIVE_INFINITY) < 120_000

  /** The records on a host's disk, as they were written last. */
  recordsOf(host: Host): Map<string, DomainRecord> {
    const known = this.#records.get(host) ?? new Map<string, DomainRecord>()
    this.#records.set(host, known)
    return known
  }

  #versionOf(volume: string): Contents {
    const contents = this.#contents.get(volume)
    if (contents === undefined) throw new Error(`no volume ${volume}`)
    return contents
  }

  // ---- guests

  /** A QEMU that has its disks open, with the memory of a guest that has not booted. */
  launch(vm: Vm, host: Host, disks: Qemu['disks']): Qemu {
    const qemu = new Qemu(vm, host, host.pid(), new Map())
    qemu.disks = disks
    this.qemus.push(qemu)
    host.addProcess(qemu.pid, 'qemu-system-x86')
    host.disk.write(
      `/proc/${qemu.pid}/cmdline`,
      `/usr/bin/qemu-system-x86_64\0-name\0guest=${vm.name},debug-threads=on\0-uuid\0${vm.uuid}\0`,
    )
    for (const { volume, use } of disks) {
      this.cluster.devices.open(host.state, fullName(this.lv(volume)))
      if (use !== 'exclusive' && this.held(host, volume) === 'ex') qemu.foundExclusive.add(volume)
    }
    qemu.onEnd(() => {
      this.qemus = this.qemus.filter((each) => each !== qemu)
      host.removeProcess(qemu.pid)
      // libvirt sees the end of its monitor.
      if (host.isUp) this.engine.after(NOBODY, host.delay('libvirt', 20), () => void host.libvirt.stop(vm, 'crashed'))
      for (const { volume } of qemu.disks) this.cluster.devices.close(host.state, fullName(this.lv(volume)))
      for (const volume of qemu.closing) this.cluster.devices.close(host.state, fullName(this.lv(volume)))
    })
    this.engine.after(qemu, 500, () => this.#goOn(qemu))
    return qemu
  }

  /**
   * What a person takes for something new: no VM is defined with it, no QEMU has it, it is active and on record on no
   * host, and it has the name that it was made with.
   */
  #isNobodys(volume: string): boolean {
    const lv = this.lv(volume)
    return (
      !this.vms.some(({ disks }) => disks.some((disk) => disk.volume === volume)) &&
      !this.hosts.some((host) => this.isOnRecord(host, volume)) &&
      !this.qemus.some(({ disks, closing }) => closing.has(volume) || disks.some((disk) => disk.volume === volume)) &&
      !this.hosts.some((each) => this.cluster.devices.isActive(each.state, lv)) &&
      fullName(lv) === volume
    )
  }

  /**
   * virsh attach-disk of a volume that a person has activated before. @param isMirror virsh blockcopy of the first disk
   * onto it
   */
  plug(qemu: Qemu, volume: string, isMirror = false): void {
    const { host, vm } = qemu
    const lv = this.lv(volume)
    const [first] = qemu.disks
    // A policy that shares a disk is not meant for what it is copied to.
    const mayBeCopied = first?.byPolicy === undefined ? first?.use === 'exclusive' : first.use === 'shareable'
    if (
      !this.#isNobodys(volume) ||
      (isMirror && !mayBeCopied) ||
      host.libvirt.statuses.get(vm.name)?.async !== 'none' ||
      this.cluster.locks.acquire(host.state, lv, 'ex') !== undefined
    )
      return
    this.cluster.devices.activate(host.state, lv)
    this.cluster.devices.open(host.state, fullName(lv))
    if (isMirror) this.#headers.delete(lv.uuid)
    qemu.disks = [...qemu.disks, { volume, use: 'exclusive', ...(isMirror && { isMirror }) }]
    qemu.memory.set(volume, this.#versionOf(volume).version)
    // Until it is on record as the VM's it is the person's who has activated it.
    host.activeBefore.add(volume)
    this.reach(isMirror ? 'copied' : 'plugged')
    host.libvirt.setStatus(vm, host.libvirt.statuses.get(vm.name) ?? { state: 'running', reason: 'booted' })
  }

  /** virsh attach-disk of a snapshot, to write to it or to read it, where its origin is active or nobody has it. */
  plugSnapshot(qemu: Qemu, use: 'exclusive' | 'readonly'): void {
    const { host, vm } = qemu
    const volume = this.snapshotFor(vm)
    if (volume === undefined || !mayBeChanged(host.libvirt.statuses.get(vm.name))) return
    const main = this.mainOf(volume)
    const isTaken =
      this.qemus.some(
        (other) =>
          other.closing.has(volume) ||
          other.disks.some(
            (disk) => disk.volume === volume && (other === qemu || disk.use === 'exclusive' || use === 'exclusive'),
          ),
      ) ||
      // A start of it is under way.
      this.vms.some(
        (other) => other !== vm && host.libvirt.isBusy(other) && other.disks.some((disk) => disk.volume === volume),
      )
    const isElsewhere = this.hosts.some(
      (each) => each !== host && this.cluster.devices.isActive(each.state, this.lv(main)),
    )
    // Whoever writes to one has its origin exclusive.
    const isLocked = use === 'readonly' && this.held(host, main) === 'sh'
    if (
      isTaken ||
      isElsewhere ||
      (!isLocked && this.cluster.locks.acquire(host.state, this.lv(main), 'ex') !== undefined)
    )
      return
    if (!this.cluster.devices.isActive(host.state, this.lv(main))) {
      this.cluster.devices.activate(host.state, this.lv(main))
      host.activeBefore.add(main)
    } else if (host.kept.has(main) || host.activeBefore.has(main)) {
      // Of what a person has activated, and is a VM's now and not its only one's, he sees to what is left.
      host.kept.delete(main)
      host.renamed.add(main)
    }
    this.cluster.devices.open(host.state, fullName(this.lv(volume)))
    qemu.disks = [...qemu.disks, { volume, use }]
    qemu.memory.set(volume, this.#versionOf(volume).version)
    this.reach(use === 'exclusive' ? 'snapshot plugged' : 'snapshot plugged to be read')
    host.libvirt.setStatus(vm, host.libvirt.statuses.get(vm.name) ?? { state: 'running', reason: 'booted' })
  }

  /** virsh detach-disk. */
  unplugSnapshot(qemu: Qemu): void {
    const volume = this.snapshotFor(qemu.vm)
    if (volume !== undefined && qemu.disks.some((disk) => disk.volume === volume)) this.#unplug(qemu, volume)
  }

  /** lvcreate -s of a volume that is exclusive here: LVM makes none of another one. */
  makeSnapshot(host: Host): void {
    const name = Object.keys(this.#kinds).find((each) => !this.exists(each))
    if (name === undefined || this.held(host, this.mainOf(name)) !== 'ex') return
    this.#create(name)
    this.engine.tell(() => `${host.name}: lvcreate -s, ${name} of ${this.mainOf(name)}`)
    this.reach('snapshot of LVM made')
  }

  /** lvremove of a snapshot that is in no definition, and that nobody has open. */
  removeSnapshot(host: Host): void {
    const name = Object.keys(this.#kinds).find(
      (each) =>
        this.#kinds[each]?.kind === 'snapshot' &&
        this.exists(each) &&
        !this.vms.some(({ disks }) => disks.some(({ volume }) => volume === each)),
    )
    const isUsed = this.qemus.some(
      ({ disks, closing }) => closing.has(name ?? '') || disks.some(({ volume }) => volume === name),
    )
    if (name === undefined || isUsed || this.held(host, this.mainOf(name)) !== 'ex') return
    this.cluster.remove(fullName(this.lv(name)))
    this.#uuids.delete(name)
    this.#contents.delete(name)
    this.engine.tell(() => `${host.name}: lvremove ${name}`)
    this.reach('snapshot of LVM removed')
  }

  /** virsh detach-disk; of a mirror virsh blockjob --abort. */
  unplug(qemu: Qemu, volume: string): void {
    if (qemu.disks.some(({ commit }) => commit)) this.#endCommit(qemu, false)
    else this.#unplug(qemu, volume)
  }

  #unplug(qemu: Qemu, volume: string): void {
    const { host, vm } = qemu
    if (
      !qemu.disks.some((disk) => disk.volume === volume && !disk.isBackup) ||
      vm.disks.some((disk) => disk.volume === volume) ||
      !mayBeChanged(host.libvirt.statuses.get(vm.name))
    )
      return
    qemu.disks = qemu.disks.filter((disk) => disk.volume !== volume)
    this.#closeSoon(qemu, volume)
    this.reach('unplugged')
    host.libvirt.setStatus(vm, host.libvirt.statuses.get(vm.name) ?? { state: 'running', reason: 'booted' })
  }

  /** QEMU may close a volume a moment after it is no disk of its any more. */
  #closeSoon(qemu: Qemu, volume: string): void {
    const { host } = qemu
    qemu.closing.add(volume)
    this.engine.after(qemu, host.delay('closing', 100), () => {
      if (qemu.closing.delete(volume)) this.cluster.devices.close(host.state, fullName(this.lv(volume)))
    })
  }

  /** virsh blockjob --pivot: the mirror is the disk from now on, in the definition too. */
  pivot(qemu: Qemu): void {
    const { host, vm } = qemu
    if (qemu.disks.some(({ commit }) => commit)) {
      this.#endCommit(qemu, true)
      return
    }
    const mirror = qemu.disks.find(({ isMirror }) => isMirror)
    const [first] = qemu.disks
    const status = host.libvirt.statuses.get(vm.name)
    if (mirror === undefined || first === undefined || status?.async !== 'none' || this.#isElsewhere(qemu)) return
    const { volume } = mirror
    // What lvguard.conf says of the volume before is not meant for this one.
    if (first.byPolicy === 'configuration') this.#putInPlace(qemu, [{ volume, use: 'exclusive' }])
    else {
      this.#putInPlace(qemu, [{ ...first, volume }])
      // An agent that was away finds it as a volume that is only read, and exclusive by a person's hand.
      if (first.use !== 'exclusive') qemu.foundExclusive.add(volume)
    }
    this.reach('pivoted')
    host.libvirt.setStatus(vm, status)
  }

  /** A host on which it starts at this moment has the definition of before. */
  #isElsewhere({ host, vm }: Qemu): boolean {
    return this.hosts.some(
      ({ libvirt }) => libvirt !== host.libvirt && (libvirt.isBusy(vm) || libvirt.statuses.has(vm.name)),
    )
  }

  /** Its first disk, with its backing files, becomes this one: in the definition too. */
  #putInPlace(qemu: Qemu, chain: readonly VmDisk[]): void {
    const { vm } = qemu
    const before = chainOf(qemu.disks)
    for (const { volume } of before) if (!chain.some((disk) => disk.volume === volume)) this.#closeSoon(qemu, volume)
    const now = (disks: readonly VmDisk[]): VmDisk[] => [
      ...chain,
      ...disks.filter(({ volume, isBelow }, index) => index > 0 && !isBelow && volume !== chain[0]?.volume),
    ]
    if (vm.disks[0]?.volume === before[0]?.volume) vm.disks = now(vm.disks)
    qemu.disks = now(qemu.disks)
  }

  /** What a person looks at who puts an overlay on a disk, or commits it. */
  #mayChangeChain(qemu: Qemu): boolean {
    const [first] = qemu.disks
    const isPlain = first?.use === 'exclusive' && first.byPolicy === undefined
    return isPlain && !hasBlockJob(qemu) && !this.contested.has(qemu.vm) && !this.#isElsewhere(qemu)
  }

  /** An external snapshot, onto a volume that a person has activated before (virsh snapshot-create-as --disk-only). */
  putOnTop(qemu: Qemu, volume: string): void {
    const { host, vm } = qemu
    const lv = this.lv(volume)
    const [first, ...below] = chainOf(qemu.disks)
    if (
      !this.#isNobodys(volume) ||
      first === undefined ||
      !this.#mayChangeChain(qemu) ||
      this.cluster.locks.acquire(host.state, lv, 'ex') !== undefined
    )
      return
    this.cluster.devices.activate(host.state, lv)
    this.cluster.devices.open(host.state, fullName(lv))
    this.#makeImage(volume, first.volume, below.length > 0)
    this.#putInPlace(qemu, [{ volume, use: 'exclusive' }, { ...first, use: 'readonly', isBelow: true }, ...below])
    qemu.memory.set(volume, this.#versionOf(volume).version)
    qemu.namesBelow = true
    host.activeBefore.add(volume)
    this.reach('snapshot')
    this.engine.tell(() => `${host.name}: ${vm.name} writes to ${volume} now, on top of ${first.volume}`)
  }

  /**
   * virsh blockcommit: of the disk into its backing file (--active --shallow), or of that into the next one. Nobody
   * else may read what is written to (README: shut down the VMs that read an image).
   */
  commit(qemu: Qemu): void {
    const { host, vm } = qemu
    const [, below, lower] = chainOf(qemu.disks)
    const isMiddle = lower !== undefined && this.engine.chance.isTrue(`${host.name} commit`, 0.5)
    const target = isMiddle ? lower : below
    const status = host.libvirt.statuses.get(vm.name)
    if (target === undefined || status?.async !== 'none' || !this.#mayChangeChain(qemu)) return
    const { volume } = target
    const isRead =
      this.vms.some((other) => other !== vm && other.disks.some((disk) => disk.volume === volume && disk.isBelow)) ||
      this.hosts.some((other) => other !== host && this.cluster.devices.isActive(other.state, this.lv(volume)))
    if (isRead) return
    qemu.memory.set(volume, this.#versionOf(volume).version)
    const written: VmDisk = { ...target, use: 'exclusive', commit: isMiddle ? 'middle' : 'active' }
    qemu.disks = qemu.disks.map((disk) => (disk === target ? written : disk))
    this.reach(isMiddle ? 'committed between backing files' : 'committed')
    host.libvirt.setStatus(vm, status)
  }

  /** virsh blockjob --pivot or --abort; a commit between backing files ends by itself. */
  #endCommit(qemu: Qemu, isDone: boolean): void {
    const { host, vm } = qemu
    const status = host.libvirt.statuses.get(vm.name)
    const chain = chainOf(qemu.disks)
    const index = chain.findIndex(({ commit }) => commit)
    const [target, top] = [chain[index], chain[0]]
    if (target === undefined || top === undefined || status?.async !== 'none' || (isDone && this.#isElsewhere(qemu)))
      return
    const below = chain.slice(index + 1)
    if (!isDone) this.#putInPlace(qemu, chain.map(atRest))
    else if (target.commit === 'active') this.#putInPlace(qemu, [{ volume: target.volume, use: 'exclusive' }, ...below])
    else {
      const above = chain.slice(0, index - 1)
      this.#makeImage(above.at(-1)?.volume ?? '', target.volume, below.length > 0)
      this.#putInPlace(qemu, [...above, atRest(target), ...below])
    }
    this.reach(isDone ? 'commit done' : 'commit given up')
    host.libvirt.setStatus(vm, status)
  }

  /**
   * A backup job begins to write to a volume that a person has activated for it, now and then shared. @returns whether it
   * does: nobody else has the volume
   */
  openForBackup(qemu: Qemu, volume: string): boolean {
    const { host } = qemu
    const lv = this.lv(volume)
    const lock = this.engine.chance.isTrue(`${host.name} backup`, 0.3) ? 'sh' : 'ex'
    if (!this.#isNobodys(volume) || this.cluster.locks.acquire(host.state, lv, lock) !== undefined) return false
    this.cluster.devices.activate(host.state, lv)
    this.cluster.devices.open(host.state, volume)
    host.activeBefore.add(volume)
    // The agent makes it exclusive.
    host.kept.set(volume, { lock, isUsed: true, isDemoted: false })
    qemu.disks = [...qemu.disks, { volume, use: 'exclusive', isBackup: true }]
    qemu.memory.set(volume, this.#versionOf(volume).version)
    this.reach('backup')
    return true
  }

  closeAfterBackup(qemu: Qemu): void {
    const { host } = qemu
    const volume = qemu.disks.find(({ isBackup }) => isBackup)?.volume
    if (volume === undefined) return
    qemu.disks = qemu.disks.filter(({ isBackup }) => !isBackup)
    this.#closeSoon(qemu, volume)
    this.reach('backup ended')
    // In half of them the person takes the volume away again, once nobody has it on record.
    if (this.engine.chance.isTrue(`${host.name} backup`, 0.5))
      this.engine.after(NOBODY, host.delay('person', 10_000), () => this.#takeAway(host, volume))
  }

  /** The person who has activated it for a backup does not need it any more. */
  #takeAway(host: Host, volume: string): void {
    const isUsed = this.qemus.some((qemu) => qemu.host === host && qemu.closing.has(volume))
    if (isUsed || !host.answersLvm || !host.kept.has(volume) || this.isOnRecord(host, volume)) return
    this.#deactivate(host, this.lv(volume))
    host.kept.delete(volume)
    host.activeBefore.delete(volume)
    this.reach('taken away after a backup')
  }

  /** It is killed. A QEMU whose I/O hangs does not end before it (FACTS 47). */
  async canEnd(qemu: Qemu, thread: Actor): Promise<boolean> {
    qemu.isKilled = true
    while (qemu.host.isHung && qemu.isAlive) await this.engine.sleep(thread, 1000)
    return true
  }

  /** Its CPUs run from now on. */
  runCpus(qemu: Qemu, why: Reason): void {
    const { vm, host, restored } = qemu
    qemu.restored = undefined
    this.engine.tell(() => `${host.name}: ${vm.name} runs (${why})`)
    this.ran.push({ vm, host, at: this.engine.now })
    if (why === 'fresh') qemu.memory = new Map()
    for (const { volume, use } of qemu.disks) {
      if (use !== 'exclusive') continue
      const { version } = this.#versionOf(volume)
      const held = this.held(host, volume)
      if (why === 'fresh' || why === 'restored') {
        if (held !== 'ex')
          this.engine.violate('R1', `${vm.name} was started on ${host.name}, which holds ${volume} ${held}`)
      }
      // A guest that boots reads its disk.
      if (why === 'fresh') qemu.memory.set(volume, version)
      else if (qemu.memory.get(volume) !== version) {
        this.reach('older memory runs')
        // Also where a person resumes it: what was paused when it was saved is restored so.
        // What is under another one's lock has no lease that would tell (README, Saved memory).
        const isSilent = this.ownerOf(volume) === volume && restored === 'without a word'
        if (isSilent)
          this.engine.violate('R12', `${vm.name} was restored on ${host.name} from memory that is older than ${volume}`)
        else if (restored !== undefined) qemu.memory.set(volume, version)
      }
    }
    if (why === 'lvguard') this.engine.violate('R12', `${vm.name} was resumed by lvguard`)
    qemu.cpus = 'running'
  }

  /** libvirt has made two of one VM: what they do to its disks is not lvguard's doing, but it must see it. */
  makesTwo(vm: Vm): void {
    this.contested.add(vm)
    this.engine.tell(() => `libvirt may have made two of ${vm.name}`)
  }

  /** What a guest does: writes to its disks, every now and then. */
  #goOn(qemu: Qemu): void {
    if (qemu.cpus === 'running' && !qemu.host.isHung) this.#write(qemu)
    this.engine.after(qemu, 300 + 2000 * this.engine.chance.of(`${qemu.label} writes`), () => this.#goOn(qemu))
  }

  #write(qemu: Qemu): void {
    const { vm, host, memory } = qemu
    const { cluster } = this
    for (const { volume, use } of qemu.disks) {
      const lv = this.lv(volume)
      if (host.isWiped(volume)) continue
      if (!cluster.devices.isActive(host.state, lv))
        this.engine.violate('R4', `${volume} was taken from ${vm.name}, which runs on ${host.name}`)
      if (this.held(host, volume) === 'un')
        this.engine.violate('R1', `${vm.name} runs on ${host.name} without a lock on ${volume}`)
      if (use !== 'exclusive') continue
      const contents = this.#versionOf(volume)
      if (memory.get(volume) !== contents.version && !this.contested.has(vm)) {
        const other = contents.writer
        this.engine.violate(
          'R1',
          `${vm.name} on ${host.name} writes to ${volume}, which ${other === undefined ? 'nobody' : `${other.vm.name} on ${other.host.name}`} has written meanwhile`,
        )
      }
      contents.version++
      contents.writer = qemu
      memory.set(volume, contents.version)
    }
  }

  // ---- oracles

  #withOwners(names: Iterable<string>): Set<string> {
    return new Set([...names].flatMap((name) => [this.mainOf(name), this.ownerOf(name)]))
  }

  /** What must hold at every moment. */
  checkMoment(): void {
    const running = this.qemus.filter(({ cpus }) => cpus === 'running')
    for (const [index, one] of running.entries()) {
      for (const other of running.slice(index + 1)) {
        if (one.vm === other.vm && this.contested.has(one.vm)) continue
        // One whose path hangs writes nothing; what becomes of it is the lease's matter.
        if (one.host.isHung || other.host.isHung) continue
        // What is under one lock is used on one host.
        const isOne = (a: string, b: string): boolean =>
          a === b || (one.host !== other.host && this.ownerOf(a) === this.ownerOf(b))
        const both = one.disks.find((disk) =>
          other.disks.some(
            (each) => (each.use === 'exclusive' || disk.use === 'exclusive') && isOne(each.volume, disk.volume),
          ),
        )
        if (both !== undefined)
          this.engine.violate(
            'R1',
            `${both.volume} is used by ${one.vm.name} on ${one.host.name} and by ${other.vm.name} on ${other.host.name}`,
          )
      }
    }
  }

  /**
   * What is not as it must be when nothing is under way any more: exclusive exactly where a VM runs, nothing active or
   * locked anywhere else, no record of nobody.
   */
  unrest(): Violation | undefined {
    const { cluster } = this
    for (const vm of this.vms) {
      const own = this.qemus.filter((qemu) => qemu.vm === vm)
      const running = own.filter(({ cpus }) => cpus === 'running')
      if (running.length > 1 && !this.unseen.has(vm))
        return {
          rule: 'contested',
          text: `${vm.name} still runs on ${running.map(({ host }) => host.name).join(' and ')}`,
        }
      for (const { host, disks } of own.length === 1 ? running : []) {
        for (const { volume, use } of disks) {
          const held = this.held(host, volume)
          if (use !== 'exclusive') continue
          if (held !== 'ex')
            return { rule: 'quiet', text: `${vm.name} runs on ${host.name}, which holds ${volume} ${held}` }
          const { role } =
            this.recordsOf(host)
              .get(vm.uuid)
              ?.volumes.find(({ ids }) => ids?.lv === this.#uuids.get(volume)) ?? {}
          if (role !== 'exclusive')
            return { rule: 'record', text: `${vm.name} writes ${volume} on ${host.name}, whose record says ${role}` }
        }
      }
    }
    for (const host of this.hosts) {
      const here = this.qemus.filter((qemu) => qemu.host === host)
      const used = this.#withOwners(
        here.flatMap(({ disks, closing }) => [...closing, ...disks.map(({ volume }) => volume)]),
      )
      const before = this.#withOwners(host.activeBefore)
      for (const [volume] of this.#contents) {
        // A snapshot is with its origin.
        if (this.mainOf(volume) !== volume) continue
        const isActive = cluster.devices.isActive(host.state, this.lv(volume))
        const held = this.ownerOf(volume) === volume || isActive ? this.held(host, volume) : 'un'
        // Where a migration has left a VM paused, a person decides, also about what is unplugged from it then.
        const isLeft = here.some(
          ({ vm, cpus }) =>
            cpus === 'paused' &&
            this.recordsOf(host)
              .get(vm.uuid)
              ?.volumes.some((named) => this.#mainOnRecord(named) === volume),
        )
        // 0.1.0 had it on record by its name, and lvmlockd was away when it was given back: no device, no UUIDs.
        const isNameless = !isActive && !host.olderHasIds && host.locksUnknown > 0
        if ((isActive || held !== 'un') && !used.has(volume) && !before.has(volume) && !isLeft && !isNameless)
          return {
            rule: 'quiet',
            text: `${volume} is ${isActive ? 'active' : 'inactive'} and held ${held} on ${host.name}, where nothing uses it`,
          }
        if (
          before.has(volume) &&
          !used.has(volume) &&
          isActive &&
          held === 'sh' &&
          host.kept.get(volume)?.lock !== 'sh'
        )
          return { rule: 'quiet', text: `${volume} was active on ${host.name} and is left shared there` }
        // Of one that was shared, a `prepare` has made more.
        const isOver = used.has(volume) || host.hasLostLease([this.lv(volume).vg])
        const kept = isOver ? undefined : host.kept.get(volume)
        if (
          kept !== undefined &&
          !kept.isDemoted &&
          !(isActive && (held === kept.lock || (held === 'ex' && kept.isUsed)))
        )
          return {
            rule: 'R4',
            text: `${volume} was active on ${host.name} and held ${kept.lock} before, and is ${isActive ? 'active' : 'inactive'} and held ${held}`,
          }
      }
      for (const { domain, state } of this.recordsOf(host).values()) {
        if (!here.some(({ vm }) => vm.uuid === domain.uuid))
          return { rule: 'quiet', text: `a record of ${domain.name} (${state}) is left on ${host.name}` }
      }
      for (const { vm, disks } of here) {
        const record = this.recordsOf(host).get(vm.uuid)
        if (record === undefined)
          return { rule: 'lost record', text: `${vm.name} is on ${host.name}, which has no record of it` }
        const left = disks.some(({ isBackup }) => isBackup) ? undefined : record.volumes.find(({ job }) => job)
        if (left !== undefined)
          return { rule: 'record', text: `${vm.name} on ${host.name} has ${left.lv} on record, after its backup` }
      }
      for (const [vg, { state }] of host.state.lockspaces)
        if (state !== 'started')
          return { rule: 'progress', text: `the locking of ${vg} is not started on ${host.name}` }
      for (const vg of cluster.volumes.groups)
        if (host.disk.find(`/run/lvguard/${vg.name}.killed`) !== undefined)
          return { rule: 'progress', text: `${vg.name} was cut off on ${host.name}, and is not taken back` }
      for (const process of host.processes)
        if (process.kind === 'hook') return { rule: 'progress', text: `${process.label} on ${host.name} does not end` }
      for (const vm of this.vms)
        if (host.libvirt.isBusy(vm))
          return { rule: 'progress', text: `libvirt on ${host.name} does not end its work on ${vm.name}` }
      for (const { vm } of host.libvirt.migrations)
        return { rule: 'progress', text: `the migration of ${vm.name} from ${host.name} does not end` }
    }
    return undefined
  }
}

/** The beginning of a volume that has no header. */
const RAW = Buffer.alloc(512)

export { NOBODY }
