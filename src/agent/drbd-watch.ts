import type { Line } from '../core/agent-words.ts'
import {
  type Confirmation,
  type DrbdDevice,
  type DrbdTrouble,
  type DrbdVerdict,
  confirmationsOver,
  countsAsOff,
  isSeen,
  noLongerOff,
  troubleInWords,
} from '../core/drbd.ts'
import type { DrbdDevices } from '../drbd/drbd.ts'
import type { HostSaying } from './aftermath.ts'

/** A domain that is migrating out of this host, with the VGs of its volumes. */
export interface Leaving {
  readonly uuid: string
  readonly name: string
  readonly vgs: readonly string[]
}

/** What the watch over DRBD needs of the world; tests bring their own. */
export interface DrbdWorld {
  /** The minors below each VG whose locking is started here; one that stands on none is left out. */
  readonly minors: () => ReadonlyMap<string, readonly number[]>
  readonly devices: () => Promise<DrbdDevices>
  readonly verdicts: (
    minors: readonly number[],
    found: DrbdDevices,
    confirmations: readonly Confirmation[],
  ) => Promise<ReadonlyMap<number, DrbdVerdict>>
  /** A trouble with the peer's name and the time, as far as they are known. */
  readonly inFull: (trouble: DrbdTrouble) => Promise<DrbdTrouble>
  readonly confirmations: () => readonly Confirmation[]
  readonly drop: (over: readonly Confirmation[]) => void
  /**
   * Since when a peer is not seen, ISO 8601, by `RESOURCE PEER`. Kept in a file: hooks and the next agent say it too.
   */
  readonly unseen: () => ReadonlyMap<string, string>
  readonly keep: (unseen: ReadonlyMap<string, string>) => void
  /** The domains that are migrating out of this host now, with the VGs of their volumes. */
  readonly leaving: () => readonly Leaving[]
  /** Ends a domain's migration. @returns undefined if it was ended, else why not, in one line */
  readonly abort: (uuid: string) => Promise<string | undefined>
  readonly now: () => Date
  /** Says what is true now, and says it again while it lasts. */
  readonly say: (sayings: readonly HostSaying[]) => void
  /** Says a line once. */
  readonly tell: (line: Line) => void
}

/**
 * Says when a DRBD peer goes and when it comes back, and forgets what was confirmed of it. Changes no lock. Ends a
 * migration to a host that no longer gets each write of this host.
 */
export class DrbdWatch {
  readonly #world: DrbdWorld
  #isAtWork = false
  /** Domains whose migration was ended, until it is over. */
  #ended: readonly string[] = []

  constructor(world: DrbdWorld) {
    this.#world = world
  }

