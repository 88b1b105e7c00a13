/** `unknown`: it could not be told, which is no all-clear. */
export type Severity = 'warning' | 'critical' | 'unknown'

/**
 * All codes, each with what it looks at. A code keeps its meaning for ever: it stands in `mute`, in monitoring and in
 * tickets. 1: locks and watchdog; 2: LVM and storage; 3: DRBD; 4: lvguard itself; 5: libvirt and VMs; 6: two hosts
 * beside each other (--host). README.md has the same table (tested).
 */
export const CODES = {
  LVG101: { severity: 'warning', looksAt: 'sanlock has a watchdog' },
  LVG102: { severity: 'critical', looksAt: 'wdmd runs, where sanlock counts on it' },
  LVG103: { severity: 'critical', looksAt: 'nobody but wdmd has its watchdog device (systemd, another daemon)' },
  LVG104: { severity: 'warning', looksAt: 'the watchdog is more than softdog' },
  LVG105: { severity: 'warning', looksAt: 'all hosts have the same io_timeout, by their leases' },
  LVG106: {
    severity: 'critical',
    looksAt: 'host_id is set, from 1 to 2000, and the one with which this host has joined',
  },
  LVG107: { severity: 'critical', looksAt: "no other host has this host's host_id or name" },
  LVG108: { severity: 'warning', looksAt: 'the name of the lease is the name of this host' },
  LVG109: { severity: 'critical', looksAt: 'use_lvmlockd is 1' },
  LVG110: { severity: 'warning', looksAt: 'lvmlockd, lvmlocks, sanlock, wdmd and lvguard are enabled' },
  LVG111: { severity: 'critical', looksAt: 'lvmlockd, sanlock and wdmd run' },
  LVG112: { severity: 'warning', looksAt: 'libvirt starts after the locks, and stops before them' },
  LVG113: { severity: 'warning', looksAt: 'there is one global lock' },
  LVG114: { severity: 'warning', looksAt: 'the lease disk answers fast' },
  LVG115: { severity: 'critical', looksAt: 'this host renews its leases' },
  LVG116: { severity: 'warning', looksAt: 'the locking of each shared volume group is started' },
  LVG117: { severity: 'warning', looksAt: "lvmlockctl_kill_command is lvguard's, if it is set" },
  LVG118: { severity: 'critical', looksAt: 'no volume group is cut off here' },
  LVG119: { severity: 'critical', looksAt: 'sanlock holds no lease that lvmlockd does not know of (ORPHAN)' },
  LVG201: { severity: 'critical', looksAt: 'LVM sees each physical volume once' },
  LVG202: { severity: 'warning', looksAt: 'LVM does not look into the volumes of guests (scan_lvs)' },
  LVG203: { severity: 'critical', looksAt: 'all physical volumes are there (devices file, filters, storage)' },
  LVG204: { severity: 'warning', looksAt: 'no volume of a shared volume group is autoactivated' },
  LVG205: { severity: 'warning', looksAt: 'no volume is active here that no VM here uses' },
  LVG206: { severity: 'critical', looksAt: 'each volume of a shared volume group has lock arguments' },
  LVG207: { severity: 'critical', looksAt: 'no volume that is active here fails all I/O, or is suspended' },
  LVG208: { severity: 'warning', looksAt: 'no logical pool of libvirt is on a shared volume group' },
  LVG209: { severity: 'critical', looksAt: 'no multipath map queues for ever' },
  LVG210: { severity: 'warning', looksAt: 'iSCSI and Fibre Channel give up within 60 s' },
  LVG301: { severity: 'critical', looksAt: 'DRBD is Primary here, and its configuration allows two' },
  LVG302: { severity: 'critical', looksAt: 'DRBD replicates with protocol C' },
  LVG303: { severity: 'warning', looksAt: 'DRBD has fencing or a quorum' },
  LVG304: { severity: 'critical', looksAt: 'DRBD throws nothing away by itself after a split brain' },
  LVG305: { severity: 'critical', looksAt: 'DRBD is connected' },
  LVG306: { severity: 'critical', looksAt: 'all copies of DRBD are up to date' },
  LVG401: { severity: 'critical', looksAt: 'the hook is there, and can be run' },
  LVG402: { severity: 'warning', looksAt: 'the hook is of the version of this command' },
  LVG403: {
    severity: 'critical',
    looksAt: 'the hook is in force: each VM that runs on a shared volume group is on record',
  },
  LVG404: { severity: 'warning', looksAt: 'no other hook can start or change something beside lvguard' },
  LVG405: { severity: 'critical', looksAt: 'the agent runs' },
  LVG406: { severity: 'warning', looksAt: 'the agent is of the version of this command' },
  LVG407: { severity: 'critical', looksAt: 'the configuration is right, and fits this host' },
  LVG408: { severity: 'critical', looksAt: 'records and status files can be read' },
  LVG409: { severity: 'critical', looksAt: 'each VM that runs here holds its volumes' },
  LVG501: { severity: 'warning', looksAt: 'the cache modes of disks let their VMs migrate' },
  LVG502: { severity: 'warning', looksAt: 'the name of this host leads to an address that others reach' },
  LVG503: { severity: 'warning', looksAt: 'libvirt-guests does not suspend VMs to disk' },
  LVG504: { severity: 'warning', looksAt: 'no saved memory is older than its disk' },
  LVG505: { severity: 'warning', looksAt: 'no VM keeps NVRAM or TPM state on this host alone' },
  LVG506: { severity: 'warning', looksAt: 'AppArmor or SELinux has denied neither the hook nor a VM its volume' },
  LVG507: { severity: 'warning', looksAt: 'no update restarts lvmlockd or sanlock by itself' },
  LVG601: { severity: 'warning', looksAt: 'both hosts have the same lvguard' },
  LVG602: { severity: 'warning', looksAt: 'both have the same versions of libvirt, QEMU, lvm2 and sanlock' },
  LVG603: { severity: 'warning', looksAt: 'lvguard.conf says the same on both' },
  LVG604: { severity: 'warning', looksAt: 'the settings of lvm.conf that matter are the same on both' },
  LVG605: {
    severity: 'warning',
    looksAt: 'sanlock has the same io_timeout on both, and a watchdog on both or on none',
  },
  LVG606: { severity: 'critical', looksAt: 'both see the same shared volume groups, each with a host_id of its own' },
  LVG607: { severity: 'warning', looksAt: 'VMs on shared volume groups are defined on both, and in the same way' },
  LVG608: { severity: 'warning', looksAt: 'the bridges and networks of these VMs are there on both' },
  LVG609: { severity: 'warning', looksAt: 'the storage pools of these VMs are there on both, and the same' },
  LVG610: { severity: 'warning', looksAt: 'the processors of both can do the same' },
  LVG611: { severity: 'warning', looksAt: 'the clocks of both show the same time' },
} as const satisfies Readonly<Record<string, { readonly severity: 'warning' | 'critical'; readonly looksAt: string }>>

