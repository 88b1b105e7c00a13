import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { milliseconds } from './clock.ts'
import { status } from './lvm/run.ts'
import { RUN_FOLDER } from './paths.ts'
import { makeRunFolder } from './record-store.ts'

/** The locks of one or more VGs on this host (R11), by VG: descriptors that every lvm child must inherit. */
export interface VgLocks {
  readonly descriptors: ReadonlyMap<string, number>
  release(): void
}

/** Another hook, agent or command of this host is at work on the VG. */
export class VgBusy extends Error {
  override readonly name = 'VgBusy'
  constructor(readonly vg: string, readonly seconds: number) {
    super(`another act on ${vg} has not ended within ${seconds} s`)
  }
}

/**
 * Takes /run/lvguard/VG.lock of each VG, in the order of their names so that two calls never wait for each other. Each is a flock on
 * an open file that this process and its children share: it lasts until the last of them has closed it (FACTS 43).
 * @param seconds how long to wait in all
 * @throws VgBusy when the time is over; Error if flock(1) or the file cannot be had
 */
export async function lockVgs(vgs: readonly string[], seconds: number): Promise<VgLocks> {
  makeRunFolder()
  const descriptors = new Map<string, number>()
  const release = (): void => {
    for (const descriptor of descriptors.values()) closeSync(descriptor)
    descriptors.clear()
  }
  const end = milliseconds() + seconds * 1000
  try {
    for (const vg of [...new Set(vgs)].sort()) {
      const descriptor = openSync(join(RUN_FOLDER, `${vg}.lock`), 'a+', 0o600)
      descriptors.set(vg, descriptor)
      const left = Math.max(0, (end - milliseconds()) / 1000)
      // It limits its own time.
      const { exitCode, isAbsent } = await status('flock', ['-w', left.toFixed(3), '3'], [descriptor])
      if (exitCode === 1) throw new VgBusy(vg, Math.round(seconds))
      if (exitCode !== 0) throw new Error(isAbsent ? 'flock is not installed (util-linux)' : `flock exited with ${exitCode ?? 'a signal'}`)
    }
    return { descriptors, release }
  } catch (error) {
    release()
    throw error
  }
}
