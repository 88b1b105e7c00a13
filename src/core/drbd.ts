/** A peer of a DRBD device, in DRBD's words (`drbdsetup events2`, rows connection and peer-device). */
export interface DrbdPeer {
  /** peer-node-id; 0 for the one peer that DRBD 8.4 has. */
  readonly id: string
  /** DRBD 9: conn-name, as a rule the peer's host name. 8.4 calls each `peer`, and so tells none. */
  readonly name: string | undefined
  /** `Connected`, `Connecting`, `StandAlone`, … */
  readonly connection: string
  /** `Established`, `SyncTarget`, `Off`, … */
  readonly replication: string
  /** peer-disk: `UpToDate`, `Outdated`, `DUnknown`, … */
  readonly disk: string
}

/** A DRBD device of this host with the state of its resource, in DRBD's words. */
export interface DrbdDevice {
  readonly minor: number
  readonly resource: string
  /** `Primary` or `Secondary`: the role on this host. */
  readonly role: string
  /** `no`, or why all I/O waits: `fencing`, `quorum`, `user`, `no-data`, or several of them with commas. */
  readonly suspended: string
  /** This host's own copy: `UpToDate`, `Inconsistent`, `Diskless`, … */
  readonly disk: string
  /**
   * DRBD 9: whether this side has quorum; it says yes where no quorum is asked for, too. Undefined: 8.4, which has
   * none.
   */
  readonly quorum: boolean | undefined
  readonly peers: readonly DrbdPeer[]
}

/**
 * That a host is off: a person's word (`lvguard confirm-off`), or that of fence_command (`lvguard fence-peer`), for one
 * resource and peer.
 */
export interface Confirmation {
  readonly format: 1
  readonly resource: string
  /** DrbdPeer.id */
  readonly peer: string
  /** The name that was typed, or that of DRBD's configuration. */
  readonly host: string
  /** ISO 8601. */
  readonly at: string
  /** Absent: a person. */
  readonly by?: 'fence'
}

/** Why a lock that is taken now on a VG on DRBD would say nothing of the other host. */
export type DrbdTrouble =
  /**
   * A peer is neither connected nor known to be outdated, and nothing else decides. `host`: its name as far as it is
   * known; `since`: ISO 8601.
   */
  | {
      readonly kind: 'peer-unseen'
      readonly resource: string
      readonly peers: readonly string[]
      readonly host?: string
      readonly since?: string
    }
  /** StandAlone: DRBD has found that both sides wrote, or somebody has disconnected it. */
  | { readonly kind: 'split-brain'; readonly resource: string }
  | { readonly kind: 'suspended'; readonly resource: string; readonly why: string }
  | { readonly kind: 'no-quorum'; readonly resource: string }
  /** `mayHide`: LVM sees no PV of the VG, which may be on this device. */
  | { readonly kind: 'not-primary'; readonly resource: string; readonly mayHide?: true }
  | { readonly kind: 'not-up-to-date'; readonly resource: string; readonly disk: string; readonly mayHide?: true }
  | { readonly kind: 'unknown'; readonly detail: string }

/** What the state of a DRBD device means. `confirmed`: peers that are not seen, and count as off on a person's word. */
export type DrbdVerdict = { readonly kind: 'fine'; readonly confirmed: readonly Confirmation[] } | DrbdTrouble

/** Connection states that mean: the peer is not there now, or not yet (drbd_strings.c of DRBD 8.4 and 9). */
const NOT_CONNECTED = new Set([
  'Disconnecting',
  'Unconnected',
  'Timeout',
  'BrokenPipe',
  'NetworkFailure',
  'ProtocolError',
  'TearDown',
  'Connecting',
])
/**
 * Replication states in which each write goes to the peer too (drbd_strings.c). In `Ahead` and `Behind` it does not;
 * `Off`: not yet, or no more.
 */
const REPLICATES = new Set([
  'Established',
  'StartingSyncS',
  'StartingSyncT',
  'WFBitMapS',
  'WFBitMapT',
  'WFSyncUUID',
  'SyncSource',
  'SyncTarget',
  'VerifyS',
  'VerifyT',
  'PausedSyncS',
  'PausedSyncT',
])
const DOES_NOT_REPLICATE = new Set(['Off', 'Ahead', 'Behind'])

/** Whether a peer has each write that is made here; `unknown` for a word that DRBD 8.4 and 9 do not have. */
export function isSeen({ connection, replication }: DrbdPeer): boolean | 'unknown' {
  if (NOT_CONNECTED.has(connection) || connection === 'StandAlone') return false
  if (connection !== 'Connected') return 'unknown'
  return REPLICATES.has(replication) ? true : DOES_NOT_REPLICATE.has(replication) ? false : 'unknown'
}

