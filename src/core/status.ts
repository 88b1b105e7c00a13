import type { AgentState } from './agent-state.ts'
import type { DrbdDevice } from './drbd.ts'
import { hostNameIn } from './host-name.ts'
import type { LeaseArea } from './lease-area.ts'
import { type SanlockStatus, WATCHDOG_FIRE, leaseState, takenAfter } from './lease.ts'
import { type Device, type LockState, type LogicalVolume, deviceOf, identityOf, lockOf } from './lock-state.ts'
import { type DomainRecord, IN_USE, type Records } from './record.ts'
import { type Mode, type VolumeName, fullName } from './volume.ts'

/** Something that was looked at, or why it could not be. */
export type Known<T> =
  | { readonly kind: 'known'; readonly value: T }
  | { readonly kind: 'unknown'; readonly why: string }
/** Something that was seen. */
export const known = <T>(value: T): Known<T> => ({ kind: 'known', value })
/** Something that was not seen. @param why half a sentence */
export const unknown = (why: string): { readonly kind: 'unknown'; readonly why: string } => ({ kind: 'unknown', why })

/** When this host's sanlock saw another host renew last. */
export interface LastSeen {
  /** Seconds of this host's monotonic clock; 0: never. */
  readonly lastLive: number
  /** Seconds. */
  readonly ioTimeout: number
  /** The name it joined with; empty or absent where it is not known. */
  readonly name?: string
}

/** A domain, as far as a table shows it (libvirt/glance.ts). */
export interface ListedDomain {
  readonly name: string
  readonly uuid: string
  readonly volumes: readonly VolumeName[]
}

/** All that a status is made of. A part that could not be looked at says so. */
export interface StatusFacts {
  readonly host: string
  /** ISO 8601. */
  readonly at: string
  /** Seconds of the monotonic clock, which is sanlock's. */
  readonly now: number
  readonly locks: LockState
  readonly sanlock: Known<SanlockStatus>
  /** This host's host_id, by VG. */
  readonly ownIds: ReadonlyMap<string, number>
  readonly table: Known<readonly LogicalVolume[]>
  /** By VG; only of those with sanlock whose locking is started here. */
  readonly areas: ReadonlyMap<string, Known<LeaseArea>>
  /** By VG, then by host_id. */
  readonly seen: ReadonlyMap<string, ReadonlyMap<number, LastSeen>>
  readonly records: Records
  readonly active: {
    readonly found: readonly (ListedDomain & {
      readonly state: string
      readonly reason: string
      readonly job: string
    })[]
    readonly unreadable: readonly string[]
  }
  readonly defined: readonly ListedDomain[]
  readonly devices: readonly Device[]
  /** VGs that were cut off here. */
  readonly killed: ReadonlySet<string>
  readonly agent: AgentState
  readonly drbd: Known<readonly DrbdDevice[]>
}

/**
 * `left`: it has left in order; `silent`: it has not renewed for a while; `dead`: for so long that its locks can be
 * taken.
 */
export type HostState = 'this host' | 'alive' | 'silent' | 'dead' | 'left' | 'unknown'
/** `killed`: cut off here, and nothing starts on it; `lost`: this host has lost its lease. */
export type Locking = 'started' | 'starting' | 'stopping' | 'not started' | 'late' | 'lost' | 'killed' | 'unknown'

/** A host in the lockspace of a VG, as this host sees it. */
export interface StatusHost {
  readonly vg: string
  readonly host: string
  readonly hostId: number
  readonly state: HostState
  /** Seconds since its last renewal was seen here; of this host, since its last renewal. Absent: not known. */
  readonly silentFor?: number
  /**
   * Seconds until its locks can be taken, if it stays silent; 0: now. Absent while it is alive, or where that is not
   * known.
   */
  readonly freeIn?: number
}

/** A VG with a lock manager. */
export interface VgStatus {
  readonly vg: string
  /** `sanlock`, `dlm`. */
  readonly lockManager: string
  readonly locking: Locking
  readonly hostId?: number
  /** Seconds since this host's last renewal. */
  readonly renewed?: number
}

/** A host that holds a volume. `silentFor`, `freeIn`: as in StatusHost. */
export interface Holding {
  readonly host: string
  readonly hostId?: number
  readonly here: boolean
  readonly mode: Mode
  readonly state: HostState
  readonly silentFor?: number
  readonly freeIn?: number
  /** The lease on the disk names this host, and its lvmlockd does not know of it. */
  readonly isOrphan?: true
}

