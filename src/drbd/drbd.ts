import { date, uptime } from '../system/clock.ts'
import {
  type Confirmation,
  type DrbdDevice,
  type DrbdState,
  type DrbdTrouble,
  type DrbdVerdict,
  NO_DRBD,
  confirmationsOver,
  isSeen,
  judge,
  ofThisBoot,
} from '../core/drbd.ts'
import type { HostSection } from '../core/fence.ts'
import { messageOf } from '../system/error-message.ts'
import { query } from '../system/run.ts'
import { parsePvs, pvsArguments } from '../lvm/pvs.ts'
import { self } from '../system/self.ts'
import { readConfirmations, readUnseen } from './notes.ts'
import { drbdMinors, minorsOfPv } from './devices.ts'
import {
  EVENTS_ARGUMENTS,
  FOLLOW_ARGUMENTS,
  type SeenPeer,
  parseEvents,
  parseHosts,
  parseQuorum,
  parseSections,
  parseSeen,
} from './events.ts'

/** All DRBD devices of this host. `unknown`: why nothing can be told of them. */
export type DrbdDevices =
  | { readonly kind: 'known'; readonly devices: readonly DrbdDevice[] }
  | { readonly kind: 'unknown'; readonly detail: string }

/** Asks DRBD, whose answer comes from the kernel and touches no disk. */
export async function drbdDevices(): Promise<DrbdDevices> {
  const { exitCode, stdout, stderr, isAbsent } = await query('drbdsetup', EVENTS_ARGUMENTS)
  if (isAbsent) return { kind: 'unknown', detail: 'drbdsetup was not found on this host (apt install drbd-utils)' }
  if (exitCode !== 0) return { kind: 'unknown', detail: `drbdsetup says '${stderr.trim().split('\n')[0] ?? ''}'` }
  try {
    return { kind: 'known', devices: parseEvents(stdout) }
  } catch (error) {
    return { kind: 'unknown', detail: messageOf(error) }
  }
}

/** Seconds for which DRBD is followed at a time. */
const FOLLOW = 5

/** The peers that are seen in the next FOLLOW seconds, however briefly; undefined: nobody can say. */
export async function seenPeers(): Promise<SeenPeer[] | undefined> {
  const { exitCode, stdout } = await query('timeout', [String(FOLLOW), 'drbdsetup', ...FOLLOW_ARGUMENTS])
  // timeout(1): the command did not end by itself.
  return exitCode === 124 ? parseSeen(stdout) : undefined
}

/**
 * What the state of each of these minors means. Asks for the quorum policy only where it can matter: a peer is not
 * seen, and this DRBD has a quorum.
 * @param confirmations all of this host; those of this boot count
 */
export async function verdictsOf(
  minors: readonly number[],
  found: DrbdDevices,
  confirmations: readonly Confirmation[],
): Promise<Map<number, DrbdVerdict>> {
  const now = date()
  const bootedAt = new Date(now.getTime() - uptime() * 1000).toISOString()
  const said = ofThisBoot(confirmations, { bootedAt, now: now.toISOString() })
  const verdicts = await Promise.all(
    minors.map(async (minor): Promise<[number, DrbdVerdict]> => {
      if (found.kind === 'unknown') return [minor, { kind: 'unknown', detail: found.detail }]
      const device = found.devices.find((each) => each.minor === minor)
      if (device === undefined)
        return [minor, { kind: 'unknown', detail: `drbdsetup says nothing of /dev/drbd${minor}` }]
      const isAlone = device.quorum !== undefined && device.peers.some((peer) => isSeen(peer) !== true)
      return [minor, judge(device, isAlone ? await quorumOf(device.resource) : undefined, said)]
    }),
  )
  return new Map(verdicts)
}

async function quorumOf(resource: string): Promise<string | undefined> {
  const { exitCode, stdout } = await query('drbdsetup', ['show', resource])
  return exitCode === 0 ? parseQuorum(stdout) : undefined
}

/**
 * The other hosts of a resource by its configuration, for a message and to compare with what a person types: DRBD 8.4
 * itself does not know its peer's name. Empty if that cannot be told.
 */
export async function peerHosts(resource: string): Promise<string[]> {
  const { exitCode, stdout } = await query('drbdadm', ['dump', resource])
  return exitCode === 0 ? [...new Set(parseHosts(stdout))].filter((host) => host !== self().hostname()) : []
}

/**
 * The sections of the hosts of a resource, this one's own among them. Empty if they cannot be told.
 * @param limit milliseconds
 */
