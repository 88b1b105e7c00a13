import { type DomainRecord, goesWithDomain } from '../../src/core/record.ts'
import type { Result } from '../ring.ts'
import type { Cluster } from '../simulated/cluster.ts'
import type { HostState } from '../simulated/host-state.ts'
import { asksLvmlockd } from '../simulated/toolbox.ts'
import type { Command } from './commands.ts'
import { Disk, FileError, type Folder, type OpenFile } from './disk.ts'
import { Actor, type Engine } from './engine.ts'
import { Libvirt } from './libvirt.ts'
import { EPOCH, Process } from './process.ts'
import type { Land } from './land.ts'
import type { Vm } from './vm.ts'

/** What becomes of a command. `does nothing`: it exits with 0, and that is all (FACTS 24). */
export type Fate = 'lives' | 'killed before' | 'killed after' | 'does nothing'

interface Watch {
  readonly process: Process
  readonly folder: string
  readonly changed: (kind: string, name: string | null) => void
  /** What is to be told at once: whoever reads inotify's descriptor gets all that has come by then. */
  names: string[]
}

/** A volume that a person has activated here for himself. */
interface Kept {
  /** How he has locked it. */
  readonly lock: 'ex' | 'sh'
  /** A `prepare` has gone through since, or was killed. */
  isUsed: boolean
  /** lvguard has shared it since, or has tried to, for a VM that leaves: it goes with that VM. */
  isDemoted: boolean
}

/** Milliseconds: longer than the product waits for a question, shorter than it waits for a change. */
const LONGEST_DELAY = 60_000
/** Seconds without a renewal after which the lease is lost (8 × io_timeout). */
const LEASE = 80

/** Files that stay when the power goes. */
const KEPT = ['etc', 'var']

/** One host: its files, its processes, its libvirt, and its part of the cluster. */
export class Host {
  readonly engine: Engine
  readonly cluster: Cluster
  disk: Disk
  readonly processes = new Set<Process>()
  readonly commands = new Set<Command>()
  readonly libvirt: Libvirt
  agent: Process | undefined
  isUp = true
  /** Its path to the shared disk is gone: what is asked of that waits. */
  isHung = false
  /** Its lvmlockd stands still: whatever asks it waits. */
  isLockingPaused = false
  isRunFull = false
  /** A kill had no room for its mark, and has said so: a person takes the VG back. */
  hadNoRoomForMark = false
  /** By UUID: VMs whose volumes the agent has given back, without room to say so to a `release` that comes later. */
  readonly unsaid = new Set<string>()
  /** It hangs as soon as the next `release` begins. */
  hangsAtRelease = false
  /** Node takes its time to start for the next `release`. */
  isReleaseSlow = false
  /** The disk answers the next look of a `release` at a lease late. */
  isLeaseSlow = false
  /** lvmlockctl's next `lvguard kill` is ended in one of its waits. */
  isKillEnded = false
  /** An older lvguard is installed here (older.ts). */
  isOlder = false
  /** Its records name volumes by their UUIDs too. */
  olderHasIds = true
  /** A person has typed `lvguard recover` here. */
  isRecovering = false
  /** Volumes, `VG/LV`, that a person has activated. */
  readonly activeBefore = new Set<string>()
  /** Those of them that must be as he has left them when no VM uses them any more. */
  readonly kept = new Map<string, Kept>()
  /**
   * Volumes that had another name in the middle of a hook, or went shared in a migration in which lvguard was upgraded:
   * what is left of them is the business of whoever did that.
   */
  readonly renamed = new Set<string>()
  /** When each VG could be used here again after it was cut off. */
  readonly #takenBack = new Map<string, number>()
  /** When its last agent ended. */
  agentEnded = Number.NEGATIVE_INFINITY
  /** When lvmlockctl last gave somebody no answer here. */
  locksUnknown = Number.NEGATIVE_INFINITY
  #watches: Watch[] = []
  #turns: { readonly command: Command; readonly go: () => void }[] = []
  #waitingForStorage: (() => void)[] = []
  #waitingForLocking: (() => void)[] = []
  #isShown = false
  /** Writes that wait on the shared disk while it hangs. */
  #inFlight = 0
  #pids = 1000

  constructor(
    readonly land: Land,
    readonly state: HostState,
  ) {
    this.engine = land.engine
    this.cluster = land.cluster
    this.disk = this.#newDisk()
    this.libvirt = new Libvirt(this)
    this.cluster.onChange(() => {
      // A device that is made anew has a table of its own.
      if (this.state.wiped.size > 0) {
        const there = new Set(this.cluster.devices.list(this.state).map(({ uuid }) => uuid))
        for (const uuid of this.state.wiped) if (!there.has(uuid)) this.state.wiped.delete(uuid)
      }
      this.#isShown = false
    })
    this.disk.write('/etc/libvirt/lvguard.conf', `log_file = ""\n${policyOf(land.vms)}`)
    this.#boot()
  }

  get name(): string {
    return this.state.name
  }

  pid(): number {
    this.#pids += 1 + this.engine.chance.below(`${this.name} pid`, 5)
    return this.#pids
  }

  // ---- time and faults