/**
 * Whether DRBD's own `quorum` keeps two halves from both writing: with the word `majority` or `all`, or a number that
 * only one half can reach.
 * @param policy of `drbdsetup show`; undefined: it shows none, and the default is `off`
 * @param peers how many the resource has
 */
export const quorumDecides = (policy: string | undefined, peers: number): boolean =>
  policy === 'majority' ||
  policy === 'all' ||
  (policy !== undefined && /^\d+$/.test(policy) && Number(policy) > (peers + 1) / 2)

/**
 * What the state of a device says of a lock that is taken on it now. The first that applies counts.
 *
 * A peer-disk `Outdated` decides without a look at the fencing policy. The peer has agreed to it, or the fence-peer
 * handler has answered for the peer: the peer cannot become Primary with that copy unless somebody forces it. If the
 * connection is StandAlone, `Outdated` does not count: DRBD has seen the peer since, and has given the connection up.
 * @param quorum the policy (quorumDecides); matters only where a peer is not seen
 * @param confirmations all that are on this host
 */
export function judge(
  device: DrbdDevice,
  quorum: string | undefined,
  confirmations: readonly Confirmation[],
): DrbdVerdict {
  const { resource, role, suspended, disk, peers } = device
  const strange = (what: string, word: string): DrbdTrouble => ({
    kind: 'unknown',
    detail: `DRBD says '${word}' of the ${what} of ${resource}, which is not understood`,
  })
  if (role !== 'Primary' && role !== 'Secondary') return strange('role', role)
  if (role === 'Secondary') return { kind: 'not-primary', resource }
  if (peers.length === 0) return { kind: 'unknown', detail: `DRBD knows of no peer of ${resource}` }
  if (peers.some(({ connection }) => connection === 'StandAlone')) return { kind: 'split-brain', resource }
  if (suspended !== 'no') return { kind: 'suspended', resource, why: suspended }
  const odd = peers.find((peer) => isSeen(peer) === 'unknown')
  if (odd !== undefined) return strange('connection', `${odd.connection} ${odd.replication}`)
  const seen = peers.filter((peer) => isSeen(peer) === true)
  if (disk !== 'UpToDate' && !seen.some((peer) => peer.disk === 'UpToDate'))
    return { kind: 'not-up-to-date', resource, disk }
  if (quorumDecides(quorum, peers.length))
    return device.quorum === true ? { kind: 'fine', confirmed: [] } : { kind: 'no-quorum', resource }
  const open = peers.filter((peer) => isSeen(peer) === false && peer.disk !== 'Outdated')
  // A host that talks is not off.
  const confirmed = open
    .filter(({ connection }) => connection !== 'Connected')
    .flatMap(({ id }) => confirmations.find((each) => each.resource === resource && each.peer === id) ?? [])
  if (confirmed.length === open.length) return { kind: 'fine', confirmed }
  const left = open.filter(({ id }) => !confirmed.some(({ peer }) => peer === id))
  const names = left.flatMap(({ name }) => name ?? [])
  return {
    kind: 'peer-unseen',
    resource,
    peers: left.map(({ id }) => id),
    ...(names.length > 0 && { host: names.join(' and ') }),
  }
}

/**
 * A device as it would be if this host were Primary, its copy good, and its I/O going on. What judge says of it then
 * depends on the peers alone. So a peer can be confirmed off before all that is so, after this host has booted alone. A
 * confirmation changes nothing of the rest, which judge looks at first.
 */
export const onceUsable = (device: DrbdDevice): DrbdDevice => ({
  ...device,
  role: device.role === 'Secondary' ? 'Primary' : device.role,
  suspended: 'no',
  disk: 'UpToDate',
})

/** When this host has booted, and the present time, both in ISO 8601. */
export interface ThisBoot {
  readonly bootedAt: string
  readonly now: string
}

/**
 * The confirmations that were given in this boot. While this host was off, the other one may have been switched on and
 * made Primary by the same word. So a person who makes this host Primary has to give the word again. A confirmation
 * with a time in the future was given by another clock: that was before this boot, too.
 */
export const ofThisBoot = (
  confirmations: readonly Confirmation[],
  { bootedAt, now }: ThisBoot,
): readonly Confirmation[] => confirmations.filter(({ at }) => at >= bootedAt && at <= now)

/**
 * Confirmations that hold no longer: their peer has been seen since, connected or in a split brain, which DRBD finds
 * when both sides talk. A confirmation for a resource that is not up now stays.
 */
