import type { ProcessKind } from './process.ts'
import type { Session } from './session.ts'
import type { Host } from './world.ts'

/** What can happen to a world beside the steps of its processes. A schedule may leave kinds out. */
export const MOVE_KINDS = [
  'start',
  'stop',
  'migrate',
  'offline',
  'copy',
  'resume',
  'abort',
  'limit',
  'kill hook',
  'kill lvchange',
  'power',
  'daemon',
  'agent',
  'spoil',
  'qemu',
  'client',
  'reply',
  'lie',
  'save',
] as const
export type MoveKind = (typeof MOVE_KINDS)[number]

/** Something that a person does, that goes wrong, or that comes back. */
export interface Move {
  readonly kind: MoveKind
  readonly label: string
  readonly act: () => void
}

/** The end of every process of a host that is of one of these kinds. */
function killAll({ world }: Session, host: Host, kinds: readonly ProcessKind[]): void {
  for (const process of world.processes) if (process.host === host.name && kinds.includes(process.kind)) process.kill()
  world.processes = world.processes.filter(({ isAlive }) => isAlive)
}

export function stopDaemon(session: Session, host: Host): void {
  killAll(session, host, ['libvirt'])
  host.busy.clear()
  host.daemon = undefined
}

export function startDaemon(session: Session, host: Host): void {
  const pid = session.world.next()
  host.daemon = { pid, start: String(pid) }
  for (const domain of session.world.domains) if (host.statuses.has(domain.name)) session.recover(host, domain)
}

/** Power off: /run is empty afterwards, the leases stay until they expire or the host is back. */
export function crash(session: Session, host: Host): void {
  killAll(session, host, ['hook', 'lvchange', 'agent', 'libvirt'])
  for (const content of [host.records, host.statuses, host.qemus, host.devices, host.busy, host.spoiled])
    content.clear()
  Object.assign(host, { isUp: false, daemon: undefined, agent: undefined, vgLock: [], diedAt: session.world.now })
}

export function boot(session: Session, host: Host): void {
  const { world } = session
  Object.assign(host, { isUp: true, bootedAt: world.now })
  // Joining its lockspace anew makes void whatever it held.
  for (const lease of world.leases.values()) lease.delete(host.name)
  startDaemon(session, host)
  session.startAgent(host)
}

/** What may go wrong now. */
export function faults(session: Session): Move[] {
  const { world } = session
  const programs = world.processes.filter(({ kind }) => kind === 'hook' || kind === 'lvchange')
  const ofHosts = world.all.flatMap((host): Move[] => {
    if (!host.isUp) return [{ kind: 'power', label: `${host.name} boots`, act: () => boot(session, host) }]
    return [
      host.daemon === undefined
        ? { kind: 'daemon', label: `libvirtd of ${host.name} starts`, act: () => startDaemon(session, host) }
        : { kind: 'daemon', label: `libvirtd of ${host.name} ends`, act: () => stopDaemon(session, host) },
      host.agent?.isAlive === true
        ? { kind: 'agent', label: `the agent of ${host.name} is killed`, act: () => host.agent?.kill() }
        : { kind: 'agent', label: `the agent of ${host.name} starts`, act: () => session.startAgent(host) },
      { kind: 'power', label: `${host.name} loses its power`, act: () => crash(session, host) },
      {
        kind: 'lie',
        label: `the next lvchange on ${host.name} exits with 0 and leaves the lock as it is`,
        act: () => {
          host.isLying = true
        },
      },
      ...world.domains.map(
        ({ name }): Move => ({
          kind: 'spoil',
          label: `the next start of ${name} on ${host.name} fails after its prepare`,
          act: () => host.spoiled.add(name),
        }),
      ),
      ...world.domains
        .filter(({ name }) => host.qemus.has(name))
        .map(
          (domain): Move => ({
            kind: 'qemu',
            label: `QEMU of ${domain.name} on ${host.name} ends`,
            act: () => {
              host.qemus.delete(domain.name)
              session.stop(host, domain)
            },
          }),
        ),
    ]
  })
  return [
    ...programs.map(
      (process): Move => ({
        kind: process.kind === 'hook' ? 'kill hook' : 'kill lvchange',
        label: `${process.label} on ${process.host} is killed`,
        act: () => {
          process.kill()
          if (process.label.startsWith('release')) world.interrupted.add(world.hosts[process.host])
        },
      }),
    ),
    ...ofHosts,
    ...world.migrations.flatMap((migration): Move[] => [
      {
        kind: 'client',
        label: 'virsh migrate is killed',
        act: () => {
          migration.isClientGone = true
        },
      },
      {
        kind: 'reply',
        label: 'the reply of Finish is lost',
        act: () => {
          migration.isReplyLost = true
        },
      },
    ]),
  ]
}
