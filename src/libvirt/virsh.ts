import { query } from '../system/run.ts'

/** The libvirt daemon of this host, whichever it is. Never used by a hook, which would wait for itself (R7). */
const CONNECTION = ['--connect', 'qemu:///system'] as const

/**
 * One command about a domain, by its UUID. Never `resume` (R12).
 * @returns undefined if libvirt did it, else why not, in one line
 */
export async function virsh(command: 'suspend' | 'domjobabort', uuid: string): Promise<string | undefined> {
  const { exitCode, stderr, isAbsent, timedOut } = await query('virsh', [...CONNECTION, command, uuid])
  if (exitCode === 0) return undefined
  if (isAbsent) return 'virsh was not found: apt install libvirt-clients'
  return timedOut
    ? 'virsh did not end within its time'
    : (stderr.trim().split('\n')[0] ?? '').replace(/^error: /, '') || `virsh exited with ${exitCode ?? 'a signal'}`
}
