import type { DomainStatus } from '../../src/core/reconcile.ts'
import type { Result } from '../ring.ts'
import { Actor } from './engine.ts'
import type { Host } from './host.ts'
import type { Migration } from './migration.ts'
import { Process } from './process.ts'
import { type Qemu, type Vm, chainOf } from './vm.ts'

/** A thread of a daemon, which ends with it. */
export class Thread extends Actor {}

export type Status = Omit<DomainStatus, 'pid'>
const NO_JOB = { async: 'none', phase: undefined, flags: undefined } as const

/** A managed save, or what else is kept of a VM's memory. */
interface Image {
  readonly memory: Map<string, number>
  readonly disks: Qemu['disks']
  /** What its CPUs did before: they do so again when it is restored (virsh(1), managedsave). */
  readonly cpus: Qemu['cpus']
  /** Of the live XML, which is saved with it. */
  readonly metadata: string
  /** It was restored with a warning before, and its CPUs have not run since; or an older lvguard was here then. */
  isWarned: boolean
  /** Which save of the VM it was, of all saves on this host. */
  readonly number: number
}

interface Call {
  readonly xml: string
  readonly subOperation?: string
  readonly reason?: string
  readonly isMigration?: boolean
}

/** Milliseconds from the end of `prepare` to QEMU: control groups, labels, network. */
export const BEFORE_QEMU = 100

const FAILED = (why: string): Result => ({ code: 1, stdout: '', stderr: `error: ${why}\n` })
const DONE: Result = { code: 0, stdout: '', stderr: '' }

/** Seconds after which also a `prepare` that began before sees that the lease of its host is lost. */
const LONG_LOST = 30

/** libvirt's daemon of one host: what it does between its hooks, and in which order (FACTS 1-3, 13, 14). */
export class Libvirt {
  /** Undefined while it does not run. */
  daemon: { readonly pid: number } | undefined
  readonly statuses = new Map<string, Status>()
  readonly images = new Map<string, Image>()
  /** What `virsh save` has put into a file, which stays: the last one of each VM. */
  readonly files = new Map<string, Image>()
  /** Migrations from here. */
  readonly migrations = new Set<Migration>()
  /**
   * A `release` was killed: what is on record may say for as long as this daemon lives that a start is
   * under way.
   */
  isInterrupted = false
  readonly #saves = new Map<string, number>()
  /** When the last `prepare` of each VM began. */
  readonly #preparedAt = new Map<string, number>()
  readonly #threads = new Set<Thread>()
  #busy = new Map<string, Thread>()
  #waiting: { readonly name: string; readonly thread: Thread; readonly go: () => void }[] = []

  constructor(readonly host: Host) {}