  /** Milliseconds that something takes which takes so many as a rule. */
  delay(what: string, typical: number): number {
    const { chance } = this.engine
    const stream = `${this.name} delay ${what}`
    const often = typical * (0.5 + chance.of(stream))
    return chance.of(stream) < this.land.faults.slowness
      ? Math.min(LONGEST_DELAY, often * 10 ** (1 + 3 * chance.of(stream) ** 1.5))
      : often
  }

  fateOf({ name }: Command): Fate {
    const { chance } = this.engine
    const { commands, lies } = this.land.faults
    const stream = `${this.name} fate ${name}`
    if (chance.isTrue(stream, commands)) return chance.isTrue(stream, 0.5) ? 'killed before' : 'killed after'
    return name === 'lvchange' && chance.isTrue(stream, lies) ? 'does nothing' : 'lives'
  }

  /** What reads or writes the shared disk waits for it. */
  async storageFor(command: Command): Promise<void> {
    const { name, words } = command
    const isOnDisk =
      ['lvchange', 'vgchange', 'lvs', 'vgs', 'pvs', 'dd'].includes(name) ||
      (name === 'sanlock' && words[0] === 'direct')
    while (this.isHung && isOnDisk)
      await new Promise<void>((resolve) =>
        this.#waitingForStorage.push(() => void this.engine.after(command, this.delay('storage', 20), resolve)),
      )
  }

  /** What asks lvmlockd waits for it. */
  async lockingFor(command: Command): Promise<void> {
    while (this.isLockingPaused && asksLvmlockd(command.name, command.words))
      await new Promise<void>((resolve) =>
        this.#waitingForLocking.push(() => void this.engine.after(command, this.delay('lvmlockd', 5), resolve)),
      )
  }

  /** LVM lets one command at a time change something on a host. */
  takeTurn(command: Command): Promise<void> | undefined {
    const isFirst = this.#turns.length === 0
    let go = (): void => undefined
    const turn = new Promise<void>((resolve) => {
      go = () => void this.engine.after(command, 0, resolve)
    })
    this.#turns.push({ command, go })
    command.onEnd(() => {
      const wasFirst = this.#turns[0]?.command === command
      this.#turns = this.#turns.filter((each) => each.command !== command)
      if (wasFirst) this.#turns[0]?.go()
    })
    return isFirst ? undefined : turn
  }

  /** A command of LVM that a person types here comes to its end. */
  get answersLvm(): boolean {
    return this.isUp && !this.isHung && !this.isLockingPaused && this.state.lvmlockd === 'running'
  }

  hang(): void {
    // In the middle of its way back each VG would need a time of its own.
    if (this.state.rejoined.size > 0) return
    this.isHung = true
    this.#inFlight = this.engine.chance.below(`${this.name} in flight`, 2)
    this.cluster.locks.silence(this.state)
    this.engine.tell(() => `${this.name}: its path to the shared disk hangs`)
    if (this.land.hasKillCommand)
      for (const vg of this.state.lockspaces.keys())
        this.engine.after(NOBODY, (LEASE - 20 * this.engine.chance.of(`${this.name} renewal`)) * 1000, () =>
          this.#killCommand(vg),
        )
  }

  /**
   * sanlock has lvmlockctl run global/lvmlockctl_kill_command once the lease is lost, and lvmlockctl gives the locks up
   * where that exits with 0.
   */
  #killCommand(vg: string): void {
    if (!this.isUp || !this.isHung || this.state.lockspaces.get(vg)?.state !== 'started') return
    if (!this.hasLostLease([vg])) return void this.engine.after(NOBODY, 1000, () => this.#killCommand(vg))
    const caller = this.pid()
    this.addProcess(caller, 'lvmlockctl')
    // The shell stub leaves an empty mark before Node starts.
    const mark = `/run/lvguard/${vg}.killed`
    if (!this.isRunFull && this.disk.find(mark) === undefined) this.disk.write(mark, '')
    const kill = this.type(['kill', vg], caller, (status) => {
      this.removeProcess(caller)
      if (status === 0) this.dropLocks(vg)
    })
    if (this.isKillEnded) kill?.dieWaiting(`${this.name} kill`, 10)
    this.isKillEnded = false
  }

