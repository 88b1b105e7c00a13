import type { Move, MoveKind } from './faults.ts'
import type { MigrationKind } from './incoming.ts'
import type { Session } from './session.ts'

const KINDS: readonly MigrationKind[] = ['live', 'live', 'live', 'live', 'offline', 'copyStorage']
const MOVES: Readonly<Record<MigrationKind, MoveKind>> = { live: 'migrate', offline: 'offline', copyStorage: 'copy' }

/** What a person may type now. libvirt refuses the rest by itself. */
export function acts(session: Session): Move[] {
  const { world } = session
  const onHosts = world.all
    .filter(({ daemon }) => daemon !== undefined)
    .flatMap((host) =>
      world.domains.flatMap((domain): Move[] => {
        const { name } = domain
        const status = host.statuses.get(name)
        const there = world.other(host)
        const act = (kind: MoveKind, label: string, doIt: () => void): Move => ({
          kind,
          label: `${label} ${name} on ${host.name}`,
          act: doIt,
        })
        const migrations =
          there.daemon === undefined
            ? []
            : KINDS.map((kind) => act(MOVES[kind], `migrate (${kind})`, () => session.migrate(host, domain, kind)))
        if (status === undefined) {
          const isStarting = world.processes.some(
            ({ label, host: where }) => where === host.name && label === `start ${name}`,
          )
          const discards = host.images.has(name)
            ? [act('save', 'managedsave-remove', () => void host.images.delete(name))]
            : []
          return isStarting
            ? []
            : [act('start', 'start', () => session.start(host, domain)), ...migrations.slice(4, 5), ...discards]
        }
        if (status.state === 'running' && status.async === 'none')
          return [
            ...migrations,
            act('stop', 'stop', () => session.stop(host, domain)),
            act('save', 'managedsave', () => session.save(host, domain)),
          ]
        // Whoever resumes what a migration has left paused has looked on the other host.
        const isAsItsDisk = host.qemus.get(name)?.memory === world.disks.get(name)
        const isLeft =
          status.reason === 'migration' &&
          status.async === 'none' &&
          !there.qemus.has(name) &&
          there.isUp &&
          isAsItsDisk
        return [
          act('stop', 'stop', () => session.stop(host, domain)),
          ...(isLeft ? [act('resume', 'resume', () => session.resume(host, domain))] : []),
        ]
      }),
    )
  const aborts = world.migrations
    .filter(({ isAborted }) => !isAborted)
    .map(
      (migration): Move => ({
        kind: 'abort',
        label: `abort the migration of ${migration.domain.name}`,
        act: () => {
          migration.isAborted = true
        },
      }),
    )
  return [...onHosts, ...aborts]
}