  /** Once a pass. Asks nothing where no VG in use stands on DRBD, and nothing is confirmed. Never throws. */
  async pass(): Promise<void> {
    if (this.#isAtWork) return
    this.#isAtWork = true
    try {
      await this.#look()
    } catch {
      // A file that cannot be written: the next pass tries again.
    } finally {
      this.#isAtWork = false
    }
  }

  async #look(): Promise<void> {
    const world = this.#world
    const below = world.minors()
    const minors = [...new Set([...below.values()].flat())]
    const confirmations = world.confirmations()
    // A confirmation ends when its peer is seen, also while no VG on DRBD is in use here.
    if (minors.length === 0 && confirmations.length === 0) {
      world.say([])
      return
    }
    const found = await world.devices()
    const own = found.kind === 'known' ? found.devices.filter(({ minor }) => minors.includes(minor)) : []
    const over = found.kind === 'known' ? confirmationsOver(confirmations, found.devices) : []
    world.drop(over)
    for (const each of over) world.tell({ priority: 5, text: noLongerOff(each) })
    this.#noteUnseen(own)
    const verdicts = await world.verdicts(
      minors,
      found,
      confirmations.filter((each) => !over.includes(each)),
    )
    const sayings = await Promise.all(
      [...verdicts].map(([minor, verdict]) =>
        this.#sayingOf(
          verdict,
          own.find((device) => device.minor === minor),
        ),
      ),
    )
    world.say(sayings.flat())
    const cut = [...below].filter(([, each]) => each.some((minor) => isCutOff(verdicts.get(minor)))).map(([vg]) => vg)
    await this.#keepHere(cut)
  }

  /** Ends migrations to a host that DRBD does not see: the VM would find a disk there without its last writes. */
  async #keepHere(vgs: readonly string[]): Promise<void> {
    const leaving =
      vgs.length === 0 ? [] : this.#world.leaving().filter((domain) => domain.vgs.some((vg) => vgs.includes(vg)))
    const fresh = leaving.filter(({ uuid }) => !this.#ended.includes(uuid))
    this.#ended = leaving.map(({ uuid }) => uuid)
    for (const { uuid, name } of fresh) {
      const problem = await this.#world.abort(uuid)
      if (problem === undefined)
        this.#world.tell({
          priority: 3,
          text: `the migration of ${name} was aborted: DRBD does not see the other host, whose copy of its disk lacks the last writes. It runs on here`,
        })
      else
        this.#world.tell({
          priority: 2,
          text: `${name} migrates although DRBD does not see the other host, whose copy of its disk lacks the last writes: virsh domjobabort ${name} failed: ${problem}`,
        })
    }
  }

  /**
   * Notes which peers are not seen, since when, and which are back. Resources that are not up now are kept as noted.
   */
  #noteUnseen(devices: readonly DrbdDevice[]): void {
    const before = this.#world.unseen()
    const peers = devices.flatMap(({ resource, peers: each }) =>
      each.map((peer) => ({ resource, peer, key: `${resource} ${peer.id}` })),
    )
    const gone = peers.filter(({ peer }) => isSeen(peer) !== true)
    const back = peers.filter(({ key }) => before.has(key) && !gone.some((other) => other.key === key))
    const now = this.#world.now().toISOString()
    const kept = [...before].filter(([key]) => !back.some((peer) => peer.key === key))
    const fresh = gone.filter(({ key }) => !before.has(key))
    if (back.length === 0 && fresh.length === 0) return
    this.#world.keep(new Map([...kept, ...fresh.map(({ key }): [string, string] => [key, now])]))
    for (const { resource, peer, key } of new Map(back.map((each) => [each.key, each])).values()) {
      this.#world.tell({
        priority: 5,
        text: `DRBD resource ${resource} sees ${peer.name ?? 'its peer'} again, which it had not seen since ${before.get(key)?.slice(0, 19).replace('T', ' ')} UTC`,
      })
    }
  }

  async #sayingOf(verdict: DrbdVerdict, device: DrbdDevice | undefined): Promise<HostSaying[]> {
    if (verdict.kind !== 'fine') {
      const { what, advice } = troubleInWords(await this.#world.inFull(verdict))
      const key = `${verdict.kind} ${'resource' in verdict ? verdict.resource : verdict.detail}`
      return [
        {
          key,
          priority: verdict.kind === 'split-brain' ? 2 : 3,
          text: `${what}. What runs here runs on; no VM on it starts here, and none is let in. ${advice}`,
        },
      ]
    }
    if (verdict.confirmed.length > 0)
      return verdict.confirmed.map((each) => ({
        key: `confirmed ${each.resource} ${each.peer}`,
        priority: 4,
        text: `${countsAsOff(each)}: VMs start here`,
      }))
    const away = device?.peers.filter((peer) => isSeen(peer) !== true) ?? []
    return away.map((peer) => ({
      key: `decided ${device?.resource} ${peer.id}`,
      priority: 4,
      again: Infinity,
      text: `DRBD resource ${device?.resource} does not see ${peer.name ?? 'its peer'}, and DRBD itself has decided that this host goes on (${peer.disk === 'Outdated' ? 'the peer is outdated' : 'quorum'})`,
    }))
  }
}

/** Only what is certain: what cannot be told changes nothing (R9). While I/O is suspended the peer misses no write. */
const isCutOff = (verdict: DrbdVerdict | undefined): boolean =>
  verdict?.kind === 'peer-unseen' || verdict?.kind === 'split-brain'