  unhang(): void {
    if (!this.isHung) return
    this.isHung = false
    // sanlock renews, unless its lease has run out: then it leaves a lockspace in which it has no lock (FACTS 46b).
    for (const [vg, { locks }] of this.state.lockspaces)
      if (this.hasLostLease([vg])) {
        if ([...locks.values()].every((lock) => lock === 'un')) this.state.left.add(vg)
      } else this.cluster.locks.rejoin(this.state, vg)
    this.engine.tell(() => `${this.name}: its path to the shared disk is back`)
    for (const go of this.#waitingForStorage.splice(0)) go()
    for (const qemu of this.land.qemus)
      if (qemu.host === this && qemu.isKilled) this.engine.after(qemu, this.delay('libvirt', 20), () => qemu.end())
  }

  /** kill -STOP of its lvmlockd; kill -CONT. */
  pauseLocking(): void {
    if (!this.isUp || this.state.lvmlockd !== 'running') return
    this.isLockingPaused = true
    this.engine.tell(() => `${this.name}: lvmlockd stands still`)
  }

  resumeLocking(): void {
    if (!this.isLockingPaused) return
    this.isLockingPaused = false
    this.engine.tell(() => `${this.name}: lvmlockd goes on`)
    for (const go of this.#waitingForLocking.splice(0)) go()
  }

  // ---- processes

  addProcess(pid: number, name: string): void {
    this.disk.write(`/proc/${pid}/stat`, `${pid} (${name}) S ${'0 '.repeat(18)}${Math.round(this.engine.now / 10)} 0\n`)
    this.disk.write(`/proc/${pid}/comm`, `${name}\n`)
  }

  removeProcess(pid: number): void {
    this.disk.remove(`/proc/${pid}`)
  }

  /** Of one of these VGs, since so many seconds. Not renewed for 8 × io_timeout; sanlock counts whole seconds. */
  hasLostLease(vgs: Iterable<string>, since = 0): boolean {
    return [...vgs].some((vg) => this.cluster.locks.renewalAge(this.state, vg) > 79 + since)
  }

  /** What was noted of its saved memory is there. */
  isNoted({ uuid }: Vm): boolean {
    const note = this.disk.find(`/var/lib/lvguard/saved/${uuid}.json`)
    return note?.kind === 'file' && (this.isOlder || note.byOlder !== true)
  }

  /** Of a VG that a domain uses. */
  hasLostLeaseOf({ disks }: Pick<Vm, 'disks'>, since = 0): boolean {
    return this.hasLostLease(
      disks.map(({ volume }) => volume.split('/')[0] ?? ''),
      since,
    )
  }

  /** kill -9. */
  killPid(pid: number): void {
    const qemu = this.land.qemus.find((each) => each.host === this && each.pid === pid)
    if (qemu === undefined) throw Object.assign(new Error('ESRCH'), { code: 'ESRCH' })
    this.engine.tell(() => `${this.name}: QEMU of ${qemu.vm.name} is killed by lvguard`)
    if (!this.hasLostLeaseOf(qemu))
      this.engine.violate('killed', `${qemu.vm.name} was killed on ${this.name}, which has its lease`)
    qemu.end()
  }

  startAgent(): void {
    if (!this.isUp || this.agent?.isAlive === true) return
    const agent = new Process(this, 'agent', `agent of ${this.name}`, this.pid(), 1)
    this.agent = agent
    agent.onEnd(() => {
      this.agentEnded = this.engine.now
    })
    this.engine.tell(() => `${this.name}: the agent starts`)
    this.engine.after(agent, 1, () => {
      this.land.product.agent().then(
        (status) => agent.exit(status),
        (error: unknown) =>
          this.engine.violate('fault', `${agent.label}: ${error instanceof Error ? error.stack : String(error)}`),
      )
    })
  }

  /** As the package does it: the file is another one, the agent starts anew; hooks that have begun run on. */
  upgrade(): void {
    if (!this.isOlder || !this.isUp) return
    this.isOlder = false
    this.libvirt.forgetNotes()
    this.engine.tell(() => `${this.name}: lvguard is upgraded`)
    const isInHook = [...this.processes].some(({ kind }) => kind === 'hook')
    this.land.reach(isInHook ? 'upgraded in the middle of a hook' : 'upgraded')
    // 0.1.0 does not put on record that it has shared for a migration what was active before: it stays so, and whoever
    // has activated it gives it back.
    for (const { volumes } of this.land.recordsOf(this).values())
      for (const { demoted, vg, lv, ids } of volumes)
        if (demoted) this.renamed.add(this.land.mainOf(this.land.firstNameOf(ids?.lv ?? '') ?? `${vg}/${lv}`))
    if (this.agent?.isAlive !== true) return
    this.agent.end()
    this.startAgent()
  }

  /** A person types `lvguard WORDS` here, or somebody else does. */
  type(
    words: readonly string[],
    caller = 1,
    ended: (status: number | undefined) => void = () => undefined,
  ): Process | undefined {
    if (!this.isUp) return undefined
    const process = new Process(this, 'command', `lvguard ${words.join(' ')}`, this.pid(), caller)
    process.onEnd(() => ended(process.status))
    this.engine.tell(() => `${this.name}: ${process.label}`)
    if (this.engine.chance.isTrue(`${this.name} command`, this.land.faults.hookKills))
      process.dieWaiting(`${this.name} command`, 10)
    process.onEnd(() =>
      this.engine.tell(
        () =>
          `${this.name}: ${process.label}: ${process.status ?? 'killed'} ${(process.stdout + process.stderr).trim().replaceAll('\n', ' ')}`,
      ),
    )
    this.engine.after(process, this.delay('node', 90), () => {
      this.land.product.command(words).then(
        (status) => process.exit(status),
        (error: unknown) =>
          this.engine.violate('fault', `${process.label}: ${error instanceof Error ? error.stack : String(error)}`),
      )
    })
    return process
  }

  /** lvmlockd is killed; it comes back with the locks that it had (--adopt 1). */
  killLocking(): void {
    if (!this.isUp) return
    this.engine.tell(() => `${this.name}: lvmlockd is killed`)
    this.resumeLocking()
    this.cluster.locks.setLvmlockd(this.state, 'killed')
  }

  restartLocking(): void {
    if (!this.isUp || this.state.lvmlockd === 'running') return
    this.engine.tell(() => `${this.name}: lvmlockd is back`)
    this.cluster.locks.restartLvmlockd(this.state, { adopt: true })
  }

  // ---- files that show what is so

  watch(process: Process, folder: string, changed: Watch['changed']): void {
    const watch: Watch = { process, folder, changed, names: [] }
    this.#watches.push(watch)
    process.onEnd(() => {
      this.#watches = this.#watches.filter((each) => each !== watch)
    })
  }

  #newDisk(): Disk {
    const disk = new Disk(() => EPOCH + this.engine.now)
    disk.changed = (folder, name) => {
      for (const watch of this.#watches) {
        const { process, folder: watched, changed, names } = watch
        if (watched !== folder || this.engine.chance.isTrue(`${this.name} inotify`, this.land.faults.lostEvents))
          continue
        if (names.push(name) > 1) continue
        this.engine.after(process, this.delay('inotify', 1), () => {
          watch.names = []
          for (const each of names) changed('rename', each)
        })
      }
    }
    return disk
  }

  #boot(): void {
    for (const folder of [
      'run/lvguard',
      'run/libvirt/qemu',
      'etc/libvirt/qemu',
      'var/lib/lvguard',
      'var/lib/libvirt/qemu/save',
      'dev/mapper',
      'sys/block',
    ])
      this.disk.folder(folder)
    for (const command of ['lvs', 'lvchange', 'lvmlockctl', 'sanlock', 'virsh'])
      this.disk.write(`/usr/sbin/${command}`, '')
    this.addProcess(1, 'systemd')
    this.disk.live('/proc/sys/kernel/random/uuid', () => this.#uuid())
    this.disk.live('/proc/uptime', () => `${this.engine.now / 1000}\n`)
    this.#isShown = false
    this.libvirt.startDaemon()
  }

  #uuid(): string {
    const hex = Array.from({ length: 32 }, () => this.engine.chance.below(`${this.name} uuid`, 16).toString(16)).join(
      '',
    )
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}\n`
  }

  /** Brings /sys/block and /dev in step with the devices, if somebody looks there. */
  show(path: string): void {
    if (this.#isShown || !(path.startsWith('/sys/') || path.startsWith('/dev'))) return
    this.#isShown = true
    const { disk } = this
    const [block, dev] = [disk.folder('/sys/block'), disk.folder('/dev')]
    block.entries.clear()
    clearDevices(dev)
    disk.folder('/dev/mapper')
    for (const { name, uuid, minor, holders, slaves, volume } of this.cluster.devices.list(this.state)) {
      const folder = `/sys/block/dm-${minor}`
      const isWiped = this.state.wiped.has(uuid)
      disk.folder(`${folder}/holders`)
      disk.folder(`${folder}/slaves`)
      for (const [file, text] of [
        ['dm/name', name],
        ['dm/uuid', uuid],
        ['dm/suspended', '0'],
        ['inflight', '       0        0'],
        ['dev', `253:${minor}`],
      ] as const)
        disk.live(`${folder}/${file}`, () => `${text}\n`)
      for (const holder of holders) disk.link(`${folder}/holders/dm-${holder}`, `../../dm-${holder}`)
      for (const slave of slaves) disk.link(`${folder}/slaves/dm-${slave}`, `../../dm-${slave}`)
      if (slaves.length === 0 && !isWiped) disk.link(`${folder}/slaves/vdb`, '../../vdb')
      disk.device(`/dev/dm-${minor}`, () => {
        if (isWiped) throw new FileError('EIO', 'read', name)
        return this.land.headerOf(volume?.uuid)
      })
      disk.link(`/dev/mapper/${name}`, `../dm-${minor}`)
      disk.link(`/dev/disk/by-id/dm-name-${name}`, `../../dm-${minor}`)
      disk.link(`/dev/disk/by-id/dm-uuid-${uuid}`, `../../dm-${minor}`)
      if (volume !== undefined) disk.link(`/dev/${volume.vg}/${volume.lv}`, `../dm-${minor}`)
    }
    disk.live('/sys/block/vdb/inflight', () => `       0        ${this.isHung ? this.#inFlight : 0}\n`)
    disk.device('/dev/vdb')
  }

