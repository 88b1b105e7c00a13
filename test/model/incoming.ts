import type { Domain } from './domains.ts'
import type { Libvirt } from './libvirt.ts'
import { type Process, type Steps, until } from './process.ts'
import type { Host, World } from './world.ts'

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

const IN = 'migration in'

/** Work of one of the daemons: it ends with its daemon. @returns undefined where it did */
export function* at<T>(
  world: World,
  host: Host,
  label: string,
  work: (self: () => Process) => Steps<T>,
): Steps<T | undefined> {
  let answer: T | undefined
  function* main(): Steps<void> {
    answer = yield* work(() => thread)
  }
  if (host.daemon === undefined) return undefined
  const thread: Process = world.spawn('libvirt', host, label, main())
  yield until(() => !thread.isAlive)
  return answer
}

/** The destination's part of a live migration: let in, finish, or be killed. */
export class Incoming {
  readonly #daemon: Host['daemon']
  /** Where Finish has begun, its CPUs may run whatever is answered. */
  hasFinishBegun = false

  constructor(
    readonly world: World,
    readonly migration: Migration,
  ) {
    this.#daemon = migration.destination.host.daemon
  }

  /** virsh migrate --offline: `migrate` alone, and a definition that may keep what it printed. */
  *define(): Steps<void> {
    const { domain, destination } = this.migration
    const id = yield* at(this.world, destination.host, 'define', () => destination.migrate(domain))
    yield
    if (id === undefined || !this.isUp) return
    this.world.reach('offline migration')
    destination.host.definitions.set(domain.name, id)
  }

  *prepare(): Steps<boolean> {
    if (!this.isUp) return false
    return (yield* at(this.world, this.migration.destination.host, 'incoming', (self) => this.#letIn(self))) === true
  }

  *#letIn(self: () => Process): Steps<boolean> {
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
    return this.isThere
  }

  *#launch(xmlId: string): Steps<void> {
    const { domain, destination, kind } = this.migration
    const job = { async: IN, phase: 'prepare', flags: FLAGS[kind] }
    // Seen on both versions: pid 0, before QEMU was launched.
    const isEarly = this.world.now % 2 === 1
    if (isEarly) destination.setStatus(domain, { state: 'paused', reason: 'starting up', ...job })
    const isPrepared = (yield* destination.prepare({ domain, xmlId, isMigration: true, isRestore: false })) === true
    yield
    const isSpoiled = destination.host.spoiled.delete(domain.name)
    const qemu = isPrepared && !isSpoiled ? destination.launch(domain) : undefined
    if (qemu === undefined) {
      destination.removeStatus(domain)
      return yield* destination.releaseOf(domain, isPrepared)
    }
    destination.setStatus(domain, { state: 'paused', reason: 'starting up', ...job })
    yield
    if (destination.isRunning(domain, qemu))
      destination.setStatus(domain, { state: 'paused', reason: 'migration', ...job })
  }

  /**
   * Finish on the destination: its CPUs run, then its status file says so. @returns whether the answer is that it runs
   */
  *finish(): Steps<boolean> {
    return (yield* at(this.world, this.migration.destination.host, 'finish', () => this.#finish())) === true
  }

  *#finish(): Steps<boolean> {
    const { domain, destination } = this.migration
    const qemu = destination.host.qemus.get(domain.name)
    if (!this.isThere || qemu === undefined) return false
    const job = { async: IN, phase: 'finish3', flags: FLAGS[this.migration.kind] }
    this.hasFinishBegun = true
    destination.setStatus(domain, { state: 'paused', reason: 'migration', ...job })
    yield
    if (!this.isThere) return false
    this.world.run(domain, destination.host, qemu, 'libvirt')
    yield
    if (!this.isThere) return false
    destination.setStatus(domain, { state: 'running', reason: 'migrated', ...job })
    yield
    if (!this.isThere) return false
    destination.setStatus(domain, { state: 'running', reason: 'migrated' })
    return true
  }

  /** The destination of a migration that failed before Finish is killed. */
  *abandon(): Steps<void> {
    const { domain, destination } = this.migration
    yield
    if (this.isThere) yield* at(this.world, destination.host, 'abandon', (self) => destination.stop(domain, self))
  }

  get isUp(): boolean {
    const { host } = this.migration.destination
    return host.daemon !== undefined && host.daemon === this.#daemon
  }

  /** The incoming domain is still there, under the same daemon. */
  get isThere(): boolean {
    const {
      domain,
      destination: { host },
    } = this.migration
    return this.isUp && host.qemus.has(domain.name) && host.statuses.get(domain.name)?.async === IN
  }
}
