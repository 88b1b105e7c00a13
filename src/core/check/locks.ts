import { hostNameIn } from '../host-name.ts'
import type { DeltaLease } from '../lease-area.ts'
import type { CheckFacts, Unit } from './facts.ts'
import { settingsIn, unitsIn } from './facts.ts'
import { type Finding, finding, untold } from './finding.ts'

/** sanlock, wdmd, lvmlockd, and their units: LVG101 to LVG119. */
export const lockFindings = (facts: CheckFacts): Finding[] => [
  ...watchdog(facts),
  ...ofHosts(facts),
  ...settings(facts),
  ...units(facts),
  ...globalLock(facts),
  ...renewals(facts),
  ...ofStatus(facts),
]

/** LVG101 to LVG104 (FACTS 44). */
export function watchdog({
  status,
  wdmd,
  watchdogs,
  manager,
}: Pick<CheckFacts, 'status' | 'wdmd' | 'watchdogs' | 'manager'>): Finding[] {
  const has = status.sanlock.kind === 'known' ? status.sanlock.value.hasWatchdog : undefined
  if (has === undefined)
    return [
      untold(
        'LVG101',
        status.sanlock.kind === 'unknown' ? status.sanlock.why : 'sanlock does not say',
        'systemctl status sanlock',
      ),
    ]
  if (!has) {
    return [
      finding(
        'LVG101',
        'sanlock runs without a watchdog, so that a host that hangs is not reset before another one takes its locks',
        "take '-w 0' out of /etc/default/sanlock, then systemctl enable wdmd, stop the VMs, reboot (README, Locks and watchdog)",
      ),
    ]
  }
  const found: Finding[] = []
  if (!wdmd)
    found.push(
      finding(
        'LVG102',
        'sanlock counts on wdmd, and no wdmd runs',
        'systemctl enable --now wdmd, and systemctl status wdmd',
      ),
    )
  const [own, others] = [
    watchdogs.filter(({ users }) => users.includes('wdmd')),
    watchdogs.filter(({ users }) => users.some((user) => user !== 'wdmd')),
  ]
  const bySystemd = /^RuntimeWatchdogUSec=(.+)$/m.exec(manager.kind === 'known' ? manager.value : '')?.[1]?.trim()
  const isOfSystemd = bySystemd !== undefined && !['0', 'infinity', ''].includes(bySystemd)
  if (others.length > 0) {
    found.push(
      finding(
        'LVG103',
        `${others.map(({ device, users }) => `/dev/${device} is used by ${users.filter((user) => user !== 'wdmd').join(' and ')}`).join(', ')}, and wdmd needs a watchdog for itself`,
        isOfSystemd
          ? 'RuntimeWatchdogSec=0 in /etc/systemd/system.conf, then reboot'
          : `have that program leave it, or give wdmd another one: wdmd -w /dev/watchdogN`,
        own.length > 0 ? 'warning' : 'critical',
      ),
    )
  } else if (isOfSystemd && own.length === 0) {
    found.push(
      finding(
        'LVG103',
        `systemd uses the watchdog (RuntimeWatchdogSec=${bySystemd}), and wdmd needs it`,
        'RuntimeWatchdogSec=0 in /etc/systemd/system.conf, then reboot',
      ),
    )
  }
  const used = own.length > 0 ? own : watchdogs
  if (wdmd && watchdogs.length === 0)
    found.push(untold('LVG104', 'there is no /sys/class/watchdog', 'ls -l /dev/watchdog*'))
  else if (used.length > 0 && used.every(({ identity }) => /software/i.test(identity))) {
    found.push(
      finding(
        'LVG104',
        'the only watchdog is softdog, which does not fire when the kernel hangs',
        'if the board has one, load its module instead (iTCO_wdt, sp5100_tco, ipmi_watchdog); else mute = [ "LVG104" ]',
      ),
    )
  }
  return found
}

