import type { Domain } from './domains.ts'
import { holders } from './leases.ts'
import type { Host, World } from './world.ts'

const isRunning = (host: Host, { name }: Domain): boolean => host.qemus.get(name)?.cpus === 'running'

/**
 * What must hold after every single step: no volume that one VM needs for itself is written by two, and none runs
 * without its lock.
 */
export function checkMoment(world: World): void {
  if (world.hosts.A.qemus.size + world.hosts.B.qemus.size === 0) return
  const running = world.all.flatMap((host) =>
    world.domains.filter((domain) => isRunning(host, domain)).map((domain) => ({ host, domain })),
  )
  for (const { host, domain } of running) {
    for (const { lv, role } of domain.volumes) {
      if (!host.devices.has(lv) || world.leases.get(lv)?.has(host.name) !== true)
        world.violate('unlocked', `${domain.name} runs on ${host.name} without ${lv}`)
      const other = running.find(
        (candidate) =>
          (candidate.host !== host || candidate.domain !== domain) &&
          candidate.domain.volumes.some(
            (volume) => volume.lv === lv && (role === 'exclusive' || volume.role === 'exclusive'),
          ),
      )
      if (other === undefined || (other.domain === domain && world.contested.has(domain.name))) continue
      world.violate(
        'twice',
        `${lv} is used by ${domain.name} on ${host.name} and by ${other.domain.name} on ${other.host.name}`,
      )
    }
  }
}

/**
 * What must hold when nothing is under way any more: exclusive exactly where a VM runs, and nothing active anywhere
 * else.
 */
export function checkQuiet(world: World): void {
  for (const domain of world.domains) {
    const running = world.all.filter((host) => isRunning(host, domain))
    // libvirt made two of it: one must stand still by now.
    if (running.length > 1) world.violate('contested', `${domain.name} still runs on both hosts`)
    const alone = world.all.filter((host) => host.qemus.has(domain.name)).length === 1
    for (const host of running) {
      for (const { lv, role } of domain.volumes) {
        const held = holders(world, lv).get(host.name)
        if (role === 'exclusive' && alone && held !== 'exclusive')
          world.violate('quiet', `${domain.name} runs on ${host.name}, which holds ${lv} ${held ?? 'not at all'}`)
      }
    }
  }
  for (const host of world.all) {
    const used = new Set(
      world.domains.filter(({ name }) => host.qemus.has(name)).flatMap(({ volumes }) => volumes.map(({ lv }) => lv)),
    )
    for (const lv of new Set([
      ...host.devices,
      ...[...world.leases].filter(([, lease]) => lease.has(host.name)).map(([name]) => name),
    ])) {
      if (!used.has(lv))
        world.violate(
          'quiet',
          `${lv} is ${host.devices.has(lv) ? 'active' : 'locked'} on ${host.name}, where nothing uses it`,
        )
    }
    for (const {
      domain: { name },
      state,
    } of host.records.values()) {
      if (!host.qemus.has(name)) world.violate('quiet', `a record of ${name} (${state}) is left on ${host.name}`)
    }
  }
}

/** Everything that is visible of the world, as one text: two that are the same are one state. */
export const stateOf = (world: World): string =>
  JSON.stringify([
    world.all.map((host) => [
      host.isUp,
      host.daemon !== undefined,
      [...host.devices].sort(),
      [...host.qemus].map(([name, { cpus }]) => [name, cpus]),
      [...host.statuses].map(([name, { state, reason, async, phase }]) => [name, state, reason, async, phase]),
      [...host.records.values()].map(({ domain, state, volumes, incoming }) => [
        domain.name,
        state,
        volumes.map(({ lv, mode, before }) => [lv, mode, before]),
        incoming !== undefined,
      ]),
    ]),
    [...world.leases].map(([lv, lease]) => [lv, [...lease].sort()]),
  ])
