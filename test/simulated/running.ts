import { spawn } from 'node:child_process'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import type { Result } from '../ring.ts'

/** A program that was started. */
export interface Running {
  readonly pid: number
  /** What it has said so far. */
  stdout(): string
  stderr(): string
  /** Its own end. A signal counts as 128 + n. */
  readonly exited: Promise<number>
  /** Its end as libvirt sees it: exited, and nobody left who holds its stdout or stderr (FACTS 9). */
  readonly result: Promise<Result>
  /** Ends it and nothing else: what it has started goes on. */
  kill(signal?: NodeJS.Signals): void
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string>>
  readonly stdin?: string | undefined
}

/** @throws Error (through `result`) if the program cannot be started */
export function start(file: string, words: readonly string[], { env, stdin = '' }: Surroundings): Running {
  const child = spawn(file, words, { env, stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // Not every call reads its standard input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin)
  const end = (event: 'exit' | 'close'): Promise<number> =>
    new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once(event, (code: number | null, signal: NodeJS.Signals | null) =>
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
      )
    })
  const exited = end('exit')
  // Whoever waits for `result` need not wait for `exited` too.
  exited.catch(() => undefined)
  const result = end('close').then((code) => ({ code, stdout, stderr }))
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    result,
    kill: (signal = 'SIGKILL') => void child.kill(signal),
  }
}

/**
 * Descriptors that this process was started with and that all its children inherit, as `NUMBER TARGET`: Node opens none
 * of that kind.
 */
export function descriptorsFromOutside(): string[] {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      const flags = Number.parseInt(
        /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1] ?? '',
        8,
      )
      return Number(number) > 2 && (flags & O_CLOEXEC) === 0
        ? [`${number} ${readlinkSync(`/proc/self/fd/${number}`)}`]
        : []
    } catch {
      // It was the one of this very look.
      return []
    }
  })
}

const O_CLOEXEC = 0o2_000_000
