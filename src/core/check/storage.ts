import type { CheckFacts } from './facts.ts'
import { rowsIn, settingsIn } from './facts.ts'
import { type Finding, finding, untold } from './finding.ts'

/** LVM, and what is below it: LVG201 to LVG210. */
export const storageFindings = (facts: CheckFacts): Finding[] => [
  ...physical(facts),
  ...scanning(facts),
  ...logical(facts),
  ...ofVolumes(facts),
  ...pools(facts),
  ...paths(facts),
]

/**
 * LVG201 and LVG203: `pvs -a`. It has no row of a VG of which no physical volume is seen at all: then the definitions
 * of VMs name it.
 */
export function physical({ pvs, absent }: Pick<CheckFacts, 'pvs' | 'absent'>): Finding[] {
  const rows = pvs.kind === 'known' ? rowsIn(pvs.value, 'pv') : undefined
  if (rows === undefined)
    return [untold('LVG201', pvs.kind === 'unknown' ? pvs.why : 'pvs does not answer in its own form', 'pvs -a')]
  const twice = rows.filter((row) => (row['pv_duplicate'] ?? '') !== '')
  const missing = [
    ...new Set(rows.filter((row) => (row['pv_missing'] ?? '') !== '').map((row) => row['vg_name'] ?? '?')),
  ]
  const seen = new Set(rows.map((row) => row['vg_name'] ?? ''))
  return [
    ...[...absent]
      .filter(([vg]) => !seen.has(vg))
      .map(([vg, vms]) =>
        finding(
          'LVG203',
          `LVM sees nothing of the volume group ${vg}, which the definitions of ${some(vms)} name`,
          `is its storage connected (pvs -a)? If it is not to be here: virsh undefine, or virsh edit`,
          'warning',
        ),
      ),
    ...(twice.length === 0
      ? []
      : [
          finding(
            'LVG201',
            `LVM sees a physical volume a second time, on ${twice.map((row) => row['pv_name']).join(', ')}, and may write past what is above it`,
            'leave the lower disk out with global_filter in the section devices of /etc/lvm/lvm.conf',
          ),
        ]),
    ...missing.map((vg) =>
      finding(
        'LVG203',
        `a physical volume of ${vg} is not there`,
        `pvs -a -o +pv_missing; with a devices file: lvmdevices --adddev DEVICE; else look at filters and at the storage`,
      ),
    ),
  ]
}

/** LVG202. */
export function scanning({ lvmconfig }: Pick<CheckFacts, 'lvmconfig'>): Finding[] {
  if (lvmconfig.kind === 'unknown') return [untold('LVG202', lvmconfig.why, 'lvmconfig devices/scan_lvs')]
  return settingsIn(lvmconfig.value).get('scan_lvs') === '1'
    ? [
        finding(
          'LVG202',
          'LVM looks for physical volumes in the volumes of guests, and may activate what is in them',
          'scan_lvs = 0 in the section devices of /etc/lvm/lvm.conf',
        ),
      ]
    : []
}

