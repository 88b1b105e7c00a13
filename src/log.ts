import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { createLogger, format, transports } from 'winston'
import type { Configuration } from './core/configuration.ts'
import { onHost } from './paths.ts'
import { within } from './within.ts'

/** What one event leaves in the log: one JSON object a line. */
export interface LogEntry {
  readonly level: Configuration['logLevel']
  readonly message: string
  readonly domain: string
  readonly uuid?: string
  readonly operation: string
  readonly volumes: readonly string[]
  readonly outcome: string
  /** From the start of the program to this entry. */
  readonly milliseconds: number
}

/** Milliseconds after which a log that does not answer is given up. */
const LOG_LIMIT = 1000

/** A log that is open. */
export interface Log {
  /** Writes one entry. Resolves when it is in the file, or is lost: R10. */
  write(entry: LogEntry): Promise<void>
}

/**
 * Opens the log. Never throws: winston's file transport throws if its folder cannot be made, and says nothing at all of a file that
 * cannot be opened. It loses lines at process.exit unless it has finished (FACTS 41), so that `write` waits for that.
 */
export function openLog({ logFile, logLevel }: Pick<Configuration, 'logFile' | 'logLevel'>): Log {
  try {
    const filename = onHost(logFile)
    // winston would make the folder with `recursive`, which never returns below /proc (Node 20).
    if (!existsSync(dirname(filename))) mkdirSync(dirname(filename), { mode: 0o755 })
    // Opening a FIFO would never return, and process.exit would wait for it.
    if (existsSync(filename) && !statSync(filename).isFile()) return NO_LOG
    const file = new transports.File({ filename, options: { flags: 'a', mode: 0o600 } })
    const logger = createLogger({ level: logLevel, format: format.json(), transports: [file] })
    const ended = new Promise<void>((resolve) => {
      for (const stream of [file, logger]) stream.on('error', () => resolve())
      file.on('finish', () => resolve())
    })
    return {
      write: async (entry) => {
        try {
          logger.log({ time: new Date().toISOString(), ...entry })
          logger.end()
          await within(LOG_LIMIT, ended)
        } catch {
          // `write after end`: the file could not be opened.
        }
      },
    }
  } catch {
    return NO_LOG
  }
}

const NO_LOG: Log = { write: () => Promise.resolve() }
