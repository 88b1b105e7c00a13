import { NO_FAULTS } from './land.ts'
import { type Result, type Schedule, play } from './play.ts'

/** How many tries a schedule is worth. */
const TRIES = 300

/** A schedule that breaks the same rule with fewer moves, fewer kinds of faults, fewer hosts; and its story. */
export async function smaller(
  schedule: Schedule,
  result: Result,
): Promise<{ readonly schedule: Schedule; readonly result: Result }> {
  let [best, bestResult] = [schedule, result]
  let tries = 0
  const isSmaller = async (candidate: Schedule): Promise<boolean> => {
    if (tries++ > TRIES) return false
    const tried = await play(candidate, true)
    if (tried.violation?.rule !== result.violation?.rule) return false
    best = candidate
    bestResult = tried
    return true
  }
  for (let isBetter = true; isBetter && tries < TRIES; ) {
    isBetter = false
    for (const kind of Object.keys(NO_FAULTS) as (keyof typeof NO_FAULTS)[]) {
      if (best.faults[kind] !== 0 && (await isSmaller({ ...best, faults: { ...best.faults, [kind]: 0 } })))
        isBetter = true
    }
    for (let size = Math.max(1, best.moves.length >> 1); ; size >>= 1) {
      for (let at = 0; at < best.moves.length; ) {
        if (await isSmaller({ ...best, moves: best.moves.filter((_, index) => index < at || index >= at + size) }))
          isBetter = true
        else at += size
      }
      if (size <= 1) break
    }
  }
  return { schedule: best, result: bestResult }
}
