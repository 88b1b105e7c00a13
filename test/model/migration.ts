import type { Domain } from './domains.ts'
import type { Libvirt } from './libvirt.ts'
import { type Process, type Steps, until } from './process.ts'
import type { Host, Qemu, World } from './world.ts'

/** VIR_MIGRATE_* of libvirt-domain.h. */
export const FLAGS = { live: 0x1, copyStorage: 0x1 | 0x40, offline: 0x400 } as const
export type MigrationKind = keyof typeof FLAGS

/** One virsh migrate, between two daemons. */
export interface Migration {
  readonly domain: Domain
  readonly kind: MigrationKind
  readonly source: Libvirt
  readonly destination: Libvirt
  /** virsh domjobabort. */
  isAborted: boolean
  /** virsh itself was killed: nobody tells the daemons of each other any more. */
  isClientGone: boolean
  /** The answer of Finish is lost (FACTS 19). */
  isReplyLost: boolean
}

const OUT = 'migration out'
const IN = 'migration in'

/** The steps of a live migration as virsh drives them (FACTS 3, 13, 14), and the ways it can end. */
export class LiveMigration {
  readonly #daemons: readonly [Host['daemon'], Host['daemon']]
  /** Where Finish has begun on the destination, its CPUs may run whatever is answered. */
  #hasFinishBegun = false
  #qemu: Qemu | undefined

  constructor(readonly world: World, readonly migration: Migration) {
    this.#daemons = [migration.source.host.daemon, migration.destination.host.daemon]
  }

