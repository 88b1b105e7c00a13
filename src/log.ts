import { closeSync, existsSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
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

/** A log that is open, for one entry. */
export interface Log {
  /** Writes the entry. Resolves when it is in the file, or is lost: R10. */
  write(entry: LogEntry): Promise<void>
}

/**
 * Opens the log. Never throws. The line is in the file when `write` is over: winston's own file transport takes 2 ms more for it, loses
 * lines at process.exit, says nothing at all of a file that cannot be opened, and throws if its folder cannot be made (FACTS 41).
 */
export function openLog({ logFile, logLevel }: Pick<Configuration, 'logFile' | 'logLevel'>): Log {
  try {
    const filename = onHost(logFile)
    if (!existsSync(dirname(filename))) mkdirSync(dirname(filename), { mode: 0o755 })
    // Opening a FIFO would never return.
    if (existsSync(filename) && !statSync(filename).isFile()) return NO_LOG
    const descriptor = openSync(filename, 'a', 0o600)
    let isOver: () => void
    const over = new Promise<void>((resolve) => {
      isOver = resolve
    })
    const stream = new Writable({
      decodeStrings: false,
      write: (line: string, _encoding, done) => {
        writeAndClose(descriptor, line)
        isOver()
        done()
      },
    })
    const logger = createLogger({ level: logLevel, format: format.json(), transports: [new transports.Stream({ stream })] })
    return {
      write: async (entry) => {
        logger.log({ time: new Date().toISOString(), ...entry })
        await within(LOG_LIMIT, over)
      },
    }
  } catch {
    return NO_LOG
  }
}

function writeAndClose(descriptor: number, line: string): void {
  try {
    writeSync(descriptor, line)
  } catch {
    // A full disk: the line is lost.
  } finally {
    closeSync(descriptor)
  }
}

const NO_LOG: Log = { write: () => Promise.resolve() }
