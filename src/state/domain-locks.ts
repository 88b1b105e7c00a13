import { readRecords, recordOf } from './record-store.ts'
import { type VgLocks, lockVgs } from './vg-lock.ts'

/** How often the record is looked at again: it may name another VG by the time the locks are had. */
const TRIES = 5

const vgsOnRecord = (uuid: string): string[] => (recordOf(uuid, readRecords())?.volumes ?? []).map(({ vg }) => vg)

/**
 * Takes the locks of the VGs that a domain's event names, and of those that its record names. An earlier life of the
 * domain may have left volumes in another VG, and the agent may be about to release them: both would change the same
 * record (R11).
 * @param seconds how long to wait
 * @throws what lockVgs throws
 */
export async function lockDomain(uuid: string, vgs: readonly string[], seconds: number): Promise<VgLocks> {
  for (let tries = 1; ; tries++) {
    const wanted = new Set([...vgs, ...vgsOnRecord(uuid)])
    const locks = await lockVgs([...wanted], seconds)
    if (tries === TRIES || vgsOnRecord(uuid).every((vg) => wanted.has(vg))) return locks
    locks.release()
  }
}
