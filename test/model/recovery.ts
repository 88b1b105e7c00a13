import type { Domain } from './domains.ts'
import type { Libvirt } from './libvirt.ts'
import type { Process, Steps } from './process.ts'

/**
 * What a daemon that starts again makes of a domain, from the phase in its status file (qemuProcessReconnect,
 * qemuMigrationRecover).
 */
export function* recover(libvirt: Libvirt, domain: Domain, self: () => Process): Steps<void> {
  const { host } = libvirt
  yield* libvirt.lock(domain, self)
  const status = host.statuses.get(domain.name)
  const qemu = host.qemus.get(domain.name)
  if (status !== undefined) libvirt.world.reach(`daemon back in ${status.async} ${status.phase ?? ''}`)
  if (status === undefined) return libvirt.unlock(domain)
  if (qemu === undefined || qemu.pid !== status.pid || outcomeOf(status.async, status.phase, status.reason) === 'kill')
    yield* libvirt.end(domain)
  else if (outcomeOf(status.async, status.phase, status.reason) === 'run') {
    // The reply of Finish was lost before (FACTS 19).
    if (status.phase === 'confirm3_cancelled') libvirt.world.contested.add(domain.name)
    const wasPaused = qemu.cpus === 'paused'
    libvirt.world.run(domain, host, qemu, 'libvirt')
    yield
    const reason = status.async === 'migration in' ? 'migrated' : wasPaused ? 'migration canceled' : status.reason
    libvirt.setStatus(domain, { state: 'running', reason })
  } else if (qemu.cpus === status.state) libvirt.setStatus(domain, { state: status.state, reason: status.reason })
  // It asks QEMU whether its CPUs run (qemuProcessUpdateState).
  else
    libvirt.setStatus(
      domain,
      qemu.cpus === 'running' ? { state: 'running', reason: 'unpaused' } : { state: 'paused', reason: 'unknown' },
    )
  libvirt.unlock(domain)
}

/** `run`: its CPUs run, whatever they did; `leave`: as they are, without the job. */
function outcomeOf(job: string, phase: string | undefined, reason: string): 'run' | 'leave' | 'kill' {
  if (job === 'none') return reason === 'starting up' ? 'kill' : 'leave'
  if (job === 'migration in') return phase === 'finish3' ? 'run' : 'kill'
  if (phase === 'confirm3') return 'kill'
  // Nobody can tell whether the destination runs.
  return phase === 'perform3_done' ? 'leave' : 'run'
}
