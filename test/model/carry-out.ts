import type { Change } from '../../src/core/start.ts'
import { batchesOf } from '../../src/acts/changes.ts'
import { runLvchange } from './leases.ts'
import type { Here } from './looks.ts'
import type { Steps } from './process.ts'

/** What came of the changes, as src/acts/changes.ts says it. */
export interface CarriedOut {
  readonly attempted: readonly Change[]
  readonly isFailed: boolean
  readonly failures: readonly ('held' | 'in-use' | 'killed')[]
  /** The caller's own time limit came first; the lvchange goes on. */
  readonly isLeft: boolean
}

/** No hook may turn an exclusive lock into a shared one; an undo goes back to what was shared before. */
const never = (): boolean => false

/** carryOut of src/acts/changes.ts. */
export function* carryOut(
  { world, host }: Here,
  changes: readonly Change[],
  onFailure: 'stop' | 'go-on' = 'stop',
  mayDemote: (lv: string) => boolean = never,
  hasLimit = false,
): Steps<CarriedOut> {
  const attempted: Change[] = []
  const failures: CarriedOut['failures'][number][] = []
  for (const { to, changes: batch } of batchesOf(changes)) {
    attempted.push(...batch)
    const isUndo = batch.every(({ reason }) => reason === 'as it was before')
    const result = yield* runLvchange(
      world,
      host,
      { to, lvs: batch.map(({ lv }) => lv), mayDemote: isUndo ? () => true : mayDemote },
      hasLimit,
    )
    if (result === undefined) return { attempted, isFailed: true, failures, isLeft: true }
    failures.push(...result.failures)
    if (result.failures.length > 0 && onFailure === 'stop') break
  }
  return { attempted, isFailed: failures.length > 0, failures, isLeft: false }
}