/** A volume of such a VG, and who has it. */
export interface VolumeStatus {
  readonly volume: string
  readonly vg: string
  readonly lv: string
  readonly uuid: string
  /** `unknown`: nobody here can say who else holds it. */
  readonly state: 'held' | 'free' | 'unknown'
  readonly holders: readonly Holding[]
  /** VMs of this host that use it; where none does, those whose definition here names it. */
  readonly vms: readonly string[]
  /** The volume whose lock covers it: its pool, or its origin. */
  readonly lockOf?: string
  /** There is a device of it here. */
  readonly active: boolean
}

/** A VM of this host. */
export interface VmStatus {
  readonly name: string
  readonly uuid: string
  /**
   * libvirt's word, or `migrating out`, `migrating in`; of one that libvirt does not name `incoming`, `starting`,
   * `gone?`, `ended`; `command`: no VM, but `lvguard with`.
   */
  readonly state: string
  readonly volumes: readonly string[]
}

/** What `lvguard status` shows. With --json it prints just this. */
export interface Status {
  readonly format: 1
  readonly host: string
  readonly at: string
  readonly agent: AgentState['kind']
  readonly vgs: readonly VgStatus[]
  readonly hosts: readonly StatusHost[]
  readonly drbd: readonly DrbdDevice[]
  readonly vms: readonly VmStatus[]
  readonly volumes: readonly VolumeStatus[]
  /** What a person should look at, each in one sentence without its full stop. */
  readonly attention: readonly string[]
  /** What could not be read. The rest says nothing of it, and is no all-clear. */
  readonly unknown: readonly string[]
}

/** vm2 before vm10. */
const byName = new Intl.Collator('en', { numeric: true }).compare

/** In units of io_timeout: a host renews every 2, and is looked at every 2; a renewal may be missed once. */
const SILENT = 5

/**
 * The whole table, from what was seen. What is not known is named in `unknown`, and the state of everything that
 * depends on it says so.
 */
export function statusOf(facts: StatusFacts): Status {
  const { host, at, sanlock, table, areas, active, drbd, records } = facts
  const rows = (table.kind === 'known' ? table.value : []).filter(({ lockType }) => lockType !== 'none')
  const vgs = vgsOf(facts, rows)
  const hosts = vgs.flatMap(({ vg }) => hostsOf(vg, facts))
  const uses = usesOf(facts)
  const volumes = rows
    .map((row) => volumeStatus(row, facts, rows, hosts, uses))
    .sort((a, b) => byName(a.volume, b.volume))
  const vms = vmsOf(facts, new Set(rows.map(fullName)))
  const unread = vgs.flatMap(({ vg }) => {
    const area = areas.get(vg)
    return area?.kind === 'unknown' ? [`the leases of ${vg}: ${area.why}`] : []
  })
  const unknowns = [
    ...(facts.locks.kind === 'unknown' ? [`the locks of this host: ${facts.locks.detail}`] : []),
    ...(sanlock.kind === 'unknown'
      ? [`sanlock: ${sanlock.why}`]
      : sanlock.value.notUnderstood.map((vg) => `what sanlock says of ${vg}`)),
    ...(table.kind === 'unknown' ? [`the volumes: ${table.why}`] : []),
    ...unread,
    ...[...active.unreadable, ...records.unreadable].map((file) => `${file} cannot be read or understood`),
    ...(drbd.kind === 'unknown' ? [`DRBD: ${drbd.why}`] : []),
  ]
  return {
    format: 1,
    host,
    at,
    agent: facts.agent.kind,
    vgs,
    hosts,
    drbd: drbd.kind === 'known' ? drbd.value : [],
    vms,
    volumes,
    attention: [...vgs.flatMap(ofVg), ...ofAgent(facts, vms), ...attentionOf(facts, volumes)],
    unknown: unknowns,
  }
}