/** A code of `lvguard check`. */
export type Code = keyof typeof CODES
/** All codes, in the order of the table. */
export const CODE_NAMES = Object.keys(CODES) as Code[]
/** Those of `lvguard check --host`. */
export const HOST_CODES = CODE_NAMES.filter((code) => code.startsWith('LVG6'))
/** Those of `lvguard check` without --host. */
export const OWN_CODES = CODE_NAMES.filter((code) => !HOST_CODES.includes(code))
/** Whether a word is a code. */
export const isCode = (word: string): word is Code => Object.hasOwn(CODES, word)

/** One thing that is not as it should be, or that could not be told. */
export interface Finding {
  readonly code: Code
  readonly severity: Severity
  /** One sentence without its full stop. */
  readonly what: string
  /** The command or the setting that mends it. */
  readonly mend: string
}

/** One finding, with the severity of its code where no other is given. */
export const finding = (
  code: Code,
  what: string,
  mend: string,
  severity: Severity = CODES[code].severity,
): Finding => ({ code, severity, what, mend })

/** What could not be looked at. */
export const untold = (code: Code, why: string, mend = 'see why, and run lvguard check again'): Finding => ({
  code,
  severity: 'unknown',
  what: `it cannot be told whether ${CODES[code].looksAt}: ${why}`,
  mend,
})

/**
 * Exit status as that of a monitoring plugin: 0 ok, 1 warning, 2 critical, 3 unknown. Something that is known to be
 * wrong counts more than something that is not known.
 */
export function exitOf(findings: readonly Finding[]): 0 | 1 | 2 | 3 {
  const has = (severity: Severity): boolean => findings.some((each) => each.severity === severity)
  return has('critical') ? 2 : has('warning') ? 1 : has('unknown') ? 3 : 0
}

const ORDER: readonly Severity[] = ['critical', 'warning', 'unknown']

/** Without what is muted; the worst first, then by code. */
export const inOrder = (findings: readonly Finding[], mute: readonly string[]): Finding[] =>
  findings
    .filter(({ code }) => !mute.includes(code))
    .sort(
      (a, b) =>
        ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity) ||
        a.code.localeCompare(b.code) ||
        a.what.localeCompare(b.what),
    )

/**
 * What tells one finding from another over time. A number of seconds or milliseconds in its sentence may change: it
 * does not count.
 */
export const keyOf = ({ code, severity, what }: Finding): string =>
  `${code} ${severity} ${what.replaceAll(/\b\d+(?= (?:s|ms)\b)/g, '#')}`

/** What has come and what has gone since the run before. */
export function changes(
  before: readonly Finding[],
  now: readonly Finding[],
): { readonly come: readonly Finding[]; readonly gone: readonly Finding[] } {
  const [old, present] = [before, now].map((findings) => new Set(findings.map(keyOf)))
  return {
    come: now.filter((each) => old?.has(keyOf(each)) !== true),
    gone: before.filter((each) => present?.has(keyOf(each)) !== true),
  }
}
