import { INCOMING_LIFETIME } from '../../src/core/record.ts'
import { acts } from './acts.ts'
import { MOVE_KINDS, type MoveKind, boot, faults, startDaemon, stopDaemon } from './faults.ts'
import { checkMoment, checkQuiet, stateOf } from './oracle.ts'
import type { Process, Woken } from './process.ts'
import type { Session } from './session.ts'
import type { World } from './world.ts'

/** Choices are below this. */
export const CHOICES = 1 << 20
/**
 * Of 100 choices: steps of processes below the first bound, then one of them held up, acts of a person, time, time
 * limits, and faults.
 */
const BOUNDS = { steps: 60, heldUp: 66, acts: 84, time: 88, limits: 92 }
/** How many steps a process takes before somebody else may; 0 stands for: until it has to wait. */
const BURSTS = [0, 1, 0, 2, 3, 1, 5, 8]
const LONGEST = 200
const SECONDS = [1, 2, 31, 16, INCOMING_LIFETIME + 31]
/**
 * What has happened before a schedule begins: which domains run on A, by their number, and whether the first was
 * migrated offline to B.
 */
const OPENINGS: readonly { readonly onA: readonly number[]; readonly offline?: true }[] = [
  { onA: [0] },
  { onA: [0, 1] },
  { onA: [0], offline: true },
  { onA: [] },
]
/** Turns of everyone that a live migration takes, undisturbed, at most. */
const MIGRATION_TURNS = 90
/** Openings are below this: what runs, and how far a live migration of the first domain has come. */
export const OPENING_COUNT = OPENINGS.length * MIGRATION_TURNS
/** Steps within which everything must have come to rest once nothing new happens. */
const REST = 6000
/** Seconds between two full passes of an agent. */
const PASS = 16
/**
 * Full passes of both agents after which a world that does not change counts as quiet: an incoming record changes by
 * its age alone.
 */
const CALM_PASSES = Math.ceil(INCOMING_LIFETIME / PASS) + 2

/** Turns choices into what happens. */
export class Player {
  steps = 0
  #last: Process | undefined
  readonly #heldUp = new Set<Process>()

  constructor(
    readonly world: World,
    readonly session: Session,
    readonly without: number,
  ) {}

  choose(choice: number): void {
    const kind = choice % 100
    const pick = Math.floor(choice / 100)
    if (kind >= BOUNDS.steps && kind < BOUNDS.heldUp) this.#holdUp(pick)
    else if (kind >= BOUNDS.acts && kind < BOUNDS.time) this.#pass(SECONDS[pick % SECONDS.length] ?? 1)
    else if (kind < BOUNDS.steps || !this.#disturb(kind, pick)) this.#run(pick)
  }

  /** @returns false where no such move is possible now */
  #disturb(kind: number, pick: number): boolean {
    const { world, session } = this
    if (kind >= BOUNDS.time && kind < BOUNDS.limits) {
      const limits = this.#may('limit') ? world.processes.filter(({ canTimeOut }) => canTimeOut) : []
      const limit = limits[pick % limits.length]
      if (limit !== undefined) this.#step(limit, 'limit')
      return limit !== undefined
    }
    const moves = (kind < BOUNDS.acts ? acts(session) : faults(session)).filter((move) => this.#may(move.kind))
    const move = moves[pick % moves.length]
    if (move === undefined) return false
    world.note(world.hosts.A, () => `*** ${move.label}`)
    move.act()
    world.processes = world.processes.filter(({ isAlive }) => isAlive)
    return true
  }

  /** Some steps of one process. */
  #run(pick: number): void {
    const { world } = this
    const ready = this.#ready()
    const index = pick % ready.length
    const process =
      index === 0 && this.#last?.isAlive === true && ready.includes(this.#last) ? this.#last : ready[index]
    if (process === undefined) {
      this.#pass(1)
      return
    }
    this.#last = process
    const burst = BURSTS[Math.floor(pick / 64) % BURSTS.length] ?? 1
    for (
      let taken = 0;
      taken < (burst === 0 ? LONGEST : burst) && process.isAlive && process.isReady && world.violation === undefined;
      taken++
    )
      this.#step(process, 'go')
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

  /**
   * Everything that was broken is repaired, nothing new happens, everyone gets a turn: it must come to rest, and be
   * right.
   */
  rest(): void {
    this.#repair()
    const { world } = this
    const end = this.steps + REST
    let calm = 0
    let before = ''
    while (calm < CALM_PASSES && world.violation === undefined) {
      if (this.steps > end) world.violate('livelock', `no rest after ${REST} steps: ${this.#names()}`)
      else if (!this.#turn()) {
        const now = stateOf(world)
        calm = now === before ? calm + 1 : 0
        before = now
        this.#pass(PASS)
      }
    }
    if (world.violation === undefined) checkQuiet(world)
  }

  #repair(): void {
    const { world, session } = this
    world.note(world.hosts.A, () => '*** from here on everything is fair')
    this.#heldUp.clear()
    for (const host of world.all) {
      if (!host.isUp) boot(session, host)
      if (world.interrupted.has(host) && host.daemon !== undefined) stopDaemon(session, host)
      if (host.daemon === undefined) startDaemon(session, host)
      if (host.agent?.isAlive !== true) session.startAgent(host)
    }
  }

  /**
   * One step of everyone who can take one, else the end of somebody's patience. @returns false where there is nothing
   * but agents at rest
   */
  #turn(): boolean {
    const { world } = this
    const ready = this.#ready()
    for (const process of ready) if (process.isAlive && process.isReady) this.#step(process, 'go')
    if (ready.length > 0) return true
    const limit = world.processes.find(({ canTimeOut }) => canTimeOut)
    if (limit !== undefined) this.#step(limit, 'limit')
    else if (world.processes.some(({ kind }) => kind !== 'agent'))
      world.violate('livelock', `waits for ever: ${this.#names()}`)
    else return false
    return true
  }

  #names(): string {
    return this.world.processes.map(({ label, host }) => `${label} on ${host}`).join(', ')
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