/** LVG105, LVG107 and LVG108: what the host records of each VG say. */
export function ofHosts({ status, hostname }: Pick<CheckFacts, 'status' | 'hostname'>): Finding[] {
  return [...status.areas].flatMap(([vg, area]) => {
    if (area.kind === 'unknown') return [untold('LVG105', `the leases of ${vg}: ${area.why}`, 'sanlock client status')]
    const own = status.ownIds.get(vg)
    const all = [...area.value.hosts.values()]
    const present = all.filter(({ timestamp }) => timestamp !== 0)
    const mine = all.find(({ hostId }) => hostId === own)
    const found: Finding[] = []
    const timeouts = [...new Set(present.map(({ ioTimeout }) => ioTimeout))]
    if (timeouts.length > 1) {
      const words = present.map((host) => `${shortName(host)} ${host.ioTimeout} s`).join(', ')
      found.push(
        finding(
          'LVG105',
          `the hosts of ${vg} have different io_timeouts: ${words}`,
          'the same --sanlock-timeout of lvmlockd (global/sanlock_timeout, -o) on all hosts, then reboot each',
        ),
      )
    }
    const twice = present.filter((host) =>
      present.some((other) => other.hostId !== host.hostId && shortName(other) === shortName(host)),
    )
    if (twice.length > 0) {
      found.push(
        finding(
          'LVG107',
          `${twice.map(({ hostId }) => `host_id ${hostId}`).join(' and ')} of ${vg} have one name, ${[...new Set(twice.map(shortName))].join(', ')}`,
          'our_host_name in /etc/sanlock/sanlock.conf, another one on each host',
        ),
      )
    }
    if (mine !== undefined && !isName(shortName(mine), hostname)) {
      const isOther =
        present.some(({ hostId }) => hostId !== own) &&
        present.some((host) => host.hostId !== own && isName(shortName(host), hostname))
      found.push(
        isOther
          ? finding(
              'LVG107',
              `host_id ${own} of ${vg}, which is this host's, is ${shortName(mine)}'s too`,
              'another host_id in /etc/lvm/lvmlocal.conf on one of the two',
            )
          : finding(
              'LVG108',
              `this host is called ${hostname}, and its lease on ${vg} says ${shortName(mine)}, which is what other hosts show`,
              `our_host_name = ${hostname} in /etc/sanlock/sanlock.conf, then reboot`,
            ),
      )
    }
    return found
  })
}

const shortName = ({ name }: DeltaLease): string => hostNameIn(name)
const isName = (name: string, hostname: string): boolean =>
  name === hostname || name === hostname.split('.')[0] || name.split('.')[0] === hostname

/** LVG106, LVG109, LVG117. */
export function settings({ lvmconfig, status }: Pick<CheckFacts, 'lvmconfig' | 'status'>): Finding[] {
  if (lvmconfig.kind === 'unknown') return [untold('LVG109', lvmconfig.why, 'lvmconfig global/use_lvmlockd')]
  const values = settingsIn(lvmconfig.value)
  const found: Finding[] = []
  if (values.get('use_lvmlockd') !== '1')
    found.push(
      finding(
        'LVG109',
        'LVM does not use its lock daemon',
        'use_lvmlockd = 1 in the section global of /etc/lvm/lvm.conf',
      ),
    )
  const id = Number(values.get('host_id') ?? 0)
  const wrong = [...status.ownIds].filter(([, own]) => own !== id)
  if (!Number.isInteger(id) || id < 1 || id > 2000) {
    found.push(
      finding(
        'LVG106',
        id === 0 ? 'this host has no host_id' : `host_id is ${values.get('host_id')}, and must be from 1 to 2000`,
        'host_id = N in the section local of /etc/lvm/lvmlocal.conf, another one on each host',
      ),
    )
  } else if (wrong.length > 0) {
    found.push(
      finding(
        'LVG106',
        `host_id is ${id}, and this host has joined ${wrong.map(([vg, own]) => `${vg} as ${own}`).join(', ')}`,
        'reboot this host; or put the old number back into /etc/lvm/lvmlocal.conf',
      ),
    )
  }
  const command = values.get('lvmlockctl_kill_command') ?? ''
  if (command !== '' && !/^(?:\/usr)?\/sbin\/lvguard kill$/.test(command)) {
    found.push(
      finding(
        'LVG117',
        `lvmlockctl_kill_command is '${command}', which lvguard does not know`,
        'lvmlockctl_kill_command = "/usr/sbin/lvguard kill" in the section global of /etc/lvm/lvm.conf',
      ),
    )
  }
  return found
}

