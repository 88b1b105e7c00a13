import { uptime } from '../system/clock.ts'
import { hasReasonOfMigration, isHandedOver, remembered } from '../core/contested.ts'
import type { Configuration } from '../core/configuration.ts'
import { type Candidates, type Domain, candidatesOf } from '../core/domain.ts'
import type { DomainView } from '../core/domain-view.ts'
import type { LockState } from '../core/lock-state.ts'
import type { DomainRecord, MigrationMemory, Records } from '../core/record.ts'
import { type DomainStatus, wantedOf } from '../core/reconcile.ts'
import { type Sources, findSources } from './sources.ts'
import { isLibvirtAlive } from '../libvirt/daemon-alive.ts'
import { lives } from '../system/processes.ts'
import { clarityOf } from '../lvm/plain-path.ts'
import { recordOf } from '../state/record-store.ts'
import { type Look, StatusFolder } from '../libvirt/status-folder.ts'

/** A domain as it is seen at one look, with the words that a report needs. */
export interface SeenDomain extends DomainView {
  /** Of its status file; undefined where it has none. */
  readonly status: DomainStatus | undefined
  readonly detail: string
}

type Seen = Pick<SeenDomain, 'domain' | 'status'>

/** What the agent knows of this host between two looks. */
export class AgentHost {
  readonly #folder = new StatusFolder()
  /** Changed since `takeChanged` was asked last, whoever looked. */
  readonly #changed = new Set<string>()
  /**
   * What was seen of migrations, until it is on record: phases may pass between two acts. It is about one QEMU: a later
   * QEMU of the same UUID is another life of the domain.
   */
  readonly #memories = new Map<string, { readonly pid: number; readonly memory: MigrationMemory | undefined }>()
  /**
   * Domains that began to migrate out while they still had the state reason of an earlier migration. If such a domain
   * ends before its CPUs stop, that reason says nothing of this migration. Once they have stopped, the phases that
   * follow last long enough to be seen.
   */
  readonly #oldReasons = new Set<string>()
  /**
   * The sources of domains that are active here, by UUID. They are looked up once for each change of a domain's XML;
   * undefined while that is under way.
   */
  readonly #sources = new Map<string, { readonly domain: Domain; sources: Sources | undefined }>()
  /** Called when a domain's sources have been looked up, which may be a moment after its XML was read. */
  resolved: () => void = () => undefined
  configuration: Configuration
  /** VGs that had a lockspace when lvmlockctl last answered; it may be long ago. */
  lockspaces: ReadonlySet<string> = new Set()
  /** lvmlockctl has answered when it was last asked. */
  knowsLockspaces = false

  constructor(configuration: Configuration) {
    this.configuration = configuration
  }

  /** Looks at libvirt's status files, and keeps what has changed (takeChanged) and what was seen of migrations. */
  look(): Look {
    const look = this.#folder.look()
    for (const uuid of look.changed) {
      this.#changed.add(uuid)
      const status = look.active.get(uuid)?.status
      if (status === undefined || (status.async === 'migration out' && status.state !== 'running'))
        this.#oldReasons.delete(uuid)
      else if (status.async === 'migration out' && status.phase !== undefined && hasReasonOfMigration(status))
        this.#oldReasons.add(uuid)
      this.#findSources(uuid, look.active.get(uuid)?.domain)
      if (status === undefined) this.#memories.delete(uuid)
      else if (status.async === 'migration out' && status.phase !== undefined) {
        const memory = remembered(status, this.#memoryOf(uuid, status)?.memory)
        // What is on record stays, if this phase says nothing about it.
        if (memory !== undefined || isHandedOver(status.phase)) this.#memories.set(uuid, { pid: status.pid, memory })
      }
    }
    return look
  }

  /**
   * Looks up links, numbers, UUIDs and storage pools as `prepare` does. But nobody waits for it, and it leaves out what
   * another host has to answer for.
   */
  #findSources(uuid: string, domain: Domain | undefined): void {
    const known = this.#sources.get(uuid)
    if (domain === known?.domain) return
    if (domain === undefined) {
      this.#sources.delete(uuid)
      return
    }
    const entry = {
      domain,
      sources: isPlain(domain) ? { disks: domain.disks, found: new Map() } : (undefined as Sources | undefined),
    }
    this.#sources.set(uuid, entry)
    if (entry.sources !== undefined) return
    findSources(domain, false).then(
      (sources) => {
        entry.sources = sources
        this.#changed.add(uuid)
        this.resolved()
      },
      () => undefined,
    )
  }

