import type { Result } from '../ring.ts'
import type { Command } from './command-log.ts'

/** A tool's name, a pattern for the whole line, or a question. */
export type Match = string | RegExp | ((command: Command) => boolean)

export interface Rule {
  /** How many commands have matched so far. */
  readonly matched: number
  remove(): void
}

export interface Gate extends Rule {
  /** Fulfilled when a command has come to the gate. */
  readonly reached: Promise<Command>
  /** Lets the commands that wait, and all later ones, go on. */
  open(): void
}

type Act = (command: Command, result?: Result) => void | Promise<void>
type Replacement = (command: Command, perform: () => Result) => Result | Promise<Result>

interface Entry extends Rule {
  matched: number
  readonly applies: (command: Command) => boolean
  readonly nth: number | undefined
  readonly before?: Act
  readonly after?: Act
  readonly replace?: Replacement
}

/**
 * What goes wrong on a host, and when: between the lines of the program under test. A rule applies to every command
 * that matches, or to the nth only.
 */
export class Faults {
  #rules: Entry[] = []
  readonly #gates = new Set<Gate>()

  /** Runs something just before the command works. It may wait, and the command with it. */
  before(match: Match, act: Act, nth?: number): Rule {
    return this.#add(match, nth, { before: act })
  }

  /** Runs something after the command has worked, before the program learns of it. */
  after(match: Match, act: Act, nth?: number): Rule {
    return this.#add(match, nth, { after: act })
  }

  /** Answers in the tool's place. A function may let the tool work (`perform`) and change what it says. */
  answer(match: Match, answer: Partial<Result> | Replacement, nth?: number): Rule {
    const replace =
      typeof answer === 'function' ? answer : (): Result => ({ code: 0, stdout: '', stderr: '', ...answer })
    return this.#add(match, nth, { replace })
  }

  /** Holds commands until the gate is opened: before they work, or after that but before the program learns of it. */
  block(
    match: Match,
    { when = 'before', nth }: { readonly when?: 'before' | 'after'; readonly nth?: number } = {},
  ): Gate {
    let open = (): void => undefined
    let reach = (_command: Command): void => undefined
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    const reached = new Promise<Command>((resolve) => {
      reach = resolve
    })
    const wait = (command: Command): Promise<void> => {
      reach(command)
      return opened
    }
    const rule = this.#add(match, nth, when === 'before' ? { before: wait } : { after: wait })
    const gate: Gate = {
      get matched() {
        return rule.matched
      },
      remove: rule.remove,
      reached,
      open,
    }
    this.#gates.add(gate)
    return gate
  }

  /** Removes all rules and opens all gates. */
  clear(): void {
    this.#rules = []
    for (const gate of this.#gates) gate.open()
    this.#gates.clear()
  }

  async run(command: Command, perform: () => Result): Promise<Result> {
    const matching = this.#rules.filter((rule) => rule.applies(command))
    for (const rule of matching) rule.matched += 1
    const rules = matching.filter(({ nth, matched }) => nth === undefined || nth === matched)
    for (const { before } of rules) await before?.(command)
    const replace = rules.find((rule) => rule.replace !== undefined)?.replace
    const result = replace === undefined ? perform() : await replace(command, perform)
    for (const { after } of rules) await after?.(command, result)
    return result
  }

  #add(match: Match, nth: number | undefined, what: Pick<Entry, 'before' | 'after' | 'replace'>): Rule {
    const applies = (command: Command): boolean =>
      typeof match === 'string'
        ? command.tool === match
        : match instanceof RegExp
          ? match.test(command.line)
          : match(command)
    const rule: Entry = {
      ...what,
      applies,
      nth,
      matched: 0,
      remove: () => {
        this.#rules = this.#rules.filter((other) => other !== rule)
      },
    }
    this.#rules.push(rule)
    return rule
  }
}
