import type { KillWorld } from './world.ts'

/**
 * Seconds for journald to take a line and to put it on its disk, which it does at once for priority 2
 * (journald.conf(5), SyncIntervalSec=).
 */
const JOURNAL_PAUSE = 0.2

/**
 * Says in the journal why this host is reset, and resets it. A line that is only in the kernel's log may be lost with
 * the reset.
 */
export async function resetHost(
  why: string,
  { say, sleep, reset }: Pick<KillWorld, 'say' | 'sleep' | 'reset'>,
): Promise<void> {
  say({ priority: 2, text: `this host is reset: ${why}` })
  await sleep(JOURNAL_PAUSE)
  reset(why)
}