  /**
   * The candidates of a domain that is active here, and all volumes that its XML names; `named` is undefined where not
   * all of it is understood.
   */
  #candidatesOf(
    uuid: string,
    domain: Domain,
  ): { readonly volumes: Candidates['volumes']; readonly named: Candidates['volumes'] | undefined } {
    const known = this.#sources.get(uuid)
    const sources = known?.domain === domain ? known.sources : undefined
    if (sources === undefined) return { volumes: candidatesOf(domain, this.configuration).volumes, named: undefined }
    const whole = { ...domain, disks: sources.disks }
    const { policy: _, ...unsaid } = whole
    const all = candidatesOf(unsaid, { volumeGroups: [] }, sources.found)
    const isUnderstood = all.problems.length + all.standIns.length + all.impossible.length === 0
    return {
      volumes: candidatesOf(whole, this.configuration, sources.found).volumes,
      named: isUnderstood ? all.volumes : undefined,
    }
  }

  /**
   * The domains whose status files have changed since the last such question, whoever has looked in between.
   */
  takeChanged(): string[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    return changed
  }

  /** A look that counts as a full pass: domains on record that it does not see come nearer to counting as gone. */
  pass(records: Records): Look {
    const look = this.look()
    this.#folder.countMissing(
      records.known.map(({ domain }) => domain.uuid),
      look,
    )
    return look
  }

  #memoryOf(uuid: string, { pid }: Pick<DomainStatus, 'pid'>) {
    const known = this.#memories.get(uuid)
    return known?.pid === pid ? known : undefined
  }

  /** Keeps the memory of a migration. @param seen the domain when that was decided; it may have ended since */
  remember({ domain: { uuid }, status }: Seen, memory: MigrationMemory | undefined): void {
    if (status !== undefined) this.#memories.set(uuid, { pid: status.pid, memory })
  }

  /** Keeps the count of a domain's leases, if its migration is still in doubt. */
  noteLeases(seen: Seen, lvers: NonNullable<MigrationMemory['lvers']>): void {
    const { domain, status } = seen
    const memory = status === undefined ? undefined : this.#memoryOf(domain.uuid, status)?.memory
    if (memory !== undefined && memory.lvers === undefined) this.remember(seen, { ...memory, lvers })
  }

  /** Whether it is the same QEMU still. */
  isSameLife({ domain: { uuid }, status }: Seen): boolean {
    return status !== undefined && this.look().active.get(uuid)?.status.pid === status.pid
  }

  /** Everything that is known of a domain. Reads nothing but whether processes live. */
  viewOf(uuid: string, look: Look, records: Records): SeenDomain {
    const record = recordOf(uuid, records)
    const file = look.active.get(uuid)
    const sighting = this.#folder.sightingOf(uuid, record?.domain.name, look)
    const known = file === undefined ? this.#memories.get(uuid) : this.#memoryOf(uuid, file.status)
    const memory = known === undefined ? record?.migration : known.memory
    const candidates = file === undefined ? undefined : this.#candidatesOf(uuid, file.domain)
    const live = (candidates?.volumes ?? []).filter(
      ({ vg, unknownUse }) => this.lockspaces.has(vg) && unknownUse === undefined,
    )
    return {
      domain: { name: file?.domain.name ?? record?.domain.name ?? uuid, uuid },
      wanted: wantedOf(sighting, record, {
        libvirtAlive: sighting.kind === 'gone' && isLibvirtAlive(),
        recordDaemonAlive: daemonOf(record),
        now: uptime(),
      }),
      record,
      runs: sighting.kind === 'active' && sighting.status.pid > 0,
      live,
      named: file?.status.async === 'none' ? candidates?.named : undefined,
      memory:
        file === undefined
          ? memory
          : remembered(file.status, memory, this.#oldReasons.has(uuid) ? [] : record?.volumes),
      status: file?.status,
      detail: sighting.kind === 'unknown' ? sighting.detail : '',
    }
  }

  /** Keeps the names of the lockspaces from an answer of lvmlockctl; one that failed does not change them. */
  learn(locks: LockState): void {
    this.knowsLockspaces = locks.kind === 'known'
    if (locks.kind === 'known') this.lockspaces = new Set(locks.lockspaces.keys())
  }
}

/**
 * Whether no source has to be looked up. A path outside /dev has to be: it may be a link, or on storage that does not
 * answer.
 */
const isPlain = ({ disks }: Domain): boolean =>
  disks.every(
    ({ path, pool }) =>
      pool === undefined && (path === undefined || (path.startsWith('/dev/') && clarityOf(path) === 'plain')),
  )

const daemonOf = (record: DomainRecord | undefined): boolean | 'unknown' =>
  record?.daemon === undefined ? 'unknown' : lives(record.daemon)

/** The VGs whose locks an act on a domain needs, sorted. */
export const vgsOfView = ({ record, live }: DomainView): string[] =>
  [...new Set([...(record?.volumes ?? []), ...live].map(({ vg }) => vg))].sort()

/**
 * The VGs whose locks the agent takes for an act on a domain, sorted, without those that are cut off here. A record
 * without volumes names no VG, and a hook of that domain may be at work on any: then all VGs are taken.
 * @param lockspaces the VGs whose locking is started, as far as that is known; undefined: not known
 * @returns undefined where not all VGs are known: nothing can be done then
 */
export function vgsOfAct(
  view: DomainView,
  lockspaces: Iterable<string> | undefined,
  marked: ReadonlySet<string>,
): string[] | undefined {
  const own = vgsOfView(view).filter((vg) => !marked.has(vg))
  if (own.length > 0) return own
  return lockspaces === undefined ? undefined : [...lockspaces].filter((vg) => !marked.has(vg)).sort()
}
