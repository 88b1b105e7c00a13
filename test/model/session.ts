import { agent } from './agent.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { Libvirt } from './libvirt.ts'
import type { Migration, MigrationKind } from './incoming.ts'
import { LiveMigration } from './migration.ts'
import type { Process, ProcessKind, Steps } from './process.ts'
import { recover } from './recovery.ts'
import type { Host, HostName, World } from './world.ts'

/** A world with its programs: whatever a person, a fault or the scheduler sets going. */
export class Session {
  readonly #libvirts: Readonly<Record<HostName, Libvirt>>

  constructor(
    readonly world: World,
    readonly decisions: Decisions,
  ) {
    const { A, B } = world.hosts
    this.#libvirts = { A: new Libvirt(world, decisions, A), B: new Libvirt(world, decisions, B) }
    for (const host of world.all) this.startAgent(host)
  }

  #spawn(kind: ProcessKind, host: Host, label: string, steps: (self: () => Process) => Steps<void>): Process {
    const process: Process = this.world.spawn(
      kind,
      host,
      label,
      steps(() => process),
    )
    return process
  }

  start(host: Host, domain: Domain): void {
    this.#spawn('libvirt', host, `start ${domain.name}`, (self) => this.#libvirts[host.name].start(domain, self))
  }

  stop(host: Host, domain: Domain): void {
    if (host.daemon !== undefined)
      this.#spawn('libvirt', host, `stop ${domain.name}`, (self) => this.#libvirts[host.name].stop(domain, self))
  }

  save(host: Host, domain: Domain): void {
    this.#spawn('libvirt', host, `save ${domain.name}`, (self) => this.#libvirts[host.name].save(domain, self))
  }

  resume(host: Host, domain: Domain): Process | undefined {
    return (
      host.daemon &&
      this.#spawn('libvirt', host, `resume ${domain.name}`, (self) => this.#libvirts[host.name].resume(domain, self))
    )
  }

  suspend(host: Host, domain: Domain): Process | undefined {
    return (
      host.daemon &&
      this.#spawn('libvirt', host, `suspend ${domain.name}`, (self) => this.#libvirts[host.name].suspend(domain, self))
    )
  }

  recover(host: Host, domain: Domain): void {
    this.#spawn('libvirt', host, `reconnect ${domain.name}`, (self) => recover(this.#libvirts[host.name], domain, self))
  }

  migrate(from: Host, domain: Domain, kind: MigrationKind): void {
    const { world } = this
    const migration: Migration = {
      domain,
      kind,
      source: this.#libvirts[from.name],
      destination: this.#libvirts[world.other(from).name],
      isAborted: false,
      isClientGone: false,
      isReplyLost: false,
    }
    function* run(): Steps<void> {
      world.migrations.push(migration)
      yield* new LiveMigration(world, migration).run()
      world.migrations.splice(world.migrations.indexOf(migration), 1)
    }
    world.spawn('client', from, `migrate ${domain.name}`, run())
  }

  startAgent(host: Host): void {
    host.agent = this.#spawn('agent', host, 'agent', (self) =>
      agent(
        { world: this.world, host, self, excludes: this.decisions.excludes, caller: undefined },
        this.decisions,
        this,
      ),
    )
  }
}
