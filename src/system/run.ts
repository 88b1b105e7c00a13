import { closeSync, openSync, readSync, unlinkSync } from './files.ts'
import { join } from 'node:path'
import { RUN_FOLDER } from './paths.ts'
import { type Ended, type Running, start } from './commands.ts'
import { perProcess, self } from './self.ts'
import { within } from './within.ts'
import { isErrno } from './error-message.ts'

/** What came of a command. */
export interface CommandResult {
  /** Undefined if it could not be started or did not end by itself. */
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
  /** There is no such program. */
  readonly isAbsent: boolean
  readonly timedOut: boolean
}

/** Milliseconds. Contention for the VG's lock alone can hold a command for 23 s (FACTS 35). */
export const QUERY_LIMIT = 40_000
/** Milliseconds. To end an lvchange half-way is the last resort. */
export const CHANGE_LIMIT = 90_000

// R8. PATH and LVM's own settings pass through; LVM warns of each inherited descriptor unless told not to.
const ENVIRONMENT = { LC_ALL: 'C', LVM_SUPPRESS_FD_WARNINGS: '1' }

/**
 * Runs a command that only reads. Never throws for what the command did.
 * @param limit milliseconds
 */
export async function query(command: string, words: readonly string[], limit = QUERY_LIMIT): Promise<CommandResult> {
  const running = start(command, words, { stdio: ['ignore', 'pipe', 'pipe'], env: ENVIRONMENT })
  const result = await limited(limit, running)
  return result === undefined ? GIVEN_UP : outcomeOf(result, String(result.stdout ?? ''), String(result.stderr ?? ''))
}

/**
 * Waits for a child, and ends it when its time is over. execa's own `timeout` would cost each call 1 ms (its
 * AbortSignal).
 * @param limit milliseconds
 * @returns undefined when the time is over
 */
async function limited(limit: number, running: Running): Promise<Ended | undefined> {
  const result = await within(limit, running.ended)
  if (result !== undefined) return result
  running.kill()
  await within(GRACE, running.ended)
  return undefined
}

// Milliseconds. A child in uninterruptible sleep (storage that does not answer) does not end at a signal. After this
// time it is no longer waited for.
const GRACE = 10_000
const GIVEN_UP: CommandResult = { exitCode: undefined, stdout: '', stderr: '', isAbsent: false, timedOut: true }

/**
 * Runs a command of an administrator's own, which may be a script with children. When its time is over, all of them are
 * ended. If it ends by itself, children that it leaves behind are not waited for. Never throws for what the command
 * did.
 * @param limit milliseconds
 * @returns `stderr` has all that it said, on either stream
 */
export async function queryGroup(command: string, words: readonly string[], limit: number): Promise<CommandResult> {
  const said = anonymousFile()
  try {
    const output = said ?? 'ignore'
    const running = start(command, words, { stdio: ['ignore', output, output], env: ENVIRONMENT, detached: true })
    const result = await within(limit, running.ended)
    if (result === undefined) {
      running.killGroup()
      return GIVEN_UP
    }
    return outcomeOf(result, '', said === undefined ? '' : contentOf(said))
  } finally {
    if (said !== undefined) closeSync(said)
  }
}

/** A command that waits for something. */
export interface WaitingCommand {
  readonly ended: Promise<CommandResult>
  stop(): void
}

/**
 * Runs a command that waits, and whose exit status is all that matters; cheaper than a query.
 * @param inherited descriptors of this process that it gets, as 3 and on
 */
export function waiting(command: string, words: readonly string[], inherited: readonly number[]): WaitingCommand {
  const running = start(command, words, { stdio: ['ignore', 'ignore', 'ignore', ...inherited], env: ENVIRONMENT })
  return { ended: running.ended.then((result) => outcomeOf(result, '', '')), stop: () => running.kill() }
}

/**
 * Runs a command that nobody may end, and that need not be waited for: it outlives this program.
 * @returns whether it ended with 0
 */
export async function outlive(command: string, words: readonly string[]): Promise<boolean> {
  const running = start(command, words, { stdio: 'ignore', env: ENVIRONMENT, detached: true })
  running.unref()
  return (await running.ended).exitCode === 0
}

const meanwhile = perProcess((): (() => void)[] => [])

/**
 * Registers work to be done while the next command that changes something runs. What is registered last is done first.
 */
export const meanwhileDo = (work: () => void): void => {
  meanwhile().unshift(work)
}

/**
 * The first query of a program costs 5 ms more than those that follow it (Node's streams and pipes, execa's reading).
 * This makes that first query while a command that changes something runs, and there is nothing else to do. For a
 * caller that needs a query after the command, and none beside it.
 */
export const warmQueries = (): void => meanwhileDo(() => void query('true', []))

/**
 * Runs an lvm command that changes something, so that it survives this program (R11):
 * - it inherits the VG's lock. LVM closes every descriptor that it inherits but the one named in LVM_REPORT_FD
 *   (measured on lvm2 2.03.16; `_close_stray_fds` in lvmcmdline.c). lvchange writes nothing into that one;
 * - its stderr goes to a file, because a pipe without a reader would end it with SIGPIPE half-way;
 * - it is in a session of its own and is not ended when this program ends.
 */
export async function change(
  command: string,
  words: readonly string[],
  lockDescriptor: number,
): Promise<CommandResult> {
  const stderr = anonymousFile()
  try {
    const running = start(command, words, {
      stdio: ['ignore', 'ignore', stderr ?? 'ignore', lockDescriptor],
      env: { ...ENVIRONMENT, LVM_REPORT_FD: '3' },
      detached: true,
    })
    const works = meanwhile()
    for (const work of works) work()
    works.length = 0
    const result = await limited(CHANGE_LIMIT, running)
    if (result === undefined) return GIVEN_UP
    return outcomeOf(result, '', stderr === undefined ? '' : contentOf(stderr))
  } finally {
    if (stderr !== undefined) closeSync(stderr)
  }
}

function outcomeOf(result: Ended, stdout: string, stderr: string): CommandResult {
  return { exitCode: result.exitCode, stdout, stderr, isAbsent: result.code === 'ENOENT', timedOut: false }
}

/** How many names are tried for a file that loses its name at once. */
const NAMES = 4

/**
 * A file without a name. Undefined where /run is full: then the messages are lost, but not the command. A name that is
 * taken is left alone. Another thread of this program, such as the watch over the leases, may be about to remove it; or
 * a hook with the same process id was killed before it could.
 */
function anonymousFile(): number | undefined {
  for (let name = 0; name < NAMES; name++) {
    const path = join(RUN_FOLDER, `.stderr-${self().pid}-${name}`)
    try {
      const descriptor = openSync(path, 'wx+', 0o600)
      unlinkSync(path)
      return descriptor
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) return undefined
    }
  }
  return undefined
}

function contentOf(descriptor: number): string {
  const buffer = Buffer.allocUnsafe(256 * 1024)
  return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, buffer.length, 0))
}
