import type { Configuration } from '../core/configuration.ts'
import type { Log } from '../system/log.ts'
import { meanwhileDo } from '../system/run.ts'
import { write } from '../system/output.ts'
import { LONGEST_XML, readStdin } from '../system/stdin.ts'
import type { HookEvent } from '../core/call.ts'
import { noteCaller } from '../acts/daemon.ts'
import { askLocks } from '../acts/host.ts'
import { exitStatusOf, linesOf } from '../core/outcome.ts'
import { logEntryOf } from './log-entry.ts'

/** Of src/loader.js: keeps the compiled code for the next call. */
declare const saveCache: () => void

/** One call by libvirt, from standard input to exit status. @returns 0 lets libvirt go on, 1 refuses */
export async function runHook(event: HookEvent): Promise<number> {
  noteCaller()
  // libvirt writes the whole XML at once, so this does not wait.
  const xml = readStdin(LONGEST_XML)
  // lvmlockctl answers while the rest of the program is loaded; but it is not asked for a VM that cannot have volumes.
  const asked = event.operation === 'prepare' && xml.includes('/dev/') ? askLocks() : undefined
  const { handle } = await import('../acts/events.ts')
  let log: Promise<Log> | undefined
  const openLog = (configuration: Configuration): Promise<Log> =>
    (log ??= import('../system/log.ts').then((module) => module.openLog(configuration)))
  const handling = await handle(
    event,
    () => xml,
    asked,
    (configuration) => {
      if (configuration.logFile !== '') meanwhileDo(() => void openLog(configuration).catch(() => undefined))
    },
  )
  const { outcome, configuration } = handling
  const lines = linesOf(outcome, event.name)
  // The result goes out before it is logged (R10). Nothing but the XML goes to standard output (R6).
  if (outcome.kind === 'done' && outcome.stdout !== undefined) write(1, outcome.stdout)
  if (lines.length > 0) write(2, lines.map((line) => `lvguard: ${line}\n`).join(''))
  const status = exitStatusOf(outcome)
  process.exitCode = status
  // The log may throw at any time: the status stays.
  process.on('uncaughtException', () => process.exit(status))
  const entry = logEntryOf(event, handling, lines)
  const isWanted = LEVELS.indexOf(entry.level) <= LEVELS.indexOf(configuration.logLevel)
  if (isWanted && configuration.logFile !== '') {
    try {
      const { write: writeLog } = await openLog(configuration)
      // It is handed over; nobody waits for it.
      await writeLog({ ...entry, milliseconds: Math.round(process.uptime() * 1000) })
    } catch {
      // R10: the log is lost, the outcome is not.
    }
  }
  // A call that did its work has run the code that the next one needs.
  if (outcome.kind === 'done') saveCache()
  return status
}

const LEVELS = ['error', 'warn', 'info', 'debug'] as const
