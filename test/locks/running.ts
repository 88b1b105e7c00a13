import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { Result } from '../ring.ts'

/** A program that was started on a host. */
export interface Running {
  /** Of the program itself: nsenter and env replace themselves by it. */
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
  /** Resolves when a program with a gate has come to it; at once without a gate. */
  readonly ready: Promise<void>
  /** Opens the gate. */
  go(): void
}

export interface StartOptions {
  readonly stdin?: string | undefined
  /** It waits for `go()` just before its first instruction, with everything before that done. */
  readonly gate?: boolean
}

// Not bash: with a socket as standard input it takes itself for a remote shell and reads .bashrc.
const GATE = ['sh', '-c', 'echo >&3; read -r _ <&3; exec 3>&-; exec "$@"', 'gate']

/**
 * Starts a program in the mount and network namespaces of a process, with nothing in its environment but what is given.
 * @throws Error (through `exited` and `result`) if it cannot be started
 */
export function start(
  namespace: number,
  environment: Readonly<Record<string, string>>,
  command: readonly string[],
  { stdin = '', gate = false }: StartOptions = {},
): Running {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  const words = ['-t', String(namespace), '-m', '-n', 'env', '-i', ...variables, ...(gate ? GATE : []), ...command]
  const child = spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'pipe', ...(gate ? ['pipe' as const] : [])] })
  const [input, output, errors, latch] = child.stdio as unknown as [Writable, Readable, Readable, Duplex | undefined]
  let stdout = ''
  let stderr = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  errors.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // Not every program reads its standard input.
  input.on('error', () => undefined)
  input.end(stdin)
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
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    result: end('close').then((code) => ({ code, stdout, stderr })),
    kill: (signal = 'SIGKILL') => void child.kill(signal),
    ready: new Promise((resolve) => {
      if (latch === undefined) resolve()
      else latch.once('data', resolve).once('close', resolve)
    }),
    go: () => void latch?.write('\n'),
  }
}

/** Lets programs that were started with a gate go on in the same instant, and waits for their ends. */
export async function together(...programs: readonly Running[]): Promise<Result[]> {
  await Promise.all(programs.map(({ ready }) => ready))
  for (const program of programs) program.go()
  return Promise.all(programs.map(({ result }) => result))
}
