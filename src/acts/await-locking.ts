import type { Outcome } from '../core/outcome.ts'

/** Milliseconds between two tries of a start. One costs an lvmlockctl, and an lvchange that LVM refuses at once. */
export const START_PAUSE = 1000

/** Problems that time alone can mend: at boot the locking of a VG takes 20 s to 3 min (FACTS 28). */
const PASSING: ReadonlySet<string> = new Set(['not-started', 'starting', 'lvmlockd-down'])

/**
 * Whether a start was refused only because locking is not ready. A migration does not wait for that: its record counts
 * for two minutes only (INCOMING_LIFETIME).
 */
export const isTooEarly = (outcome: Outcome): boolean =>
  outcome.kind === 'refused' &&
  outcome.attempt === 'start' &&
  outcome.problems.length > 0 &&
  outcome.problems.every(({ kind }) => PASSING.has(kind))

/**
 * Tries a start again until the locking of its VGs is ready. Holds no lock between two tries.
 * @param limit milliseconds
 * @returns what came of the last try
 */
export async function awaitLocking(
  first: Outcome,
  again: () => Promise<Outcome>,
  limit: number,
  { pause, now }: { readonly pause: (milliseconds: number) => Promise<void>; readonly now: () => number },
): Promise<Outcome> {
  const end = now() + limit
  let outcome = first
  while (isTooEarly(outcome) && now() < end) {
    await pause(Math.min(START_PAUSE, end - now()))
    outcome = await again()
  }
  return outcome
}