/** LVG110 to LVG112. */
export function units({ units: told, status }: Pick<CheckFacts, 'units' | 'status'>): Finding[] {
  if (told.kind === 'unknown')
    return [untold('LVG110', told.why, 'systemctl status lvmlockd lvmlocks sanlock wdmd lvguard')]
  const all = unitsIn(told.value)
  const isThere = (name: string): boolean => ['loaded', 'masked'].includes(all.get(name)?.get('LoadState') ?? '')
  const hasWatchdog = status.sanlock.kind === 'known' && status.sanlock.value.hasWatchdog === true
  const wanted = [
    'lvmlockd.service',
    'lvmlocks.service',
    'sanlock.service',
    ...(hasWatchdog ? ['wdmd.service'] : []),
    'lvguard.service',
  ]
  const off = wanted.filter(
    (name) =>
      !['enabled', 'enabled-runtime', 'static', 'alias', 'indirect', 'generated'].includes(
        all.get(name)?.get('UnitFileState') ?? '',
      ),
  )
  const dead = wanted.filter(
    (name) =>
      name !== 'lvguard.service' && name !== 'lvmlocks.service' && all.get(name)?.get('ActiveState') !== 'active',
  )
  const plain = (names: readonly string[]): string => names.map((name) => name.replace(/\.service$/, '')).join(' ')
  const after = (unit: Unit | undefined): string[] => (unit?.get('After') ?? '').split(/\s+/)
  const daemons = ['libvirtd.service', 'virtqemud.service'].filter(
    (name) => isThere(name) && all.get(name)?.get('ActiveState') === 'active',
  )
  const early = daemons.filter((name) => !after(all.get(name)).includes('lvmlocks.service'))
  return [
    ...(off.length === 0
      ? []
      : [finding('LVG110', `not started at boot: ${plain(off)}`, `systemctl enable ${plain(off)}`)]),
    ...(dead.length === 0 ? [] : [finding('LVG111', `not running: ${plain(dead)}`, `systemctl start ${plain(dead)}`)]),
    ...(early.length === 0
      ? []
      : [
          finding(
            'LVG112',
            `${plain(early)} may start VMs before their locks are there: nothing orders it after lvmlocks`,
            'run install/install.sh again, then systemctl daemon-reload',
          ),
        ]),
    ...(isThere('lvguard.service') &&
    isThere('lvmlocks.service') &&
    !after(all.get('lvguard.service')).includes('lvmlocks.service')
      ? [
          finding(
            'LVG112',
            'lvguard.service is not ordered after lvmlocks',
            'run install/install.sh again, then systemctl daemon-reload',
          ),
        ]
      : []),
  ]
}

/**
 * LVG113: the lease of the global lock is `GLLK` in one VG (lvmlockd-sanlock.c: R_NAME_GL), and is disabled in the
 * others.
 */
export function globalLock({ status }: Pick<CheckFacts, 'status'>): Finding[] {
  const known = [...status.areas].flatMap(([vg, area]) =>
    area.kind === 'known' ? [{ vg, has: area.value.leases.has('GLLK') }] : [],
  )
  if (known.length === 0 || known.length < status.areas.size) return []
  // One that is shared, and not started here, may have it.
  const isAll =
    status.table.kind === 'known' &&
    status.table.value.every(({ vg, lockType }) => lockType !== 'sanlock' || status.areas.has(vg))
  const having = known.filter(({ has }) => has).map(({ vg }) => vg)
  if (having.length > 1)
    return [
      finding(
        'LVG113',
        `${having.join(' and ')} each have a global lock, and hosts may use different ones`,
        `lvmlockctl --gl-disable ${having.at(-1)} on a host`,
      ),
    ]
  if (having.length === 0 && isAll)
    return [
      finding(
        'LVG113',
        'no volume group has the global lock, so that no volume group can be made or removed',
        `lvmlockctl --gl-enable ${known[0]?.vg ?? 'VG'} on one host`,
      ),
    ]
  return []
}

