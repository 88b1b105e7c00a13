import { compare } from '../saved-image.ts'
import { meaningOfPath } from '../volume.ts'
import type { CheckFacts } from './facts.ts'
import { unitsIn } from './facts.ts'
import { type Finding, finding, untold } from './finding.ts'

/** libvirt, VMs, and what else may surprise them: LVG501 to LVG507. */
export const domainFindings = (facts: CheckFacts): Finding[] => [
  ...definitions(facts),
  ...ownName(facts),
  ...guests(facts),
  ...saved(facts),
  ...denials(facts),
  ...updates(facts),
]

const attribute = (element: string, name: string): string | undefined =>
  new RegExp(`\\s${name}=['"]([^'"]*)['"]`).exec(element)?.[1]

/**
 * The disks of a domain whose cache mode keeps it from migrating live: libvirt lets `none` and `directsync` pass, and
 * what nobody writes.
 */
export function cachedDisks(xml: string): string[] {
  const disks = [...xml.matchAll(/<disk\s[\s\S]*?<\/disk>/g)]
    .map(([disk]) => disk)
    .filter((disk) => !/<readonly\/>|<shareable\/>/.test(disk) && /<source\s/.test(disk))
  return disks.flatMap((disk) => {
    const cache = attribute(/<driver\s[^>]*>/.exec(disk)?.[0] ?? '', 'cache') ?? 'default'
    return ['none', 'directsync'].includes(cache)
      ? []
      : [`${attribute(/<target\s[^>]*>/.exec(disk)?.[0] ?? '', 'dev') ?? '?'} (cache ${cache})`]
  })
}

