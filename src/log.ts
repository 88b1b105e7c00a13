import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { createLogger, format, transports } from 'winston'
import type { Configuration } from './core/configuration.ts'
import { onHost } from './paths.ts'

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

/**
 * Writes one entry. Resolves when it is in the file, or is lost: R10. winston's file transport throws if its folder cannot be made, and
 * loses lines at process.exit unless it has finished (FACTS 41).
 */
export async function writeLog(entry: LogEntry, { logFile, logLevel }: Pick<Configuration, 'logFile' | 'logLevel'>): Promise<void> {
  if (logFile === '') return
  await new Promise<void>((resolve) => {
    // Not unref'd: with nothing else left to wait for, Node would end here, with exit status 0.
    const limit = setTimeout(resolve, LOG_LIMIT)
    const done = (): void => {
      clearTimeout(limit)
      resolve()
    }
    try {
      const filename = onHost(logFile)
      // winston would make the folder with `recursive`, which never returns below /proc (Node 20).
      if (!existsSync(dirname(filename))) mkdirSync(dirname(filename), { mode: 0o755 })
      // Opening a FIFO would never return, and process.exit would wait for it.
      if (existsSync(filename) && !statSync(filename).isFile()) throw new Error('not a file')
      const file = new transports.File({ filename, options: { flags: 'a', mode: 0o600 } })
      const logger = createLogger({ level: logLevel, format: format.json(), transports: [file] })
      for (const stream of [file, logger]) stream.on('error', done)
      file.on('finish', done)
      logger.log({ time: new Date().toISOString(), ...entry })
      logger.end()
    } catch {
      done()
    }
  })
}