  * run(): Steps<void> {
    const { domain, source, destination, kind } = this.migration
    const { host } = source
    yield
    const status = host.statuses.get(domain.name)
    if (kind === 'offline' && status === undefined) return yield* this.#defineOnDestination()
    if (host.daemon === undefined || host.daemon !== this.#daemons[0]) return
    if (status?.state !== 'running' || status.async !== 'none' || host.busy.get(domain.name)?.isAlive === true) return
    this.#qemu = host.qemus.get(domain.name)
    source.setStatus(domain, { ...status, async: OUT, phase: undefined, flags: 0 })
    yield
    if (!this.#setPhase('begin3')) return
    if (kind === 'offline') yield* this.#defineOnDestination()
    if (kind === 'offline' || !(yield* this.#prepareDestination())) return yield* this.#cancel()
    if (!(yield* this.#perform())) return yield* this.#fail()
    if (this.migration.isClientGone) {
      yield* this.#abandonDestination()
      return this.#leavePaused()
    }
    const hasFinished = yield* this.#at(destination, 'finish', () => this.#finish())
    yield
    if (this.migration.isClientGone) return this.#leavePaused()
    if (hasFinished !== true || this.migration.isReplyLost) return yield* this.#fail()
    if (!this.#setPhase('confirm3')) return
    this.world.reach('migrated')
    yield* this.#at(source, 'confirm', (self) => source.stop(domain, self))
  }

  /** Work of one of the daemons: it ends with its daemon. @returns undefined where it did */
  * #at<T>({ host }: Libvirt, label: string, work: (self: () => Process) => Steps<T>): Steps<T | undefined> {
    let answer: T | undefined
    function* main(): Steps<void> {
      answer = yield* work(() => thread)
    }
    if (host.daemon === undefined) return undefined
    const thread: Process = this.world.spawn('libvirt', host, `${label} ${this.migration.domain.name}`, main())
    yield until(() => !thread.isAlive)
    return answer
  }

  /** virsh migrate --offline: `migrate` alone, and a definition that may keep what it printed. */
  * #defineOnDestination(): Steps<void> {
    const { domain, destination } = this.migration
    const id = yield* this.#at(destination, 'define', () => destination.migrate(domain))
    yield
    if (id === undefined || !this.#destinationIsUp) return
    this.world.reach('offline migration')
    destination.host.definitions.set(domain.name, id)
  }

  * #prepareDestination(): Steps<boolean> {
    if (!this.#destinationIsUp) return false
    return (yield* this.#at(this.migration.destination, 'incoming', (self) => this.#letIn(self))) === true
  }

  * #letIn(self: () => Process): Steps<boolean> {
    const { domain, destination, kind } = this.migration
    const { host } = destination
    const xmlId = yield* destination.migrate(domain)
    if (xmlId === undefined) return false
    yield* destination.lock(domain, self)
    // Already active there; or libvirt's own refusal to copy to a path that is not there yet.
    const canCopy = kind !== 'copyStorage' || domain.volumes.every(({ lv }) => host.devices.has(lv))
    const canComeIn = canCopy && !host.statuses.has(domain.name)
    if (canComeIn) yield* this.#launch(xmlId)
    destination.unlock(domain)
    return this.#destinationIsThere
  }

  * #launch(xmlId: string): Steps<void> {
    const { domain, destination, kind } = this.migration
    const job = { async: IN, phase: 'prepare', flags: FLAGS[kind] }
    // Seen on both versions: pid 0, before QEMU was launched.
    const isEarly = this.world.now % 2 === 1
    if (isEarly) destination.setStatus(domain, { state: 'paused', reason: 'starting up', ...job })
    const isPrepared = (yield* destination.prepare({ domain, xmlId, isMigration: true })) === true
    yield
    const isSpoiled = destination.host.spoiled.delete(domain.name)
    const qemu = isPrepared && !isSpoiled ? destination.launch(domain) : undefined
    if (qemu === undefined) {
      destination.removeStatus(domain)
      return yield* destination.releaseOf(domain, isPrepared)
    }
    destination.setStatus(domain, { state: 'paused', reason: 'starting up', ...job })
    yield
    if (destination.isRunning(domain, qemu)) destination.setStatus(domain, { state: 'paused', reason: 'migration', ...job })
  }

  /** RAM moves; at its end the source's CPUs stand still. @returns false where it was cut off */
  * #perform(): Steps<boolean> {
    const { domain, source, kind } = this.migration
    yield
    if (this.#isBroken || !this.#setPhase('perform3')) return false
    yield
    if (this.#isBroken) return false
    if (this.#qemu !== undefined) this.#qemu.cpus = 'paused'
    yield
    if (this.#isBroken) return false
    source.setStatus(domain, { state: 'paused', reason: 'migration', async: OUT, phase: 'perform3', flags: FLAGS[kind] })
    yield
    const isDone = !this.#isBroken && this.#setPhase('perform3_done')
    yield
    return isDone
  }

  /** Finish on the destination: its CPUs run, then its status file says so. @returns whether the answer is that it runs */
  * #finish(): Steps<boolean> {
    const { domain, destination } = this.migration
    const qemu = destination.host.qemus.get(domain.name)
    if (!this.#destinationIsThere || qemu === undefined) return false
    const job = { async: IN, phase: 'finish3', flags: FLAGS[this.migration.kind] }
    this.#hasFinishBegun = true
    destination.setStatus(domain, { state: 'paused', reason: 'migration', ...job })
    yield
    if (!this.#destinationIsThere) return false
    qemu.cpus = 'running'
    yield
    if (!this.#destinationIsThere) return false
    destination.setStatus(domain, { state: 'running', reason: 'migrated', ...job })
    yield
    if (!this.#destinationIsThere) return false
    destination.setStatus(domain, { state: 'running', reason: 'migrated' })
    return true
  }

  * #fail(): Steps<void> {
    if (!this.#hasFinishBegun) yield* this.#abandonDestination()
    yield* this.#cancel()
  }

  /** Confirm, cancelled: the source runs on. Where the destination's CPUs may run, libvirt has made two of one (FACTS 19). */
  * #cancel(): Steps<void> {
    const { domain, source } = this.migration
    yield
    if (!this.#sourceIsThere) return
    const isStopped = this.#qemu?.cpus === 'paused'
    if (isStopped && this.#qemu !== undefined) {
      this.#setPhase('confirm3_cancelled')
      yield
      if (!this.#sourceIsThere) return
      this.world.reach(this.#hasFinishBegun ? 'reply of Finish lost' : 'migration failed after the CPUs stopped')
      if (this.#hasFinishBegun) this.world.contested.add(domain.name)
      this.#qemu.cpus = 'running'
      yield
    }
    const reason = isStopped ? 'migration canceled' : source.host.statuses.get(domain.name)?.reason
    if (this.#sourceIsThere && reason !== undefined) source.setStatus(domain, { state: 'running', reason })
  }

  /** Nobody can tell the source whether the destination runs: it stays paused, without a job. */
  #leavePaused(): void {
    const { domain, source } = this.migration
    if (!this.#sourceIsThere) return
    this.world.reach('left paused')
    source.setStatus(domain, { state: 'paused', reason: 'migration' })
  }

  /** The destination of a migration that failed before Finish is killed. */
  * #abandonDestination(): Steps<void> {
    const { domain, destination } = this.migration
    yield
    if (this.#destinationIsThere) yield* this.#at(destination, 'abandon', (self) => destination.stop(domain, self))
  }

  get #destinationIsUp(): boolean {
    const { host } = this.migration.destination
    return host.daemon !== undefined && host.daemon === this.#daemons[1]
  }

  /** The incoming domain is still there, under the same daemon. */
  get #destinationIsThere(): boolean {
    const { domain, destination: { host } } = this.migration
    return this.#destinationIsUp && host.qemus.has(domain.name) && host.statuses.get(domain.name)?.async === IN
  }

  get #sourceIsThere(): boolean {
    const { domain, source: { host } } = this.migration
    const isSame = host.daemon !== undefined && host.daemon === this.#daemons[0]
    return isSame && this.#qemu !== undefined && host.qemus.get(domain.name) === this.#qemu && host.statuses.get(domain.name)?.async === OUT
  }

  get #isBroken(): boolean {
    const { isAborted, isClientGone } = this.migration
    return isAborted || isClientGone || !this.#sourceIsThere || !this.#destinationIsThere
  }

  /** @returns false where the source is not there any more */
  #setPhase(phase: string): boolean {
    const { domain, source, kind } = this.migration
    const status = source.host.statuses.get(domain.name)
    if (status === undefined || !this.#sourceIsThere) return false
    source.setStatus(domain, { ...status, async: OUT, phase, flags: FLAGS[kind] })
    return true
  }
}