export async function hostSections(resource: string, limit: number): Promise<HostSection[]> {
  const { exitCode, stdout } = await query('drbdadm', ['dump', resource], limit)
  return exitCode === 0 ? parseSections(stdout) : []
}

/**
 * What DRBD says of these VGs. Without a DRBD device it asks nothing. Otherwise it runs one `drbdsetup`; if something
 * is wrong, it also asks LVM which VG that device is below. Never throws: what cannot be told is `unknown` (R9).
 */
export async function drbdBelow(vgs: readonly string[]): Promise<DrbdState> {
  const minors = vgs.length === 0 ? [] : drbdMinors()
  if (minors.length === 0) return NO_DRBD
  const found = await drbdDevices()
  const confirmations = readConfirmations()
  const over = found.kind === 'known' ? confirmationsOver(confirmations, found.devices) : []
  const verdicts = await verdictsOf(
    minors,
    found,
    confirmations.filter((each) => !over.includes(each)),
  )
  if ([...verdicts.values()].every((verdict) => verdict.kind === 'fine' && verdict.confirmed.length === 0))
    return { ...NO_DRBD, over }
  const suspended = [...verdicts.values()].find((verdict) => verdict.kind === 'suspended')
  // pvs, and whatever lvm command may follow, would wait for it: each reads every disk.
  const below = suspended === undefined ? await minorsByVg(vgs) : undefined
  const troubles = new Map<string, DrbdTrouble>()
  const confirmed = new Map<string, readonly Confirmation[]>()
  for (const vg of vgs) {
    const verdict = suspended ?? verdictOn(below?.get(vg), verdicts)
    if (verdict.kind !== 'fine') troubles.set(vg, await inFull(verdict))
    else if (verdict.confirmed.length > 0) confirmed.set(vg, verdict.confirmed)
  }
  return { troubles, confirmed, over }
}

/** The minors below a VG; `absent`: LVM shows no PV of it; a text: why it cannot be told. */
type Minors = readonly number[] | 'absent' | { readonly detail: string }

async function minorsByVg(vgs: readonly string[]): Promise<Map<string, Minors>> {
  const { stdout } = await query('pvs', pvsArguments())
  try {
    const pvs = parsePvs(stdout)
    return new Map(
      vgs.map((vg): [string, Minors] => {
        const own = pvs.filter((pv) => pv.vg === vg)
        if (own.length === 0) return [vg, 'absent']
        const below = own.map(({ path }) => ({ path, minors: minorsOfPv(path) }))
        const lost = below.find(({ minors }) => minors === undefined)
        return [
          vg,
          lost === undefined
            ? below.flatMap(({ minors }) => minors ?? [])
            : { detail: `a physical volume of it is not there (${lost.path})` },
        ]
      }),
    )
  } catch {
    return new Map(vgs.map((vg) => [vg, { detail: 'pvs does not answer' }]))
  }
}

function verdictOn(below: Minors | undefined, verdicts: ReadonlyMap<number, DrbdVerdict>): DrbdVerdict {
  if (below === undefined || below === 'absent') {
    // LVM cannot read a PV on a device that is Secondary, or has no data: it may be this VG's.
    const hidden = [...verdicts.values()].find(({ kind }) => kind === 'not-primary' || kind === 'not-up-to-date')
    if (hidden?.kind === 'not-primary' || hidden?.kind === 'not-up-to-date') return { ...hidden, mayHide: true }
    return { kind: 'unknown', detail: 'LVM shows no physical volume of it' }
  }
  if ('detail' in below) return { kind: 'unknown', detail: below.detail }
  const own = below.map(
    (minor): DrbdVerdict => verdicts.get(minor) ?? { kind: 'unknown', detail: `/dev/drbd${minor} has come just now` },
  )
  return (
    own.find(({ kind }) => kind !== 'fine') ?? {
      kind: 'fine',
      confirmed: own.flatMap((verdict) => (verdict.kind === 'fine' ? verdict.confirmed : [])),
    }
  )
}

/** With the peer's name, and since when it is not seen, as far as they are known. */
export async function inFull<T extends DrbdTrouble>(trouble: T): Promise<T> {
  if (trouble.kind !== 'peer-unseen') return trouble
  const since = trouble.peers.flatMap((peer) => readUnseen().get(`${trouble.resource} ${peer}`) ?? []).sort()[0]
  const hosts = trouble.host === undefined ? await peerHosts(trouble.resource) : []
  return { ...trouble, ...(since !== undefined && { since }), ...(hosts.length > 0 && { host: hosts.join(' and ') }) }
}
