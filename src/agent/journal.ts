import type { Line, Priority } from '../core/agent-words.ts'
import type { Configuration } from '../core/configuration.ts'
import type { LogEntry } from '../system/log.ts'
import { milliseconds } from '../system/clock.ts'
import { write } from '../system/output.ts'
import { self } from '../system/self.ts'
import { within } from '../system/within.ts'
import { stderrLine } from './stderr-line.ts'

/** Where the agent says what it does: the journal, by way of stderr (FACTS 42), and lvguard's log. */
export interface Journal {
  say(line: Line, about?: About): void
}

/** What the log keeps beside the sentence. */
export interface About {
  readonly domain: string
  readonly uuid: string
  readonly operation: string
  readonly volumes: readonly string[]
  readonly outcome: string
  readonly milliseconds: number
}

/**
 * Milliseconds for which the log is not tried again after it has not answered: each try would leave a child that waits.
 */
const SILENCE = 60_000

const LEVELS: Readonly<Record<Priority, LogEntry['level']>> = {
  2: 'error',
  3: 'error',
  4: 'warn',
  5: 'warn',
  6: 'info',
}
const ORDER: readonly LogEntry['level'][] = ['error', 'warn', 'info', 'debug']

/**
 * Opens the journal. The log is opened for each entry and closed again: so logrotate can rename it without telling the
 * agent. winston is loaded with the first entry.
 */
export function openJournal(configuration: () => Configuration): Journal {
  let last: Promise<void> = Promise.resolve()
  let silentUntil = 0
  const isTerminal = self().isTerminal(2)
  const sayLine = (line: Line): void => write(2, stderrLine(line, isTerminal))
  const log = async (entry: LogEntry): Promise<void> => {
    const { logFile, logLevel } = configuration()
    if (logFile === '' || ORDER.indexOf(entry.level) > ORDER.indexOf(logLevel) || milliseconds() < silentUntil) return
    try {
      const { LOG_LIMIT, openLog } = await import('../system/log.ts')
      const writer = openLog({ logFile, logLevel })
      await writer.write(entry)
      const isWritten = await within(
        LOG_LIMIT,
        writer.ended.then(() => true),
      )
      if (isWritten === true) return
      writer.abandon()
      silentUntil = milliseconds() + SILENCE
      sayLine({ priority: 4, text: `the log ${logFile} does not answer; nothing is logged there for a minute` })
    } catch {
      // R10.
    }
  }
  return {
    say: ({ priority, text }, about) => {
      sayLine({ priority, text })
      if (about !== undefined) last = last.then(() => log({ level: LEVELS[priority], message: text, ...about }))
    },
  }
}
