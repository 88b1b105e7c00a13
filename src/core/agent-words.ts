import type { Report } from './domain-view.ts'
import type { Holder } from './problem.ts'
import type { MigrationMemory } from './record.ts'
import type { Change } from './start.ts'
import { type Mode, fullName } from './volume.ts'

/** Priorities of syslog(3), as systemd takes them before a line on stderr (sd-daemon(3)). */
export type Priority = 2 | 3 | 4 | 5 | 6

/** A line for the journal. */
export interface Line {
  readonly priority: Priority
  readonly text: string
}

const line = (priority: Priority, text: string): Line => ({ priority, text })

/** Seconds after which what endangers a running VM is said again. */
export const SAY_AGAIN = 600

/** A report in words. */
export function lineOf(report: Report, domain: string): Line {
  switch (report.kind) {
    case 'lockspace-lost':
      return line(
        2,
        `${domain} runs here, but volume group ${report.vg} has no lockspace here any more: nothing protects its volumes. Nothing is changed. See 'lvmlockctl --info' and 'journalctl -u sanlock'`,
      )
    case 'locks-unknown':
      return line(3, `the locks of ${domain} cannot be read (${report.detail}); nothing is changed`)
    case 'records-unreadable':
      return line(
        3,
        `what else uses the volumes of ${domain} cannot be told, because ${report.files.join(', ')} cannot be read; nothing is taken from it`,
      )
    case 'claimed':
      return line(
        3,
        `${report.volume} stays exclusive: ${report.domain} uses it on this host too, so ${domain} cannot migrate`,
      )
    case 'written':
      return line(
        2,
        `${domain} may write ${report.volume} now, and ${report.domain} uses it on this host too: stop one of the two`,
      )
    case 'also-used':
      return line(
        2,
        `${domain} and ${report.domain} both use ${report.volume} on this host, and nothing keeps them from writing over each other. Take it out of one of them now: virsh detach-disk. Only a cluster file system may be shared so, with <shareable/> in both`,
      )
    case 'lock-owner-unknown':
      return line(
        2,
        `${domain} runs here without a lock on ${report.volume}: lvs does not tell whose lock that is. See 'lvs ${report.volume}'`,
      )
    case 'pool-lock':
      return line(
        4,
        `${report.volume} stays exclusive: it is in a pool, is a snapshot or has one, and LVM shares none of these, so ${domain} cannot migrate`,
      )
    case 'unchanged':
      return UNCHANGED[report.why]?.(domain, report.detail) ?? line(6, `${domain}: nothing is changed (${report.why})`)
  }
}

const UNCHANGED: Partial<
  Record<Extract<Report, { kind: 'unchanged' }>['why'], (domain: string, detail: string) => Line>
> = {
  'storage-copy': (domain) =>
    line(
      4,
      `${domain} migrates with --copy-storage: its volumes are not shared, because it would mirror a shared volume onto itself; leave that option out`,
    ),
  offline: (domain) =>
    line(4, `${domain} migrates --offline while it runs: its volumes are not shared; it runs on here`),
  'left-paused': (domain) =>
    line(2, `${domain} was left paused by a migration; its locks stay as they are, and a person has to decide`),
  'not-understood': (domain) =>
    line(3, `the status file of ${domain} says something that this lvguard does not know; its locks stay as they are`),
  unknown: (domain, detail) => line(3, `whether ${domain} runs cannot be told (${detail}); its locks stay as they are`),
  'daemon-down': (domain) =>
    line(
      5,
      `${domain} is on record here and no libvirt daemon runs that could tell whether it does; its locks stay as they are`,
    ),
}

/** A change that was carried out. */
export const transition = (domain: string, change: Change, before: Mode | 'none', milliseconds: number): string =>
  `${domain}: ${fullName(change)} ${before} -> ${change.to}: ${change.reason} (${Math.round(milliseconds)} ms)`

/** What is known of a migration whose end is in doubt: has the domain run on the other host since? */
export const witnessOf = ({ lvers, lockedBy }: MigrationMemory): string => {
  if (lockedBy !== undefined)
    return `${lockedBy} has locked its volumes since, so that its memory here is older than its disk`
  return lvers === undefined
    ? 'whether another host has locked its volumes since cannot be told'
    : 'nobody is seen to have locked its volumes since'
}

/** R12: what a person has to decide who finds a domain paused by a migration. */
export const whatToDo = (domain: string): string =>
  `If it runs or ran elsewhere since: virsh destroy ${domain} here, and start it anew. Only if it certainly never ran there: virsh resume ${domain}`

/** Who holds, in words. */
export const byWhom = (holders: readonly Holder[]): string =>
  holders.length === 0
    ? 'another host'
    : holders
        .map(
          ({ name, mode, silentFor }) =>
            `${name} (${mode}${silentFor === undefined ? '' : `, last alive ${Math.max(0, Math.round(silentFor))} s ago`})`,
        )
        .join(' and ')
