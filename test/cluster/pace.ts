/**
 * How slow this machine is, by what one hook call takes on a node of it. What a scenario may take, and how large the
 * largest are, goes with it: a slow machine is no fault of lvguard.
 */

/**
 * What a call of `prepare` takes on a node of a usual machine, in seconds: Debian 12, emulated, two processors (`npm
 * run cluster -- times`).
 */
const USUAL_CALL = 2.5
/** Before anything was measured: nodes boot in a minute on a usual machine, and may take four. */
const UNKNOWN = 4
/**
 * From here on a machine is slow enough for the smaller forms. Debian 13 takes 1.3 times as long as Debian 12 on the
 * same machine.
 */
const SLOW = 1.5

export class Pace {
  /** How many times as long as usual everything may take; never less than once. */
  readonly times: number

  /** @param call what a hook call takes here, in seconds; undefined while nobody knows */
  constructor(readonly call: number | undefined) {
    this.times = call === undefined ? UNKNOWN : Math.max(1, call / USUAL_CALL)
  }

  /** @param seconds a limit on a usual machine; @returns the same for this one, in whole seconds */
  limit(seconds: number): number {
    return Math.ceil(seconds * this.times)
  }

  /** How many of `usual` a scenario plays with here, at least `least`; all of them unless the machine is slow. */
  fewer(usual: number, least: number): number {
    if (this.call === undefined || this.times <= SLOW) return usual
    return Math.min(usual, Math.max(least, Math.round(usual / this.times)))
  }

  /** What `fewer` has come to, for the output; undefined if it is the usual form. */
  smallerForm(what: string, usual: number, played: number): string | undefined {
    if (played === usual || this.call === undefined) return undefined
    return `played with ${played} ${what} instead of ${usual}: a hook call takes ${this.call.toFixed(1)} s here`
  }
}

/** One machine, one pace: that of this run. */
let current = new Pace(undefined)

/** Sets the pace of this run. */
export function keepPace(call: number): Pace {
  current = new Pace(call)
  return current
}

/** The pace of this run. */
export function pace(): Pace {
  return current
}
