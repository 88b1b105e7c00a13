import type { DomainStatus } from '../../src/core/reconcile.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { migrate } from './hook-migrate.ts'
import { type Call, prepare } from './hook-prepare.ts'
import { release } from './hook-release.ts'
import { restore } from './hook-restore.ts'
import type { Here } from './looks.ts'
import { type Process, type Steps, until } from './process.ts'
import type { Host, Qemu, World } from './world.ts'

/** A status file's words for a domain without a job. */
const NO_JOB = { async: 'none', phase: undefined, flags: undefined }

/** What a status file is to say; the process id is QEMU's, the job is none unless given. */
export type NewStatus = Pick<DomainStatus, 'state' | 'reason'> &
  Partial<Pick<DomainStatus, 'async' | 'phase' | 'flags'>>

/**
 * libvirt's daemon of one host, as far as a domain's life goes: what it does between its hooks, and in which order
 * (FACTS 1-3).
 */
export class Libvirt {
  constructor(
    readonly world: World,
    readonly decisions: Decisions,
    readonly host: Host,
  ) {}

  /**
   * Runs a hook as a child and waits for its end. @returns undefined where it was killed, which libvirt takes for a
   * failure
   */
  *#call<T>(label: string, hook: (here: Here) => Steps<T>): Steps<T | undefined> {
    const { world, host, decisions } = this
    let answer: T | undefined
    const caller = host.daemon
    function* main(): Steps<void> {
      answer = yield* hook({ world, host, self: () => child, excludes: decisions.excludes, caller })
    }
    const child: Process = world.spawn('hook', host, label, main())
    yield until(() => !child.isAlive)
    world.note(host, () => `${label}: ${answer === undefined ? 'killed or refused' : String(answer)}`)
    return answer
  }

  prepare(call: Call): Steps<boolean | undefined> {
    return this.#call(`prepare ${call.domain.name}`, (here) => prepare(here, this.decisions, call))
  }

  migrate(domain: Domain): Steps<string | undefined> {
    return this.#call(`migrate ${domain.name}`, (here) => migrate(here, this.decisions, domain))
  }

  /** Takes the domain's object, which one thread of the daemon has at a time. */
  *lock(domain: Domain, self: () => Process): Steps<void> {
    const { busy } = this.host
    yield until(() => busy.get(domain.name)?.isAlive !== true)
    busy.set(domain.name, self())
  }

  unlock(domain: Domain): void {
    this.host.busy.delete(domain.name)
  }

  /** Puts the domain's status file in its place, in one rename. */
  setStatus(domain: Domain, status: NewStatus): void {
    this.world.note(
      this.host,
      () => `status of ${domain.name}: ${status.state}/${status.reason} ${status.async ?? ''} ${status.phase ?? ''}`,
    )
    this.host.hasStatusChanged = true
    this.host.statuses.set(domain.name, { ...NO_JOB, ...status, pid: this.host.qemus.get(domain.name)?.pid ?? 0 })
  }

  removeStatus(domain: Domain): void {
    this.host.hasStatusChanged = true
    if (this.host.statuses.delete(domain.name)) this.world.note(this.host, () => `status of ${domain.name}: removed`)
  }

  /** QEMU opens the disks: where a volume is not active any more, it cannot. */
  launch(domain: Domain): Qemu | undefined {
    const { world, host } = this
    const missing = domain.volumes.find(({ lv }) => !host.devices.has(lv))
    if (missing !== undefined) {
      world.violate(
        'R4',
        `${missing.lv} was taken from ${domain.name} on ${host.name} between its prepare and its QEMU`,
      )
      return undefined
    }
    const qemu: Qemu = { pid: world.next(), cpus: 'paused', memory: world.disks.get(domain.name) ?? 0 }
    host.qemus.set(domain.name, qemu)
    return qemu
  }

  /** virsh start. */
  *start(domain: Domain, self: () => Process): Steps<void> {
    const { world, host } = this
    yield* this.lock(domain, self)
    if (host.statuses.has(domain.name)) return this.unlock(domain)
    const xmlId = host.definitions.get(domain.name)
    const image = host.images.get(domain.name)
    if (
      image !== undefined &&
      (yield* this.#call(`restore ${domain.name}`, (here) => restore(here, this.decisions, domain))) !== true
    ) {
      world.reach('restore refused')
      return this.unlock(domain)
    }
    const isPrepared =
      (yield* this.prepare({ domain, xmlId, isMigration: false, isRestore: image !== undefined })) === true
    yield
    const isSpoiled = host.spoiled.delete(domain.name)
    const qemu = isPrepared && !isSpoiled ? this.launch(domain) : undefined
    if (qemu === undefined) {
      yield* this.releaseOf(domain, isPrepared)
      return this.unlock(domain)
    }
    this.setStatus(domain, { state: 'paused', reason: 'starting up' })
    yield
    if (this.isRunning(domain, qemu)) {
      for (const { lv, role } of domain.volumes) {
        if (role === 'exclusive' && world.leases.get(lv)?.get(host.name) !== 'exclusive')
          world.violate('R1', `${domain.name} was started on ${host.name} without its exclusive lock on ${lv}`)
      }
      if (image !== undefined) qemu.memory = image.memory
      world.run(domain, host, qemu, image?.isNoted === false ? 'an image that nobody noted' : 'lvguard or a person')
      world.reach(image === undefined ? 'started' : 'restored')
      host.images.delete(domain.name)
      yield
      this.setStatus(domain, { state: 'running', reason: 'booted' })
    }
    this.unlock(domain)
  }

  /** Whether this very QEMU is still there. */
  isRunning(domain: Domain, qemu: Qemu): boolean {
    return this.host.qemus.get(domain.name)?.pid === qemu.pid
  }

  /**
   * The way every domain ends: QEMU killed, status file removed, `release` (FACTS 2). The caller has the domain's
   * object.
   */
  *end(domain: Domain, isSaved = false): Steps<void> {
    this.host.qemus.delete(domain.name)
    yield
    this.removeStatus(domain)
    yield* this.releaseOf(domain, true, isSaved)
  }

  /** The `release` of a domain whose status file is gone. */
  *releaseOf(domain: Domain, gotPastPrepare: boolean, isSaved = false): Steps<void> {
    yield
    yield* this.#call(`release ${domain.name}`, (here) =>
      release(here, this.decisions, domain, gotPastPrepare, isSaved),
    )
  }

  /** virsh managedsave. */
  *save(domain: Domain, self: () => Process): Steps<void> {
    const { host } = this
    yield* this.lock(domain, self)
    const status = host.statuses.get(domain.name)
    const qemu = host.qemus.get(domain.name)
    if (status?.async === 'none' && qemu !== undefined) {
      qemu.cpus = 'paused'
      this.setStatus(domain, { state: 'paused', reason: 'save', async: 'save' })
      yield
      if (this.isRunning(domain, qemu)) {
        this.world.reach('saved')
        host.images.set(domain.name, { memory: qemu.memory, isNoted: false })
        yield* this.end(domain, true)
      }
    }
    this.unlock(domain)
  }

  /** virsh destroy, or the guest shuts down. */
  *stop(domain: Domain, self: () => Process): Steps<void> {
    yield* this.lock(domain, self)
    if (this.host.statuses.has(domain.name)) yield* this.end(domain)
    this.unlock(domain)
  }

  /** virsh suspend. */
  *suspend(domain: Domain, self: () => Process): Steps<void> {
    yield* this.#setCpus(domain, self, 'paused', { state: 'paused', reason: 'user' })
  }

  /** virsh resume. */
  *resume(domain: Domain, self: () => Process): Steps<void> {
    yield* this.#setCpus(domain, self, 'running', { state: 'running', reason: 'unpaused' })
  }

  *#setCpus(domain: Domain, self: () => Process, cpus: Qemu['cpus'], status: NewStatus): Steps<void> {
    yield* this.lock(domain, self)
    const qemu = this.host.qemus.get(domain.name)
    // During a migration libvirt would refuse, or wait.
    if (qemu !== undefined && qemu.cpus !== cpus && this.host.statuses.get(domain.name)?.async === 'none') {
      if (cpus === 'running') this.world.run(domain, this.host, qemu, 'lvguard or a person')
      else qemu.cpus = cpus
      yield
      this.setStatus(domain, status)
    }
    this.unlock(domain)
  }
}
