import { readRecords, recordOf } from './record-store.ts'
import { type VgLocks, lockVgs } from './vg-lock.ts'

/** Its record may come to name another VG while the locks are waited for; hardly twice. */
const TRIES = 5

const vgsOnRecord = (uuid: string): string[] => (recordOf(uuid, readRecords())?.volumes ?? []).map(({ vg }) => vg)

/**
 * The locks of the VGs that a domain's event names, and of those that its record names: the agent may be about to
 * release what an earlier life of it has left in another VG, and both change the same record (R11).
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
