import type { DomainRecord } from '../core/record.ts'
import { processOf } from '../processes.ts'

/** The libvirt daemon that called this hook: the parent, since the shell stub was replaced by Node with `exec`. */
export function callingDaemon(): Pick<DomainRecord, 'daemon'> {
  const daemon = processOf(process.ppid)
  return daemon === undefined ? {} : { daemon }
}
