import { type MapperDevice, devicesOf, isGone, isLeases, isWiped, tiersOf, vgUuidOf } from '../core/cut-off.ts'
import { type SanlockAnswer, isInForce } from '../core/lease.ts'
import type { Mark } from './mark.ts'
import type { RecoverWorld } from './world.ts'

/** What came of a recovery. `why`: one sentence without its full stop; nothing is lost by trying again later. */
export type Recovery =
  | { readonly kind: 'recovered'; readonly text: string }
  | { readonly kind: 'not-yet'; readonly why: string }

/** Seconds for sanlock to leave a lockspace once lvmlockd has dropped it: sanlock writes to the disk then. */
const LEAVE_LIMIT = 60

/**
 * The way back, when the storage answers again: the wiped devices are removed, the locking of the VG is started, under
 * its lock on this host (R11), and the mark goes last. Nothing is forced: what somebody still has open stays, and so
 * does the mark (R4). What a person has locked and activated since the locking was started stays too.
 * @param mark as it was read; one that was written since stays
 */
export async function recover(mark: Mark, world: RecoverWorld): Promise<Recovery> {
  const { vg } = mark
  const notYet = (why: string): Recovery => ({ kind: 'not-yet', why })
  const alive = mark.killed.filter(({ pid, start }) => !isGone(start, world.processAt(pid)))
  if (alive.length > 0)
    return notYet(
      `${alive.map(({ name, pid }) => `${name} (process ${pid})`).join(', ')} was killed, and is not gone yet`,
    )
  for (const disk of mark.disks.filter(world.hasDisk))
    if (!(await world.answers(disk))) return notYet(`${disk}, on which ${vg} stands, does not answer`)
  const open = await removeDevices(vg, world)
  if (open !== undefined) return notYet(open)
  const gone = await leave(vg, world)
  if (gone !== undefined) return notYet(gone)
  const dead = await removeDeadLeases(vg, world)
  if (dead !== undefined) return notYet(dead)
  const refused = await world.startLocking(vg)
  if (refused !== undefined) return notYet(`the locking of ${vg} cannot be started: ${refused}`)
  const there = world.readMark(vg)
  if (there !== undefined && isLater(there, mark)) return notYet('it is cut off again')
  world.removeMark(vg)
  const killed = await Promise.all(
    mark.killed.map(async ({ name, volumes }) => {
      const holders = await Promise.all(
        volumes.map(async (volume) => `${volume} is held by ${await world.holderOf(volume)}`),
      )
      return holders.length === 0 ? name : `${name} (${holders.join(', ')})`
    }),
  )
  return {
    kind: 'recovered',
    text: `${vg} can be used here again; ${killed.length === 0 ? 'no VM was killed' : `killed when it was cut off: ${killed.join('; ')}`}`,
  }
}

/**
 * Whether a mark is that of another kill than the one that is taken back: it is at work, it was a person's, or it has
 * killed somebody else. Two that cut off the same may write that they have ended one after the other.
 */
const isLater = (there: Mark, mark: Mark): boolean =>
  (there.state === 'started' && JSON.stringify(there) !== JSON.stringify(mark)) ||
  there.by !== mark.by ||
  there.killed.some(({ pid, start }) => !mark.killed.some((known) => known.pid === pid && known.start === start))

/** @returns why not all of them are gone */
async function removeDevices(vg: string, world: RecoverWorld): Promise<string | undefined> {
  const all = world.devices()
  const uuid = vgUuidOf(vg, all, world.records())
  if (uuid === 'ambiguous') return `which devices belong to ${vg} cannot be told`
  const devices = uuid === undefined ? [] : devicesOf(vg, uuid.uuid, all)
  const isAgain = !devices.every(isWiped) && isUsedAgain(vg, await world.ask())
  const locked = isAgain ? await world.locked() : []
  if (locked === undefined) return `lvmlockd does not tell what of ${vg} is locked here`
  const kept = keptOf(devices, locked)
  for (const tier of tiersOf(devices)) {
    const counts = await world.openCounts()
    if (counts === undefined) return 'dmsetup does not tell what is open'
    for (const device of tier.filter((each) => !kept.has(each))) {
      if (counts.get(device.uuid) !== 0)
        return `${device.name} is open still${isWiped(device) ? '' : ', and not wiped'}: see 'dmsetup ls --tree' and fuser(1)`
      const why = await world.remove(device.name)
      if (why !== undefined) return `${device.name} cannot be removed: ${why}`
    }
  }
  return undefined
}

