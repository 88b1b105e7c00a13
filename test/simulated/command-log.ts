import type { Result } from '../ring.ts'

/** A command that a host ran. */
export interface Command {
  readonly host: string
  readonly tool: string
  readonly words: readonly string[]
  /** Tool and words with spaces between. */
  readonly line: string
  readonly pid: number
  /** Starts and ends of all commands of all hosts are numbered in the order in which they happened. */
  readonly started: number
  readonly ended: number | undefined
  /** Undefined while it runs, and for ever if it was killed first. */
  readonly result: Result | undefined
}

type Entry = { -readonly [Key in keyof Command]: Command[Key] }

/** All commands of a ring in the order of their starts. */
export class CommandLog {
  #entries: Entry[] = []
  #count = 0

  start(host: string, tool: string, words: readonly string[], pid: number): Entry {
    const entry = {
      host,
      tool,
      words,
      line: [tool, ...words].join(' '),
      pid,
      started: ++this.#count,
      ended: undefined,
      result: undefined,
    }
    this.#entries.push(entry)
    return entry
  }

  end(entry: Entry, result: Result | undefined): void {
    entry.ended = ++this.#count
    entry.result = result
  }

  commands(host?: string, tool?: string): readonly Command[] {
    return this.#entries.filter(
      (entry) => (host === undefined || entry.host === host) && (tool === undefined || entry.tool === tool),
    )
  }

  lines(host?: string, tool?: string): string[] {
    return this.commands(host, tool).map(({ line }) => line)
  }

  /** Pairs of commands of one host of which the second started before the first had ended. */
  overlaps(host: string, tool?: string): (readonly [Command, Command])[] {
    const commands = this.commands(host, tool)
    return commands.flatMap((first, index) => {
      const meanwhile = commands
        .slice(index + 1)
        .filter(({ started }) => first.ended === undefined || started < first.ended)
      return meanwhile.map((second) => [first, second] as const)
    })
  }

  clear(): void {
    this.#entries = []
  }
}