  // ---- commands that are this host's own

  async virsh(words: readonly string[]): Promise<Result> {
    const [, , command = '', uuid = ''] = words
    return this.libvirt.virsh(command, uuid)
  }

  /** dmsetup table. */
  tables(): Result {
    const lines = this.cluster.devices
      .list(this.state)
      .map(({ name, uuid }) => `${name}: 0 8192 ${this.state.wiped.has(uuid) ? 'error' : 'linear 252:16 2048'}\n`)
    return { code: 0, stdout: lines.join(''), stderr: '' }
  }

  /** dmsetup wipe_table. */
  wipe(name: string): Result {
    this.cluster.devices.wipe(this.state, name)
    return { code: 0, stdout: '', stderr: '' }
  }

  /** The device of a volume fails all I/O. */
  isWiped(name: string): boolean {
    const { wiped } = this.state
    if (wiped.size === 0) return false
    const { uuid } = this.land.lv(name)
    return this.cluster.devices
      .list(this.state)
      .some((device) => device.volume?.uuid === uuid && wiped.has(device.uuid))
  }

  /** dmsetup remove: of a device that nobody has open. */
  removeDevice(name: string): Result {
    const { devices } = this.cluster
    const outcome = devices.remove(this.state, name)
    if (outcome === 'not found') return { code: 1, stdout: '', stderr: `Device ${name} not found\n` }
    if (outcome === 'busy')
      return { code: 1, stdout: '', stderr: `device-mapper: remove ioctl on ${name} failed: Device or resource busy\n` }
    this.#forgetKept((kept) => !devices.isActive(this.state, this.land.lv(kept)))
    return { code: 0, stdout: '', stderr: '' }
  }

