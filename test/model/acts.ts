import type { Move } from './faults.ts'
import type { MigrationKind } from './migration.ts'
import type { Session } from './session.ts'

const KINDS: readonly MigrationKind[] = ['live', 'live', 'live', 'live', 'offline', 'copyStorage']

/** What a person may type now. libvirt refuses the rest by itself. */
export function acts(session: Session): Move[] {
  const { world } = session
  const onHosts = world.all.filter(({ daemon }) => daemon !== undefined).flatMap((host) => world.domains.flatMap((domain): Move[] => {
    const { name } = domain
    const status = host.statuses.get(name)
    const there = world.other(host)
    const act = (label: string, doIt: () => void): Move => ({ label: `${label} ${name} on ${host.name}`, act: doIt })
    const migrations = there.daemon === undefined ? [] : KINDS.map((kind) => act(`migrate (${kind})`, () => session.migrate(host, domain, kind)))
    if (status === undefined) {
      const isStarting = world.processes.some(({ label, host: where }) => where === host.name && label === `start ${name}`)
      return isStarting ? [] : [act('start', () => session.start(host, domain)), ...migrations.slice(4, 5)]
    }
    if (status.state === 'running' && status.async === 'none') return [...migrations, act('stop', () => session.stop(host, domain))]
    // Whoever resumes what a migration has left paused has looked on the other host.
    const isLeft = status.reason === 'migration' && status.async === 'none' && !there.qemus.has(name) && there.isUp
    return [act('stop', () => session.stop(host, domain)), ...(isLeft ? [act('resume', () => session.resume(host, domain))] : [])]
  }))
  const aborts = world.migrations.filter(({ isAborted }) => !isAborted).map((migration): Move => ({ label: `abort the migration of ${migration.domain.name}`, act: () => { migration.isAborted = true } }))
  return [...onHosts, ...aborts]
}
