import type { Line, Priority } from '../core/agent-words.ts'
import type { Configuration } from '../core/configuration.ts'
import { printable } from '../hook/outcome.ts'
import type { LogEntry } from '../log.ts'
import { write } from '../output.ts'

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

const LEVELS: Readonly<Record<Priority, LogEntry['level']>> = { 2: 'error', 3: 'error', 4: 'warn', 5: 'warn', 6: 'info' }
const ORDER: readonly LogEntry['level'][] = ['error', 'warn', 'info', 'debug']

/**
 * The log is opened for each entry and closed again, so that logrotate's rename needs no word to the agent; winston is loaded with the
 * first one.
 */
export function openJournal(configuration: () => Configuration): Journal {
  let last: Promise<void> = Promise.resolve()
  const log = async (entry: LogEntry): Promise<void> => {
    const { logFile, logLevel } = configuration()
    if (logFile === '' || ORDER.indexOf(entry.level) > ORDER.indexOf(logLevel)) return
    try {
      const { openLog } = await import('../log.ts')
      await openLog({ logFile, logLevel }).write(entry)
    } catch {
      // R10.
    }
  }
  return {
    say: ({ priority, text }, about) => {
      write(2, `<${priority}>${printable(text)}\n`)
      if (about !== undefined) last = last.then(() => log({ level: LEVELS[priority], message: text, ...about }))
    },
  }
}
