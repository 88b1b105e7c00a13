import { Actor } from './engine.ts'
import type { Host } from './host.ts'
import { BEFORE_QEMU, type Libvirt, type Thread, hasBlockJob, metadataIn } from './libvirt.ts'
import type { Qemu, Vm } from './vm.ts'

/** VIR_MIGRATE_* of libvirt-domain.h. */
export const FLAGS = { live: 0x109, peerToPeer: 0x10b, postCopy: 0x8109, copyStorage: 0x149, offline: 0x509 } as const
export type MigrationKind = keyof typeof FLAGS

const [OUT, IN] = ['migration out', 'migration in']

/** One virsh migrate, between two daemons (FACTS 3, 13, 14), and the ways in which it can end. */
export class Migration {
  /** virsh domjobabort. */
  isAborted = false
  /** virsh itself was killed: nobody tells the daemons of each other any more. */
  isClientGone = false
  /** The destination's libvirt refuses it after `migrate`, which nothing follows (FACTS 5). */
  isRefused = false
  /** The answer of Finish is lost (FACTS 19). */
  isReplyLost = false
  readonly #atPhase: { readonly phase: string; readonly work: () => void }[] = []
  readonly #client: Actor
  readonly #source: Libvirt
  readonly #destination: Libvirt
  readonly #daemons: readonly unknown[]
  #qemu: Qemu | undefined
  #arriving: Qemu | undefined
  #hasFinishBegun = false

  constructor(
    readonly vm: Vm,
    from: Host,
    to: Host,
    readonly kind: MigrationKind,
  ) {
    this.#client = new Actor(`virsh migrate ${vm.name}`)
    this.#source = from.libvirt
    this.#destination = to.libvirt
    this.#daemons = [from.libvirt.daemon, to.libvirt.daemon]
  }

