/**
 * Where chance comes from: one seed, and for each thing that asks a stream of its own, so that leaving one thing out
 * changes nothing of the others.
 */
export class Chance {
  readonly #seed: number
  readonly #streams = new Map<string, () => number>()

  constructor(seed: number) {
    this.#seed = seed
  }

  /** From 0 up to 1. */
  of(stream: string): number {
    const known = this.#streams.get(stream)
    if (known !== undefined) return known()
    const next = sfc32(hashOf(`${this.#seed} ${stream}`))
    this.#streams.set(stream, next)
    return next()
  }

  isTrue(stream: string, probability: number): boolean {
    return this.of(stream) < probability
  }

  /** A whole number from 0 up to a limit. */
  below(stream: string, limit: number): number {
    return Math.floor(this.of(stream) * limit)
  }

  /** @throws Error if there is nothing to pick from */
  pick<T>(stream: string, from: readonly T[]): T {
    const picked = from[this.below(stream, from.length)]
    if (picked === undefined) throw new Error(`nothing to pick from: ${stream}`)
    return picked
  }
}

/** FNV-1a. */
export function hashOf(text: string): number {
  let hash = 2_166_136_261
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 16_777_619)
  return hash >>> 0
}

/** Chris Doty-Humphrey's small fast generator: 128 bits of state. */
function sfc32(seed: number): () => number {
  let [a, b, c, counter] = [seed, seed ^ 0x9e3779b9, seed ^ 0x243f6a88, 1]
  const next = (): number => {
    const t = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 4_294_967_296
  }
  for (let warm = 0; warm < 12; warm++) next()
  return next
}
