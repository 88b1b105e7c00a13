import type { Result } from '../ring.ts'
import type { CommandLog } from './command-log.ts'
import type { Faults } from './faults.ts'
import type { Request } from './server.ts'
import { runTool } from './tools.ts'
import type { Scene } from './tools/answer.ts'

/**
 * They change something, and LVM lets one at a time do so on a host; `-asy` waits 5 s with that lock held (DESIGN 4).
 */
const CHANGING = new Set(['lvchange', 'vgchange'])
const KILLED: Result = { code: 137, stdout: '', stderr: '' }

/** Runs the commands of one host: logs them, lets faults happen, keeps them waiting while lvmlockd is stopped. */
export class Toolbox {
  readonly #scene: Scene
  readonly #log: CommandLog
  readonly #faults: Faults
  #last: Promise<unknown> = Promise.resolve()
  #resumed: Promise<void> | undefined
  #resume = (): void => undefined

  constructor(scene: Scene, log: CommandLog, faults: Faults) {
    this.#scene = scene
    this.#log = log
    this.#faults = faults
  }

  /** `kill -STOP` of lvmlockd: whatever asks it waits. */
  pause(): void {
    this.#resumed ??= new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  resume(): void {
    this.#resume()
    this.#resumed = undefined
  }

  async run({ tool, words, pid, isGone }: Request): Promise<Result> {
    const command = this.#log.start(this.#scene.host.name, tool, words, pid)
    const perform = (): Result => (isGone() ? KILLED : runTool(this.#scene, tool, words))
    const work = async (): Promise<Result> => {
      if (asksLvmlockd(tool, words)) await this.#resumed
      return this.#faults.run(command, perform)
    }
    const result = await (CHANGING.has(tool) ? this.#inTurn(work) : work())
    this.#log.end(command, isGone() ? undefined : result)
    return result
  }

  #inTurn(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** Whether a command asks lvmlockd for something, and waits until it answers. */
export const asksLvmlockd = (tool: string, words: readonly string[]): boolean =>
  tool === 'lvmlockctl' || CHANGING.has(tool) || ((tool === 'lvs' || tool === 'vgs') && !words.includes('--nolocking'))
