/** Seconds between two signs of life of the agent. */
export const BEAT_PERIOD = 5
/** Seconds without a sign of life after which an agent counts as hung. Much more than a loaded host makes it wait. */
export const LONGEST_SILENCE = 30
/**
 * Seconds within which a pass has ended. If it has not, something is wrong: a pass runs one command, which is given up
 * after 50 s (system/run.ts).
 */
export const LONGEST_PASS = 180

/** Whether an agent is there to promote what migrates in. */
export type AgentState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'runs'; readonly pid: number }
  /** Its process lives, and has given no sign of life for so many seconds: stopped, stuck, or without room to write. */
  | { readonly kind: 'hangs'; readonly pid: number; readonly seconds: number }

/**
 * What the agent's file says.
 * @param beat its last sign of life, in seconds of the monotonic clock. Undefined in the file of an older lvguard: its
 *   agent is as alive as its process
 * @param now seconds of the same clock
 */
export function agentStateOf(pid: number, beat: number | undefined, now: number): AgentState {
  const seconds = beat === undefined ? 0 : Math.floor(now - beat)
  return seconds > LONGEST_SILENCE ? { kind: 'hangs', pid, seconds } : { kind: 'runs', pid }
}
