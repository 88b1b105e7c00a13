import { LONGEST_XML } from '../libvirt/domain-xml.ts'
import { meanwhileDo } from '../lvm/run.ts'
import { write } from '../output.ts'
import { readStdin } from '../stdin.ts'
import type { HookEvent } from './call.ts'
import { handle, logEntryOf } from './events.ts'
import { exitStatusOf, linesOf } from './outcome.ts'

/** Of src/loader.js: keeps the compiled code for the next call. */
declare const saveCache: () => void

/** One call by libvirt, from standard input to exit status. */
export async function runHook(event: HookEvent): Promise<number> {
  // execa makes standard input non-blocking when it is loaded, so that is read before (it comes whole: libvirt writes it at once).
  const xml = readStdin(LONGEST_XML)
  let logging: Promise<typeof import('../log.ts')> | undefined
  const loadLog = (): Promise<typeof import('../log.ts')> => (logging ??= import('../log.ts'))
  meanwhileDo(() => void loadLog())
  const handling = await handle(event, () => xml)
  const { outcome, configuration } = handling
  const lines = linesOf(outcome, event.name)
  // Said before it is logged: R10.
  // R6: nothing but the XML on standard output.
  if (outcome.kind === 'done' && outcome.stdout !== undefined) write(1, outcome.stdout)
  if (lines.length > 0) write(2, lines.map((line) => `lvguard: ${line}\n`).join(''))
  process.exitCode = exitStatusOf(outcome)
  const entry = logEntryOf(event, handling, lines)
  const isWanted = LEVELS.indexOf(entry.level) <= LEVELS.indexOf(configuration.logLevel)
  if (isWanted && configuration.logFile !== '') {
    const { writeLog } = await loadLog()
    await writeLog({ ...entry, milliseconds: Math.round(process.uptime() * 1000) }, configuration)
  }
  // A prepare that locked has been through most of the code that any event needs.
  if (outcome.kind === 'done' && outcome.did === 'locked') saveCache()
  return exitStatusOf(outcome)
}

const LEVELS = ['error', 'warn', 'info', 'debug'] as const
