import type { CheckFacts } from './facts.ts'
import { type Finding, finding, untold } from './finding.ts'

/** DRBD: LVG301 to LVG306. Nothing on a host without a DRBD device. */
export const drbdFindings = (facts: Pick<CheckFacts, 'status' | 'drbdDumps'>): Finding[] => [
  ...state(facts),
  ...configured(facts),
]

/** LVG301, LVG305, LVG306: what DRBD says now (captures/debian-13/drbd). */
export function state({ status: { drbd } }: Pick<CheckFacts, 'status'>): Finding[] {
  if (drbd.kind === 'unknown') return [untold('LVG305', drbd.why, 'drbdadm status')]
  return drbd.value.flatMap(({ resource, role, disk, peers }) => {
    const found: Finding[] = []
    if (role !== 'Primary')
      found.push(finding('LVG301', `DRBD resource ${resource} is ${role} here`, `drbdadm primary ${resource}`))
    if (disk !== 'UpToDate')
      found.push(
        finding('LVG306', `this host's copy of DRBD resource ${resource} is ${disk}`, `drbdadm status ${resource}`),
      )
    if (peers.length === 0)
      found.push(finding('LVG305', `DRBD resource ${resource} has no peer`, `drbdadm up ${resource}`))
    for (const { name, connection, disk: peerDisk } of peers) {
      const who = name ?? 'its peer'
      if (connection === 'StandAlone')
        found.push(
          finding(
            'LVG305',
            `DRBD resource ${resource} is StandAlone: after a split brain a person has to choose whose writes are lost`,
            'README, A split brain',
          ),
        )
      else if (connection !== 'Connected')
        found.push(
          finding(
            'LVG305',
            `DRBD resource ${resource} is not connected to ${who} (${connection})`,
            `bring the link back: drbdadm status ${resource}`,
          ),
        )
      else if (peerDisk !== 'UpToDate')
        found.push(
          finding(
            'LVG306',
            `the copy of DRBD resource ${resource} on ${who} is ${peerDisk}`,
            `wait until it is synced: drbdadm status ${resource}`,
            'warning',
          ),
        )
    }
    return found
  })
}

const valueIn = (dump: string, key: string): string | undefined =>
  new RegExp(`^\\s*${key}\\s+(\\S+?)\\s*;`, 'm').exec(dump)?.[1]

/**
 * LVG301 to LVG304: `drbdadm dump`. A setting that is not in it has DRBD's default: protocol C, one primary,
 * disconnect, no fencing, no quorum (drbd.conf(5)).
 */
export function configured({ drbdDumps }: Pick<CheckFacts, 'drbdDumps'>): Finding[] {
  return [...drbdDumps].flatMap(([resource, dump]) => {
    if (dump.kind === 'unknown')
      return [untold('LVG303', `resource ${resource}: ${dump.why}`, `drbdadm dump ${resource}`)]
    const value = (key: string): string | undefined => valueIn(dump.value, key)
    const change = (line: string): string =>
      `${line} in /etc/drbd.d/${resource}.res on both hosts, then drbdadm adjust ${resource}`
    const two = value('allow-two-primaries') ?? (/^\s*allow-two-primaries\s*;/m.test(dump.value) ? 'yes' : 'no')
    const discards = ['after-sb-0pri', 'after-sb-1pri', 'after-sb-2pri'].filter(
      (key) => !['disconnect', undefined].includes(value(key)),
    )
    const [fencing, quorum] = [value('fencing') ?? 'dont-care', value('quorum') ?? 'off']
    return [
      ...(two === 'yes'
        ? []
        : [
            finding(
              'LVG301',
              `DRBD resource ${resource} does not allow two primaries`,
              change('net { allow-two-primaries yes; }'),
            ),
          ]),
      ...((value('protocol') ?? 'C') === 'C'
        ? []
        : [
            finding(
              'LVG302',
              `DRBD resource ${resource} replicates with protocol ${value('protocol')}: a host that dies takes writes with it`,
              change('protocol C;'),
            ),
          ]),
      ...(fencing === 'dont-care' && quorum === 'off'
        ? [
            finding(
              'LVG303',
              `DRBD resource ${resource} has neither fencing nor a quorum: when the hosts lose each other, no VM starts until a person decides`,
              'README, What two hosts can decide; else mute = [ "LVG303" ]',
            ),
          ]
        : []),
      ...(discards.length === 0
        ? []
        : [
            finding(
              'LVG304',
              `DRBD resource ${resource} throws away one side's writes after a split brain: ${discards.map((key) => `${key} ${value(key)}`).join(', ')}`,
              change('net { after-sb-0pri disconnect; after-sb-1pri disconnect; after-sb-2pri disconnect; }'),
            ),
          ]),
    ]
  })
}
