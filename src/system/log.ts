import { spawn } from 'node:child_process'
import { Writable } from 'node:stream'
import { createLogger, format, transports } from 'winston'
import type { Configuration } from '../core/configuration.ts'
import { onHost } from './paths.ts'
import { within } from './within.ts'

/** What one event leaves in the log: one JSON object a line, with its time first. */
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
export const LOG_LIMIT = 1000

/** A log that is open, for one entry. */
export interface Log {
  /** Hands the entry to the child that writes it. Resolves at once: nobody waits for the storage of the file (R10). */
  write(entry: LogEntry): Promise<void>
  /** The child has ended: the entry is in the file, or is lost. */
  readonly ended: Promise<void>
  /** Gives the entry up. */
  abandon(): void
}

// Writes to a regular file only: with a FIFO it would wait for ever. log_file is an absolute path, so it has a folder.
const WRITER =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's.
  'umask 077; d="${0%/*}"; [ -d "${d:-/}" ] || mkdir -m 755 "$d" || exit; [ ! -e "$0" ] || [ -f "$0" ] || exit; exec cat >> "$0"'

/**
 * Opens the log. Never throws, and never waits: a child of this program opens the file and writes it. The file may be
 * on storage that does not answer (a dead NFS server, a frozen file system). Then the child waits in the kernel, where
 * no time limit helps. If one of Node's own threads waited there, the program could not even exit (measured:
 * process.exit waits for it). The child has neither stdout nor stderr (R7), and no VG's lock. winston's own file
 * transport loses lines at process.exit, and throws if its folder cannot be made (FACTS 41).
 */
export function openLog({ logFile, logLevel }: Pick<Configuration, 'logFile' | 'logLevel'>): Log {
  try {
    const child = spawn('/bin/sh', ['-c', WRITER, onHost(logFile)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    child.stdin.on('error', () => undefined)
    child.unref()
    let isOver: () => void
    const over = new Promise<void>((resolve) => {
      isOver = resolve
    })
    const stream = new Writable({
      decodeStrings: false,
      write: (line: string, _encoding, done) => {
        // Into the pipe at once: it is empty, and takes far more than a line.
        child.stdin.end(line)
        isOver()
        done()
      },
    })
    const line = format.printf(({ time, level, domain, operation, outcome, message, ...more }) =>
      JSON.stringify({ time, level, domain, operation, outcome, message, ...more }),
    )
    const logger = createLogger({ level: logLevel, format: line, transports: [new transports.Stream({ stream })] })
    return {
      write: async (entry) => {
        logger.log({ time: new Date().toISOString(), ...entry })
        await within(LOG_LIMIT, over)
      },
      ended,
      abandon: () => void child.kill('SIGKILL'),
    }
  } catch {
    return NO_LOG
  }
}

const NO_LOG: Log = { write: () => Promise.resolve(), ended: Promise.resolve(), abandon: () => undefined }
