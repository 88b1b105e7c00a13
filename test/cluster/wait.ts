import { pace } from './pace.ts'

/**
 * Looks again and again until `probe` answers with something other than undefined; throws when that takes too long:
 * longer than
 * `seconds` on a usual machine, on a slow one as many times longer as it is slow.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  { seconds = 60, every = 0.25 }: { seconds?: number; every?: number } = {},
): Promise<T> {
  const limit = pace().limit(seconds)
  const end = Date.now() + limit * 1000
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (Date.now() > end) throw new Error(`waited ${limit} s in vain: ${what}`)
    await pause(every)
  }
}

/** The same for a yes-or-no question. */
export async function untilTrue(
  what: string,
  probe: () => Promise<boolean>,
  options?: { seconds?: number; every?: number },
): Promise<void> {
  await until(what, async () => ((await probe()) ? true : undefined), options)
}

/** Between two looks at a state; instead of one only where that time itself is the story. */
export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}