/** Milliseconds for one read or write. A fast lease disk takes a few. */
const SLOW = 1000

/** LVG114: `sanlock client renewal`, the last hour (FACTS 50). */
export function renewals({ renewal, status }: Pick<CheckFacts, 'renewal' | 'status'>): Finding[] {
  return [...renewal].flatMap(([vg, told]) => {
    if (told.kind === 'unknown') return [untold('LVG114', `${vg}: ${told.why}`, `sanlock client renewal -s lvm_${vg}`)]
    const rows = [
      ...told.value.matchAll(/^timestamp=\d+ read_ms=(\d+) write_ms=(\d+) next_timeouts=(\d+) next_errors=(\d+)/gm),
    ].map((row) => row.slice(1).map(Number))
    if (rows.length === 0) {
      const isNew =
        status.sanlock.kind === 'known' &&
        status.sanlock.value.lockspaces.some((each) => each.vg === vg && status.now - each.renewed < 60)
      return isNew && told.value.trim() === ''
        ? []
        : [
            untold(
              'LVG114',
              `${vg}: sanlock tells no renewal in the form that is known`,
              `sanlock client renewal -s lvm_${vg}`,
            ),
          ]
    }
    const longest = Math.max(...rows.map(([read = 0, write = 0]) => Math.max(read, write)))
    const failed = rows.reduce((sum, [, , timeouts = 0, errors = 0]) => sum + timeouts + errors, 0)
    if (longest < SLOW && failed === 0) return []
    const words = [
      ...(longest < SLOW ? [] : [`a renewal took ${longest} ms`]),
      ...(failed === 0 ? [] : [`${failed} timed out or failed`]),
    ]
    return [
      finding(
        'LVG114',
        `the disk of the leases of ${vg} is slow: in the last hour ${words.join(', and ')}`,
        `sanlock client renewal -s lvm_${vg}, and look at the storage: after 8 × io_timeout without one the lease is lost`,
      ),
    ]
  })
}

/** A new lvmlockd does not take up what the one before it held: Debian starts it without `--adopt` (FACTS 34). */
const AFTER_A_RESTART =
  'stop the VMs of this host, then reboot it; do not restart lvmlockd (README, lvmlockd or sanlock was restarted)'

/** LVG115, LVG116, LVG118, LVG119. */
export function ofStatus({ table }: Pick<CheckFacts, 'table'>): Finding[] {
  const orphans = table.volumes.filter(({ holders }) => holders.some(({ isOrphan }) => isOrphan === true))
  const hasOrphans = (vg: string): boolean => orphans.some((orphan) => orphan.vg === vg)
  const ofVgs = table.vgs.flatMap(({ vg, locking, renewed }) => {
    switch (locking) {
      case 'late':
      case 'lost':
        return [
          finding(
            'LVG115',
            `this host has ${locking === 'late' ? `not renewed its lease on ${vg} for ${renewed ?? '?'} s` : `lost its lease on ${vg}`}`,
            'see whether the storage answers: journalctl -u lvguard -u sanlock',
          ),
        ]
      case 'killed':
        return [finding('LVG118', `${vg} was cut off here, and nothing starts on it`, `lvguard recover ${vg}`)]
      case 'not started':
        return [
          finding(
            'LVG116',
            `the locking of ${vg} is not started here`,
            hasOrphans(vg) ? AFTER_A_RESTART : `vgchange --lock-start ${vg}`,
          ),
        ]
      case 'unknown':
        return [untold('LVG116', vg, 'lvmlockctl --info; sanlock client status')]
      default:
        return []
    }
  })
  return [
    ...ofVgs,
    ...(orphans.length === 0
      ? []
      : [
          finding(
            'LVG119',
            `held by this host's sanlock, and unknown to its lvmlockd: ${orphans.map(({ volume }) => volume).join(', ')}`,
            AFTER_A_RESTART,
          ),
        ]),
  ]
}