  get #engine() {
    return this.host.engine
  }

  // ---- the daemon

  startDaemon(): void {
    if (this.daemon !== undefined || !this.host.isUp) return
    const { disk } = this.host
    this.daemon = { pid: this.host.pid() }
    this.host.addProcess(this.daemon.pid, 'libvirtd')
    disk.write('/run/libvirtd.pid', `${this.daemon.pid}\n`)
    for (const vm of this.host.land.vms)
      if (this.statuses.has(vm.name)) this.run(`reconnect ${vm.name}`, (thread) => this.#recover(thread, vm))
  }

  /** It is killed, or restarted: its threads end in the middle; QEMUs and hooks live on. */
  stopDaemon(): void {
    if (this.daemon === undefined) return
    this.#engine.tell(() => `${this.host.name}: libvirtd ends`)
    this.host.removeProcess(this.daemon.pid)
    this.#forget()
  }

  /** The power goes. */
  lose(): void {
    this.#forget()
    this.statuses.clear()
  }

  #forget(): void {
    this.daemon = undefined
    this.isInterrupted = false
    for (const thread of [...this.#threads]) thread.end()
    this.#busy = new Map()
    this.#waiting = []
  }

  /** Work of the daemon. Resolves `undefined`, to whoever waits, where it ends with the daemon. */
  run<T>(label: string, work: (thread: Thread) => Promise<T>, waiter?: Actor): Promise<T | undefined> {
    return new Promise((resolve) => {
      const tell = (value: T | undefined): void =>
        void this.#engine.after(waiter ?? new Actor('nobody'), 1, () => resolve(value))
      if (this.daemon === undefined) return tell(undefined)
      const thread = new Thread(`libvirtd of ${this.host.name}: ${label}`)
      let isDone = false
      this.#threads.add(thread)
      thread.onEnd(() => {
        this.#threads.delete(thread)
        for (const [name, owner] of this.#busy) if (owner === thread) this.unlock(name)
        if (!isDone) tell(undefined)
      })
      const fail = (error: unknown): void =>
        this.#engine.violate(
          'fault of the simulation',
          `${thread.label}: ${error instanceof Error ? error.stack : String(error)}`,
        )
      this.#engine.after(thread, this.host.delay('libvirt', 3), () => {
        work(thread).then((value) => {
          isDone = true
          thread.end()
          tell(value)
        }, fail)
      })
    })
  }

  step(thread: Actor, typical = 5): Promise<void> {
    return this.#engine.sleep(thread, this.host.delay('libvirt', typical))
  }

  /** Takes the domain's object, which one thread of the daemon has at a time. */
  async lock(thread: Thread, { name }: Vm): Promise<void> {
    if (this.#busy.get(name)?.isAlive === true)
      await new Promise<void>((resolve) =>
        this.#waiting.push({ name, thread, go: () => void this.#engine.after(thread, 1, resolve) }),
      )
    else this.#busy.set(name, thread)
  }

  unlock(name: string): void {
    this.#busy.delete(name)
    const index = this.#waiting.findIndex((each) => each.name === name && each.thread.isAlive)
    const [next] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (next === undefined) return
    this.#busy.set(name, next.thread)
    next.go()
  }

  isBusy = ({ name }: Vm): boolean => this.#busy.get(name)?.isAlive === true

  // ---- what it writes

  setStatus(vm: Vm, status: Pick<Status, 'state' | 'reason'> & Partial<Status>): void {
    const whole: Status = { ...NO_JOB, ...status }
    const { state, reason, async, phase, flags } = whole
    this.statuses.set(vm.name, whole)
    const own = this.qemuOf(vm)
    if (own !== undefined && async === 'migration out' && (phase === 'perform3_done' || phase === 'confirm3_cancelled'))
      if (!this.host.land.doubts.has(own)) this.host.land.doubts.set(own, this.#engine.now)
    if (async === 'migration out' && phase !== undefined && ((flags ?? 0) & 0x4c0) === 0)
      this.host.land.leaving.set(vm, this.#engine.now)
    this.#engine.note(`${this.host.name} ${vm.name} ${state} ${reason} ${async} ${phase}`)
    this.#engine.tell(
      () =>
        `${this.host.name}: status of ${vm.name}: ${state} (${reason})${async === 'none' ? '' : `, ${async} ${phase ?? ''}`}`,
    )
    const qemu = own
    const job =
      async === 'none'
        ? ''
        : `  <job type='none' async='${async}'${phase === undefined ? '' : ` phase='${phase}'`} flags='0x${(flags ?? 0).toString(16)}'/>\n`
    const xml = vm.xml({
      aliases: true,
      metadata: qemu?.metadata ?? '',
      namesBelow: true,
      ...(qemu && { disks: qemu.disks }),
    })
    this.host.disk.write(
      `/run/libvirt/qemu/${vm.name}.xml.new`,
      `<domstatus state='${state}' reason='${reason}' pid='${qemu?.pid ?? 0}'>\n${job}${commitsOf(qemu)}${backupsOf(qemu)}${xml}</domstatus>\n`,
    )
    this.host.disk.rename(`/run/libvirt/qemu/${vm.name}.xml.new`, `/run/libvirt/qemu/${vm.name}.xml`)
  }

  removeStatus({ name }: Vm): void {
    if (!this.statuses.delete(name)) return
    this.#engine.tell(() => `${this.host.name}: status of ${name}: none`)
    this.host.disk.remove(`/run/libvirt/qemu/${name}.xml`)
  }

  qemuOf = (vm: Vm): Qemu | undefined => this.host.land.qemus.find((qemu) => qemu.host === this.host && qemu.vm === vm)

  // ---- hooks

  /**
   * Runs a hook as a child and waits for its end. @returns undefined where it was killed, which libvirt takes for a
   * failure
   */
  hook(
    thread: Thread,
    vm: Vm,
    operation: string,
    { xml, subOperation = 'begin', reason = '-', isMigration = false }: Call,
  ): Promise<Result | undefined> {
    const { host } = this
    const { land } = host
    const process = new Process(host, 'hook', `${operation} ${vm.name}`, host.pid(), this.daemon?.pid ?? 1)
    if (operation === 'prepare' && !isMigration) process.startOf = vm
    if (operation === 'release' && host.hangsAtRelease && !host.isHung) {
      host.hangsAtRelease = false
      host.hang()
    }
    if (this.#engine.chance.isTrue(`${host.name} hook`, land.faults.hookKills)) {
      const when = this.#engine.chance.of(`${host.name} hook`) ** 2
      process.onEnd(() => {
        // Before it asks for the lock of a VG it has said that the domain has ended.
        if (process.status === undefined && operation === 'release' && !process.hasAskedForLock)
          this.isInterrupted = true
      })
      // At any moment, or in one of its waits: then the long ones do not get all of it.
      if (this.#engine.chance.isTrue(`${host.name} hook`, 0.5)) process.dieWaiting(`${host.name} hook`, 25)
      else this.#engine.after(process, 2000 * when, () => process.kill())
    }
    const begin = this.#engine.now
    const isSlow = operation === 'release' && host.isReleaseSlow
    if (isSlow) host.isReleaseSlow = false
    const extra = isSlow ? 1000 * this.#engine.chance.of(`${host.name} slow`) : 0
    this.#engine.after(process, extra + host.delay('node', 60), () => {
      land.product.hook({ name: vm.name, operation, subOperation, extra: reason }, xml, process).then(
        (status) => process.exit(status),
        (error: unknown) =>
          this.#engine.violate('fault', `${process.label}: ${error instanceof Error ? error.stack : String(error)}`),
      )
    })
    return new Promise((resolve) => {
      process.onEnd(() => {
        const { status, stdout, stderr } = process
        this.#engine.tell(
          () =>
            `${host.name}: ${process.label}: ${status === undefined ? 'killed' : status === 0 ? 'ok' : `refused: ${stderr.trim().replaceAll('\n', ' ')}`}${status === 0 && stderr !== '' ? ` (${stderr.trim().replaceAll('\n', ' ')})` : ''}`,
        )
        if (/lvguard failed|the model has no/.test(stderr)) this.#engine.violate('fault', `${process.label}: ${stderr}`)
        if (operation === 'prepare' && (status ?? 0) === 0)
          for (const { volume } of vm.disks) {
            const kept = host.kept.get(host.land.mainOf(volume))
            if (kept !== undefined) kept.isUsed = true
          }
        // Nobody would promote what comes in (DESIGN 4).
        const isLetIn = operation === 'migrate' && status === 0 && stdout !== ''
        if (isLetIn && host.agent?.isAlive !== true && host.agentEnded < begin)
          this.#engine.violate('let in', `${vm.name} is let in on ${host.name}, where no agent runs`)
        this.#engine.after(thread, 1, () =>
          resolve(status === undefined ? undefined : { code: status, stdout, stderr }),
        )
      })
    })
  }

  async prepare(thread: Thread, vm: Vm, xml: string, isMigration = false): Promise<boolean> {
    this.#preparedAt.set(vm.name, this.#engine.now)
    const wasLost = this.host.hasLostLeaseOf(vm)
    const answer = await this.hook(thread, vm, 'prepare', { xml, isMigration })
    const isDone = answer?.code === 0
    if (isDone && this.host.hasLostLeaseOf(vm, wasLost ? 0 : LONG_LOST))
      this.#engine.violate('R1', `${vm.name} may start on ${this.host.name}, whose lease is lost`)
    return isDone
  }

  async releaseOf(
    thread: Thread,
    vm: Vm,
    gotPastPrepare: boolean,
    reason: string,
    metadata = '',
    disks = vm.disks,
    namesBelow = vm.namesBelow,
  ): Promise<void> {
    await this.step(thread)
    const answer = await this.hook(thread, vm, 'release', {
      xml: vm.xml({ aliases: gotPastPrepare, metadata, disks, namesBelow }),
      subOperation: 'end',
      reason: this.host.land.tellsReasons ? reason : '-',
    })
    // A part of its disks may be noted all the same.
    const image = [this.images.get(vm.name), this.files.get(vm.name)].find(
      (each) => each?.number === this.#saves.get(vm.name),
    )
    if (image !== undefined && answer?.stderr.includes('will not be told') === true) image.isWarned = true
  }

  // ---- a domain's life

  /** QEMU opens the disks: where a volume is not active any more, it cannot. */
  launch(vm: Vm, metadata: string, disks = vm.disks): Qemu | undefined {
    const { host } = this
    const { land, cluster, state } = host
    for (const { volume } of disks) {
      // Its path is not there any more, or leads to another one that nobody gives to this VM.
      if (!land.exists(volume) || cluster.volumes.find(volume) !== land.lv(volume)) return undefined
      if (cluster.devices.isActive(state, land.lv(volume))) continue
      // It had another name when it was prepared, or has another volume's name since: QEMU does not find its path.
      if (land.renamedAt(volume) >= (this.#preparedAt.get(vm.name) ?? 0)) return undefined
      this.#engine.violate('R4', `${volume} was taken from ${vm.name} on ${host.name} between its prepare and its QEMU`)
      return undefined
    }
    const qemu = land.launch(vm, host, disks)
    qemu.metadata = metadata
    return qemu
  }

  start(vm: Vm): void {
    void this.run(`start ${vm.name}`, (thread) => this.#start(thread, vm, this.images.get(vm.name)))
  }

  /** virsh restore FILE. */
  restore(vm: Vm): void {
    const image = this.files.get(vm.name)
    if (image !== undefined) void this.run(`restore ${vm.name}`, (thread) => this.#start(thread, vm, image))
  }

  /** The hook is called as for a domain that has ended. */
  strayRelease(vm: Vm): void {
    const qemu = this.qemuOf(vm)
    const disks = qemu?.disks ?? vm.disks
    void this.run(`stray release ${vm.name}`, async (thread) => {
      await this.lock(thread, vm)
      if (this.statuses.get(vm.name)?.async === 'none' && this.qemuOf(vm) === qemu)
        await this.releaseOf(thread, vm, true, 'shutdown', qemu?.metadata ?? '', disks, qemu?.namesBelow)
    })
  }

  async #start(thread: Thread, vm: Vm, image: Image | undefined): Promise<void> {
    const { host } = this
    const { land } = host
    await this.lock(thread, vm)
    if (this.statuses.has(vm.name)) return
    if (image === undefined && this.#hasSaveFile(vm)) {
      land.reach('incomplete image dropped')
      this.#forgetImage(vm)
    }
    const metadata = image?.metadata ?? this.#definedMetadata(vm)
    const disks = image?.disks ?? vm.disks
    const namesBelow = image !== undefined || vm.namesBelow
    const xml = vm.xml({ metadata, disks, namesBelow })
    // What is noted is of the last save (README, Saved memory).
    let isNoted =
      image !== undefined && !image.isWarned && image.number === this.#saves.get(vm.name) && host.isNoted(vm)
    if (image !== undefined) {
      const answer = await this.hook(thread, vm, 'restore', { xml })
      // What an older lvguard has not written, the new one does not find.
      if (image.isWarned) isNoted = false
      if (answer?.code !== 0) {
        land.reach('restore refused')
        // libvirt 11.3 takes that for a start that succeeded (qemuDomainObjRestore).
        if (this.images.get(vm.name) === image) {
          this.#forgetImage(vm)
          if (answer !== undefined && !host.isRunFull)
            this.#engine.violate('R12', `the saved memory of ${vm.name} on ${host.name} is thrown away by libvirt 11.3`)
        }
        return
      }
      // Said, and restored all the same (README, Saved memory).
      if (answer.stderr.includes('cannot be told')) isNoted = false
      // It opens the image, and looks at what is in it.
      await this.step(thread, 60)
    }
    const isPrepared = await this.prepare(thread, vm, xml)
    await this.step(thread, BEFORE_QEMU)
    const isSpoiled = isPrepared && this.#engine.chance.isTrue(`${host.name} start`, land.faults.failedStarts)
    const qemu = isPrepared && !isSpoiled ? this.launch(vm, metadata, disks) : undefined
    if (qemu === undefined)
      return this.releaseOf(
        thread,
        vm,
        isPrepared && this.#engine.chance.isTrue(`${host.name} start`, 0.5),
        'failed',
        metadata,
        disks,
        namesBelow,
      )
    qemu.namesBelow = namesBelow
    this.setStatus(vm, { state: 'paused', reason: 'starting up' })
    await this.step(thread)
    if (!qemu.isAlive) return this.#end(thread, vm, 'crashed')
    if (image !== undefined) {
      qemu.memory = new Map(image.memory)
      qemu.restored = isNoted ? 'without a word' : 'with a warning'
      // Its memory comes in as that of a migration does (qemuProcessStart).
      this.setStatus(vm, { state: 'paused', reason: 'migration' })
    }
    // One that was paused stays so, with that reason (qemuSaveImageStartVM).
    const isPaused = image?.cpus === 'paused'
    if (!isPaused) land.runCpus(qemu, image === undefined ? 'fresh' : 'restored')
    land.reach(image === undefined ? 'started' : isPaused ? 'restored paused' : 'restored')
    await this.step(thread)
    if (image === undefined || this.images.get(vm.name) === image) this.#forgetImage(vm)
    if (this.qemuOf(vm) === qemu && !isPaused)
      this.setStatus(vm, { state: 'running', reason: image === undefined ? 'booted' : 'restored' })
  }

  /**
   * lvguard was upgraded. If such an image is not a minute old when its VM ends, libvirt before 10.5 does not say
   * whether it was written just now (managedSave in src/state/saved-images.ts).
   */
  forgetNotes(): void {
    for (const image of [...this.images.values(), ...this.files.values()]) image.isWarned = true
  }

  /** A managed save of it, whole or not. */
  #hasSaveFile = ({ name }: Vm): boolean => this.host.disk.find(saveFileOf(name)) !== undefined

  /** Its managed save. */
  #forgetImage(vm: Vm): void {
    this.images.delete(vm.name)
    this.host.disk.remove(saveFileOf(vm.name))
  }

  /** virsh domrename: of a domain that is off, and has no saved memory. @param name its name until now */
  rename(name: string, vm: Vm): void {
    const { disk } = this.host
    if (disk.find(`/etc/libvirt/qemu/${name}.xml`) === undefined) return
    disk.remove(`/etc/libvirt/qemu/${name}.xml`)
    disk.write(`/etc/libvirt/qemu/${vm.name}.xml`, vm.xml())
  }

  hasMemoryOf(vm: Vm): boolean {
    return this.#hasSaveFile(vm) || this.files.has(vm.name)
  }

  /** Of its persistent definition here, which an offline migration may have brought. */
  #definedMetadata({ name }: Vm): string {
    const node = this.host.disk.find(`/etc/libvirt/qemu/${name}.xml`)
    return node?.kind === 'file' ? metadataIn(node.text) : ''
  }

  /**
   * The way every domain ends: QEMU killed, status file removed, `release` (FACTS 2). The caller has the domain's
   * object.
   */
  async #end(thread: Thread, vm: Vm, reason: string): Promise<void> {
    const qemu = this.qemuOf(vm)
    const metadata = qemu?.metadata ?? ''
    const disks = qemu?.disks ?? vm.disks
    if (qemu !== undefined && !(await this.host.land.canEnd(qemu, thread))) return
    qemu?.end()
    await this.step(thread)
    this.removeStatus(vm)
    await this.releaseOf(thread, vm, true, reason, metadata, disks, qemu?.namesBelow)
  }

  /** virsh snapshot-create-as --disk-only --reuse-external: the first disk is an overlay from now on. No hook is called. */
  snapshot(vm: Vm, volume: string): void {
    void this.run(`snapshot of ${vm.name}`, async (thread) => {
      await this.lock(thread, vm)
      const [qemu, status] = [this.qemuOf(vm), this.statuses.get(vm.name)]
      if (qemu === undefined || status?.async !== 'none' || hasBlockJob(qemu)) return
      this.setStatus(vm, { ...status, async: 'snapshot' })
      await this.step(thread)
      if (this.qemuOf(vm) !== qemu) return
      this.host.land.putOnTop(qemu, volume)
      this.setStatus(vm, status)
    })
  }

  /** virsh backup-begin: QEMU keeps on that volume what is overwritten while somebody reads the backup. */
  backup(vm: Vm, volume: string): void {
    void this.run(`backup of ${vm.name}`, async (thread) => {
      await this.lock(thread, vm)
      const [qemu, status] = [this.qemuOf(vm), this.statuses.get(vm.name)]
      if (qemu === undefined || status?.async !== 'none' || hasBlockJob(qemu)) return
      if (this.host.land.openForBackup(qemu, volume)) this.setStatus(vm, { ...status, async: 'backup' })
    })
  }

  /** virsh domjobabort, or nobody reads it any more. */
  endBackup(vm: Vm): void {
    void this.run(`end of the backup of ${vm.name}`, async (thread) => {
      await this.lock(thread, vm)
      const [qemu, status] = [this.qemuOf(vm), this.statuses.get(vm.name)]
      if (qemu === undefined || status?.async !== 'backup') return
      this.host.land.closeAfterBackup(qemu)
      this.setStatus(vm, { ...status, async: 'none' })
    })
  }

  /** virsh destroy, the guest shuts down, or QEMU has crashed. */
  stop(vm: Vm, reason = 'shutdown', waiter?: Actor): Promise<void> {
    return this.run(
      `stop ${vm.name}`,
      async (thread) => {
        await this.lock(thread, vm)
        // Whether it crashed is known by its QEMU.
        if (this.statuses.has(vm.name) && !(reason === 'crashed' && this.qemuOf(vm) !== undefined))
          await this.#end(thread, vm, reason)
      },
      waiter,
    )
  }

  /**
   * virsh managedsave, or virsh save FILE. Until all of the memory is there, the image says that it is incomplete, and
   * nothing is restored from it; a managed save of that kind is removed at the next start (qemuSaveImageCreate,
   * qemuSaveImageOpen).
   */
  save(vm: Vm, isFile = false): void {
    void this.run(`save ${vm.name}`, async (thread) => {
      await this.lock(thread, vm)
      const qemu = this.qemuOf(vm)
      if (this.statuses.get(vm.name)?.async !== 'none' || qemu === undefined || hasBlockJob(qemu)) return
      const { cpus } = qemu
      const { disk, land } = this.host
      qemu.cpus = 'paused'
      // One that is paused already keeps the reason for it, and is not run again whatever comes (qemuProcessRecoverJob).
      const reason = cpus === 'paused' ? (this.statuses.get(vm.name)?.reason ?? 'user') : 'save'
      this.setStatus(vm, { state: 'paused', reason, async: 'save' })
      if (isFile) this.files.delete(vm.name)
      else {
        this.images.delete(vm.name)
        disk.write(saveFileOf(vm.name), 'LibvirtQemudPart')
      }
      await this.step(thread, 500)
      if (this.qemuOf(vm) !== qemu) {
        if (!isFile) this.#forgetImage(vm)
        return
      }
      const number = (this.#saves.get(vm.name) ?? 0) + 1
      this.#saves.set(vm.name, number)
      const isWarned = qemu.restored === 'with a warning'
      const { disks, metadata } = qemu
      const image = { memory: new Map(qemu.memory), disks, cpus, metadata, isWarned, number }
      if (isFile) this.files.set(vm.name, image)
      else {
        this.images.set(vm.name, image)
        disk.write(saveFileOf(vm.name), 'LibvirtQemudSave')
      }
      land.reach(isFile ? 'saved to a file' : 'saved')
      await this.#end(thread, vm, 'saved')
    })
  }

  /** virsh suspend, virsh resume. @returns whether it was done */
  setCpus(vm: Vm, cpus: Qemu['cpus'], who: string, waiter?: Actor): Promise<boolean | undefined> {
    return this.run(
      `${cpus === 'paused' ? 'suspend' : 'resume'} ${vm.name}`,
      async (thread) => {
        await this.lock(thread, vm)
        const qemu = this.qemuOf(vm)
        if (qemu === undefined || !mayBeChanged(this.statuses.get(vm.name))) return false
        if (qemu.cpus === cpus) return true
        if (cpus === 'running') this.host.land.runCpus(qemu, who)
        else qemu.cpus = 'paused'
        await this.step(thread)
        const async = this.statuses.get(vm.name)?.async ?? 'none'
        if (this.qemuOf(vm) === qemu)
          this.setStatus(
            vm,
            cpus === 'paused'
              ? { state: 'paused', reason: 'user', async }
              : { state: 'running', reason: 'unpaused', async },
          )
        return true
      },
      waiter,
    )
  }

  /** What the agent may ask for. */
  async virsh(command: string, uuid: string): Promise<Result> {
    const vm = this.host.land.vms.find((each) => each.uuid === uuid)
    if (this.daemon === undefined) return FAILED('failed to connect to the hypervisor')
    if (vm === undefined || this.qemuOf(vm) === undefined) return FAILED(`failed to get domain '${uuid}'`)
    if (command === 'suspend') {
      this.host.land.reach('suspended by the agent')
      this.host.land.suspended.add(vm)
      const isDone = await this.setCpus(vm, 'paused', 'lvguard')
      return isDone === true ? DONE : FAILED('the domain is busy')
    }
    if (command === 'domjobabort') {
      this.host.land.reach('migration aborted by the agent')
      for (const migration of this.migrations) if (migration.vm === vm) migration.isAborted = true
      return DONE
    }
    this.#engine.violate('R12', `lvguard says virsh ${command}`)
    return FAILED('unknown command')
  }

  /**
   * What a daemon that starts again makes of a domain, from the phase in its status file (qemuProcessReconnect,
   * qemuMigrationRecover).
   */
  async #recover(thread: Thread, vm: Vm): Promise<void> {
    await this.lock(thread, vm)
    await this.step(thread, 20)
    const status = this.statuses.get(vm.name)
    const qemu = this.qemuOf(vm)
    if (status === undefined) return
    this.host.land.reach(`daemon back in ${status.async} ${status.phase ?? ''}`.trim())
    const outcome = outcomeOf(status)
    if (qemu === undefined || qemu.isKilled || outcome === 'kill') return this.#end(thread, vm, 'crashed')
    if (outcome === 'run') {
      // The reply of Finish was lost before (FACTS 19).
      if (status.phase === 'confirm3_cancelled') this.host.land.makesTwo(vm)
      const wasPaused = qemu.cpus === 'paused'
      // It ended between the command to QEMU and its word in the status file. It asks QEMU whether its CPUs run
      // (qemuProcessUpdateState). Nothing tells then that a migration has stopped them.
      const isUnseen = !wasPaused && status.state === 'paused'
      if (isUnseen && status.phase === 'confirm3_cancelled') this.host.land.unseen.add(vm)
      this.host.land.runCpus(qemu, 'libvirt')
      await this.step(thread)
      if (this.qemuOf(vm) === qemu)
        this.setStatus(vm, {
          state: 'running',
          reason:
            status.async === 'migration in'
              ? 'migrated'
              : status.async === 'save'
                ? 'save canceled'
                : wasPaused
                  ? 'migration canceled'
                  : isUnseen
                    ? 'unpaused'
                    : status.reason,
        })
      return
    }
    // A backup job goes on (qemuProcessRecoverJob).
    const async = status.async === 'backup' ? 'backup' : 'none'
    if (qemu.cpus === status.state) this.setStatus(vm, { state: status.state, reason: status.reason, async })
    // It asks QEMU whether its CPUs run (qemuProcessUpdateState).
    else if (qemu.cpus === 'running') this.setStatus(vm, { state: 'running', reason: 'unpaused', async })
    else this.setStatus(vm, { state: 'paused', reason: 'unknown', async })
  }
}

