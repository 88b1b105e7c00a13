import { write as writeLater } from 'node:fs'
import { Worker, parentPort, workerData } from 'node:worker_threads'

/** A thread of this process, with an event loop of its own: it goes on where the first one waits in the kernel. */
export interface Thread {
  post(message: unknown): void
}

/** What is told of a thread. */
export interface ThreadEvents {
  readonly message: (message: unknown) => void
  /** It has ended, which is a fault: no thread ends on purpose. @param why in one line */
  readonly ended: (why: string) => void
}

/**
 * Of the loader: the text of a part of this program, which is in memory. Not defined if the sources run as they are
 * (tests).
 */
declare const sourceOf: ((name: string) => string) | undefined

/**
 * Starts a part of the program in a thread of its own. Reads no file for that, so it works also if the program's file
 * is on a disk that does not answer by then.
 * @param data given to it, as its `workerData`
 * @returns undefined where there are no parts
 * @throws Error if no thread can be had
 */
export function startThread(part: string, data: unknown, { message, ended }: ThreadEvents): Thread | undefined {
  if (typeof sourceOf === 'undefined') return undefined
  return threadOf(`${sourceOf(part)}({}, require, { exports: {} })`, data, { message, ended })
}

/**
 * The same for the text of a program. What it writes to process.stdout and process.stderr goes nowhere: the first
 * thread of this program has neither (no-standard-streams.ts).
 */
export function threadOf(text: string, data: unknown, { message, ended }: ThreadEvents): Thread {
  const worker = new Worker(text, { eval: true, workerData: data, stdout: true, stderr: true })
  let why = 'it ended'
  worker.on('message', message)
  worker.on('error', (error: unknown) => {
    why = error instanceof Error ? error.message : String(error)
  })
  worker.on('exit', (status) => ended(`${why} (exit status ${status})`))
  return { post: (each) => worker.postMessage(each) }
}

/** For a thread: what it was given, and how it talks with the first thread. @throws Error in the first thread */
export function ownThread(): {
  readonly data: unknown
  post(message: unknown): void
  onMessage(work: (message: unknown) => void): void
} {
  const port = parentPort
  if (port === null) throw new Error('this is no thread of its own')
  return {
    data: workerData,
    post: (message) => port.postMessage(message),
    onMessage: (work) => void port.on('message', work),
  }
}

/**
 * Writes to stderr in the order of the calls, and keeps nobody waiting. If journald does not read, because its own disk
 * hangs, a thread of libuv's pool waits.
 * @param limit milliseconds
 * @param late called once with each text that has not been written within its limit
 */
export function patientStderr(limit: number, late: (text: string) => void): (text: string) => void {
  let last: Promise<void> = Promise.resolve()
  return (text) => {
    const timer = setTimeout(() => late(text), limit)
    last = last.then(
      () =>
        new Promise((resolve) => {
          writeLater(2, text, () => {
            clearTimeout(timer)
            resolve()
          })
        }),
    )
  }
}
