import type { Decisions } from './decisions.ts'
import { LAYOUTS } from './domains.ts'
import { Player } from './player.ts'
import { Session } from './session.ts'
import { type Violation, World } from './world.ts'

/**
 * What happens, in which order. Each choice picks among what is possible at its moment; 0 is always: go on as before.
 */
export interface Schedule {
  readonly layout: number
  /** What runs already when it begins. */
  readonly opening: number
  /** A bit for each kind of move that is left out, so that rare ones meet. */
  readonly without: number
  readonly choices: readonly number[]
}

/** What came of a schedule. */
export interface Result {
  readonly violation: Violation | undefined
  readonly steps: number
  /** libvirt made two of a domain (FACTS 19). */
  readonly isContested: boolean
  readonly reached: ReadonlyMap<string, number>
  readonly trace: readonly string[]
}

/** Plays one schedule, then lets everything come to rest with fair agents, and looks at what is left. */
export function play(
  { layout, opening, without, choices }: Schedule,
  decisions: Decisions,
  tolerated: readonly Violation['rule'][] = [],
  isTraced = false,
): Result {
  const world = new World(LAYOUTS[layout % LAYOUTS.length] ?? [], isTraced)
  world.tolerated = tolerated
  const session = new Session(world, decisions)
  const player = new Player(world, session, without)
  player.open(opening)
  for (const choice of choices) {
    if (world.violation !== undefined) break
    player.choose(choice)
  }
  if (world.violation === undefined) player.rest()
  return {
    violation: world.violation,
    steps: player.steps,
    isContested: world.contested.size > 0,
    reached: world.reached,
    trace: world.trace,
  }
}