/** LVG501 and LVG505. Only of VMs with a volume in a VG with locks: lvguard has no part in others. */
export function definitions({ definitions: all, table }: Pick<CheckFacts, 'definitions' | 'table'>): Finding[] {
  const shared = new Set(table.vgs.map(({ vg }) => vg))
  const isShared = (path: string): boolean => {
    const meaning = meaningOfPath(path)
    return meaning.kind === 'volume' && shared.has(meaning.vg)
  }
  return all.flatMap(({ name, xml }) => {
    if (![...xml.matchAll(/['">](\/dev\/[^'"<>]+)['"<]/g)].some(([, path = '']) => isShared(path))) return []
    const cached = cachedDisks(xml)
    const nvram = /<nvram[^>]*>([^<]+)<\/nvram>/.exec(xml)?.[1]?.trim()
    const local = [
      ...(nvram !== undefined && !nvram.startsWith('/dev/') ? [`NVRAM in ${nvram}`] : []),
      ...(/<tpm\s[\s\S]*?<backend\s[^>]*type=['"]emulator['"]/.test(xml)
        ? ['the state of its TPM in /var/lib/libvirt/swtpm']
        : []),
    ]
    return [
      ...(cached.length === 0
        ? []
        : [
            finding(
              'LVG501',
              `libvirt refuses to migrate ${name} live because of disk ${cached.join(', ')}`,
              `virsh edit ${name}: cache='none' in the <driver> of each disk`,
            ),
          ]),
      ...(local.length === 0
        ? []
        : [
            finding(
              'LVG505',
              `${name} keeps ${local.join(' and ')} on this host: another host starts it with what it has`,
              `copy it when the VM is off; or NVRAM on a volume: <nvram type='block'>`,
            ),
          ]),
    ]
  })
}

/**
 * LVG502: Debian's installer puts the name of the host at 127.0.1.1, and libvirt hands that to the source of a
 * migration.
 */
export function ownName({ addresses, hostname }: Pick<CheckFacts, 'addresses' | 'hostname'>): Finding[] {
  if (addresses.kind === 'unknown') return [untold('LVG502', addresses.why, `getent ahosts ${hostname}`)]
  if (addresses.value.length === 0)
    return [
      finding(
        'LVG502',
        `${hostname}, the name of this host, leads nowhere here`,
        'a line for it in /etc/hosts, or in DNS',
      ),
    ]
  const loopback = addresses.value.filter((address) => /^127\.|^::1$/.test(address))
  return loopback.length === 0 || loopback.length < addresses.value.length
    ? []
    : [
        finding(
          'LVG502',
          `${hostname}, the name of this host, leads to ${loopback.join(', ')} here, where no other host reaches it: a migration to it fails`,
          'the address of the host in the place of 127.0.1.1 in /etc/hosts',
        ),
      ]
}

/** LVG503. Without a setting the script of libvirt-guests decides: libvirt's own suspends, Debian's shuts down. */
export function guests({
  libvirtGuests,
  libvirtGuestsScript = '',
  units,
}: Pick<CheckFacts, 'libvirtGuests' | 'libvirtGuestsScript' | 'units'>): Finding[] {
  const unit = units.kind === 'known' ? unitsIn(units.value).get('libvirt-guests.service') : undefined
  const isUsed =
    units.kind === 'unknown'
      ? libvirtGuests !== undefined
      : unit?.get('UnitFileState') === 'enabled' || unit?.get('ActiveState') === 'active'
  if (!isUsed) return []
  const otherwise = /^ON_SHUTDOWN=["']?(\w+)/m.exec(libvirtGuestsScript)?.[1] ?? 'suspend'
  const said = [...(libvirtGuests ?? '').matchAll(/^\s*ON_SHUTDOWN=["']?(\w+)/gm)].at(-1)?.[1] ?? otherwise
  return said === 'suspend'
    ? [
        finding(
          'LVG503',
          'libvirt-guests saves the memory of VMs to this host at shutdown: what is started elsewhere meanwhile makes that memory older than its disk',
          'ON_SHUTDOWN=shutdown in /etc/default/libvirt-guests',
        ),
      ]
    : []
}

/** LVG504 (FACTS 51). */
export function saved({ saved: images, status }: Pick<CheckFacts, 'saved' | 'status'>): Finding[] {
  if (images.kind === 'unknown') return [untold('LVG504', images.why, 'ls -l /var/lib/lvguard/saved')]
  const counts = new Map(
    [...status.areas.values()].flatMap((area) =>
      area.kind === 'known'
        ? [...area.value.leases].flatMap(([uuid, { taken }]) => (taken === undefined ? [] : [[uuid, taken] as const]))
        : [],
    ),
  )
  const held = new Set(status.locks.kind === 'known' ? status.locks.locks.keys() : [])
  return images.value.flatMap((image) => {
    const { newer, unknown } = compare(image, counts, { taken: new Set(), held, ownIds: status.ownIds })
    const { name } = image.domain
    // Whatever the leases say: they may have been unreadable when it was saved.
    if (image.doubtful === true && image.spent !== true)
      return [
        finding(
          'LVG504',
          `the memory of ${name}, saved here ${image.at}, may be older than its disk: the end of a migration of it was in doubt`,
          `virsh managedsave-remove ${name}, to start it anew (README, Saved memory)`,
        ),
      ]
    if (newer.length > 0 || image.spent === true) {
      const why =
        newer.length > 0
          ? `${newer.map(({ volume }) => volume).join(', ')} has been locked since`
          : 'it has been started since'
      return [
        finding(
          'LVG504',
          `the memory of ${name}, saved here ${image.at}, is older than its disk: ${why}`,
          `virsh managedsave-remove ${name}, to start it anew (README, Saved memory)`,
        ),
      ]
    }
    return unknown.length === 0
      ? []
      : [
          untold(
            'LVG504',
            `the lease of ${unknown.join(', ')}, which ${name} had when it was saved, cannot be read`,
            'lvguard status',
          ),
        ]
  })
}

/** LVG506: the kernel's own messages of this boot. */
export function denials({ denied }: Pick<CheckFacts, 'denied'>): Finding[] {
  if (denied.kind === 'unknown') return [untold('LVG506', denied.why, 'journalctl -k -b | grep -e DENIED -e avc:')]
  const lines = denied.value.split('\n').filter((line) => isOurs(line))
  const last = lines.at(-1)
  if (last === undefined) return []
  const what = /(?:name|path)="([^"]+)"/.exec(last)?.[1] ?? '?'
  const who =
    /profile="([^"]+)"|scontext=(\S+)/
      .exec(last)
      ?.slice(1)
      .find((word) => word !== undefined) ?? '?'
  return [
    finding(
      'LVG506',
      `${/avc:/.test(last) ? 'SELinux' : 'AppArmor'} has denied ${who} the use of ${what}${lines.length > 1 ? `, and ${lines.length - 1} more since the boot` : ''}`,
      'journalctl -k -b -g DENIED; an image below another one: name it in the XML with <backingStore> (README, Golden images)',
    ),
  ]
}

/** A denial that keeps a VM from its volume, or the hook from its work. */
const isOurs = (line: string): boolean =>
  /apparmor="DENIED"/.test(line)
    ? (/profile="libvirt-[0-9a-f-]{36}/.test(line) && /name="\/dev\/(?!shm\/|pts\/)/.test(line)) ||
      (/profile="(?:\/usr\/sbin\/)?(?:libvirtd|virtqemud)/.test(line) &&
        /lvguard|\/hooks\/|comm="(?:node|lvchange|lvmlockctl)"/.test(line))
    : /avc: +denied/.test(line) &&
      ((/svirt/.test(line) && /dev="(?:devtmpfs|dm-)/.test(line)) ||
        /lvguard|virt_hook|comm="(?:node|lvchange|lvmlockctl)"/.test(line))

/** LVG507. */
export function updates({ needrestart, unattended }: Pick<CheckFacts, 'needrestart' | 'unattended'>): Finding[] {
  const lines = (needrestart ?? '')
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
  const isSpared = (daemon: string): boolean =>
    new RegExp(`${daemon}[^\\n]*(?:\\]|\\)|\\})\\s*(?:=>|=)\\s*0|override_rc[\\s\\S]*${daemon}[^\\n]*=>\\s*0`).test(
      lines,
    )
  // Every so many days, or with a unit (apt.systemd.daily): all but 0 is on.
  const dump = unattended?.kind === 'known' ? unattended.value : ''
  const isOn = /Unattended-Upgrade\s+"(?!0*")[^"]+"/.test(dump)
  const blacklist = [...dump.matchAll(/Package-Blacklist::\s+"([^"]*)"/g)].map(([, pattern = '']) => pattern)
  const isHeld = (name: string): boolean =>
    blacklist.some((pattern) => {
      try {
        return new RegExp(`^(?:${pattern})`).test(name)
      } catch {
        return false
      }
    })
  const [restarted, upgraded] = [
    ['lvmlockd', 'sanlock'].filter((name) => !isSpared(name)),
    ['lvm2-lockd', 'sanlock'].filter((name) => !isHeld(name)),
  ]
  return [
    ...(needrestart === undefined || restarted.length === 0
      ? []
      : [
          finding(
            'LVG507',
            `needrestart may restart ${restarted.join(' and ')} under the VMs that run`,
            `a file in /etc/needrestart/conf.d: ${restarted.map((name) => `$nrconf{override_rc}{qr(^${name})} = 0;`).join(' ')}`,
          ),
        ]),
    ...(unattended?.kind === 'unknown' ? [untold('LVG507', unattended.why, 'apt-config dump')] : []),
    ...(!isOn || upgraded.length === 0
      ? []
      : [
          finding(
            'LVG507',
            `unattended-upgrades may upgrade, and so restart, ${upgraded.join(' and ')} under the VMs that run`,
            `Unattended-Upgrade::Package-Blacklist { ${upgraded.map((name) => `"${name}";`).join(' ')} }; in /etc/apt/apt.conf.d/50unattended-upgrades`,
          ),
        ]),
  ]
}
