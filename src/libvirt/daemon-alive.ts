import { readFileSync } from '../system/files.ts'
import { join } from 'node:path'
import { PROC_FOLDER, onHost } from '../system/paths.ts'

const DAEMONS = ['libvirtd', 'virtqemud']

/**
 * Whether a libvirt daemon that runs QEMU domains lives on this host, by its PID file and the name of that process. If
 * none does, a status file that is absent does not say that its domain has ended. Debian's libvirtd ends by itself
 * after two minutes without domains.
 */
export const isLibvirtAlive = (): boolean =>
  DAEMONS.some((daemon) => {
    try {
      const pid = readFileSync(onHost(`/run/${daemon}.pid`), 'utf8').trim()
      return /^\d+$/.test(pid) && readFileSync(join(PROC_FOLDER, pid, 'comm'), 'utf8').trim() === daemon
    } catch {
      return false
    }
  })

/** Whether process 1 is that daemon, as in a container of its own. */
export function isDaemonFirst(): boolean {
  try {
    return DAEMONS.includes(readFileSync(join(PROC_FOLDER, '1', 'comm'), 'utf8').trim())
  } catch {
    return false
  }
}
