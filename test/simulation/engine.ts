import { type World, enter } from '../../src/system/world.ts'
import { Chance, hashOf } from './chance.ts'

/**
 * Somebody to whom things happen: a process, a command, a thread of libvirt, a guest. What is to happen to one that has
 * ended does not.
 */
export class Actor {
  isAlive = true
  /** Of a process of the product: the world in which its code goes on. */
  world: World | undefined
  readonly #ends: (() => void)[] = []

  constructor(readonly label: string) {}

  /** Does something when this one ends, however it ends. */
  onEnd(work: () => void): void {
    this.#ends.push(work)
  }

  end(): void {
    if (!this.isAlive) return
    this.isAlive = false
    for (const work of this.#ends.splice(0)) work()
  }
}

interface Event {
  /** Milliseconds. */
  readonly at: number
  readonly order: number
  readonly actor: Actor
  readonly work: () => void
  isCancelled: boolean
}

/** Hosts have been up for a while. */
export const BEGINNING = 1_000_000

/** A rule of the product that was broken. */
export interface Violation {
  readonly rule: string
  readonly text: string
}

/** The product's code outside of a process of the simulation is a fault of the simulation. */
const NOWHERE = new Proxy(
  {},
  {
    get: (_, what) => {
      throw new Error(`the product asks for ${String(what)}, and is in no process`)
    },
  },
) as never

const OUTSIDE: World = { files: NOWHERE, time: NOWHERE, self: NOWHERE, start: () => NOWHERE }

/**
 * Owns the order of everything, and time. What is to happen has a moment; the next one is taken, its promise is
 * resolved, all that follows from it at once (microtasks) is done, and then comes the next. The product awaits nothing
 * but what the simulated world has promised, so that no other order is possible.
 */
export class Engine {
  /** Milliseconds since the hosts were booted first. */
  now = BEGINNING
  readonly chance: Chance
  readonly story: string[] = []
  violation: Violation | undefined
  steps = 0
  /** A sum of what came after what, without times. */
  kind = 0
  /** Where a step may be looked at by the oracles. */
  afterStep: () => void = () => undefined
  readonly #isTold: boolean
  readonly #heap: Event[] = []
  #order = 0

  constructor(seed: number, isTold: boolean) {
    this.chance = new Chance(seed)
    this.#isTold = isTold
  }

  tell(line: () => string): void {
    if (this.#isTold) this.story.push(`${((this.now - BEGINNING) / 1000).toFixed(3).padStart(9)}  ${line()}`)
  }

  /** Adds to the sum. */
  note(what: string): void {
    this.kind = (Math.imul(this.kind, 31) + hashOf(what)) >>> 0
  }

  violate(rule: string, text: string): void {
    if (this.violation !== undefined) return
    this.violation = { rule, text }
    this.tell(() => `*** ${rule}: ${text}`)
  }

  /** @returns what cancels it */
  after(actor: Actor, milliseconds: number, work: () => void): () => void {
    const event: Event = {
      at: this.now + Math.max(0, milliseconds),
      order: this.#order++,
      actor,
      work,
      isCancelled: false,
    }
    this.#push(event)
    return () => {
      event.isCancelled = true
    }
  }

  sleep(actor: Actor, milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.after(actor, milliseconds, resolve))
  }

  /** Goes on until so many milliseconds after the beginning, or until a rule is broken. */
  async runUntil(since: number): Promise<void> {
    const milliseconds = BEGINNING + since
    while (this.violation === undefined) {
      const event = this.#heap[0]
      if (event === undefined || event.at > milliseconds) break
      this.#pop()
      if (event.isCancelled || !event.actor.isAlive) continue
      this.now = event.at
      this.steps++
      enter(event.actor.world ?? OUTSIDE)
      try {
        event.work()
      } catch (error) {
        this.violate('fault', `${event.actor.label}: ${error instanceof Error ? error.stack : String(error)}`)
      }
      await drained()
      enter(OUTSIDE)
      this.afterStep()
    }
    this.now = Math.max(this.now, this.violation === undefined ? milliseconds : this.now)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent] as Event
      if (!isBefore(event, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!isBefore(heap[child] as Event, last)) break
      heap[index] = heap[child] as Event
      index = child
    }
    heap[index] = last
  }
}

const isBefore = (one: Event, other: Event): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order)

/** Node does all microtasks before it comes to this. */
const drained = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