/**
 * What stays: devices of LVs that are locked, and what stands on these or below them: the parts of a RAID LV, the volumes
 * of a pool, the snapshots of an origin. Not what was wiped.
 */
function keptOf(devices: readonly MapperDevice[], locked: readonly string[]): ReadonlySet<MapperDevice> {
  const whole = devices.filter((device) => !isWiped(device))
  const isLocked = ({ uuid }: MapperDevice): boolean =>
    locked.some((lv) => uuid.slice('LVM-'.length + 32).startsWith(lv.replaceAll('-', '')))
  const kept = new Set(whole.filter(isLocked))
  const isBeside = (one: MapperDevice): boolean =>
    [...kept].some((other) => one.slaves.includes(other.node) || other.slaves.includes(one.node))
  for (let size = 0; size < kept.size; ) {
    size = kept.size
    for (const each of whole.filter(isBeside)) kept.add(each)
  }
  return kept
}

/** Whether somebody has started the locking again, or it was never lost, by sanlock's own word. */
const isUsedAgain = (vg: string, asked: SanlockAnswer): boolean =>
  asked.kind === 'status' &&
  isInForce(
    asked.status.lockspaces.find((each) => each.vg === vg),
    asked.status.now,
  )

/**
 * The device of the leases is not wiped, and so it still leads to the disk as it was. That disk may have been taken
 * away and have come back under another name. Then the old device fails for ever, and sanlock cannot join (seen on
 * Debian 13: `attempt to access beyond end of device`). If that device is removed, `vgchange --lock-start` makes it
 * anew, on the disk that is there now.
 * @returns why it is not gone
 */
async function removeDeadLeases(vg: string, world: RecoverWorld): Promise<string | undefined> {
  const device = world.devices().find((each) => isLeases(each, vg))
  if (device === undefined || (await world.answers(device.node))) return undefined
  const counts = await world.openCounts()
  if (counts?.get(device.uuid) !== 0)
    return `${device.name} does not answer, and is open still: see 'dmsetup ls --tree' and fuser(1)`
  const why = await world.remove(device.name)
  return why === undefined ? undefined : `${device.name} does not answer, and cannot be removed: ${why}`
}

const isListedOnly = async (vg: string, world: Pick<RecoverWorld, 'lockManagerOf'>): Promise<boolean> =>
  (await world.lockManagerOf(vg)) === 'sanlock'

/**
 * Whether sanlock has left a lockspace by itself, and lvmlockd still lists it. That happens if a lease is lost while
 * nothing is locked here: sanlock has nobody to kill, calls no command, and there is no mark. lvmlockd does not start
 * the lockspace again before it has dropped it (EEXIST).
 */
export async function isLeftBehind(vg: string, world: Pick<RecoverWorld, 'ask' | 'lockManagerOf'>): Promise<boolean> {
  const asked = await world.ask()
  if (
    asked.kind === 'silent' ||
    asked.status.notUnderstood.includes(vg) ||
    asked.status.lockspaces.some((each) => each.vg === vg)
  )
    return false
  return isListedOnly(vg, world)
}

/** Has lvmlockd give up what it had, and waits until sanlock has left. @returns why it has not */
async function leave(vg: string, world: RecoverWorld): Promise<string | undefined> {
  const end = world.now() + LEAVE_LIMIT
  for (let dropped = false; ; ) {
    const asked = await world.ask()
    if (asked.kind === 'silent') return `sanlock does not answer (${asked.why})`
    if (asked.status.notUnderstood.includes(vg)) return `what sanlock says of ${vg} is not understood`
    const lockspace = asked.status.lockspaces.find((each) => each.vg === vg)
    // A lockspace that is in force was never lost, or somebody has started it again: it stays as it is.
    if (lockspace?.list === 'spaces' && !lockspace.hasFailed) return undefined
    const isListed = lockspace === undefined ? await isListedOnly(vg, world) : lockspace.list === 'spaces'
    if (lockspace === undefined && !isListed) return undefined
    if (!dropped && isListed) {
      const why = await world.drop(vg)
      if (why !== undefined) return `lvmlockd does not give up its locks of ${vg}: ${why}`
      dropped = true
    }
    if (world.now() > end)
      return lockspace === undefined
        ? `lvmlockd has not dropped ${vg} yet`
        : `sanlock has not left the lockspace of ${vg} yet`
    await world.sleep(1)
  }
}
