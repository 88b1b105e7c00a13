import type { Cluster } from '../cluster.ts'
import type { HostState } from '../host-state.ts'
import type { Result } from '../../ring.ts'

/** Where a simulated command runs. */
export interface Scene {
  readonly cluster: Cluster
  readonly host: HostState
}

/** A simulated tool: what it does to the cluster, and what it says. */
export type Tool = (scene: Scene, words: readonly string[]) => Result

/** Collects what a command says. */
export class Answer {
  code = 0
  readonly #stdout: string[] = []
  readonly #stderr: string[] = []

  print(line: string): this {
    this.#stdout.push(line)
    return this
  }

  /** A line on stderr as lvm commands write it, two spaces in. */
  say(text: string): this {
    this.#stderr.push(`  ${text}`)
    return this
  }

  /** A line on stderr as it is. */
  complain(line: string): this {
    this.#stderr.push(line)
    return this
  }

  /** What has been said so far, which is not said then. */
  unsay(): readonly string[] {
    return this.#stderr.splice(0).map((line) => line.trim())
  }

  fail(code = 5): this {
    this.code = code
    return this
  }

  result(): Result {
    const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('')
    return { code: this.code, stdout: text(this.#stdout), stderr: text(this.#stderr) }
  }
}
