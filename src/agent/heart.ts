import { type AgentState, LONGEST_PASS } from '../core/agent-state.ts'
import type { Line } from '../core/agent-words.ts'

/** What a heart beats with; `now` in seconds of the monotonic clock. */
export interface Body {
  readonly pid: number
  now(): number
  /** When a pass ended last; at first, when the agent started. */
  lastPass(): number
  /** What the agent's file says. */
  state(): AgentState
  /** @throws what the file system throws */
  announce(): void
  /** Tells systemd, every `period` seconds; undefined where systemd does not wait for it. */
  readonly watchdog: { readonly period: number; tell(): void } | undefined
  say(line: Line | undefined): void
  /** Ends this process. */
  end(line: Line): void
}

/**
 * The agent's signs of life: one for hooks, which let no migration in without it, and one for systemd, which starts the
 * agent again if it does not come. Both mean that the agent's loop runs and that passes end. A command that hangs is
 * given up in time: the agent that waits for it counts as alive.
 */
export class Heart {
  readonly #body: Body
  #told = Number.NEGATIVE_INFINITY

  constructor(body: Body) {
    this.#body = body
  }

  /** Gives the signs of life, unless no pass ends. Ends this agent if another one has taken its place. */
  beat(): void {
    const { pid, now, lastPass, state, announce, watchdog, say, end } = this.#body
    const other = state()
    if (other.kind === 'runs' && other.pid !== pid) {
      end({ priority: 4, text: `this agent hung, and another one (process ${other.pid}) has taken its place: it ends` })
      return
    }
    const since = Math.floor(now() - lastPass())
    if (since > LONGEST_PASS) {
      say({
        priority: 3,
        text: `no pass has ended for ${since} s: this agent counts as hung until one does, and systemd starts it anew`,
      })
      return
    }
    // systemd is told whether or not the file can be written: a new agent could not write it either.
    if (watchdog !== undefined && now() - this.#told >= watchdog.period) {
      this.#told = now()
      watchdog.tell()
    }
    try {
      announce()
      say(undefined)
    } catch (error) {
      say({
        priority: 3,
        text: `/run/lvguard/agent cannot be written (${error instanceof Error ? error.message : String(error)}): no migration is let in here`,
      })
    }
  }
}
