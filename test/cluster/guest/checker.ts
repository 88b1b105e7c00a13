/**
 * Judges what `guest-journal list` read from a volume. The guest (guest.c) writes record N into slot (N - 1) % slots,
 * each with the id of its boot and the number with which that boot began, and notes what it found other than it had
 * left it.
 */
export type Fault =
  /** A record that was written, or must have been, and is not there. */
  | { readonly kind: 'lost'; readonly number: number }
  /**
   * A number that two boots have written: both ran at once, or the later one did not see what the earlier had written.
   */
  | { readonly kind: 'repeated'; readonly number: number; readonly boots: readonly [string, string] }
  /** Something that another boot, or no guest at all, wrote into a slot while this boot was running. */
  | { readonly kind: 'foreign'; readonly number: number }
  /** Half a record. */
  | { readonly kind: 'torn'; readonly number: number }

export interface Journal {
  /** The last record's number; 0 on an empty volume. */
  readonly last: number
  /** Boots whose records are still there, in the order of their records. */
  readonly boots: readonly string[]
  readonly faults: readonly Fault[]
}

interface Written {
  readonly number: number
  readonly first: number
  readonly boot: string
}

/** `acknowledged`: the highest number that any guest has reported as written, from its console. */
export function judge(listing: string, acknowledged = 0): Journal {
  const lines = listing.split('\n').map((line) => line.split(' '))
  const slots = Number(lines.find(([word]) => word === 'slots')?.[1])
  if (!(slots > 0)) throw new Error(`not a journal's listing: ${listing.slice(0, 200)}`)
  const held = new Map<number, Written | 'alien' | 'torn'>()
  const faults: Fault[] = []
  for (const [what, at, is, number, first, boot] of lines) {
    if (what === 'slot' && is === 'record')
      held.set(Number(at), { number: Number(number), first: Number(first), boot: boot ?? '' })
    if (what === 'slot' && (is === 'alien' || is === 'torn')) held.set(Number(at), is)
    if (what === 'note') faults.push({ kind: kindOf(at), number: Number(is) })
  }
  const records = [...held.values()].filter((one): one is Written => typeof one === 'object')
  const last = Math.max(0, ...records.map(({ number }) => number))

  const inOrder: Written[] = []
  for (let number = Math.max(1, last - slots + 1); number <= last; number++) {
    const there = held.get((number - 1) % slots)
    if (there === 'torn') faults.push({ kind: 'torn', number })
    else if (there === 'alien') faults.push({ kind: 'foreign', number })
    else if (there?.number !== number) faults.push({ kind: 'lost', number })
    else inOrder.push(there)
  }
  for (const [at, there] of held)
    if (at >= last && typeof there === 'string') faults.push({ kind: there === 'torn' ? 'torn' : 'foreign', number: 0 })
  for (let number = last + 1; number <= acknowledged; number++) faults.push({ kind: 'lost', number })

  const boots: string[] = []
  let before: Written | undefined
  for (const record of inOrder) {
    if (record.boot !== before?.boot) {
      boots.push(record.boot)
      // A boot writes without gaps from its first number on: it has written all from there to here, and so has another.
      if (before !== undefined && record.first <= before.number)
        faults.push({ kind: 'repeated', number: before.number, boots: [before.boot, record.boot] })
    }
    before = record
  }
  return { last, boots: [...new Set(boots)], faults }
}

/** The highest number that the console of a guest reports as written. */
export function acknowledged(console: string): number {
  return Math.max(
    0,
    ...[...console.matchAll(/^guest: boot \w+ (?:wrote|powers off after|resets after) (\d+)$/gm)].map(([, number]) =>
      Number(number),
    ),
  )
}

function kindOf(word: string | undefined): Fault['kind'] & ('lost' | 'foreign' | 'torn') {
  if (word === 'lost' || word === 'foreign' || word === 'torn') return word
  throw new Error(`unknown note in the journal: ${word}`)
}
