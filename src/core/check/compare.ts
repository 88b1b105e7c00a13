import { type Finding, finding, untold } from './finding.ts'

/** A VM with a volume in a shared VG, as far as two hosts compare it. */
export interface ComparedVm {
  readonly name: string
  readonly uuid: string
  /** Of its definition as `lvguard sync` compares it (core/sync.ts). */
  readonly digest: string
  /** What its interfaces name: bridges and devices of the host, and networks of libvirt. */
  readonly links: readonly string[]
  readonly networks: readonly string[]
  readonly pools: readonly string[]
  /** `host-passthrough`, `host-model`, `maximum`; empty: its processor is not the host's. */
  readonly cpu: string
}

/** A VG with locks. */
export interface ComparedVg {
  readonly vg: string
  /** Empty: it has no LV, so that none tells. */
  readonly uuid: string
  readonly locking: string
  readonly hostId: number | null
  /** Seconds. */
  readonly ioTimeout: number | null
}

/**
 * What a host says of itself to another one (`lvguard check --facts`). `format` goes up when a field changes its
 * meaning; null is what cannot be told.
 */
export interface HostDescription {
  readonly format: 1
  readonly host: string
  /** Seconds of the epoch, when all else was read. */
  readonly time: number
  /** By the name of the program. */
  readonly versions: Readonly<Record<string, string | null>>
  /** lvguard.conf as it counts, by key: without what belongs to one host alone. */
  readonly configuration: Readonly<Record<string, string>> | null
  /** lvm.conf, of the settings that matter. */
  readonly lvm: Readonly<Record<string, string>> | null
  readonly hasWatchdog: boolean | null
  readonly vgs: readonly ComparedVg[]
  readonly vms: readonly ComparedVm[]
  /** All that /sys/class/net has. */
  readonly links: readonly string[]
  /** libvirt's networks that are active. */
  readonly networks: readonly string[]
  /** libvirt's pools by name, each with its type and where it is. */
  readonly pools: Readonly<Record<string, string>>
  readonly cpu: { readonly model: string; readonly flags: readonly string[] } | null
}

/** Reads what another host says of itself. @returns undefined if it has another form, as that of another version */
export function hostFactsIn(text: string): HostDescription | undefined {
  try {
    const facts = JSON.parse(text) as Partial<HostDescription>
    const lists = [facts.vgs, facts.vms, facts.links, facts.networks]
    const isWhole =
      facts.format === 1 &&
      typeof facts.host === 'string' &&
      typeof facts.time === 'number' &&
      lists.every((each) => Array.isArray(each)) &&
      [facts.versions, facts.pools].every((each) => typeof each === 'object' && each !== null) &&
      [facts.configuration, facts.lvm, facts.hasWatchdog, facts.cpu].every((each) => each !== undefined)
    return isWhole ? (facts as HostDescription) : undefined
  } catch {
    return undefined
  }
}

/** Between which moments the other host has read its clock, in seconds of the epoch of this host's. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** LVG601 to LVG611: what differs between two hosts, and should not. @param window in which `there` has answered */
export const compareHosts = (here: HostDescription, there: HostDescription, window: Window): Finding[] => [
  ...versions(here, there),
  ...settings(here, there),
  ...locks(here, there),
  ...definitions(here, there),
  ...needs(here, there),
  ...processors(here, there),
  ...clocks(here, there, window),
]

/** What differs by key: `lock_wait: 30 on node1, 60 on node2`. */
function differing(
  here: Readonly<Record<string, string | null>>,
  there: Readonly<Record<string, string | null>>,
  [one, two]: readonly [string, string],
): string[] {
  const keys = [...new Set([...Object.keys(here), ...Object.keys(there)])]
  return keys
    .filter((key) => here[key] !== null && there[key] !== null && here[key] !== there[key])
    .map((key) => `${key}: ${here[key] ?? 'nothing'} on ${one}, ${there[key] ?? 'nothing'} on ${two}`)
}

/** LVG601 and LVG602. */
function versions(here: HostDescription, there: HostDescription): Finding[] {
  const names = [here.host, there.host] as const
  const { lvguard: ownHere = null, ...here_ } = here.versions
  const { lvguard: ownThere = null, ...there_ } = there.versions
  const others = differing(here_, there_, names)
  const unknown = Object.keys({ ...here_, ...there_ }).flatMap((program) =>
    [here, there].filter((side) => side.versions[program] == null).map((side) => `${program} on ${side.host}`),
  )
  return [
    ...differing({ lvguard: ownHere }, { lvguard: ownThere }, names).map((words) =>
      finding('LVG601', words, 'install the same version on both: records and words of two versions may differ'),
    ),
    ...(others.length === 0
      ? []
      : [
          finding(
            'LVG602',
            `different versions: ${others.join('; ')}`,
            'upgrade both; until then a VM may migrate only from the older libvirt and QEMU to the newer',
          ),
        ]),
    ...(unknown.length === 0 ? [] : [untold('LVG602', `no version of ${unknown.join(', ')}`)]),
  ]
}