const MOST_NAMES = 5
const some = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(', ')
    : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} more`

/** LVs of which the pool or the origin has the lock (FACTS 27), or which LVM keeps for itself. */
const hasNoLock = (row: Readonly<Record<string, string>>): boolean =>
  (/(?:^|,)(?:thin|vdo)(?:,|$)/.test(row['lv_layout'] ?? '') && !/(?:^|,)pool(?:,|$)/.test(row['lv_layout'] ?? '')) ||
  /(?:^|,)(?:thicksnapshot|private)(?:,|$)/.test(row['lv_role'] ?? '')

/** LVG204 and LVG206: `lvs`. */
export function logical({ lvs }: Pick<CheckFacts, 'lvs'>): Finding[] {
  const rows = lvs.kind === 'known' ? rowsIn(lvs.value, 'lv') : undefined
  if (rows === undefined)
    return [untold('LVG204', lvs.kind === 'unknown' ? lvs.why : 'lvs does not answer in its own form', 'lvs')]
  const shared = rows.filter((row) => row['vg_lock_type'] === 'sanlock' || row['vg_lock_type'] === 'dlm')
  const nameOf = (row: Readonly<Record<string, string>>): string => `${row['vg_name']}/${row['lv_name']}`
  const auto = shared
    .filter((row) => row['vg_autoactivation'] === 'enabled' && row['lv_autoactivation'] === 'enabled')
    .map(nameOf)
  const bare = shared
    .filter((row) => (row['lv_lockargs'] ?? '') === '' && row['vg_lock_type'] === 'sanlock' && !hasNoLock(row))
    .map(nameOf)
  return [
    ...(auto.length === 0
      ? []
      : [
          finding(
            'LVG204',
            `a host that boots, or vgchange -aay, takes exclusively: ${some(auto)}`,
            auto.length === 1
              ? `lvchange --setautoactivation n ${auto[0]}`
              : `for each: lvchange --setautoactivation n VG/LV; new ones: lvcreate --setautoactivation n`,
          ),
        ]),
    ...(bare.length === 0
      ? []
      : [
          finding(
            'LVG206',
            `without lock arguments, so that no host can lock it: ${some(bare)}`,
            'with all hosts off it: vgchange --lock-type none VG --lock-opt force, then vgchange --lock-type sanlock VG (lvmlockd(8))',
          ),
        ]),
  ]
}

/** LVG205 and LVG207. */
export function ofVolumes({ table, status }: Pick<CheckFacts, 'table' | 'status'>): Finding[] {
  const used = new Set(table.vms.flatMap(({ volumes }) => volumes))
  const isCovered = (volume: string): boolean =>
    table.volumes.some((other) => other.lockOf === volume && (used.has(other.volume) || other.active))
  const idle = table.volumes
    .filter(
      ({ volume, active, holders, lockOf }) =>
        lockOf === undefined &&
        !used.has(volume) &&
        !isCovered(volume) &&
        (active || holders.some(({ here, isOrphan }) => here && isOrphan !== true)),
    )
    .map(({ volume }) => volume)
  // A folder, or a file, that cannot be read may be that of a VM that uses it.
  const isKnown = status.active.unreadable.length === 0 && status.records.unreadable.length === 0
  const dead = status.devices
    .filter((device) => device.dead !== undefined)
    .filter(({ vg }) => table.vgs.some((each) => each.vg === vg))
  return [
    ...(idle.length === 0 || !isKnown
      ? []
      : [
          finding(
            'LVG205',
            `active here, and used by no VM of this host, so that no other host can use it: ${some(idle)}`,
            `lvchange -an ${idle.length === 1 ? idle[0] : 'VG/LV'}, if nothing else uses it`,
          ),
        ]),
    ...(dead.length === 0
      ? []
      : [
          finding(
            'LVG207',
            `active here without its storage: ${some(dead.map(({ vg, lv, dead: how }) => `${vg}/${lv} (${how === 'error' ? 'fails all I/O' : 'suspended'})`))}`,
            'stop its VM, then lvguard recover VG; or lvchange -an VG/LV',
          ),
        ]),
  ]
}

/** LVG208 (FACTS 18). */
export function pools({ pools: all, table }: Pick<CheckFacts, 'pools' | 'table'>): Finding[] {
  return all
    .filter(({ vg }) => table.vgs.some((each) => each.vg === vg))
    .map(({ name, vg, isAutostarted, isRunning }) =>
      finding(
        'LVG208',
        `the storage pool ${name} is on ${vg}${isAutostarted ? ', and is started at boot' : isRunning ? ', and runs' : ''}: each start takes all its volumes exclusively`,
        `virsh pool-destroy ${name}; virsh pool-undefine ${name}; name the volumes by their paths (README, Storage pools)`,
        isAutostarted ? 'critical' : 'warning',
      ),
    )
}

/** Seconds: less than what another host waits before it takes the locks (FACTS 32, 47). */
const LONGEST = 60

/** LVG209 and LVG210. */
export function paths({ multipath, paths: all }: Pick<CheckFacts, 'multipath' | 'paths'>): Finding[] {
  const ofMultipath =
    multipath.kind === 'unknown'
      ? [untold('LVG209', multipath.why, 'multipathd show maps raw format "%n %Q"')]
      : [...multipath.value.matchAll(/^(\S+)[ \t]+on[ \t]*$/gm)].map(([, map]) =>
          finding(
            'LVG209',
            `multipath map ${map} queues for ever when it has lost its paths: VMs on it hang, and their late writes may come after another host has the locks`,
            'no_path_retry 6 (or fail) in /etc/multipath.conf, then multipathd reconfigure',
          ),
        )
  const late = all.filter(({ giveUp }) => giveUp === undefined || giveUp > LONGEST)
  const words = (kind: 'iSCSI' | 'FC'): string =>
    late
      .filter((each) => each.kind === kind)
      .map(({ name, giveUp }) => `${name} (${giveUp === undefined ? 'never' : `${giveUp} s`})`)
      .join(', ')
  return [
    ...ofMultipath,
    ...(words('iSCSI') === ''
      ? []
      : [
          finding(
            'LVG210',
            `iSCSI gives up later than after ${LONGEST} s: ${words('iSCSI')}`,
            `node.session.timeo.replacement_timeout = 60 or less, in /etc/iscsi/iscsid.conf and for each node (iscsiadm -m node -o update -n … -v …)`,
          ),
        ]),
    ...(words('FC') === ''
      ? []
      : [
          finding(
            'LVG210',
            `Fibre Channel gives up later than after ${LONGEST} s: ${words('FC')}`,
            'fast_io_fail_tmo 5 in /etc/multipath.conf, then multipathd reconfigure',
          ),
        ]),
  ]
}
