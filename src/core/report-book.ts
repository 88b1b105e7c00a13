/**
 * Something to say about a domain. `again`: seconds after which it is said once more if it is still so; absent: once is
 * enough.
 */
export interface Saying {
  readonly key: string
  readonly again?: number
}

/**
 * Remembers what has been said, so that something that lasts is not said every 15 s. What is no longer so is forgotten,
 * and said again when it comes back.
 */
export class ReportBook {
  readonly #said = new Map<string, Map<string, number>>()

  /**
   * @param about the domain, or anything else that the sayings are about: they replace all earlier ones about it
   * @param now seconds
   * @returns those to be said now
   */
  update<S extends Saying>(about: string, sayings: readonly S[], now: number): S[] {
    const before = this.#said.get(about)
    const due = sayings.filter(({ key, again }) => {
      const at = before?.get(key)
      return at === undefined || (again !== undefined && now - at >= again)
    })
    const dueKeys = new Set(due.map(({ key }) => key))
    const kept = new Map(sayings.map(({ key }) => [key, dueKeys.has(key) ? now : (before?.get(key) ?? now)]))
    if (kept.size === 0) this.#said.delete(about)
    else this.#said.set(about, kept)
    return due
  }
}
