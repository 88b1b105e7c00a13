import { FLAGS, Incoming, type Migration, at } from './incoming.ts'
import type { Steps } from './process.ts'
import type { Host, Qemu, World } from './world.ts'

const OUT = 'migration out'

/** The steps of a live migration as virsh drives them (FACTS 3, 13, 14), and the ways it can end. */
export class LiveMigration {
  readonly #daemon: Host['daemon']
  readonly #incoming: Incoming
  #qemu: Qemu | undefined

  constructor(
    readonly world: World,
    readonly migration: Migration,
  ) {
    this.#daemon = migration.source.host.daemon
    this.#incoming = new Incoming(world, migration)
  }

  *run(): Steps<void> {
    const { domain, source, kind } = this.migration
    const { host } = source
    yield
    const status = host.statuses.get(domain.name)
    if (kind === 'offline' && status === undefined) return yield* this.#incoming.define()
    if (host.daemon === undefined || host.daemon !== this.#daemon) return
    if (status?.state !== 'running' || status.async !== 'none' || host.busy.get(domain.name)?.isAlive === true) return
    this.#qemu = host.qemus.get(domain.name)
    source.setStatus(domain, { ...status, async: OUT, phase: undefined, flags: 0 })
    yield
    if (!this.#setPhase('begin3')) return
    if (kind === 'offline') yield* this.#incoming.define()
    if (kind === 'offline' || !(yield* this.#incoming.prepare())) return yield* this.#cancel()
    if (!(yield* this.#perform())) return yield* this.#fail()
    if (this.migration.isClientGone) {
      yield* this.#incoming.abandon()
      return this.#leavePaused()
    }
    const hasFinished = yield* this.#incoming.finish()
    yield
    if (this.migration.isClientGone) return this.#leavePaused()
    if (!hasFinished || this.migration.isReplyLost) return yield* this.#fail()
    if (!this.#setPhase('confirm3')) return
    this.world.reach('migrated')
    yield* at(this.world, source.host, 'confirm', (self) => source.stop(domain, self))
  }

  /** RAM moves; at its end the source's CPUs stand still. @returns false where it was cut off */
  *#perform(): Steps<boolean> {
    const { domain, source, kind } = this.migration
    yield
    if (this.#isBroken || !this.#setPhase('perform3')) return false
    yield
    if (this.#isBroken) return false
    if (this.#qemu !== undefined) this.#qemu.cpus = 'paused'
    const arriving = this.migration.destination.host.qemus.get(domain.name)
    if (arriving !== undefined && this.#qemu !== undefined) arriving.memory = this.#qemu.memory
    yield
    if (this.#isBroken) return false
    source.setStatus(domain, {
      state: 'paused',
      reason: 'migration',
      async: OUT,
      phase: 'perform3',
      flags: FLAGS[kind],
    })
    yield
    const isDone = !this.#isBroken && this.#setPhase('perform3_done')
    yield
    return isDone
  }

  *#fail(): Steps<void> {
    if (!this.#incoming.hasFinishBegun) yield* this.#incoming.abandon()
    yield* this.#cancel()
  }

  /**
   * Confirm, cancelled: the source runs on. Where the destination's CPUs may run, libvirt has made two of one (FACTS
   * 19).
   */
  *#cancel(): Steps<void> {
    const { domain, source } = this.migration
    yield
    if (!this.#sourceIsThere) return
    const isStopped = this.#qemu?.cpus === 'paused'
    if (isStopped && this.#qemu !== undefined) {
      this.#setPhase('confirm3_cancelled')
      yield
      if (!this.#sourceIsThere) return
      this.world.reach(
        this.#incoming.hasFinishBegun ? 'reply of Finish lost' : 'migration failed after the CPUs stopped',
      )
      if (this.#incoming.hasFinishBegun) this.world.contested.add(domain.name)
      this.world.run(domain, source.host, this.#qemu, 'libvirt')
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

  get #sourceIsThere(): boolean {
    const {
      domain,
      source: { host },
    } = this.migration
    const isSame = host.daemon !== undefined && host.daemon === this.#daemon
    return (
      isSame &&
      this.#qemu !== undefined &&
      host.qemus.get(domain.name) === this.#qemu &&
      host.statuses.get(domain.name)?.async === OUT
    )
  }

  get #isBroken(): boolean {
    const { isAborted, isClientGone } = this.migration
    return isAborted || isClientGone || !this.#sourceIsThere || !this.#incoming.isThere
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
