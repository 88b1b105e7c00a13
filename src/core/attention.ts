import { fullName } from './volume.ts'
import type { Locking, StatusFacts, VgStatus, VmStatus, VolumeStatus } from './status.ts'
import { type Use, usesOf } from './uses.ts'

/** What a person should look at, each in one sentence without its full stop. */
export const attentionOf = (
  facts: StatusFacts,
  vgs: readonly VgStatus[],
  vms: readonly VmStatus[],
  volumes: readonly VolumeStatus[],
): string[] => [...vgs.flatMap(ofVg), ...ofAgent(facts, vms), ...ofVolumes(facts, volumes)]

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

function ofVolumes(facts: StatusFacts, volumes: readonly VolumeStatus[]): string[] {
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
  const ofEach = volumes.flatMap(({ volume, vg, lv, holders, active: isActive, lockOf: cover }) => {
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
  return [...contested, ...ofEach]
}

const isPoolInUse = (
  pool: string,
  volumes: readonly VolumeStatus[],
  uses: ReadonlyMap<string, readonly Use[]>,
): boolean => volumes.some(({ volume, lockOf: cover }) => cover === pool && uses.has(volume))
