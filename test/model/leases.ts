import type { Target } from '../../src/lvm/lvchange.ts'
import type { Mode } from '../../src/core/volume.ts'
import type { Process, Steps } from './process.ts'
import type { Host, HostName, World } from './world.ts'

/** Seconds after which the locks of a dead host can be taken (FACTS 32). */
export const LEASE_LIFETIME = 150

/** What an lvchange came to; where it failed, what its messages mean. */
export interface LvchangeResult {
  readonly failures: readonly LvchangeFailure[]
}
type LvchangeFailure = 'held' | 'in-use' | 'killed'

/** What one lvchange is to do. */
export interface Command {
  readonly to: Target
  readonly lvs: readonly string[]
  /** Whether an exclusive lock of this host may become a shared one by it (R3). */
  readonly mayDemote: (lv: string) => boolean
}

/** Who has a lease, as far as it counts: a host that is long dead has none. */
export function holders(world: World, lv: string): Map<HostName, Mode> {
  const lease = world.leases.get(lv) ?? new Map<HostName, Mode>()
  const counts = ([name]: readonly [HostName, Mode]): boolean =>
    world.hosts[name].isUp || world.now - world.hosts[name].diedAt < LEASE_LIFETIME
  return new Map([...lease].filter(counts))
}

/**
 * Takes or converts a lock; false where another host is in the way. A failed conversion keeps the old mode (FACTS 20).
 */
function take(world: World, host: Host, lv: string, mode: Mode, mayDemote: Command['mayDemote']): boolean {
  const others = [...holders(world, lv)].filter(([name]) => name !== host.name)
  if (others.some(([, held]) => held === 'exclusive')) return false
  const lease = world.leases.get(lv) ?? new Map<HostName, Mode>()
  const before = lease.get(host.name)
  // Any other way than down it counts, also where sharers are in the way then (FACTS 51).
  if (before !== mode && before !== 'exclusive')
    world.counts.set(lv, { lver: (world.counts.get(lv)?.lver ?? 0) + 1, owner: host.name })
  if (mode === 'exclusive' && others.length > 0) return false
  if (mode === 'shared' && lease.get(host.name) === 'exclusive' && !mayDemote(lv))
    world.violate('R3', `${lv} went from exclusive to shared on ${host.name} without a migration out of it`)
  world.leases.set(lv, lease.set(host.name, mode))
  return true
}

/** Whether a QEMU of this host has the volume open. */
export const isOpen = (world: World, host: Host, lv: string): boolean =>
  host.devices.has(lv) &&
  world.domains.some(({ name, volumes }) => host.qemus.has(name) && volumes.some((volume) => volume.lv === lv))

/** The steps of one lvchange, which nobody can take back once begun: lock, then device; or device, then lock. */
function* lvchange(
  world: World,
  host: Host,
  { to, lvs, mayDemote }: Command,
  done: (result: LvchangeResult) => void,
): Steps<void> {
  const failures: LvchangeFailure[] = []
  const isLying = host.isLying
  host.isLying = false
  for (const lv of lvs) {
    yield
    if (to === 'inactive') {
      if (isOpen(world, host, lv)) {
        failures.push('in-use')
        continue
      }
      host.devices.delete(lv)
      yield
      if (!isLying) world.leases.get(lv)?.delete(host.name)
      continue
    }
    const mode = to === 'exclusive' ? 'exclusive' : 'shared'
    let isTaken = isLying || take(world, host, lv, mode, mayDemote)
    if (!isTaken && mode === 'shared') {
      // It tries for five seconds by itself (FACTS 21).
      yield
      isTaken = take(world, host, lv, mode, mayDemote)
    }
    if (!isTaken) {
      failures.push('held')
      continue
    }
    yield
    host.devices.add(lv)
  }
  world.note(host, () => `lvchange ${to} ${lvs.join(' ')}${failures.length > 0 ? `: ${failures.join()}` : ''}`)
  done({ failures })
}

/**
 * Runs an lvchange as a child of the process, which inherits the VG's lock and outlives its parent.
 * @param hasLimit the parent may stop waiting: then undefined is returned, and the child goes on
 */
export function* runLvchange(
  world: World,
  host: Host,
  command: Command,
  hasLimit = false,
): Steps<LvchangeResult | undefined> {
  yield
  let result: LvchangeResult = { failures: ['killed'] }
  const child: Process = world.spawn(
    'lvchange',
    host,
    `lvchange ${command.to}`,
    lvchange(world, host, command, (answer) => {
      result = answer
    }),
  )
  host.vgLock.push(child)
  const woken = yield { until: () => !child.isAlive, hasLimit }
  return woken === 'limit' ? undefined : result
}