export const confirmationsOver = (
  confirmations: readonly Confirmation[],
  devices: readonly DrbdDevice[],
): Confirmation[] =>
  confirmations.filter(({ resource, peer }) =>
    devices.some(
      (device) =>
        device.resource === resource &&
        device.peers.some(
          (each) => each.id === peer && (each.connection === 'Connected' || each.connection === 'StandAlone'),
        ),
    ),
  )

/** What DRBD says of the VGs of a domain. */
export interface DrbdState {
  /** By VG; absent: nothing is said against a lock on it. */
  readonly troubles: ReadonlyMap<string, DrbdTrouble>
  /** By VG: a person's word without which there would be trouble. */
  readonly confirmed: ReadonlyMap<string, readonly Confirmation[]>
  /** Of this host, on any resource: to be removed (confirmationsOver). */
  readonly over: readonly Confirmation[]
}

/** No trouble, as on a host without DRBD. */
export const NO_DRBD: DrbdState = { troubles: new Map(), confirmed: new Map(), over: [] }

/** Why a domain is refused for what is below its VG. */
export interface DrbdProblem {
  readonly kind: 'drbd'
  readonly vg: string
  readonly trouble: DrbdTrouble
}

const timeOf = (at: string): string => `${at.slice(0, 16).replace('T', ' ')} UTC`

/** What a confirmation means, in words. */
export const countsAsOff = ({ resource, host, at, by }: Confirmation): string =>
  `DRBD resource ${resource} does not see ${host}, which counts as off since ${by === 'fence' ? 'fence_command has switched it off, at' : `'lvguard confirm-off ${host}' of`} ${timeOf(at)}, until it is seen again or this host boots`

/** That a confirmation is over, in words. */
export const noLongerOff = ({ resource, host, by }: Confirmation): string =>
  `DRBD resource ${resource} sees ${host} again: what was said ${by === 'fence' ? 'by fence_command' : `with 'lvguard confirm-off ${host}'`} counts no longer`

/** What is wrong, and what to type; neither with a full stop. */
export function troubleInWords(trouble: DrbdTrouble, vg?: string): { readonly what: string; readonly advice: string } {
  const mayHide = 'mayHide' in trouble ? `LVM sees no volume group ${vg} on this host, and what it may stand on, ` : ''
  const of = (resource: string): string =>
    mayHide !== ''
      ? `${mayHide}DRBD resource ${resource},`
      : `DRBD resource ${resource}${vg === undefined ? '' : `, below volume group ${vg},`}`
  switch (trouble.kind) {
    case 'peer-unseen': {
      const { resource, host, since } = trouble
      return {
        what: `${of(resource)} has not seen ${host ?? 'its peer'}${since === undefined ? '' : ` since ${timeOf(since)}`}, so that nobody here knows what runs there`,
        advice: `Bring the link back (drbdadm status ${resource}), or, only if ${host ?? 'the other host'} is certainly off: lvguard confirm-off ${host ?? 'HOST'}`,
      }
    }
    case 'split-brain':
      return {
        what: `${of(trouble.resource)} is StandAlone: both hosts have written on their own (split brain), or somebody has disconnected it`,
        advice: `If it was disconnected: drbdadm connect ${trouble.resource}. After a split brain a person has to choose which host's writes are lost (README, Two hosts on DRBD)`,
      }
    case 'suspended':
      return {
        // Nobody has asked whether the VG stands on it: LVM would read every disk (drbdBelow).
        what: `DRBD resource ${trouble.resource} of this host lets all reads and writes wait (${trouble.why}), and LVM would wait with it`,
        advice: `It waits for its fence-peer handler, for quorum, or for a person: drbdadm status ${trouble.resource}, and the kernel's log`,
      }
    case 'no-quorum':
      return {
        what: `${of(trouble.resource)} has no quorum on this host`,
        advice: `Bring the link to the other hosts back: drbdadm status ${trouble.resource}`,
      }
    case 'not-primary':
      return {
        what: `${of(trouble.resource)} is Secondary on this host`,
        advice: `drbdadm primary ${trouble.resource}; then vgchange --lock-start${vg === undefined ? '' : ` ${vg}`}`,
      }
    case 'not-up-to-date':
      return {
        what: `${of(trouble.resource)} has no copy on this host that is up to date (${trouble.disk}), and no host with a good one is connected`,
        advice: `Bring the link back, so that it is copied: drbdadm status ${trouble.resource}`,
      }
    case 'unknown':
      return {
        what: `what DRBD${vg === undefined ? '' : ` below volume group ${vg}`} knows of the other host cannot be told: ${trouble.detail}`,
        advice: `See 'drbdsetup events2 --now' and 'pvs'`,
      }
  }
}
