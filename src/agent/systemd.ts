import { query } from '../system/run.ts'
import { self } from '../system/self.ts'

/**
 * Seconds between two signs of life for systemd, three within its WatchdogSec; undefined where it waits for none
 * (sd_watchdog_enabled(3)).
 */
export function watchdogPeriod(environment = self().environment): number | undefined {
  const microseconds = Number(environment['WATCHDOG_USEC'])
  return isHeard(environment) && microseconds > 0 ? microseconds / 3e6 : undefined
}

/** Whether systemd listens: this is a service with Type=notify. */
export const isHeard = (environment = self().environment): boolean => environment['NOTIFY_SOCKET'] !== undefined

/**
 * Tells systemd one word of sd_notify(3), by a child (FACTS 42): the unit has NotifyAccess=all. Outside a service it
 * does nothing.
 * @returns undefined if it was said, else why not
 */
export async function tellSystemd(word: 'READY=1' | 'WATCHDOG=1' | `STATUS=${string}`): Promise<string | undefined> {
  if (!isHeard()) return undefined
  const { exitCode, stderr, isAbsent } = await query('systemd-notify', [word])
  if (exitCode === 0) return undefined
  return isAbsent
    ? 'systemd-notify was not found'
    : stderr.trim() || `systemd-notify exited with ${exitCode ?? 'a signal'}`
}
