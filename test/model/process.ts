import type { HostName } from './world.ts'

/** Where a process stands still: until something is true, or until its time limit ends the wait. */
export interface Wait {
  readonly until: () => boolean
  /** What the process waits for may never come: then its own time limit ends the wait. */
  readonly hasLimit: boolean
}

/** How a wait ended. */
export type Woken = 'go' | 'limit'

/** A process in steps: between two yields nobody else acts, at each yield anybody may. */
export type Steps<T> = Generator<Wait | undefined, T, Woken>

/**
 * `agent`, `hook` and `lvchange` are programs of ours on a host; `libvirt` is work of a daemon, `client` a virsh
 * between two of them.
 */
export type ProcessKind = 'hook' | 'lvchange' | 'agent' | 'libvirt' | 'client'

/** One process, or one thread of a daemon. */
export class Process {
  isAlive = true
  /** Steps taken: a livelock shows in it. */
  taken = 0
  #wait: Wait | undefined

  constructor(
    readonly id: number,
    readonly kind: ProcessKind,
    readonly host: HostName,
    readonly label: string,
    readonly steps: Steps<void>,
  ) {}

  get isReady(): boolean {
    return this.#wait === undefined || this.#wait.until()
  }

  get canTimeOut(): boolean {
    return this.#wait?.hasLimit === true && !this.#wait.until()
  }

  step(how: Woken): void {
    this.taken++
    const { done, value } = this.steps.next(how)
    if (done === true) this.isAlive = false
    else this.#wait = value
  }

  /** SIGKILL, or the end of its host: no line of it runs any more; the kernel closes its files. */
  kill(): void {
    this.isAlive = false
  }
}

export const until = (condition: () => boolean): Wait => ({ until: condition, hasLimit: false })
export const untilOrLimit = (condition: () => boolean): Wait => ({ until: condition, hasLimit: true })
