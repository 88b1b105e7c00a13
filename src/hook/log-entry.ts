import type { Handling } from '../acts/events.ts'
import type { HookEvent } from '../core/call.ts'
import { fullName } from '../core/volume.ts'
import type { LogEntry } from '../system/log.ts'

/** What the log keeps of an event. */
export function logEntryOf(
  { name, operation }: HookEvent,
  { outcome, domain, warning }: Handling,
  lines: readonly string[],
): Omit<LogEntry, 'milliseconds'> {
  const about = { domain: name, ...(domain && { uuid: domain.uuid }), operation }
  const volumes = 'volumes' in outcome ? outcome.volumes.map(fullName) : []
  const also = warning === undefined ? '' : `; ${warning}`
  switch (outcome.kind) {
    case 'nothing':
      return {
        ...about,
        volumes,
        outcome: 'nothing',
        level: warning === undefined ? 'debug' : 'warn',
        message: warning ?? outcome.reason,
      }
    case 'done':
      return {
        ...about,
        volumes,
        outcome: outcome.did,
        level: warning === undefined ? 'info' : 'warn',
        message: outcome.did + also,
      }
    case 'left':
    case 'unfinished':
      return {
        ...about,
        volumes,
        outcome: outcome.kind,
        level: outcome.kind === 'left' ? 'error' : 'warn',
        message: outcome.warning === undefined ? lines.join(' ') + also : lines.join(' '),
      }
    case 'refused':
      return {
        ...about,
        volumes,
        outcome: 'refused',
        level: 'warn',
        message: lines.join(' ') + (outcome.problems.some(({ kind }) => kind === 'bad-configuration') ? '' : also),
      }
  }
}
