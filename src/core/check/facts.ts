import type { SavedImage } from '../saved-image.ts'
import type { Known, Status, StatusFacts } from '../status.ts'

/**
 * All that `lvguard check` knows of a host. The answer of a command is here as it came: each check reads it itself. So
 * the tests of a check are real answers of commands.
 */
export interface CheckFacts {
  readonly status: StatusFacts
  /** What `lvguard status` makes of it. */
  readonly table: Status
  /** `lvmconfig --typeconfig full`, of the keys that matter here. */
  readonly lvmconfig: Known<string>
  /** `sanlock client renewal -s lvm_VG`, by VG. */
  readonly renewal: ReadonlyMap<string, Known<string>>
  /** `systemctl show` of the units of `UNITS`. */
  readonly units: Known<string>
  /** `systemctl show` of systemd itself: RuntimeWatchdogUSec. */
  readonly manager: Known<string>
  /** Whether a wdmd runs. */
  readonly wdmd: boolean
  /** /sys/class/watchdog, with the names of the processes that have each device open. */
  readonly watchdogs: readonly {
    readonly device: string
    readonly identity: string
    readonly users: readonly string[]
  }[]
  /** `pvs -a`, as JSON: pv_name, vg_name, pv_duplicate, pv_missing. */
  readonly pvs: Known<string>
  /**
   * VGs that definitions on this host name, by the paths of volumes, and that /dev does not have: each with its VMs.
   */
  readonly absent: ReadonlyMap<string, readonly string[]>
  /**
   * `lvs`, as JSON: vg_name, lv_name, vg_lock_type, lv_autoactivation, vg_autoactivation, lv_lockargs, lv_layout,
   * lv_role.
   */
  readonly lvs: Known<string>
  /** libvirt's storage pools of type logical. */
  readonly pools: readonly {
    readonly name: string
    readonly vg: string
    readonly isAutostarted: boolean
    readonly isRunning: boolean
  }[]
  /** `multipathd show maps raw format "%n %Q"`; empty where no multipathd runs. */
  readonly multipath: Known<string>
  /** Seconds until an iSCSI session, or a port of Fibre Channel, gives up; undefined: never. */
  readonly paths: readonly {
    readonly name: string
    readonly kind: 'iSCSI' | 'FC'
    readonly giveUp: number | undefined
  }[]
  /** `drbdadm dump RESOURCE`, by resource. */
  readonly drbdDumps: ReadonlyMap<string, Known<string>>
  readonly hook: {
    /** `other`: another program; `different`: lvguard, but not the file that runs now. */
    readonly file: 'missing' | 'not executable' | 'other' | 'different' | 'same' | 'unknown'
    /** Other files that libvirt runs too: in /etc/libvirt/hooks/qemu.d, or the main one where lvguard is there. */
    readonly others: readonly string[]
  }
  /** The agent was started before the program that stands there now was put there. */
  readonly isAgentOlder: boolean
  /** `volumeGroups`: the only ones that lvguard is to lock; empty: all with a lock manager. */
  readonly configuration: {
    readonly errors: readonly string[]
    readonly mistakes: readonly string[]
    readonly warnings: readonly string[]
    readonly volumeGroups: readonly string[]
  }
  /** By the UUID of a VM that runs here: its volumes that a policy leaves alone (`ignore`). Nobody locks them. */
  readonly leftAlone: ReadonlyMap<string, ReadonlySet<string>>
  /** The XML of the domains that are defined here. */
  readonly definitions: readonly { readonly name: string; readonly xml: string }[]
  readonly hostname: string
  /** What that name leads to here (getent ahosts). */
  readonly addresses: Known<readonly string[]>
  /** /etc/default/libvirt-guests; undefined: there is none. */
  readonly libvirtGuests: string | undefined
  /** libvirt-guests.sh, whose first lines set what it does without a setting. */
  readonly libvirtGuestsScript?: string | undefined
  /** All of its configuration; undefined: it is not installed. */
  readonly needrestart: string | undefined
  /** `apt-config dump` of what unattended-upgrades reads; undefined: it is not installed. */
  readonly unattended: Known<string> | undefined
  /** Kernel messages of this boot about what AppArmor or SELinux has denied. */
  readonly denied: Known<string>
  /** What was noted of the managed saves that are here still. */
  readonly saved: Known<readonly SavedImage[]>
}

/** The units that matter. */
export const UNITS = [
  'lvmlockd.service',
  'lvmlocks.service',
  'sanlock.service',
  'wdmd.service',
  'lvguard.service',
  'libvirtd.service',
  'virtqemud.service',
  'libvirt-guests.service',
] as const

/** A unit as `systemctl show` tells it, by its properties. */
export type Unit = ReadonlyMap<string, string>

/** Reads `systemctl show -p … UNIT…`: blocks of KEY=VALUE with an empty line between them. */
export function unitsIn(text: string): ReadonlyMap<string, Unit> {
  const blocks = text.split(/\n\s*\n/).map(
    (block) =>
      new Map(
        block.split('\n').flatMap((line): [string, string][] => {
          const at = line.indexOf('=')
          return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]]
        }),
      ),
  )
  return new Map(blocks.flatMap((block): [string, Unit][] => (block.has('Id') ? [[block.get('Id') ?? '', block]] : [])))
}

/** Reads `lvmconfig`: lines KEY=VALUE; a text stands in quotation marks. */
export const settingsIn = (text: string): ReadonlyMap<string, string> =>
  new Map(
    [...text.matchAll(/^\s*(?:[\w]+\/)?(\w+)=(.*)$/gm)].map(([, key = '', value = '']) => [
      key,
      value.trim().replace(/^"(.*)"$/, '$1'),
    ]),
  )

/** Reads the rows of a report in JSON that has one list of this name. @returns undefined if it is none */
export function rowsIn(
  text: string,
  name: 'pv' | 'lv' | 'vg',
): readonly Readonly<Record<string, string>>[] | undefined {
  try {
    const { report } = JSON.parse(text) as {
      report: Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>[]
    }
    return report.flatMap((part) => {
      const rows = part[name]
      if (!Array.isArray(rows)) throw new SyntaxError(name)
      return rows as Readonly<Record<string, string>>[]
    })
  } catch {
    return undefined
  }
}