function vgsOf(facts: StatusFacts, rows: readonly LogicalVolume[]): VgStatus[] {
  const { locks, sanlock, ownIds, killed } = facts
  // As old as it was when sanlock answered: on a slow host the other looks take their time.
  const now = sanlock.kind === 'known' ? sanlock.value.now : facts.now
  const started = locks.kind === 'known' ? locks.lockspaces : new Map<string, string>()
  const ofSanlock = sanlock.kind === 'known' ? sanlock.value.lockspaces : []
  const names = new Set([...rows.map(({ vg }) => vg), ...started.keys(), ...ofSanlock.map(({ vg }) => vg), ...killed])
  return [...names].sort().map((vg) => {
    const lockManager = started.get(vg) ?? rows.find((row) => row.vg === vg)?.lockType ?? 'sanlock'
    const lockspace = ofSanlock.find((each) => each.vg === vg)
    const hostId = ownIds.get(vg)
    const locking = ((): Locking => {
      if (killed.has(vg)) return 'killed'
      if (lockManager !== 'sanlock')
        return locks.kind === 'unknown' ? 'unknown' : started.has(vg) ? 'started' : 'not started'
      if (sanlock.kind === 'unknown' || sanlock.value.notUnderstood.includes(vg)) return 'unknown'
      const state = lockspace === undefined ? undefined : leaseState(lockspace, now)
      if (state?.kind === 'lost' || state?.kind === 'late') return state.kind
      if (lockspace?.list === 'rem') return 'stopping'
      if (lockspace?.list === 'add' || state?.kind === 'none') return 'starting'
      if (locks.kind === 'unknown') return 'unknown'
      return started.has(vg) ? (lockspace === undefined ? 'starting' : 'started') : 'not started'
    })()
    return {
      vg,
      lockManager,
      locking,
      ...(hostId !== undefined && { hostId }),
      ...(lockspace !== undefined &&
        lockspace.renewed > 0 && { renewed: Math.max(0, Math.round(now - lockspace.renewed)) }),
    }
  })
}

function hostsOf(vg: string, { ownIds, areas, seen, sanlock, now, host }: StatusFacts): StatusHost[] {
  const area = areas.get(vg)
  const own = ownIds.get(vg)
  const watchdogFire = sanlock.kind === 'known' ? sanlock.value.watchdogFire : WATCHDOG_FIRE
  const lockspace = sanlock.kind === 'known' ? sanlock.value.lockspaces.find((each) => each.vg === vg) : undefined
  const ids = area?.kind === 'known' ? [...area.value.hosts.keys()] : [...(seen.get(vg)?.keys() ?? [])]
  return [...new Set([...(own === undefined ? [] : [own]), ...ids])]
    .sort((a, b) => a - b)
    .map((hostId) => {
      const record = area?.kind === 'known' ? area.value.hosts.get(hostId) : undefined
      const joined = hostNameIn(record?.name ?? seen.get(vg)?.get(hostId)?.name ?? '')
      const name = joined !== '' ? joined : hostId === own ? host : `host_id ${hostId}`
      const head = { vg, host: name, hostId }
      if (hostId === own)
        return {
          ...head,
          state: 'this host',
          ...(lockspace !== undefined &&
            lockspace.renewed > 0 && { silentFor: Math.max(0, Math.round(now - lockspace.renewed)) }),
        }
      if (record?.timestamp === 0) return { ...head, state: 'left', freeIn: 0 }
      const last = seen.get(vg)?.get(hostId)
      if (last === undefined || last.lastLive === 0) return { ...head, state: 'unknown' }
      const silentFor = Math.max(0, Math.round(now - last.lastLive))
      const freeIn = Math.max(0, takenAfter({ ioTimeout: last.ioTimeout, watchdogFire }) - silentFor)
      if (silentFor <= SILENT * last.ioTimeout) return { ...head, state: 'alive', silentFor }
      return { ...head, state: freeIn === 0 ? 'dead' : 'silent', silentFor, freeIn }
    })
}

interface Use {
  readonly vm: string
  /** Absent: it has no record of it. */
  readonly record?: DomainRecord
  readonly isActive: boolean
}

/** Which VMs of this host use a volume, by `VG/LV`. */
function usesOf({ records, active }: StatusFacts): Map<string, Use[]> {
  const uses = new Map<string, Use[]>()
  const add = (volume: VolumeName, use: Use): void =>
    void uses.set(fullName(volume), [...(uses.get(fullName(volume)) ?? []), use])
  for (const record of records.known) {
    const isActive = active.found.some(({ uuid }) => uuid === record.domain.uuid)
    if (IN_USE.includes(record.state) || record.state === 'releasing')
      for (const volume of record.volumes) add(volume, { vm: record.domain.name, record, isActive })
  }
  for (const { name, uuid, volumes } of active.found) {
    const record = records.known.find(({ domain, state }) => domain.uuid === uuid && IN_USE.includes(state))
    for (const volume of volumes)
      if (record?.volumes.some((each) => fullName(each) === fullName(volume)) !== true)
        add(volume, { vm: name, isActive: true })
  }
  return uses
}

