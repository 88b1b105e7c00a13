import { isHostName } from './host-name.ts'
import { cachedDisks } from './check/domains.ts'
import type { LogicalVolume } from './lock-state.ts'
import type { Known, Status, VmStatus } from './status.ts'
import { fullName } from './volume.ts'

/** A VM that is to go, or has gone, to another host. */
export interface Named {
  readonly name: string
  readonly uuid: string
}

/** The other host, as it says itself. */
export interface Destination {
  readonly host: string
  /** Of its agent: without one nobody there would make the volumes exclusive again. */
  readonly agent: Status['agent']
  /** By VG. */
  readonly locking: ReadonlyMap<string, string>
  /** All domains that its libvirt knows, active or not. */
  readonly domains: readonly Named[]
}

/** What an evacuation is decided from. */
export interface EvacuationFacts {
  readonly status: Status
  readonly rows: readonly LogicalVolume[]
  /** The live XML of the VMs that run here, by UUID. */
  readonly xml: ReadonlyMap<string, string>
  readonly destination: Known<Destination>
}

/** What goes and what stays, with the reason. */
export interface EvacuationPlan {
  readonly goes: readonly Named[]
  readonly stays: readonly (Named & { readonly why: string })[]
}

/** The hosts to which VMs of this host can go: alive in the lockspace of each VG that one of them uses. */
export function hostsToGoTo({ vgs, hosts, vms, volumes }: Status): string[] {
  const used = new Set(
    volumes.filter(({ volume }) => vms.some((vm) => vm.volumes.includes(volume))).map(({ vg }) => vg),
  )
  const needed = used.size > 0 ? [...used] : vgs.map(({ vg }) => vg)
  const names = [
    ...new Set(hosts.filter(({ state, host }) => state === 'alive' && isHostName(host)).map(({ host }) => host)),
  ]
  return names.filter((host) =>
    needed.every((vg) => hosts.some((each) => each.host === host && each.vg === vg && each.state === 'alive')),
  )
}

/**
 * Looks at each VM before anything is done. A VM whose migration would fail, or leave it without its lock, stays.
 * @param wanted names or UUIDs; none: all that run here
 */
export function planEvacuation(facts: EvacuationFacts, wanted: readonly string[]): EvacuationPlan {
  const { status } = facts
  const chosen = status.vms
    .filter(({ state }) => !['command', 'ended', 'incoming', 'gone?'].includes(state))
    .filter(({ name, uuid }) => wanted.length === 0 || wanted.includes(name) || wanted.includes(uuid))
  const absent = wanted
    .filter((word) => !chosen.some(({ name, uuid }) => name === word || uuid === word))
    .map((word) => ({ name: word, uuid: '', why: 'it does not run on this host' }))
  const looked = chosen.map((vm) => ({ name: vm.name, uuid: vm.uuid, why: whyItStays(vm, facts) }))
  return {
    goes: looked.flatMap(({ name, uuid, why }) => (why === undefined ? [{ name, uuid }] : [])),
    stays: [...looked.flatMap(({ why, ...vm }) => (why === undefined ? [] : [{ ...vm, why }])), ...absent],
  }
}

/** Why a VM cannot go; undefined: it can, as far as it can be seen from here. */
function whyItStays(vm: VmStatus, { status, rows, xml, destination }: EvacuationFacts): string | undefined {
  if (vm.state !== 'running') return `it is ${vm.state}`
  if (status.agent !== 'runs') return 'no agent runs on this host: systemctl start lvguard'
  if (destination.kind === 'unknown') return destination.why
  const { host, agent, locking, domains } = destination.value
  if (agent !== 'runs') return `no agent runs on ${host}: systemctl start lvguard there`
  const other = domains.find(({ name, uuid }) => name === vm.name && uuid !== vm.uuid)
  if (other !== undefined) return `${host} knows another VM of that name (${other.uuid})`
  const own = rows.filter((row) => vm.volumes.includes(fullName(row)))
  const unshareable = own.find(({ shareable }) => !shareable)
  if (unshareable !== undefined)
    return `${fullName(unshareable)} cannot be shared (${unshareable.layout}): shut it down, and start it there`
  const off = own.find(({ vg }) => locking.get(vg) !== 'started')
  if (off !== undefined) return `the locking of ${off.vg} is not started on ${host}`
  const bare = vm.volumes.filter(
    (volume) =>
      !status.volumes.some(
        (each) => each.volume === volume && each.holders.some(({ here, isOrphan }) => here && isOrphan !== true),
      ),
  )
  if (bare.length > 0) return `it has no lock on ${bare.join(', ')} here, and ${host} may have: lvguard status`
  const text = xml.get(vm.uuid)
  if (text === undefined) return 'its live XML cannot be read'
  const cached = cachedDisks(text)
  if (cached.length > 0) return `libvirt refuses because of disk ${cached.join(', ')}`
  return /<hostdev\s/.test(text) ? 'it has a device of this host (<hostdev>)' : undefined
}

/** Reads `virsh domjobinfo`: per cent of what is to be copied; undefined while libvirt tells nothing. */
export function progressIn(text: string): number | undefined {
  const bytes = (name: string): number | undefined => {
    const [, number, unit = ''] = new RegExp(`^${name}:\\s+([\\d.]+) ([KMGTP]?i?B)\\s*$`, 'm').exec(text) ?? []
    return number === undefined
      ? undefined
      : Number(number) * 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'].indexOf(unit)
  }
  const [total, left] = [bytes('Data total'), bytes('Data remaining')]
  return total === undefined || left === undefined || !(total > 0)
    ? undefined
    : Math.max(0, Math.min(100, Math.floor((100 * (total - left)) / total)))
}

/** Reads `virsh list --uuid --name`. */
export const domainsIn = (text: string): Named[] =>
  [...text.matchAll(/^\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s+(\S.*?)\s*$/gm)].map(
    ([, uuid = '', name = '']) => ({ name, uuid }),
  )

/** A VM that has gone from here, and where. */
export interface Evacuated extends Named {
  readonly to: string
  /** ISO 8601. */
  readonly at: string
}
