import type { Call } from '../hook/call.ts'
import { write } from '../output.ts'

declare const LVGUARD_VERSION: string

const TEXT = `Usage: qemu NAME OPERATION SUB-OPERATION EXTRA < domain.xml      (as libvirt calls it)
       lvguard --dry-run [--json] [--xml FILE] NAME OPERATION [SUB-OPERATION [EXTRA]]
       lvguard agent
       lvguard demote [--force] DOMAIN
       lvguard promote DOMAIN
       lvguard --help | --version

Keeps the logical volumes of a VM locked to the one host that runs it.

  agent       demote, promote and repair the locks of the VMs of this host, as their states call for (lvguard.service)
  demote      exclusive -> shared, on the source of a migration; the agent does it by itself
  promote     shared -> exclusive, where the VM runs; the agent does it by itself
  --force     demote although libvirt does not say that the VM is migrating

  --dry-run   show what a hook call would do, and why, and do nothing; the lines without # can be pasted into a shell
  --json      the same as JSON
  --xml FILE  the domain XML from a file instead of standard input (virsh dumpxml NAME > FILE)

Operations: prepare, release, migrate, restore; all others do nothing.
DOMAIN is a name or a UUID.
Exit status: 0 done, or would be done; 1 refused, or would be refused; 2 wrong arguments.
Configuration: /etc/libvirt/lvguard.conf. Log: /var/log/libvirt/lvguard.log. Records: /run/lvguard.
`

/** Help, version, or a wrong command line. */
export function usage(call: Extract<Call, { kind: 'help' | 'version' | 'usage' }>): number {
  if (call.kind === 'version') write(1, `lvguard ${LVGUARD_VERSION}\n`)
  else if (call.kind === 'help') write(1, TEXT)
  else write(2, `lvguard: ${call.error}\n${TEXT}`)
  return call.kind === 'usage' ? 2 : 0
}
