import { hostNameIn } from './host-name.ts'
import { WATCHDOG_FIRE, leaseState, takenAfter } from './lease.ts'
import { type LogicalVolume, deviceOf, identityOf, lockOf } from './lock-state.ts'
import type { DomainRecord } from './record.ts'
import { type Mode, fullName } from './volume.ts'
import type { Holding, Locking, Status, StatusFacts, StatusHost, VgStatus, VmStatus, VolumeStatus } from './status.ts'
import { type Use, usesOf } from './uses.ts'
import { attentionOf } from './attention.ts'

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
    attention: attentionOf(facts, vgs, vms, volumes),
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