/** While a backup job is under way, a domain is suspended, resumed and given disks as ever (qemuBackupBegin). */
export const mayBeChanged = (status: Status | undefined): boolean =>
  status?.async === 'none' || status?.async === 'backup'

/** libvirt neither migrates nor saves such a domain (qemuMigrationSrcIsAllowed). */
export const hasBlockJob = ({ disks }: Qemu): boolean =>
  disks.some(({ isMirror, commit, isBackup }) => isMirror || commit || isBackup)

/** A commit between two backing files stands in front of the domain (captures/status/blockcommit). */
function commitsOf(qemu: Qemu | undefined): string {
  const chain = chainOf(qemu?.disks ?? [])
  const base = chain.findIndex(({ commit }) => commit === 'middle')
  if (base < 0) return ''
  const node = (index: number): string => `node='libvirt-${index}-storage'`
  return `  <blockjobs active='yes'>\n    <blockjob name='commit-vda' type='commit' state='running'>\n      <disk dst='vda'/>\n      <base ${node(base + 1)}/>\n      <top ${node(base)}/>\n      <topparent ${node(base - 1)}/>\n    </blockjob>\n  </blockjobs>\n`
}

/** As `virsh backup-begin` with `<scratch>` has it written, in front of the domain (libvirt: qemuDomainObjPrivateXMLFormat). */
function backupsOf(qemu: Qemu | undefined): string {
  const volume = qemu?.disks.find(({ isBackup }) => isBackup)?.volume
  return volume === undefined
    ? ''
    : `  <backups>\n    <domainbackup mode='pull'>\n      <disks>\n        <disk name='vda' backup='yes' state='running' type='block'>\n          <scratch dev='/dev/${volume}'/>\n        </disk>\n      </disks>\n    </domainbackup>\n  </backups>\n`
}

const saveFileOf = (name: string): string => `/var/lib/libvirt/qemu/save/${name}.save`

/** The element with all its text, and its line's end. */
export const metadataIn = (xml: string): string => / *<metadata>[\s\S]*<\/metadata>\n?/.exec(xml)?.[0] ?? ''

/** `run`: its CPUs run, whatever they did; `leave`: as they are, without the job. */
function outcomeOf({ async, phase, reason }: Status): 'run' | 'leave' | 'kill' {
  if (async === 'none') return reason === 'starting up' ? 'kill' : 'leave'
  if (async === 'save') return reason === 'save' ? 'run' : 'leave'
  if (async === 'snapshot' || async === 'backup') return 'leave'
  // Nobody has the whole of its RAM.
  if (async === 'migration out' && reason === 'post-copy') return 'leave'
  if (async === 'migration in') return phase === 'finish3' ? 'run' : 'kill'
  if (phase === 'confirm3') return 'kill'
  // Nobody can tell whether the destination runs.
  return phase === 'perform3_done' ? 'leave' : 'run'
}