function volumeStatus(
  row: LogicalVolume,
  facts: StatusFacts,
  rows: readonly LogicalVolume[],
  hosts: readonly StatusHost[],
  uses: ReadonlyMap<string, readonly Use[]>,
): VolumeStatus {
  const volume = fullName(row)
  const owner = rows.find(({ uuid }) => uuid === row.lockUuid)
  const here = uses.get(volume)?.map(({ vm }) => vm) ?? []
  const vms =
    here.length > 0
      ? here
      : facts.defined.filter(({ volumes }) => volumes.some((each) => fullName(each) === volume)).map(({ name }) => name)
  const { holders, isKnown } = holdersOf(row, owner, facts, hosts)
  // If one host holds it exclusively, no other host holds it.
  const isTold = isKnown || holders.some(({ mode, here: isHere }) => mode === 'exclusive' && isHere)
  return {
    volume,
    vg: row.vg,
    lv: row.lv,
    uuid: row.uuid,
    holders,
    vms: [...new Set(vms)],
    state: !isTold ? 'unknown' : holders.length > 0 ? 'held' : 'free',
    active: deviceOf(identityOf(row), facts.devices) !== undefined,
    ...(owner !== undefined && owner.uuid !== row.uuid && { lockOf: fullName(owner) }),
  }
}

function holdersOf(
  row: LogicalVolume,
  owner: LogicalVolume | undefined,
  { locks, areas, ownIds, host }: StatusFacts,
  hosts: readonly StatusHost[],
): { holders: Holding[]; isKnown: boolean } {
  const own = ownIds.get(row.vg)
  const area = areas.get(row.vg)
  const mine = locks.kind === 'known' ? lockOf(locks, row.lockUuid) : 'none'
  const holding = (hostId: number | undefined, mode: Mode, generation?: number): Holding => {
    const known = hosts.find((each) => each.vg === row.vg && each.hostId === hostId)
    // The host has joined again since, so this lease belongs to nobody any more.
    const isOver =
      generation !== undefined &&
      hostId !== undefined &&
      area?.kind === 'known' &&
      area.value.hosts.get(hostId)?.generation !== generation
    const { silentFor, freeIn } = known ?? {}
    return {
      host: known?.host ?? (hostId === undefined || hostId === own ? host : `host_id ${hostId}`),
      ...(hostId !== undefined && { hostId }),
      here: hostId === undefined || hostId === own,
      mode,
      state: isOver ? 'left' : (known?.state ?? (hostId === undefined ? 'this host' : 'unknown')),
      ...(silentFor !== undefined && { silentFor }),
      ...(isOver ? { freeIn: 0 } : freeIn !== undefined && { freeIn }),
    }
  }
  const here = mine === 'none' ? [] : [holding(own, mine)]
  // Of an LV without lock arguments there is no lease that anybody could hold.
  if (owner !== undefined && owner.lockType === 'sanlock' && owner.leaseOffset === undefined)
    return { holders: here, isKnown: locks.kind === 'known' }
  const lease = area?.kind === 'known' ? area.value.leases.get(row.lockUuid) : undefined
  if (lease === undefined || own === undefined) return { holders: here, isKnown: false }
  const onDisk =
    lease.exclusive === undefined
      ? lease.shared.map((each) => ({ ...each, mode: 'shared' as const }))
      : [{ ...lease.exclusive, mode: 'exclusive' as const }]
  const others = onDisk
    .filter(({ hostId }) => hostId !== own)
    .map(({ hostId, mode, generation }) => holding(hostId, mode, generation))
  const left =
    mine !== 'none'
      ? []
      : onDisk
          .filter(({ hostId }) => hostId === own)
          .map(
            ({ mode, generation }): Holding => ({
              ...holding(own, mode, generation),
              ...(locks.kind === 'known' && { isOrphan: true }),
            }),
          )
  return { holders: [...here, ...left, ...others], isKnown: true }
}

/** The VMs of this host: those that libvirt says are active, and those on record that it does not name. */
function vmsOf({ records, active }: StatusFacts, volumes: ReadonlySet<string>): VmStatus[] {
  const ofLibvirt = active.found.map(({ name, uuid, state, reason, job, volumes: named }): VmStatus => {
    const record = records.known.find(({ domain }) => domain.uuid === uuid)
    const all = [...(record?.volumes ?? []), ...named].map(fullName).filter((volume) => volumes.has(volume))
    const word =
      job === 'migration out'
        ? 'migrating out'
        : job === 'migration in'
          ? 'migrating in'
          : state === 'paused'
            ? `paused (${reason})`
            : state
    return { name, uuid, state: word, volumes: [...new Set(all)].sort() }
  })
  const words: Partial<Record<DomainRecord['state'], string>> = {
    incoming: 'incoming',
    prepared: 'starting',
    running: 'gone?',
    releasing: 'ended',
  }
  const onRecord = records.known.flatMap(({ domain, state, command, volumes: own }): VmStatus[] => {
    const word = command === undefined || state === 'releasing' ? words[state] : 'command'
    return word === undefined || active.found.some(({ uuid }) => uuid === domain.uuid)
      ? []
      : [{ ...domain, state: word, volumes: own.map(fullName).sort() }]
  })
  return [...ofLibvirt, ...onRecord].sort((a, b) => byName(a.name, b.name))
}