/** LVG603 and LVG604. */
function settings(here: HostDescription, there: HostDescription): Finding[] {
  const names = [here.host, there.host] as const
  const of = (
    code: 'LVG603' | 'LVG604',
    [one, two]: readonly [Readonly<Record<string, string>> | null, Readonly<Record<string, string>> | null],
    mend: string,
  ): Finding[] => {
    if (one === null || two === null)
      return [untold(code, `it cannot be read on ${one === null ? here.host : there.host}`, mend)]
    const found = differing(one, two, names)
    return found.length === 0 ? [] : [finding(code, found.join('; '), mend)]
  }
  return [
    ...of(
      'LVG603',
      [here.configuration, there.configuration],
      'the same /etc/libvirt/lvguard.conf on both (lvguard check-config)',
    ),
    ...of('LVG604', [here.lvm, there.lvm], 'the same /etc/lvm/lvm.conf on both'),
  ]
}

/** A lease that is late counts as started here: each host reports its own late lease (LVG115). */
const isStarted = (locking: string): boolean => locking === 'started' || locking === 'late'

/** LVG605 and LVG606. */
function locks(here: HostDescription, there: HostDescription): Finding[] {
  const [one, two] = [here.host, there.host]
  const found: Finding[] = []
  if (here.hasWatchdog !== null && there.hasWatchdog !== null && here.hasWatchdog !== there.hasWatchdog)
    found.push(
      finding(
        'LVG605',
        `sanlock has a watchdog on ${here.hasWatchdog ? one : two}, and none on ${here.hasWatchdog ? two : one}`,
        `README, Locks and watchdog, on ${here.hasWatchdog ? two : one}`,
      ),
    )
  for (const { vg, uuid, hostId, ioTimeout, locking } of here.vgs) {
    const other = there.vgs.find((each) => each.vg === vg)
    if (other === undefined) {
      found.push(
        finding(
          'LVG606',
          `${two} does not see the shared volume group ${vg} of ${one}`,
          `is its storage connected on ${two} (pvs -a)?`,
          'warning',
        ),
      )
      continue
    }
    if (uuid !== '' && other.uuid !== '' && uuid !== other.uuid) {
      found.push(
        finding(
          'LVG606',
          `${vg} of ${one} and ${vg} of ${two} are two volume groups, with different UUIDs`,
          `vgrename one of them; a VM that is defined on both has different disks`,
        ),
      )
      continue
    }
    if (hostId !== null && hostId === other.hostId)
      found.push(
        finding(
          'LVG606',
          `${one} and ${two} both have host_id ${hostId} on ${vg}`,
          'another host_id in /etc/lvm/lvmlocal.conf on one of the two, then reboot it',
        ),
      )
    const off = [
      ...(isStarted(locking) ? [] : [`${locking} on ${one}`]),
      ...(isStarted(other.locking) ? [] : [`${other.locking} on ${two}`]),
    ]
    if (off.length > 0)
      found.push(finding('LVG606', `the locking of ${vg}: ${off.join(', ')}`, `vgchange --lock-start ${vg}`, 'warning'))
    if (ioTimeout !== null && other.ioTimeout !== null && ioTimeout !== other.ioTimeout)
      found.push(
        finding(
          'LVG605',
          `the io_timeout of ${vg}: ${ioTimeout} s on ${one}, ${other.ioTimeout} s on ${two}`,
          'the same --sanlock-timeout of lvmlockd (-o) on both, then reboot',
        ),
      )
  }
  for (const { vg } of there.vgs)
    if (!here.vgs.some((each) => each.vg === vg))
      found.push(
        finding(
          'LVG606',
          `${one} does not see the shared volume group ${vg} of ${two}`,
          `is its storage connected on ${one} (pvs -a)?`,
          'warning',
        ),
      )
  return found
}

