import { type Confirmation, type DrbdDevice, isSeen } from './drbd.ts'
import { isHostName } from './host-name.ts'
import { LOST, type Lockspace, leaseState } from './lease.ts'

/**
 * Exit statuses of a fence-peer handler (enum drbd_peer_state in drbd.h, read by conn_try_outdate_peer; the same in
 * DRBD 8.4 and 9): 3 the peer's copy is inconsistent; 4 it is outdated now; 5 it is unreachable, assumed to be dead; 6
 * it is Primary, and this host's own copy is to be outdated; 7 it was switched off (STONITH). After 3, 4, 5 and 7 DRBD
 * goes on. Anything else is a handler that is broken, and I/O stays frozen.
 */
export const SWITCHED_OFF = 7
/** None of those: DRBD says `fence-peer helper broken, returned 1` and lets I/O wait on. */
export const STAYS_FROZEN = 1

/** In units of io_timeout: what sanlock needs for one more renewal when I/O goes on, before its lease runs out. */
const RENEWAL = 1
/**
 * In units of io_timeout: the time that a handler has where no lease is known. DRBD notices a loss within 16 s
 * (ping-int, ping-timeout), and a renewal is 20 s old at most.
 */
const UNKNOWN_LEASE = 3
/** sanlock's default, in seconds. */
const IO_TIMEOUT = 10
/**
 * Seconds for which the answer to one call holds for another resource of the same peer too: DRBD's connections to one
 * host do not break at the same moment.
 */
export const FRESH = 30

/** A section `on NAME… { node-id N; … }` of `drbdadm dump RES`; DRBD 8.4 has no node-id. */
export interface HostSection {
  readonly names: readonly string[]
  readonly nodeId: string | undefined
}

/** The peer that a handler was called for. */
export interface FenceTarget {
  readonly resource: string
  /** DrbdPeer.id */
  readonly peer: string
  readonly host: string
  /** How many other hosts the resource has. */
  readonly others: number
}

/** Why a call does not tell whom to switch off; in half a sentence. */
export interface Refusal {
  readonly why: string
}

/**
 * Whom DRBD asks about. The environment alone is not believed: DRBD itself must have the resource and the peer, and the
 * host's name is that of the configuration. What is in the environment (adm_khelper in drbdadm_main.c of v84 and v9,
 * drbd_khelper in drbd_nl.c of DRBD 9):
 * - DRBD_RESOURCE: from drbdadm, with 8.4 and 9;
 * - DRBD_PEER, the name: from drbdadm, with 8.4 only;
 * - DRBD_PEER_NODE_ID: from the module of DRBD 9 only;
 * - DRBD_NODE_ID_N, the name of each: from drbdadm, with 9.
 * @param devices all of this host
 * @param sections of the resource
 * @param self this host's own name
 */
export function fenceTarget(
  env: Readonly<Record<string, string | undefined>>,
  devices: readonly DrbdDevice[],
  sections: readonly HostSection[],
  self: string,
): FenceTarget | Refusal {
  const resource = env['DRBD_RESOURCE'] ?? ''
  if (resource === '') return { why: 'DRBD_RESOURCE is not set: DRBD itself calls this, as its handler fence-peer' }
  const own = devices.filter((device) => device.resource === resource)
  if (own.length === 0) return { why: `DRBD has no resource ${resource} here` }
  const peers = [...new Set(own.flatMap((device) => device.peers.map(({ id }) => id)))]
  const peer = env['DRBD_PEER_NODE_ID'] ?? (peers.length === 1 ? peers[0] : undefined)
  if (peer === undefined)
    return { why: `DRBD does not say which of the ${peers.length} peers of ${resource} is meant (DRBD_PEER_NODE_ID)` }
  if (!peers.includes(peer)) return { why: `DRBD resource ${resource} has no peer with the node-id ${peer}` }
  const others = sections.filter(({ names }) => !names.includes(self))
  const isNumbered = sections.some(({ nodeId }) => nodeId !== undefined)
  const [section, ...more] = isNumbered ? others.filter(({ nodeId }) => nodeId === peer) : others
  const [host, ...aliases] = section?.names ?? []
  if (host === undefined || more.length + aliases.length > 0)
    return {
      why: `the configuration of DRBD resource ${resource} does not name one host for this peer (drbdadm dump ${resource})`,
    }
  if (!isHostName(host))
    return { why: `the configuration of DRBD resource ${resource} calls its peer by a name that is none of a host` }
  const said = [env['DRBD_PEER'], env[`DRBD_NODE_ID_${peer}`]].find(
    (name) => name !== undefined && name !== '' && name !== host,
  )
  if (said !== undefined)
    return { why: `DRBD calls the peer of ${resource} ${said}, and its configuration calls it ${host}` }
  return { resource, peer, host, others: others.length }
}