const LOCKING: Partial<Record<Locking, (vg: string) => string>> = {
  'not started': (vg) => `the locking of ${vg} is not started here: vgchange --lock-start ${vg}`,
  late: (vg) => `this host is late to renew its lease on ${vg}: does the storage answer?`,
  lost: (vg) => `this host has lost its lease on ${vg}`,
  killed: (vg) => `${vg} was cut off here; to use it again: lvguard recover ${vg}`,
}
const ofVg = ({ vg, locking }: VgStatus): string[] => [LOCKING[locking]?.(vg)].filter((words) => words !== undefined)

function ofAgent({ agent }: StatusFacts, vms: readonly VmStatus[]): string[] {
  if (agent.kind === 'runs') return []
  const who = vms.length === 0 ? 'no VM is let in by a migration' : 'no VM can migrate'
  return [
    agent.kind === 'hangs'
      ? `the agent hangs, for ${agent.seconds} s: systemctl restart lvguard`
      : `the agent does not run, so that ${who}: systemctl start lvguard`,
  ]
}

function attentionOf(facts: StatusFacts, volumes: readonly VolumeStatus[]): string[] {
  const { records, active, locks, devices } = facts
  const uses = usesOf(facts)
  const jobOf = (vm: string): string => active.found.find(({ name }) => name === vm)?.job ?? 'none'
  const contested = records.known.flatMap(({ domain, migration }) =>
    migration?.suspend === undefined && migration?.lockedBy === undefined
      ? []
      : [
          `the end of a migration of ${domain.name} is in doubt${migration.lockedBy === undefined ? '' : `: ${migration.lockedBy} has locked its volumes since`} (journalctl -u lvguard)`,
        ],
  )
  const ofVolumes = volumes.flatMap(({ volume, vg, lv, holders, active: isActive, lockOf: cover }) => {
    const own = holders.find(({ here, isOrphan }) => here && isOrphan !== true)
    const others = holders.filter(({ here }) => !here)
    const users = uses.get(volume) ?? []
    const words: string[] = []
    const dead = devices.find((device) => device.vg === vg && device.lv === lv)?.dead
    if (dead !== undefined)
      words.push(`${volume} is active here, and its device ${dead === 'error' ? 'fails all I/O' : 'is suspended'}`)
    if (holders.some(({ isOrphan }) => isOrphan === true))
      words.push(
        `${volume} is held by this host's sanlock, and its lvmlockd does not know of it: stop the VMs of this host, then reboot it`,
      )
    for (const { vm, record, isActive: runs } of users) {
      const role = record?.volumes.find((each) => fullName(each) === volume)
      if (record?.state === 'releasing' && !runs) words.push(`${vm} has ended, and ${volume} is still to be given back`)
      else if (runs && role?.mode !== 'local' && own === undefined && locks.kind === 'known')
        words.push(
          `${vm} runs here without a lock on ${volume}${others.length === 0 ? '' : `, which ${others.map(({ host }) => host).join(' and ')} holds`}`,
        )
      else if (runs && role?.role === 'exclusive' && own?.mode === 'shared' && jobOf(vm) === 'none')
        words.push(
          `${vm} runs here, and ${volume} is only shared${others.length === 0 ? '' : `, also with ${others.map(({ host }) => host).join(' and ')}`}`,
        )
    }
    // A pool's lock is that of its volumes.
    if (
      users.length === 0 &&
      cover === undefined &&
      (isActive || own !== undefined) &&
      !isPoolInUse(volume, volumes, uses)
    )
      words.push(`${volume} is ${isActive ? 'active' : 'locked'} here, and no VM here uses it`)
    for (const { host, state, freeIn } of others)
      if (state === 'dead' || (state === 'silent' && freeIn !== undefined))
        words.push(
          `${volume} is held by ${host}, which is ${state}; ${freeIn === 0 ? 'it can be taken now' : `it can be taken in ${freeIn} s`}`,
        )
    return words
  })
  return [...contested, ...ofVolumes]
}

const isPoolInUse = (
  pool: string,
  volumes: readonly VolumeStatus[],
  uses: ReadonlyMap<string, readonly Use[]>,
): boolean => volumes.some(({ volume, lockOf: cover }) => cover === pool && uses.has(volume))