  get #land() {
    return this.#source.host.land
  }

  #pause(typical: number): Promise<void> {
    return this.#land.engine.sleep(this.#client, this.#source.host.delay('migration', typical))
  }

  /** A part of it that is one daemon's work. */
  #at<T>(libvirt: Libvirt, label: string, work: (thread: Thread) => Promise<T>): Promise<T | undefined> {
    return libvirt.run(`${label} ${this.vm.name}`, work, this.#client)
  }

  /** Does something when it comes to a phase, on whichever host. */
  atPhase(phase: string, work: () => void): void {
    this.#atPhase.push({ phase, work })
  }

  #reachPhase(phase: string): void {
    for (const each of this.#atPhase) if (each.phase === phase) each.work()
  }

  start(): void {
    this.#source.migrations.add(this)
    this.#land.engine.after(this.#client, 1, () => {
      this.#run().then(
        () => void this.#source.migrations.delete(this),
        (error: unknown) =>
          this.#land.engine.violate(
            'fault of the simulation',
            `${this.#client.label}: ${error instanceof Error ? error.stack : String(error)}`,
          ),
      )
    })
  }

  async #run(): Promise<void> {
    const { vm, kind } = this
    const source = this.#source
    const status = source.statuses.get(vm.name)
    if (kind === 'offline') return status === undefined ? this.#define() : undefined
    if (!this.#isSourceUp || status?.state !== 'running' || status.async !== 'none' || source.isBusy(vm)) return
    this.#qemu = source.qemuOf(vm)
    if (this.#qemu !== undefined && hasBlockJob(this.#qemu)) return
    source.setStatus(vm, { ...status, async: OUT, phase: undefined, flags: 0 })
    await this.#pause(5)
    if (!this.#setPhase('begin3')) return
    if ((await this.#letIn()) !== true) return this.#cancel()
    if (!(await this.#perform())) return this.#fail()
    if (this.isClientGone) {
      await this.#abandon()
      return this.#leavePaused()
    }
    const hasFinished = await this.#finish()
    await this.#pause(5)
    if (this.isClientGone) return this.#leavePaused()
    if (kind === 'postCopy' && this.#hasFinishBegun && (hasFinished !== true || this.isReplyLost))
      return this.#failPostCopy()
    if (hasFinished !== true || this.isReplyLost) return this.#fail()
    if (!this.#setPhase('confirm3')) return
    this.#land.reach('migrated')
    await source.stop(vm, 'migrated', this.#client)
  }

  /** virsh migrate --offline: `migrate` alone, and a definition that may keep what it printed. */
  async #define(): Promise<void> {
    const { vm } = this
    const { host } = this.#destination
    const answer = await this.#at(this.#destination, 'define', (thread) =>
      this.#destination.hook(thread, vm, 'migrate', { xml: vm.xml() }),
    )
    if (answer?.code !== 0 || !this.#isDestinationUp) return
    this.#land.reach(this.isRefused ? 'offline migration refused by libvirt' : 'offline migration')
    if (this.isRefused) return
    host.disk.write(`/etc/libvirt/qemu/${vm.name}.xml`, answer.stdout === '' ? vm.xml() : answer.stdout)
  }

  #letIn(): Promise<boolean | undefined> {
    const { vm, kind } = this
    const destination = this.#destination
    return this.#at(destination, 'incoming', async (thread) => {
      const disks = this.#qemu?.disks ?? vm.disks
      // The live XML, with what an earlier migration has left in it.
      const namesBelow = this.#qemu?.namesBelow ?? vm.namesBelow
      const xml = vm.xml({ metadata: this.#qemu?.metadata ?? '', disks, namesBelow })
      const answer = await destination.hook(thread, vm, 'migrate', { xml })
      if (answer?.code !== 0) return false
      this.#land.reach('let in')
      await destination.lock(thread, vm)
      if (destination.statuses.has(vm.name) || this.isRefused) return false
      const { cluster, state } = destination.host
      // libvirt's own refusal to copy to a path that is not there yet.
      if (kind === 'copyStorage' && disks.some(({ volume }) => !cluster.devices.isActive(state, this.#land.lv(volume))))
        return false
      const metadata = metadataIn(answer.stdout)
      const isPrepared = await destination.prepare(thread, vm, answer.stdout === '' ? xml : answer.stdout, true)
      await destination.step(thread, BEFORE_QEMU)
      const isSpoiled =
        isPrepared && this.#land.engine.chance.isTrue(`${destination.host.name} start`, this.#land.faults.failedStarts)
      const qemu = isPrepared && !isSpoiled ? destination.launch(vm, metadata, disks) : undefined
      if (qemu === undefined) {
        await destination.releaseOf(thread, vm, false, 'failed', metadata, disks, namesBelow)
        return false
      }
      qemu.namesBelow = namesBelow
      this.#arriving = qemu
      const job = { async: IN, phase: 'prepare', flags: 0x9 }
      destination.setStatus(vm, { state: 'paused', reason: 'starting up', ...job })
      await destination.step(thread)
      if (destination.qemuOf(vm) === qemu) destination.setStatus(vm, { state: 'paused', reason: 'migration', ...job })
      return destination.qemuOf(vm) === qemu
    })
  }

  /** RAM moves; at its end the source's CPUs stand still. @returns false where it was cut off */
  async #perform(): Promise<boolean> {
    const { vm } = this
    await this.#pause(5)
    if (this.#isBroken || !this.#setPhase('perform3')) return false
    await this.#pause(3000)
    if (this.#isBroken || this.#qemu === undefined || this.#arriving === undefined) return false
    this.#qemu.cpus = 'paused'
    this.#arriving.memory = new Map(this.#qemu.memory)
    await this.#pause(20)
    if (this.#isBroken) return false
    this.#source.setStatus(vm, {
      state: 'paused',
      reason: this.kind === 'postCopy' ? 'post-copy' : 'migration',
      async: OUT,
      phase: 'perform3',
      flags: FLAGS[this.kind],
    })
    await this.#pause(20)
    const isDone = !this.#isBroken && this.#setPhase('perform3_done')
    await this.#pause(5)
    return isDone
  }

  /**
   * Finish on the destination: its CPUs run, then its status file says so. @returns whether the answer is that it runs
   */
  #finish(): Promise<boolean | undefined> {
    const { vm } = this
    const destination = this.#destination
    return this.#at(destination, 'finish', async (thread) => {
      const qemu = this.#arriving
      if (!this.#isThere || qemu === undefined) return false
      const job = { async: IN, phase: 'finish3', flags: 0x9 }
      this.#hasFinishBegun = true
      this.#reachPhase('finish3')
      destination.setStatus(vm, { state: 'paused', reason: 'migration', ...job })
      await destination.step(thread)
      if (!this.#isThere) return false
      this.#land.runCpus(qemu, 'libvirt')
      await destination.step(thread)
      if (!this.#isThere) return false
      destination.setStatus(vm, {
        state: 'running',
        reason: this.kind === 'postCopy' ? 'post-copy' : 'migrated',
        ...job,
      })
      // Most of the RAM comes now.
      await destination.step(thread, this.kind === 'postCopy' ? 2000 : 5)
      if (!this.#isThere) return false
      destination.setStatus(vm, { state: 'running', reason: 'migrated' })
      return true
    })
  }

  /** The destination of a migration that failed before Finish is killed. */
  async #abandon(): Promise<void> {
    await this.#pause(5)
    if (this.#isThere) await this.#destination.stop(this.vm, 'failed', this.#client)
  }

  async #fail(): Promise<void> {
    if (!this.#hasFinishBegun) await this.#abandon()
    await this.#cancel()
  }

  /**
   * Confirm, cancelled: the source runs on. Where the destination's CPUs may run, libvirt has made two of one (FACTS
   * 19).
   */
  async #cancel(): Promise<void> {
    await this.#pause(5)
    const qemu = this.#qemu
    if (!this.#isSourceThere || qemu === undefined) return
    const isStopped = qemu.cpus === 'paused'
    if (isStopped) {
      this.#setPhase('confirm3_cancelled')
      await this.#pause(5)
      if (!this.#isSourceThere) return
      this.#land.reach(this.#hasFinishBegun ? 'reply of Finish lost' : 'migration failed after the CPUs stopped')
      if (this.#hasFinishBegun) this.#land.makesTwo(this.vm)
      this.#land.runCpus(qemu, 'libvirt')
      await this.#pause(5)
    } else this.#land.reach('migration failed before the CPUs stopped')
    const reason = isStopped ? 'migration canceled' : this.#source.statuses.get(this.vm.name)?.reason
    if (this.#isSourceThere && reason !== undefined) this.#source.setStatus(this.vm, { state: 'running', reason })
  }

  /** Nobody can tell the source whether the destination runs: it stays paused, without a job. */
  #leavePaused(): void {
    if (!this.#isSourceThere) return
    this.#land.reach('left paused')
    this.#source.setStatus(this.vm, { state: 'paused', reason: 'migration' })
  }

  /** The RAM is on neither host as a whole: both stand still, and no one goes on (libvirt, kbase/migration-postcopy). */
  #failPostCopy(): void {
    this.#land.reach('post-copy failed')
    const failed = { state: 'paused', reason: 'post-copy failed' } as const
    const arrived = this.#arriving
    if (arrived !== undefined && this.#destination.qemuOf(this.vm) === arrived && this.#isDestinationUp) {
      arrived.cpus = 'paused'
      this.#destination.setStatus(this.vm, failed)
    }
    if (this.#isSourceThere) this.#source.setStatus(this.vm, failed)
  }

  get #isSourceUp(): boolean {
    return this.#source.daemon !== undefined && this.#source.daemon === this.#daemons[0]
  }

  get #isDestinationUp(): boolean {
    return this.#destination.daemon !== undefined && this.#destination.daemon === this.#daemons[1]
  }

  get #isSourceThere(): boolean {
    return (
      this.#isSourceUp &&
      this.#qemu !== undefined &&
      this.#source.qemuOf(this.vm) === this.#qemu &&
      this.#source.statuses.get(this.vm.name)?.async === OUT
    )
  }

  /** The incoming domain is still there, under the same daemon. */
  get #isThere(): boolean {
    return (
      this.#isDestinationUp &&
      this.#arriving !== undefined &&
      this.#destination.qemuOf(this.vm) === this.#arriving &&
      this.#destination.statuses.get(this.vm.name)?.async === IN
    )
  }

  get #isBroken(): boolean {
    return this.isAborted || this.isClientGone || !this.#isSourceThere || !this.#isThere
  }

  /** @returns false where the source is not there any more */
  #setPhase(phase: string): boolean {
    const status = this.#source.statuses.get(this.vm.name)
    if (status === undefined || !this.#isSourceThere) return false
    this.#source.setStatus(this.vm, { ...status, async: OUT, phase, flags: FLAGS[this.kind] })
    this.#reachPhase(phase)
    return true
  }
}
