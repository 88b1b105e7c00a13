import type { Process } from './process.ts'

/** How often somebody waited there, and how often one was killed in it, or with its host. */
export type WaitCounts = Readonly<Record<string, readonly [begun: number, killed: number]>>

let counts: Map<string, [number, number]> | undefined

/** From now on the waits of the product are counted. It costs a stack for each. */
export function countWaits(): void {
  counts = new Map()
  Error.stackTraceLimit = 40
}

export const waitCounts = (): WaitCounts => Object.fromEntries(counts ?? [])

/**
 * A process of the product begins to wait for something that the simulated world will do.
 * @param what a command, or a time
 * @returns what ends the wait
 */
export function waitBegins(process: Process, what: string): () => void {
  if (counts === undefined) return NOTHING
  const stack = new Error().stack ?? ''
  // The limit of a command is no wait of its own.
  if (what === A_TIME && stack.includes(' within (')) return NOTHING
  const place = `${process.kind}: ${what} in ${callersOf(stack)}`
  const count = counts.get(place) ?? [0, 0]
  counts.set(place, count)
  count[0]++
  const { pending } = process
  const killed = (): void => void count[1]++
  pending.add(killed)
  return () => void pending.delete(killed)
}

const NOTHING = (): void => undefined

/** What is waited for where it is no command. */
export const A_TIME = 'a time'

/** Functions of the seam and below it, which say nothing of what is waited for. */
const BELOW =
  /^(?:Object\.|new |Promise|Array\.|process|waitBegins|callersOf|startCommand|after|every|start\d*|query|limited|within|waiting|change|outlive|pause|runChunk|<anonymous>|sleep|async\.|drained|work|Engine\.|Actor\.|Process\.)/

/** Functions of the simulation that call the product. */
const OUTSIDE = /^(?:play|playOne|rest|runUntil|migrateAll|inThisThread|Work\.run)$/

/** The three functions of the product that are nearest to the wait, the last one first. */
function callersOf(stack: string): string {
  const names = stack
    .split('\n')
    .slice(1)
    .flatMap((line) => /^ +at (?:async )?([\w$.#<> ]+?) \(/.exec(line)?.[1] ?? [])
    .map((name) => name.replace(/(?<=[a-z])\d+$/i, ''))
  const end = names.findIndex((name) => OUTSIDE.test(name))
  return (
    (end < 0 ? names : names.slice(0, end))
      .filter((name) => !BELOW.test(name))
      .slice(0, 3)
      .join(' < ') || 'its beginning'
  )
}