  /** lvmlockctl --drop: lvmlockd knows of no lock of the VG any more, and sanlock leaves its lockspace. */
  dropLocks(vg: string): Result {
    const lockspace = this.state.lockspaces.get(vg)
    if (lockspace !== undefined) Object.assign(lockspace, { state: 'stopped' })
    lockspace?.locks.clear()
    this.#forgetKept((name) => name.startsWith(`${vg}/`))
    this.#isShown = false
    return { code: 0, stdout: '', stderr: '' }
  }

  /** vgchange --lock-start: this host joins the lockspace anew, which makes void whatever it held there. */
  startLocking(vg: string): Result {
    const { locks, volumes } = this.cluster
    const lockspace = this.state.lockspace(vg)
    if (lockspace.state === 'started') return { code: 0, stdout: '', stderr: '' }
    for (const volume of volumes.group(vg)?.volumes ?? [])
      if (volume.leaseOffset !== undefined) locks.lease(volume).drop(this.state.id)
    locks.rejoin(this.state, vg)
    lockspace.locks.clear()
    locks.setLockspace(this.state, vg, 'started')
    return { code: 0, stdout: '', stderr: '' }
  }

  // ---- what must hold whenever something is changed

  #forgetKept(isGone: (name: string) => boolean): void {
    for (const name of this.kept.keys())
      if (isGone(name)) {
        this.kept.delete(name)
        this.activeBefore.delete(name)
      }
  }

  /** Who asks for a lock is the last owner of its lease, whether it is granted or not. */
  noteTry({ words }: Command): void {
    if (words[words.indexOf('--activate') + 1] === 'n') return
    for (const { volume } of this.#namedIn(words))
      this.land.tries.push({ volume: this.land.ownerOf(volume), host: this, at: this.engine.now })
  }

  /** What has become of volumes that a person has activated. */
  followKept({ words, isOfHook }: Command): void {
    if (this.kept.size === 0) return
    const { land } = this
    for (const named of this.#namedIn(words)) {
      const volume = land.mainOf(named.volume)
      const kept = this.kept.get(volume)
      if (kept === undefined) continue
      const held = land.held(this, volume)
      if (held === 'ex' && words.includes('ey') && !isOfHook) kept.isDemoted = false
      if (held === 'un' && !land.cluster.devices.isActive(this.state, land.lv(volume)))
        this.#forgetKept((name) => name === volume)
    }
  }

  #holds(open: Iterable<OpenFile>, vg: string): boolean {
    const node = this.disk.find(`/run/lvguard/${vg}.lock`)
    const owner = node?.kind === 'file' ? node.flock?.owner : undefined
    return owner !== undefined && [...open].includes(owner)
  }

  /** Somebody has the lock of a VG. */
  isLocked(vg: string): boolean {
    const node = this.disk.find(`/run/lvguard/${vg}.lock`)
    return node?.kind === 'file' && node.flock?.owner !== undefined
  }

  /**
   * It has found the volume under another name; or it is the `release` of a VM that comes late, and nothing has told it
   * that all is given back, or the agent that goes on with that one's record.
   */
  #isMisled({ renamed, kind, label }: Process, named: string): boolean {
    const volume = this.land.mainOf(named)
    return (
      renamed.has(volume) ||
      this.land.vms.some(
        ({ name, uuid, disks }) =>
          this.unsaid.has(uuid) &&
          (kind === 'agent' || label === `release ${name}`) &&
          disks.some((disk) => this.land.mainOf(disk.volume) === volume),
      )
    )
  }

  /**
   * A VG in which a `prepare` finds only backing files. It asks for that lock when it has those of the others, and waits
   * for 5 s at most.
   */
  #isFurther({ label }: Process, vg: string): boolean {
    const vm = this.land.vms.find(({ name }) => label === `prepare ${name}`)
    const there = (vm?.disks ?? []).filter(({ volume }) => volume.startsWith(`${vg}/`))
    return there.length > 0 && there.every(({ isBelow }) => isBelow)
  }

  /** R11: what changes a volume has the lock of its VG, for as long as it takes. */
  checkHeld({ words, inherited, label }: Command): void {
    const vg = (words.at(-1) ?? '').split('/')[0] ?? ''
    if (!this.#holds(inherited, vg)) this.engine.violate('R11', `${label} on ${this.name} without the lock of ${vg}`)
  }

  #namedIn(words: readonly string[]) {
    return this.cluster.volumes.groups
      .flatMap(({ volumes }) => volumes)
      .filter(({ vg, lv, uuid }) => words.some((word) => word === `${vg}/${lv}` || word.includes(`lv_uuid=${uuid}`)))
      .map(({ vg, lv, uuid }) => ({ vg, lv, uuid, volume: this.land.firstNameOf(uuid) ?? `${vg}/${lv}` }))
  }

  /**
   * R4: nothing is taken from a VM that has it open, whether LVM would let it go or not; nor what a person has
   * activated, but where it was shared for a migration. What goes with it is taken too.
   */
  checkGivenBack(process: Process, words: readonly string[]): void {
    if (words[words.indexOf('--activate') + 1] !== 'n') return
    const { land, engine } = this
    for (const { vg, lv, uuid, volume } of this.#namedIn(words)) {
      const main = land.mainOf(volume)
      const user = land.qemus.find(
        (qemu) =>
          qemu.host === this &&
          (qemu.closing.has(volume) ||
            qemu.disks.some(
              // Of what was plugged in a moment ago only LVM knows.
              (disk) =>
                disk.volume === volume ||
                (land.mainOf(disk.volume) === main && this.#hasOnRecord(qemu.vm, disk.volume)),
            )),
      )
      if (user !== undefined)
        engine.violate('R4', `${process.label} on ${this.name} takes ${volume} from ${user.vm.name}, which has it open`)
      if (this.kept.get(main)?.isDemoted === false && !this.#isMisled(process, volume))
        engine.violate('R4', `${process.label} on ${this.name} takes ${volume}, which a person has activated`)
      const recorded = [...land.recordsOf(this).values()].flatMap(({ volumes }) =>
        volumes.filter((each) => (each.ids === undefined ? each.vg === vg && each.lv === lv : each.ids.lv === uuid)),
      )
      if (recorded.length > 0 && !recorded.some(goesWithDomain))
        engine.violate('R4', `${process.label} on ${this.name} takes ${volume}, which was active before`)
    }
  }

  /**
   * With its UUIDs: of a volume that is there without (an older lvguard has written that, or lvs has not told yet), only
   * LVM knows what goes with it. It lets nothing go that is open.
   */
  #hasOnRecord({ uuid }: Vm, volume: string): boolean {
    const { land } = this
    const node = this.disk.find(`/run/lvguard/${uuid}.json`)
    if (node?.kind === 'file' && node.byOlder === true && !this.olderHasIds) return false
    return (
      land
        .recordsOf(this)
        .get(uuid)
        ?.volumes.some(({ ids }) => ids?.lv === land.lv(volume).uuid) === true
    )
  }

  /** R2, R3: what is shared that a VM needs for itself, and why. */
  checkShared(process: Process, words: readonly string[]): void {
    if (!words.includes('sy')) return
    const { land, engine } = this
    for (const { vg, lv, uuid, volume } of this.#namedIn(words)) {
      const { startOf } = process
      const kept = this.kept.get(land.mainOf(volume))
      // What a person insists upon is that person's.
      const writer =
        process.kind !== 'command' &&
        !process.renamed.has(land.mainOf(volume)) &&
        land.held(this, volume) === 'ex' &&
        !land.isThin(volume)
          ? land.writerUnder(this, volume, (vm) => process.kind === 'hook' && process.label.endsWith(` ${vm.name}`))
          : undefined
      if (writer !== undefined)
        engine.violate(
          'R3',
          `${process.label} on ${this.name} shares ${volume}, and with it the lock under which ${writer.name} writes`,
        )
      // As it was before a start that failed.
      if (process.kind === 'hook' && kept?.lock === 'sh') {
        // That may come to nothing: it is not tried again.
        kept.isUsed = true
        continue
      }
      if (process.kind !== 'hook' && kept !== undefined) kept.isDemoted = true
      // As it was before a start that failed, for another VM that reads what is under the same lock.
      const isAnothers =
        startOf !== undefined &&
        land.isBound(volume) &&
        [...land.recordsOf(this)].some(([other]) => other !== startOf.uuid && land.isUnder(this, other, volume))
      if (isAnothers) continue
      // As a migration in which lvguard was upgraded has left it.
      if (process.kind === 'hook' && this.renamed.has(land.mainOf(volume))) continue
      if (startOf?.disks.some((disk) => disk.volume === volume && disk.use === 'exclusive') === true)
        engine.violate('R2', `${process.label} on ${this.name} takes ${volume} shared, and is no migration's`)
      // What a person insists upon is that person's.
      if (land.held(this, volume) !== 'ex' || process.startOf !== undefined || process.kind === 'command') continue
      // Decided a moment ago.
      const isLeaving = land.vms.some(
        (vm) =>
          land
            .recordsOf(this)
            .get(vm.uuid)
            ?.volumes.some((named) =>
              named.ids === undefined ? named.vg === vg && named.lv === lv : named.ids.lv === uuid,
            ) === true && land.isLeaving(vm),
      )
      if (!isLeaving)
        engine.violate('R3', `${process.label} on ${this.name} demotes ${volume}, which no VM takes along`)
    }
  }

  /**
   * Whoever waits for the lock of a VG waits for nobody who waits for him. An agent is at several acts at once, of which
   * each has its own locks.
   */
  checkNoCircle(process: Process, owner: OpenFile): void {
    if (process.kind === 'agent') return
    const own = [...process.open.values()]
    for (const other of this.processes) {
      const theirs = [...other.open.values()]
      if (other === process || other.kind === 'agent' || !theirs.includes(owner)) continue
      if ([...this.state.lockspaces.keys()].some((vg) => this.#isFurther(process, vg) || this.#isFurther(other, vg)))
        continue
      const isWaiting = own.some(
        ({ node }) =>
          node.kind === 'file' &&
          node.flock?.owner !== undefined &&
          own.includes(node.flock.owner) &&
          node.flock.waiting.some(({ file }) => theirs.includes(file)),
      )
      if (isWaiting)
        this.engine.violate(
          'progress',
          `${process.label} and ${other.label} on ${this.name} wait for each other's locks of VGs`,
        )
    }
  }

  /** Records are written before the action that they announce (DESIGN 6). */
  checkOnRecord({ kind, label }: Process, words: readonly string[]): void {
    const mode = words[words.indexOf('--activate') + 1]
    if (mode !== 'ey' && mode !== 'sy') return
    for (const { vg, lv, uuid, volume } of this.#namedIn(words)) {
      const named = [...this.land.recordsOf(this).values()].flatMap(({ volumes }) =>
        volumes.filter((each) => (each.ids === undefined ? each.vg === vg && each.lv === lv : each.ids.lv === uuid)),
      )
      // A hook may share again what was shared before.
      const isAnnounced = named.some((each) => mode === 'ey' || kind === 'hook' || each.mode === 'shared')
      if (!isAnnounced)
        this.engine.violate(
          'record',
          `${label} on ${this.name} takes ${volume} ${mode === 'ey' ? 'for itself' : 'shared'}, and no record says so`,
        )
    }
  }

  /**
   * A VM is suspended only in doubt: where its lock is refused, or where another host has locked its volumes since a
   * migration of it was in doubt (DESIGN 4). What lvmlockctl does not tell counts as refused.
   */
  checkSuspended(words: readonly string[]): void {
    const { land, engine, libvirt } = this
    const vm = land.vms.find(({ uuid }) => words.includes(uuid))
    const qemu = vm === undefined ? undefined : libvirt.qemuOf(vm)
    if (!words.includes('suspend') || vm === undefined || qemu === undefined) return
    const own = qemu.disks.filter(({ use }) => use === 'exclusive').map(({ volume }) => land.ownerOf(volume))
    const isElsewhere = land.ran.some((each) => each.vm === vm && each.host !== this && each.at >= qemu.launched)
    const isWitnessed = land.tries.some(
      ({ volume, host, at }) => own.includes(volume) && host !== this && at >= (land.doubts.get(qemu) ?? Infinity),
    )
    if (isElsewhere || isWitnessed || engine.now - this.locksUnknown < 120_000 || this.state.lvmlockd !== 'running')
      return
    if (own.every((volume) => land.held(this, volume) === 'ex'))
      engine.violate('no doubt', `${vm.name} is suspended on ${this.name}, which holds all that it needs for itself`)
  }

  /** What `migrate` has let in counts for 120 s (README): nobody but libvirt ends it before. */
  #checkForgotten(process: Process, before: DomainRecord | undefined, record: DomainRecord | undefined): void {
    const { incoming, state, domain } = before ?? {}
    if (process.kind !== 'agent' || state !== 'incoming' || incoming === undefined || domain === undefined) return
    const age = this.engine.now / 1000 - incoming.at
    if ((record === undefined || record.state === 'releasing') && age < 120)
      this.engine.violate(
        'let in',
        `${process.label} forgets that ${domain.name} was let in on ${this.name} ${age.toFixed(1)} s ago`,
      )
  }

  /** A record is new, another, or gone. */
  tellRecord(process: Process, path: string): void {
    const mark = /^\/run\/lvguard\/(.+)\.killed$/.exec(path)?.[1]
    if (mark !== undefined && this.disk.find(path) === undefined) this.#takenBack.set(mark, this.engine.now)
    const uuid = /^\/run\/lvguard\/([0-9a-f-]{36})\.json$/.exec(path)?.[1]
    if (uuid === undefined) return
    const node = this.disk.find(path)
    const record = node?.kind === 'file' ? (JSON.parse(node.text) as DomainRecord) : undefined
    const before = this.land.recordsOf(this).get(uuid)
    const words =
      record === undefined
        ? 'gone'
        : `${record.state}${record.volumes.map(({ lv, mode, before: was, demoted }) => ` ${lv}=${mode}${was === 'active' ? ' (was active)' : ''}${demoted ? ' (demoted)' : ''}`).join('')}${record.migration ? ` migration ${record.migration.phase}` : ''}`
    this.engine.note(`${this.name} ${process.label} ${words}`)
    this.engine.tell(() => `${this.name}: ${process.label}: record of ${this.land.nameOf(uuid)}: ${words}`)
    for (const { vg, lv, ids, mode, before: was, demoted } of record?.volumes ?? []) {
      const own = this.land.firstNameOf(ids?.lv ?? this.cluster.volumes.find(`${vg}/${lv}`)?.uuid ?? '') ?? ''
      const name = this.land.mainOf(own)
      const kept = this.kept.get(name)
      if (kept !== undefined && demoted && mode === 'shared') kept.isDemoted = true
      if (was !== 'inactive' || name === '') continue
      if (kept?.isDemoted === false && !this.#isMisled(process, name))
        this.engine.violate(
          'R4',
          `${process.label} on ${this.name} puts ${name} on record as brought up for ${this.land.nameOf(uuid)}, and a person has activated it`,
        )
      // Somebody may have activated it since a hook has looked.
      if (process.kind !== 'hook' || !this.cluster.devices.isActive(this.state, this.land.lv(name)))
        this.activeBefore.delete(name)
    }
    this.#checkForgotten(process, before, record)
    if (record === undefined) this.land.recordsOf(this).delete(uuid)
    else this.land.recordsOf(this).set(uuid, record)
    if (record?.state === 'prepared' && before === undefined && process.startOf !== undefined)
      this.land.reach(process.startOf.uuid === uuid ? 'took its volumes itself' : 'served while it waited')
    if (record?.state === 'prepared' && before?.state === 'incoming' && process.startOf === undefined)
      this.land.reach('prepare of a migration')
    if (record === undefined && process.kind === 'agent') this.land.reach('released by the agent')
    if (record === undefined && process.kind === 'hook' && process.label !== `release ${this.land.nameOf(uuid)}`)
      this.land.reach('released along')
    // A `release` that announces that its domain has ended waits for no lock.
    if (record?.state === 'releasing' && process.label.startsWith('release')) return
    // Nor one that goes and has nothing on a VG but what was active before.
    const vgs = new Set(
      [...(before?.volumes ?? []), ...(record?.volumes ?? [])]
        .filter((volume) => record !== undefined || goesWithDomain(volume))
        .map(({ vg }) => vg),
    )
    // What a `migrate` is at its trial with has no volume on record yet: all that its domain names is locked. One that is
    // to be released, of which there is no such volume any more, is under the lock of that volume's VG.
    const isTrial = before?.volumes.length === 0 && before.state !== 'releasing'
    if (record === undefined && isTrial && this.state.lvmlockd === 'running')
      for (const { volume, isBelow } of this.land.vms.find((vm) => vm.uuid === uuid)?.disks ?? []) {
        const [vg = ''] = volume.split('/')
        if (!isBelow && this.state.lockspaces.get(vg)?.state === 'started') vgs.add(vg)
      }
    // Of a VG that was cut off here nothing is changed: its lock is not asked for. It may be taken back in the middle.
    const wasCutOff = (vg: string): boolean =>
      this.disk.find(`/run/lvguard/${vg}.killed`) !== undefined ||
      this.engine.now - (this.#takenBack.get(vg) ?? Number.NEGATIVE_INFINITY) < 2 * LONGEST_DELAY
    for (const vg of vgs)
      if (!wasCutOff(vg) && !this.#holds(process.open.values(), vg))
        this.engine.violate(
          'R11',
          `${process.label} changes the record of ${this.land.nameOf(uuid)} on ${this.name} to '${words}' without the lock of ${vg}`,
        )
  }

  // ---- the power

  /**
   * The power goes: all that ran ends, /run is empty, its leases stay on the disk until it is back or counts as dead.
   */
  crash(): void {
    if (!this.isUp) return
    this.engine.tell(() => `${this.name}: loses its power`)
    this.isUp = false
    this.isHung = false
    this.isRunFull = false
    this.isLockingPaused = false
    this.#waitingForStorage = []
    this.#waitingForLocking = []
    this.libvirt.lose()
    for (const process of this.processes) process.end()
    for (const command of this.commands) command.end()
    for (const qemu of this.land.qemus.filter((each) => each.host === this)) qemu.end()
    this.activeBefore.clear()
    this.renamed.clear()
    this.kept.clear()
    this.cluster.crash(this.state)
    const kept = KEPT.map((name) => [name, this.disk.root.entries.get(name)] as const)
    this.disk = this.#newDisk()
    for (const [name, node] of kept) if (node !== undefined) this.disk.root.entries.set(name, node)
    this.land.recordsOf(this).clear()
  }

  boot(): void {
    if (this.isUp) return
    this.engine.tell(() => `${this.name}: boots`)
    this.isUp = true
    this.cluster.locks.join(this.state)
    this.#boot()
    this.startAgent()
  }

  /** lvguard resets this host (DESIGN 8). */
  reset(): void {
    this.engine.tell(() => `${this.name}: is reset by lvguard`)
    if (!this.hasLostLease(this.state.lockspaces.keys()))
      this.engine.violate('killed', `${this.name} was reset, which has its lease`)
    this.crash()
    this.engine.after(NOBODY, 60_000, () => this.boot())
  }
}

/** What lvguard.conf says of the disks of these VMs. */
function policyOf(vms: readonly Vm[]): string {
  const lines = vms
    .flatMap(({ disks }) => disks)
    .filter(({ byPolicy }) => byPolicy === 'configuration')
    .map(({ volume, use }) => `"${volume} = ${use === 'exclusive' ? use : 'shared'}"`)
  return lines.length === 0 ? '' : `policy = [ ${lines.join(', ')} ]\n`
}

/** Files that somebody has made in /dev stay there. */
function clearDevices(folder: Folder): void {
  for (const [name, node] of folder.entries) {
    if (node.kind === 'folder') clearDevices(node)
    if (node.kind !== 'file' && (node.kind !== 'folder' || node.entries.size === 0)) folder.entries.delete(name)
  }
}

/** To whom belongs what happens by itself. */
export const NOBODY = new Actor('nobody')
