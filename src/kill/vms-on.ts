import { type MapperDevice, devicesOf, isGone, isLeases, recordedOn, vgUuidOf } from '../core/cut-off.ts'
import type { Records } from '../core/record.ts'
import type { KillWorld } from './world.ts'

type Looks = Pick<KillWorld, 'records' | 'domains' | 'processAt' | 'devices' | 'openDevices'>

/**
 * The names of VMs that use a VG. A VM uses it if it has a process that lives and
 * - has a volume of the VG on record; or
 * - has no record that can be read, and has a device of the VG open.
 *
 * The commands of `lvguard with` are among them as long as they are on record: what such a command has started may live
 * longer than `lvguard with` itself.
 */
export function vmsOn(vg: string, world: Looks): string[] {
  const records = world.records()
  const recorded = recordedOn(vg, records)
  const { running } = world.domains([...recorded].map(([uuid, { name }]) => ({ name, uuid })))
  const alive = running.filter(({ pid }) => {
    const now = world.processAt(pid)
    return now !== undefined && !isGone(now.start, now)
  })
  const strangers = alive.filter(({ uuid }) => !records.known.some(({ domain }) => domain.uuid === uuid))
  const nodes = strangers.length === 0 ? [] : nodesOf(vg, world.devices(), records)
  const found = strangers.filter(
    ({ pid }) => nodes.length > 0 && world.openDevices(pid).some((node) => nodes.includes(node)),
  )
  const commands = records.known
    .filter(({ domain: { uuid }, command }) => command !== undefined && recorded.has(uuid))
    .map(({ domain }) => domain)
  return [...alive.filter(({ uuid }) => recorded.has(uuid)), ...found, ...commands].map(({ name }) => name).sort()
}

/** The devices of a VG, by the kernel's names; none where it cannot be told which they are. */
function nodesOf(vg: string, devices: readonly MapperDevice[], records: Records): string[] {
  const uuid = vgUuidOf(vg, devices, records)
  return uuid === undefined || uuid === 'ambiguous' ? [] : devicesOf(vg, uuid.uuid, devices).map(({ node }) => node)
}

/** The VGs of sanlock that VMs of this host have on record; one of another lock manager has no device of leases. */
export function vgsOnRecord(world: Pick<KillWorld, 'records' | 'devices'>): string[] {
  const vgs = new Set(world.records().known.flatMap(({ volumes }) => volumes.map(({ vg }) => vg)))
  const devices = world.devices()
  return [...vgs].filter((vg) => devices.some((device) => isLeases(device, vg)))
}