const MOST_NAMES = 5
const some = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(', ')
    : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} more`

/** LVG607. */
function definitions(here: HostDescription, there: HostDescription): Finding[] {
  const [one, two] = [here.host, there.host]
  const twin = (vm: ComparedVm, all: readonly ComparedVm[]): ComparedVm | undefined =>
    all.find(({ uuid }) => uuid === vm.uuid) ?? all.find(({ name }) => name === vm.name)
  const alone = (side: HostDescription, other: HostDescription): string[] =>
    side.vms.filter((vm) => twin(vm, other.vms) === undefined).map(({ name }) => name)
  const pairs = here.vms.flatMap((vm) => {
    const other = twin(vm, there.vms)
    return other === undefined ? [] : [{ vm, other }]
  })
  const strangers = pairs.filter(({ vm, other }) => vm.uuid !== other.uuid || vm.name !== other.name)
  const different = pairs
    .filter((pair) => !strangers.includes(pair) && pair.vm.digest !== pair.other.digest)
    .map(({ vm }) => vm.name)
  const only = (names: readonly string[], at: string, from: string, to: string): Finding[] =>
    names.length === 0
      ? []
      : [finding('LVG607', `defined on ${at} alone: ${some(names)}`, `lvguard sync --to ${to} on ${from}`)]
  return [
    ...strangers.map(({ vm, other }) =>
      finding(
        'LVG607',
        vm.uuid === other.uuid
          ? `${vm.name} of ${one} is called ${other.name} on ${two}`
          : `${vm.name} of ${one} and ${other.name} of ${two} are two VMs, with different UUIDs`,
        'virsh domrename one of them',
      ),
    ),
    ...(different.length === 0
      ? []
      : [
          finding(
            'LVG607',
            `defined in different ways: ${some(different)}`,
            `lvguard sync --to ${two} --dry-run shows how, and which is the newer one`,
          ),
        ]),
    ...only(alone(here, there), one, one, two),
    ...only(alone(there, here), two, two, one),
  ]
}

/** LVG608 and LVG609: what VMs that are defined on one host need on the other one. */
function needs(here: HostDescription, there: HostDescription): Finding[] {
  const missing = (
    kind: string,
    own: (vm: ComparedVm) => readonly string[],
    has: (side: HostDescription) => readonly string[],
  ): { readonly host: string; readonly what: string; readonly vms: readonly string[] }[] =>
    [here, there].flatMap((side) => {
      const vms = [...here.vms, ...there.vms]
      const names = [...new Set(vms.flatMap(own))].filter((name) => !has(side).includes(name))
      return names.map((name) => ({
        host: side.host,
        what: `${kind} ${name}`,
        vms: [...new Set(vms.filter((vm) => own(vm).includes(name)).map((vm) => vm.name))],
      }))
    })
  const wanted = new Set([...here.vms, ...there.vms].flatMap(({ pools }) => pools))
  const pools = Object.keys(here.pools).filter(
    (name) => wanted.has(name) && there.pools[name] !== undefined && there.pools[name] !== here.pools[name],
  )
  return [
    ...[
      ...missing(
        'network device',
        (vm) => vm.links,
        (side) => side.links,
      ),
      ...missing(
        'active network',
        (vm) => vm.networks,
        (side) => side.networks,
      ),
    ].map(({ host, what, vms }) =>
      finding(
        'LVG608',
        `${host} has no ${what}, which ${some(vms)} ${vms.length === 1 ? 'needs' : 'need'}`,
        `make it on ${host} (ip link; virsh net-list --all), or virsh edit`,
      ),
    ),
    ...missing(
      'storage pool',
      (vm) => vm.pools,
      (side) => Object.keys(side.pools),
    ).map(({ host, what, vms }) =>
      finding(
        'LVG609',
        `${host} has no ${what}, which ${some(vms)} ${vms.length === 1 ? 'needs' : 'need'}`,
        `name the volumes by their paths (README, Storage pools), or define the pool on ${host}`,
      ),
    ),
    ...pools.map((name) =>
      finding(
        'LVG609',
        `the storage pool ${name} is ${here.pools[name]} on ${here.host}, and ${there.pools[name]} on ${there.host}`,
        'the same pool on both: virsh pool-edit',
      ),
    ),
  ]
}

/** LVG610. */
function processors(here: HostDescription, there: HostDescription): Finding[] {
  if (here.cpu === null || there.cpu === null)
    return [untold('LVG610', `no /proc/cpuinfo on ${here.cpu === null ? here.host : there.host}`, 'lscpu')]
  const lacks = (side: readonly string[], other: readonly string[]): string[] =>
    other.filter((flag) => !side.includes(flag))
  const words = [
    ...(here.cpu.model === there.cpu.model
      ? []
      : [`${here.cpu.model} on ${here.host}, ${there.cpu.model} on ${there.host}`]),
    ...[
      [here.host, lacks(here.cpu.flags, there.cpu.flags)] as const,
      [there.host, lacks(there.cpu.flags, here.cpu.flags)] as const,
    ].flatMap(([host, flags]) => (flags.length === 0 ? [] : [`${host} lacks ${some(flags)}`])),
  ]
  const bound = [...new Set([...here.vms, ...there.vms].filter(({ cpu }) => cpu !== '').map(({ name }) => name))]
  return words.length === 0
    ? []
    : [
        finding(
          'LVG610',
          `the processors differ: ${words.join('; ')}`,
          `${bound.length === 0 ? '' : `of ${some(bound)}, which ${bound.length === 1 ? 'has' : 'have'} the host's own, and of others: `}<cpu mode='custom'> with a model that both can do (virsh cpu-baseline)`,
        ),
      ]
}

/** Seconds: time servers keep hosts nearer to each other than this. */
const APART = 2

/** LVG611. */
function clocks(here: HostDescription, { host, time }: HostDescription, { from, to }: Window): Finding[] {
  const behind = from - time
  const ahead = time - to
  const apart = Math.max(behind, ahead)
  return apart <= APART
    ? []
    : [
        finding(
          'LVG611',
          `the clock of ${host} is at least ${Math.round(apart)} s ${ahead > behind ? 'ahead of' : 'behind'} that of ${here.host}`,
          'a time server for both (chrony, systemd-timesyncd): the times in two journals cannot be compared',
        ),
      ]
}
