import { vi } from 'vitest'
import type { Running } from './running.ts'
import type { SimulatedHost } from './host.ts'
import type { SimulatedRing } from './ring.ts'

/** The agent of one host, as the service starts it. */
export class Agent {
  readonly #ring: SimulatedRing
  readonly #host: SimulatedHost
  #running: Running

  private constructor(ring: SimulatedRing, host: SimulatedHost) {
    this.#ring = ring
    this.#host = host
    this.#running = host.startProgram(['agent'])
  }

  /** Resolves after its first pass. */
  static async start(ring: SimulatedRing, host: SimulatedHost): Promise<Agent> {
    const agent = new Agent(ring, host)
    await agent.started()
    return agent
  }

  async started(): Promise<void> {
    const asked = this.#asked()
    await until(() => this.#running.stderr().includes('watches') && this.#asked() > asked)
  }

  /** Two passes from beginning to end, at once (systemctl reload), and what comes of them. */
  async passTwice(): Promise<void> {
    for (let pass = 0; pass < 2; pass++) {
      await this.quiet()
      const asked = this.#asked()
      this.#running.kill('SIGHUP')
      await until(() => this.#asked() > asked)
    }
    await this.quiet()
  }

  /** Resolves when none of its commands is at work, at several moments in a row. */
  async quiet(): Promise<void> {
    let row = 0
    let before = -1
    await until(() => {
      const commands = this.#ring.log.commands(this.#host.name)
      row = commands.every(({ ended }) => ended !== undefined) && commands.length === before ? row + 1 : 0
      before = commands.length
      return row > 20
    })
  }

  /** What it has said, one line each, with the priority. */
  lines(): string[] {
    return this.#running.stderr().trimEnd().split('\n')
  }

  said(pattern: RegExp): string[] {
    return this.lines().filter((line) => pattern.test(line))
  }

  get pid(): number {
    return this.#running.pid
  }

  async kill(): Promise<void> {
    this.#running.kill()
    await this.#running.exited
  }

  async restart(): Promise<void> {
    await this.kill()
    this.#running = this.#host.startProgram(['agent'])
    await this.started()
  }

  #asked(): number {
    return this.#ring.log.commands(this.#host.name, 'lvmlockctl').filter(({ ended }) => ended !== undefined).length
  }
}

/** Waits until something is so; looks every few milliseconds. */
export const until = (isSo: () => boolean | Promise<boolean>): Promise<unknown> =>
  vi.waitUntil(async () => isSo(), { timeout: 60_000, interval: 10 })
