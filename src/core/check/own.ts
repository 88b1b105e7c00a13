import type { CheckFacts } from './facts.ts'
import { type Finding, finding, untold } from './finding.ts'

/** lvguard itself: LVG401 to LVG409. */
export const ownFindings = (facts: CheckFacts): Finding[] => [
  ...hook(facts),
  ...agent(facts),
  ...configuration(facts),
  ...running(facts),
]

const INSTALL = 'run install/install.sh, or install the package again'

/** LVG401, LVG402, LVG404. */
export function hook({ hook: { file, others } }: Pick<CheckFacts, 'hook'>): Finding[] {
  const ofFile: Readonly<Record<typeof file, readonly Finding[]>> = {
    missing: [finding('LVG401', 'there is no /etc/libvirt/hooks/qemu: VMs start without locks', INSTALL)],
    'not executable': [
      finding(
        'LVG401',
        '/etc/libvirt/hooks/qemu cannot be run: VMs start without locks',
        'chmod 755 /etc/libvirt/hooks/qemu; systemctl reload libvirtd',
      ),
    ],
    other: [
      finding(
        'LVG401',
        '/etc/libvirt/hooks/qemu is another program: VMs start without locks',
        'run install/install.sh --keep-existing, or install the package',
      ),
    ],
    different: [finding('LVG402', '/etc/libvirt/hooks/qemu is another lvguard than this command', INSTALL)],
    unknown: [untold('LVG401', '/etc/libvirt/hooks/qemu cannot be read', 'ls -l /etc/libvirt/hooks/qemu')],
    same: [],
  }
  return [
    ...ofFile[file],
    ...others.map((name) =>
      finding(
        'LVG404',
        `libvirt runs ${name} too: what it changes in the XML of a VM, lvguard does not see`,
        'README, Other hooks; else mute = [ "LVG404" ]',
      ),
    ),
  ]
}

/** LVG405 and LVG406. */
export function agent({ status, isAgentOlder }: Pick<CheckFacts, 'status' | 'isAgentOlder'>): Finding[] {
  switch (status.agent.kind) {
    case 'absent':
      return [
        finding(
          'LVG405',
          'the agent does not run: no VM migrates, and nothing is repaired',
          'systemctl enable --now lvguard',
        ),
      ]
    case 'hangs':
      return [finding('LVG405', `the agent hangs, for ${status.agent.seconds} s`, 'systemctl restart lvguard')]
    case 'runs':
      return isAgentOlder
        ? [
            finding(
              'LVG406',
              'the agent was started before the program that is installed now',
              'systemctl restart lvguard',
            ),
          ]
        : []
  }
}

/** LVG407 and LVG408. */
export function configuration({
  configuration: { errors, mistakes, warnings },
  status,
}: Pick<CheckFacts, 'configuration' | 'status'>): Finding[] {
  const mend = 'lvguard check-config'
  const unreadable = [...status.records.unreadable, ...status.active.unreadable]
  return [
    ...errors.map((each) =>
      finding('LVG407', `/etc/libvirt/lvguard.conf: ${each}; until that is mended no VM starts here`, mend),
    ),
    ...[...mistakes, ...warnings].map((each) =>
      finding('LVG407', `/etc/libvirt/lvguard.conf: ${each}`, mend, 'warning'),
    ),
    ...(unreadable.length === 0
      ? []
      : [finding('LVG408', `cannot be read or understood: ${unreadable.join(', ')}`, 'ls -l of them; df /run')]),
  ]
}

/**
 * LVG403 and LVG409. Only volumes with locks count, as LVM knows them. Left out are VGs that volume_groups leaves out
 * (LVG407 reports them), and volumes that a policy leaves alone.
 */
export function running({
  status,
  table,
  configuration: { volumeGroups },
  leftAlone,
}: Pick<CheckFacts, 'status' | 'table' | 'configuration' | 'leftAlone'>): Finding[] {
  if (status.table.kind === 'unknown') return [untold('LVG409', `the volumes: ${status.table.why}`, 'lvs')]
  if (status.locks.kind === 'unknown') return [untold('LVG409', status.locks.detail, 'lvmlockctl --info')]
  const isManaged = (volume: string): boolean =>
    volumeGroups.length === 0 || volumeGroups.includes(volume.slice(0, volume.indexOf('/')))
  return table.vms.flatMap(({ name, uuid, volumes: named }) => {
    const volumes = named.filter((volume) => isManaged(volume) && leftAlone.get(uuid)?.has(volume) !== true)
    const vm = status.active.found.find((each) => each.uuid === uuid)
    if (vm === undefined || volumes.length === 0) return []
    const bare = volumes.filter(
      (volume) =>
        !table.volumes.some(
          (each) => each.volume === volume && each.holders.some(({ here, isOrphan }) => here && isOrphan !== true),
        ),
    )
    const isOnRecord = status.records.known.some(({ domain }) => domain.uuid === uuid)
    return [
      ...(isOnRecord
        ? []
        : [
            finding(
              'LVG403',
              `${name} runs on ${volumes.join(', ')}, and lvguard has no record of it: was the hook in force when it started?`,
              'systemctl reload libvirtd (or virtqemud), which looks for its hooks; the agent then takes the VM over',
            ),
          ]),
      ...(bare.length === 0
        ? []
        : [
            finding(
              'LVG409',
              `${name} runs here without a lock on ${bare.join(', ')}`,
              'journalctl -u lvguard: the agent says why it cannot take it',
            ),
          ]),
    ]
  })
}
