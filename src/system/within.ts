import { CLOCK } from './clock.ts'

/**
 * Waits for something, but not for ever.
 * @param limit milliseconds
 * @returns undefined when the time is over; the work goes on
 */
export async function within<T>(limit: number, work: Promise<T>): Promise<T | undefined> {
  let cancel = (): void => undefined
  const over = new Promise<undefined>((resolve) => {
    cancel = CLOCK.after(limit, () => resolve(undefined))
  })
  try {
    return await Promise.race([work, over])
  } finally {
    cancel()
  }
}
