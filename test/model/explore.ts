import { acts } from './acts.ts'
import type { Decisions } from './decisions.ts'
import { LAYOUTS } from './domains.ts'
import { MOVE_KINDS, type MoveKind, boot, faults, startDaemon, stopDaemon } from './faults.ts'
import { checkMoment, checkQuiet, stateOf } from './oracle.ts'
import type { Process, Woken } from './process.ts'
import { Session } from './session.ts'
import { type Violation, World } from './world.ts'

/** What happens, in which order. Each choice picks among what is possible at its moment; 0 is always: go on as before. */
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

/** Choices are below this. */
export const CHOICES = 1 << 20
/** Of 100 choices: steps of processes below the first bound, then one of them held up, acts of a person, time, time limits, and faults. */
const BOUNDS = { steps: 60, heldUp: 66, acts: 84, time: 88, limits: 92 }
/** How many steps a process takes before somebody else may; 0 stands for: until it has to wait. */
const BURSTS = [0, 1, 0, 2, 3, 1, 5, 8]
const SECONDS = [1, 2, 31, 16, 151]
/** What has happened before a schedule begins: which domains run on A, by their number, and whether the first was migrated offline to B. */
const OPENINGS: readonly { readonly onA: readonly number[]; readonly offline?: true }[] = [{ onA: [0] }, { onA: [0, 1] }, { onA: [0], offline: true }, { onA: [] }]
/** Turns of everyone that a live migration takes, undisturbed, at most. */
const MIGRATION_TURNS = 90
/** Openings are below this: what runs, and how far a live migration of the first domain has come. */
export const OPENING_COUNT = OPENINGS.length * MIGRATION_TURNS
/** Steps within which everything must have come to rest once nothing new happens. */
const REST = 6000
/** Full passes of both agents after which a world that does not change counts as quiet. */
const CALM_PASSES = 4

/** Plays one schedule, then lets everything come to rest with fair agents, and looks at what is left. */
export function play({ layout, opening, without, choices }: Schedule, decisions: Decisions, tolerated: readonly Violation['rule'][] = [], isTraced = false): Result {
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
  return { violation: world.violation, steps: player.steps, isContested: world.contested.size > 0, reached: world.reached, trace: world.trace }
}

class Player {
  steps = 0
  #last: Process | undefined
  readonly #heldUp = new Set<Process>()

  constructor(readonly world: World, readonly session: Session, readonly without: number) {}

  choose(choice: number): void {
    const { world, session } = this
    const kind = choice % 100
    const pick = Math.floor(choice / 100)
    if (kind >= BOUNDS.steps && kind < BOUNDS.heldUp) return this.#holdUp(pick)
    if (kind >= BOUNDS.steps) {
      const isLimit = kind >= BOUNDS.time && kind < BOUNDS.limits
      const limits = isLimit && this.#may('limit') ? world.processes.filter(({ canTimeOut }) => canTimeOut) : []
      const moves = isLimit ? [] : (kind < BOUNDS.acts ? acts(session) : faults(session)).filter((move) => this.#may(move.kind))
      const move = moves[pick % moves.length]
      const limit = limits[pick % limits.length]
      if (kind >= BOUNDS.acts && kind < BOUNDS.time) return this.#pass(SECONDS[pick % SECONDS.length] ?? 1)
      if (limit !== undefined) return this.#step(limit, 'limit')
      if (move !== undefined) {
        world.note(world.hosts.A, () => `*** ${move.label}`)
        move.act()
        world.processes = world.processes.filter(({ isAlive }) => isAlive)
        return
      }
    }
    const ready = this.#ready()
    const index = pick % ready.length
    const process = index === 0 && this.#last?.isAlive === true && ready.includes(this.#last) ? this.#last : ready[index]
    if (process === undefined) return this.#pass(1)
    this.#last = process
    const burst = BURSTS[Math.floor(pick / 64) % BURSTS.length] ?? 1
    for (let taken = 0; taken < (burst === 0 ? 200 : burst) && process.isAlive && process.isReady && world.violation === undefined; taken++) this.#step(process, 'go')
  }

  /** Starts domains on A, undisturbed, and the first turns of a migration of the first to B. */
  open(opening: number): void {
    const { world, session } = this
    const { A } = world.hosts
    const { onA, offline } = OPENINGS[opening % OPENINGS.length] ?? { onA: [] }
    const [domain] = world.domains
    if (domain !== undefined && offline) session.migrate(A, domain, 'offline')
    this.#takeTurns(REST)
    for (const index of onA) {
      const started = world.domains[index]
      if (started !== undefined) session.start(A, started)
      this.#takeTurns(REST)
    }
    const turns = Math.floor(opening / OPENINGS.length)
    if (domain === undefined || turns === 0) return
    session.migrate(A, domain, 'live')
    this.#takeTurns(turns)
  }

  /** A process that gets no turn for a while, wherever it stands; or an end to all that. */
  #holdUp(pick: number): void {
    const { processes } = this.world
    const process = processes[Math.floor(pick / 2) % processes.length]
    if (pick % 2 === 0) this.#heldUp.clear()
    else if (process !== undefined) this.#heldUp.add(process)
  }

  #may(kind: MoveKind): boolean {
    return ((this.without >> MOVE_KINDS.indexOf(kind)) & 1) === 0
  }

  #takeTurns(limit: number): void {
    for (let turns = 0; turns < limit && this.world.violation === undefined; turns++) {
      const ready = this.#ready()
      if (ready.length === 0) return
      for (const process of ready) if (process.isAlive && process.isReady) this.#step(process, 'go')
    }
  }

  /** Everything that was broken is repaired, nothing new happens, everyone gets a turn: it must come to rest, and be right. */
  rest(): void {
    const { world, session } = this
    world.note(world.hosts.A, () => '*** from here on everything is fair')
    for (const host of world.all) {
      if (!host.isUp) boot(session, host)
      if (world.interrupted.has(host) && host.daemon !== undefined) stopDaemon(session, host)
      if (host.daemon === undefined) startDaemon(session, host)
      if (host.agent?.isAlive !== true) session.startAgent(host)
    }
    this.#heldUp.clear()
    const end = this.steps + REST
    let calm = 0
    let before = ''
    while (calm < CALM_PASSES) {
      if (this.steps > end) return world.violate('livelock', `no rest after ${REST} steps: ${world.processes.map(({ label, host }) => `${label} on ${host}`).join(', ')}`)
      const ready = this.#ready()
      for (const process of ready) if (process.isAlive && process.isReady) this.#step(process, 'go')
      if (world.violation !== undefined) return
      if (ready.length > 0) continue
      const limit = world.processes.find(({ canTimeOut }) => canTimeOut)
      if (limit !== undefined) this.#step(limit, 'limit')
      else if (world.processes.some(({ kind }) => kind !== 'agent')) return world.violate('livelock', `waits for ever: ${world.processes.map(({ label, host }) => `${label} on ${host}`).join(', ')}`)
      else {
        const now = stateOf(world)
        calm = now === before ? calm + 1 : 0
        before = now
        this.#pass(16)
      }
    }
    checkQuiet(world)
  }

  #ready(): Process[] {
    const ready = this.world.processes.filter((process) => process.isAlive && process.isReady)
    return this.#heldUp.size === 0 ? ready : ready.filter((process) => !this.#heldUp.has(process))
  }

  #pass(seconds: number): void {
    this.world.now += seconds
  }

  #step(process: Process, how: Woken): void {
    this.steps++
    process.step(how)
    if (!process.isAlive) this.world.processes = this.world.processes.filter(({ isAlive }) => isAlive)
    checkMoment(this.world)
  }
}
