import { closeSync, fstatSync, ftruncateSync, futimesSync, openSync } from '../system/files.ts'
import { join } from 'node:path'
import { date, milliseconds } from '../system/clock.ts'
import { waiting } from '../system/run.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import { makeRunFolder } from './record-store.ts'
import { self } from '../system/self.ts'
import { within } from '../system/within.ts'

/** The locks of one or more VGs on this host (R11), by VG: descriptors that every lvm child must inherit. */
export interface VgLocks {
  readonly descriptors: ReadonlyMap<string, number>
  release(): void
}

/**
 * Another hook, agent or command of this host is at work on the VG. Or there are so many of them that the wait took too
 * long.
 */
export class VgBusy extends Error {
  override readonly name = 'VgBusy'
  /** @param isQueue several acts had the lock one after another, so nothing hangs */
  constructor(
    readonly vg: string,
    readonly seconds: number,
    readonly isQueue: boolean,
  ) {
    super(
      isQueue
        ? `the acts on ${vg} that came first took longer than ${seconds} s`
        : `another act on ${vg} has been at work for ${seconds} s`,
    )
  }
}

/** Seconds to wait in a queue, even if it moves. After that a person should look. */
export const QUEUE_LIMIT = 600
/** Milliseconds between two looks at who has the lock. */
const LOOK_PAUSE = 1000
/** Milliseconds that flock(1) gets at least, to take a lock that is free. */
const LEAST_PAUSE = 100

/**
 * Takes /run/lvguard/VG.lock of each VG, in the order of their names so that two calls never wait for each other. Each
 * is a flock on an open file that this process and its children share: it lasts until the last of them has closed it
 * (FACTS 43). Those who wait get it in the order in which they came: the kernel keeps them in a queue (Linux 5.0;
 * measured), and one that is killed leaves the queue.
 * @param seconds how long one and the same act may keep the lock from this one
 * @param inAll how long to wait for all who came first, in seconds
 * @throws VgBusy when either time is over; Error if flock(1) or the file cannot be had
 */
export async function lockVgs(
  vgs: readonly string[],
  seconds: number,
  inAll = Math.max(QUEUE_LIMIT, seconds),
): Promise<VgLocks> {
  makeRunFolder()
  const descriptors = new Map<string, number>()
  let calm = (): void => undefined
  const release = (): void => {
    for (const descriptor of descriptors.values()) closeSync(descriptor)
    descriptors.clear()
    calm()
  }
  const end = milliseconds() + inAll * 1000
  try {
    for (const vg of [...new Set(vgs)].sort()) {
      const descriptor = openSync(join(RUN_FOLDER, `${vg}.lock`), 'a+', 0o600)
      const held = [...descriptors.values()]
      descriptors.set(vg, descriptor)
      // Others that wait for the locks that are held already must see that this act is not stuck.
      await lockOne(vg, descriptor, { seconds, inAll, end, moved: () => held.forEach(leaveMark) })
      leaveMark(descriptor)
    }
    for (const descriptor of descriptors.values()) empty(descriptor)
    // Where a hundred others start, they all wait for this one (npm run crowd).
    calm = self().hurry()
    return { descriptors, release }
  } catch (error) {
    release()
    throw error
  }
}

interface Patience {
  readonly seconds: number
  readonly inAll: number
  /** In milliseconds of the monotonic clock. */
  readonly end: number
  /** Called when another act has got the lock. */
  readonly moved: () => void
}

/** One flock(1) waits all the time, so that it keeps its place in the queue. */
async function lockOne(vg: string, descriptor: number, { seconds, inAll, end, moved }: Patience): Promise<void> {
  const patience = Math.max(seconds * 1000, LEAST_PAUSE)
  const pause = Math.min(LOOK_PAUSE, patience)
  let counted = 0
  let since = milliseconds()
  let mark = markOf(descriptor)
  let isQueue = false
  // It limits its own time, in case this program is killed.
  const { ended, stop } = waiting('flock', ['-w', Math.max(0, (end - since) / 1000).toFixed(3), '3'], [descriptor])
  for (;;) {
    const outcome = await within(pause, ended)
    if (outcome?.exitCode === 0) return
    if (outcome?.exitCode === 1) throw new VgBusy(vg, Math.round(inAll), isQueue)
    if (outcome !== undefined)
      throw new Error(
        outcome.isAbsent
          ? 'flock was not found: apt install util-linux'
          : `flock exited with ${outcome.exitCode ?? 'a signal'}`,
      )
    const now = milliseconds()
    const seen = markOf(descriptor)
    if (seen !== mark) {
      mark = seen
      since = now
      counted = 0
      isQueue = true
      moved()
      continue
    }
    // If this process gets no processor time because a hundred others start, the one that has the lock gets none
    // either. So each look counts as one pause, however long it took.
    counted += pause
    if (counted < patience) continue
    stop()
    throw new VgBusy(vg, Math.round((now - since) / 1000), false)
  }
}

/**
 * An act that gets the lock leaves a mark of its own: the file's time of change. It is never that of the act before,
 * however short that was and whatever the clock says. The contents may be LVM's (LVM_REPORT_FD, src/system/run.ts).
 */
function leaveMark(descriptor: number): void {
  const now = date().getTime()
  const before = Math.round(Number(markOf(descriptor)) / 1e6)
  futimesSync(descriptor, new Date(now === before ? now + 1 : now))
}

const markOf = (descriptor: number): bigint => fstatSync(descriptor).mtimeNs

/** If an lvchange was once made to write into it, that is removed: nothing under /run may grow. */
function empty(descriptor: number): void {
  try {
    if (fstatSync(descriptor).size > 0) ftruncateSync(descriptor)
  } catch {
    // It is locked all the same.
  }
}