/**
 * Why this host does not switch that peer off; undefined: it may. Only a host may that uses the resource now, with a
 * good copy, and whose peer was lost and is not back. A host that is asked to become Primary has just booted, as a
 * rule. If such hosts might do it too, two of them would switch each other off by turns.
 */
export function whyNotFenced(
  { resource, peer, host }: FenceTarget,
  devices: readonly DrbdDevice[],
): string | undefined {
  const own = devices.filter((device) => device.resource === resource)
  const [first] = own
  if (first === undefined) return `DRBD has no resource ${resource} here`
  const seen = own.flatMap(({ peers }) => peers.filter(({ id }) => id === peer))
  if (seen.length === 0) return `DRBD resource ${resource} has no peer ${host} any more`
  // DRBD comes to that state if somebody has typed `drbdadm disconnect`, or after a split brain. For either both sides
  // have talked.
  if (seen.some(({ connection }) => connection === 'StandAlone' || connection === 'Disconnecting'))
    return `it was disconnected by hand, or is in a split brain; see 'drbdadm status ${resource}'`
  if (seen.some((each) => each.connection === 'Connected' || isSeen(each) === true)) return `it sees ${host} again`
  if (first.role !== 'Primary')
    return `it is ${first.role} here, and for a promotion nobody is switched off. If ${host} is certainly off: lvguard confirm-off ${host}; then drbdadm primary ${resource}`
  const bad = own.find(({ disk }) => disk !== 'UpToDate')
  return bad === undefined ? undefined : `the copy of this host is ${bad.disk}, and that of ${host} may be the good one`
}

/**
 * When the handler has to answer, in seconds of the monotonic clock; undefined: this host has lost a lease on the
 * resource already, and cuts its VMs off. sanlock of this host waits for the same I/O. So the answer must come one
 * io_timeout before the lease runs out (8 × io_timeout after the last renewal): then the lease can still be renewed.
 * With the defaults that is 70 s after the last renewal.
 * @param lockspaces those on the resource; none: sanlock does not say
 * @param now seconds of the monotonic clock
 */
export function fenceEnds(lockspaces: readonly Lockspace[], now: number): number | undefined {
  const states = lockspaces.map((lockspace) => ({ lockspace, state: leaseState(lockspace, now) }))
  if (states.some(({ state }) => state.kind === 'lost')) return undefined
  const ends = states
    .filter(({ state }) => state.kind !== 'none')
    .map(({ lockspace: { renewed, ioTimeout } }) => renewed + (LOST - RENEWAL) * ioTimeout)
  return ends.length === 0 ? now + UNKNOWN_LEASE * IO_TIMEOUT : Math.min(...ends)
}

/** Whether a text is one of fence_command: `%` only as `%h` and `%%`. */
export const isFenceWord = (text: string): boolean => !text.includes('\0') && /^(?:[^%]|%[h%])*$/.test(text)

/** The words of fence_command for a host: `%h` is its name, `%%` a percent sign. Each text stays one argument. */
export const fenceWords = (command: readonly string[], host: string): string[] =>
  command.map((text) => text.replace(/%[h%]/g, (sign) => (sign === '%h' ? host : '%')))

/** A command that does not name the host always switches off the same one: that is right only if there is only one. */
export const namesHost = (command: readonly string[]): boolean =>
  command.some((text) => /(?:^|[^%])(?:%%)*%h/.test(text))

/** That a host was switched off for a resource, as `confirm-off` puts it down. */
export const fencedNote = ({ resource, peer, host }: FenceTarget, at: string): Confirmation => ({
  format: 1,
  resource,
  peer,
  host,
  at,
  by: 'fence',
})

/** The answer of an earlier call, in /run/lvguard. */
export interface FenceAnswer {
  readonly host: string
  readonly resource: string
  readonly peer: string
  /** Seconds of the monotonic clock at which fence_command had ended. */
  readonly at: number
}

/**
 * Whether the answer to an earlier call holds for this one: it is a moment old, and the resource that it was given for
 * has not seen its peer since.
 */
export function answerHolds(
  answer: FenceAnswer | undefined,
  { host }: FenceTarget,
  devices: readonly DrbdDevice[],
  now: number,
): boolean {
  if (answer === undefined || answer.host !== host || answer.at > now || now - answer.at > FRESH) return false
  const peers = devices
    .filter(({ resource }) => resource === answer.resource)
    .flatMap((device) => device.peers.filter(({ id }) => id === answer.peer))
  return peers.every(({ connection }) => connection !== 'Connected' && connection !== 'StandAlone')
}
