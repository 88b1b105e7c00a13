import type { DomainRecord } from '../../src/core/record.ts'
import type { SavedImage } from '../../src/core/saved-image.ts'
import type { DomainStatus } from '../../src/core/reconcile.ts'
import type { Mode } from '../../src/core/volume.ts'
import type { Domain } from './domains.ts'
import type { Migration } from './incoming.ts'
import { Process, type ProcessKind, type Steps } from './process.ts'

export type HostName = 'A' | 'B'

/** A QEMU process. It has the volumes of its domain open. */
export interface Qemu {
  readonly pid: number
  /** The version of the disk that its memory belongs to (World.disks). */
  memory: number
  cpus: 'running' | 'paused'
}

export interface Host {
  readonly name: HostName
  isUp: boolean
  /** Seconds of the world's clock. */
  bootedAt: number
  diedAt: number
  /** /run/lvguard, by UUID. */
  readonly records: Map<string, DomainRecord>
  /** /run/libvirt/qemu, by domain name. */
  readonly statuses: Map<string, DomainStatus>
  readonly qemus: Map<string, Qemu>
  /** Persistent definitions: the incoming id that stands in each, if any. */
  readonly definitions: Map<string, string | undefined>
  /** libvirt's daemon; undefined while it is stopped. */
  daemon: { readonly pid: number; readonly start: string } | undefined
  /** Active LVs. */
  readonly devices: Set<string>
  /** Processes that hold the VG's lock: one, and the children that inherited its descriptor (R11). */
  vgLock: Process[]
  /** Who is at work on a domain's object in the daemon, by name. */
  readonly busy: Map<string, Process>
  /**
   * Managed saves, by domain name: the version of the memory, and whether `release` has come to note its leases. They
   * outlive the power.
   */
  readonly images: Map<string, { readonly memory: number; readonly isNoted: boolean }>
  /** /var/lib/lvguard/saved, by UUID. */
  readonly notes: Map<string, SavedImage>
  /** Domains whose next start fails after its `prepare`. */
  readonly spoiled: Set<string>
  /** The next lvchange exits with 0 and leaves the lock as it is (FACTS 24). */
  isLying: boolean
  agent: Process | undefined
  /** inotify has something for the agent. */
  hasStatusChanged: boolean
}

/** A rule broken: what the explorer looks for. */
export interface Violation {
  readonly rule: 'twice' | 'unlocked' | 'R1' | 'R2' | 'R3' | 'R4' | 'quiet' | 'livelock' | 'contested' | 'stale'
  readonly text: string
}

const host = (name: HostName): Host => ({
  name,
  isUp: true,
  bootedAt: -1000,
  diedAt: 0,
  records: new Map(),
  statuses: new Map(),
  qemus: new Map(),
  definitions: new Map(),
  daemon: { pid: 2, start: '1' },
  devices: new Set(),
  vgLock: [],
  busy: new Map(),
  images: new Map(),
  notes: new Map(),
  spoiled: new Set(),
  isLying: false,
  agent: undefined,
  hasStatusChanged: false,
})

/** Two hosts, the shared leases between them, and every process on them. */
export class World {
  /** Seconds. */
  now = 0
  readonly hosts: Readonly<Record<HostName, Host>> = { A: host('A'), B: host('B') }
  /** Leases on the shared disk: by LV, by host. */
  readonly leases = new Map<string, Map<HostName, Mode>>()
  /** How often each lease has been taken, and by whom last (FACTS 51). */
  readonly counts = new Map<string, { lver: number; owner: HostName }>()
  /** The version of what each domain has written, by name: each time its CPUs start there is a new one. */
  readonly disks = new Map<string, number>()
  processes: Process[] = []
  violation: Violation | undefined
  /** Domains of which libvirt itself made two, after the reply of Finish was lost (FACTS 19): counted apart. */
  readonly contested = new Set<string>()
  /** How often the schedule came to what is worth counting: it shows that the explorer gets there at all. */
  readonly reached = new Map<string, number>()
  /** Hosts where a `release` was killed: what it did not put on record waits for the end of its libvirt daemon. */
  readonly interrupted = new Set<Host>()
  readonly trace: string[] = []
  readonly migrations: Migration[] = []
  #number = 2

  /** Rules whose breach does not end a schedule: for looking at what comes of it. */
  tolerated: readonly Violation['rule'][] = []

  constructor(
    readonly domains: readonly Domain[],
    readonly isTraced: boolean,
  ) {
    for (const { name } of domains) for (const where of this.all) where.definitions.set(name, undefined)
  }

  get all(): readonly Host[] {
    return [this.hosts.A, this.hosts.B]
  }

  other(of: Host): Host {
    return of.name === 'A' ? this.hosts.B : this.hosts.A
  }

  /** A number that was never given out before: a process id, an incoming id. */
  next(): number {
    return ++this.#number
  }

  spawn(kind: ProcessKind, where: Host, label: string, steps: Steps<void>): Process {
    const process = new Process(this.next(), kind, where.name, label, steps)
    this.processes.push(process)
    return process
  }

  /** A line for whoever reads a broken schedule. */
  note(where: Host, text: () => string): void {
    if (this.isTraced) this.trace.push(`${where.name}: ${text()}`)
  }

  reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }

  /**
   * CPUs start, or go on: what they write makes a new version of the disk. Memory of an older one must not run (R12),
   * unless libvirt itself lets it (FACTS 19).
   */
  run(
    { name }: Domain,
    where: Host,
    qemu: Qemu,
    who: 'lvguard or a person' | 'libvirt' | 'an image that nobody noted',
  ): void {
    qemu.cpus = 'running'
    const disk = this.disks.get(name) ?? 0
    if (qemu.memory !== disk) {
      this.reach('older memory runs')
      if (who === 'lvguard or a person')
        this.violate(
          'stale',
          `${name} runs on ${where.name} with the memory of version ${qemu.memory}, and its disk is of version ${disk}`,
        )
      return
    }
    qemu.memory = this.next()
    this.disks.set(name, qemu.memory)
  }

  /** The first violation ends a schedule. */
  violate(rule: Violation['rule'], text: string): void {
    if (!this.tolerated.includes(rule)) this.violation ??= { rule, text }
  }
}
