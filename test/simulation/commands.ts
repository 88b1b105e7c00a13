import type { Ended, Manner, Running } from '../../src/system/commands.ts'
import type { Result } from '../ring.ts'
import { runTool } from '../simulated/tools.ts'
import { type OpenFile, leave } from './disk.ts'
import { Actor } from './engine.ts'
import type { Host } from './host.ts'
import type { Process } from './process.ts'
import { waitBegins } from './waits.ts'

/**
 * A command that runs on a host. One in a session of its own outlives whoever started it; so do the others, unless they
 * are killed.
 */
export class Command extends Actor {
  readonly inherited: OpenFile[] = []
  /** Milliseconds, of the engine's clock. */
  readonly began: number
  /** A hook has started it. */
  isOfHook = false
  /** A `release` has. */
  isOfRelease = false

  constructor(
    readonly host: Host,
    readonly name: string,
    readonly words: readonly string[],
  ) {
    super(`${name} ${words.filter((word) => !word.includes('{')).join(' ')}`)
    this.began = host.engine.now
    host.commands.add(this)
    this.onEnd(() => void host.commands.delete(this))
  }
}

/** Milliseconds that a command takes as a rule: about what was measured on hosts. */
const TYPICAL: Readonly<Record<string, number>> = {
  lvmlockctl: 10,
  lvchange: 90,
  vgchange: 300,
  lvs: 60,
  vgs: 60,
  pvs: 60,
  sanlock: 8,
  dmsetup: 6,
  virsh: 60,
  flock: 2,
  lvmconfig: 15,
  true: 2,
  dd: 10,
}
/** Milliseconds for a look at a lease that the disk answers late: longer than a `release` may take. */
const LATE_LEASE = 6000
/** Of the lvm commands, whichever has come first on a host works first (DESIGN 4). */
const IN_TURN = new Set(['lvchange', 'vgchange'])
/** `-asy` tries for so long, and so often, while another host holds the volume exclusively (FACTS 21). */
const SHARED_TRIES = 5
const DONE: Result = { code: 0, stdout: '', stderr: '' }

type Deliver = (ended: Ended) => void

/** Starts a command for a process: what it does happens a while later, and its answer comes a while after that. */
export function startCommand(process: Process, name: string, words: readonly string[], { stdio }: Manner): Running {
  const { host } = process
  const { engine } = host
  const command = new Command(host, name, words)
  command.isOfHook = process.kind === 'hook'
  command.isOfRelease = command.isOfHook && process.label.startsWith('release ')
  const { inherited } = command
  let stderr: OpenFile | undefined
  for (const [index, stream] of (stdio === 'ignore' ? [] : stdio).entries()) {
    const file = typeof stream === 'number' ? process.open.get(stream) : undefined
    if (file === undefined) continue
    file.users++
    inherited.push(file)
    if (index === 2) stderr = file
  }
  if (name === 'flock') process.hasAskedForLock = true
  if (name === 'lvchange') host.checkShared(process, words)
  if (name === 'lvchange') host.checkGivenBack(process, words)
  if (name === 'lvchange') host.checkOnRecord(process, words)
  if (name === 'virsh') host.checkSuspended(words)
  command.onEnd(() => {
    for (const file of inherited) leave(file)
  })
  let kill = (): void => undefined
  process.waits(name)
  const ends = waitBegins(process, name)
  const ended = new Promise<Ended>((resolve) => {
    let isOver = false
    const deliver: Deliver = (answer) => {
      if (isOver) return
      isOver = true
      command.end()
      if (name === 'lvmlockctl' && answer.exitCode !== 0) host.locksUnknown = engine.now
      engine.after(process, host.delay('answer', 1), () => {
        ends()
        resolve(answer)
      })
    }
    kill = () => deliver({ exitCode: undefined, stdout: '', stderr: '' })
    command.onEnd(() => deliver({ exitCode: undefined, stdout: '', stderr: '' }))
    if (name === 'flock') flock(command, process, inherited[0], words, deliver)
    else
      void perform(command, (result) => {
        if (stderr?.node.kind === 'file') stderr.node.text += result.stderr
        deliver({ exitCode: result.code, stdout: result.stdout, stderr: stderr === undefined ? result.stderr : '' })
      })
  })
  return { ended, kill: () => kill(), killGroup: () => kill(), unref: () => undefined }
}

/** flock -w SECONDS FD. */
function flock(
  command: Command,
  process: Process,
  file: OpenFile | undefined,
  [, seconds = '0']: readonly string[],
  deliver: Deliver,
): void {
  const { host } = command
  const { engine } = host
  if (file === undefined || file.node.kind !== 'file') {
    deliver({ exitCode: 66 })
    return
  }
  const { node } = file
  node.flock ??= { owner: undefined, waiting: [] }
  const lock = node.flock
  engine.after(command, host.delay('flock', TYPICAL['flock'] ?? 1), () => {
    if (lock.owner === undefined || lock.owner === file) {
      lock.owner = file
      deliver({ exitCode: 0 })
      return
    }
    const waiting = { file, granted: () => void engine.after(command, 0, () => deliver({ exitCode: 0 })) }
    lock.waiting.push(waiting)
    host.checkNoCircle(process, lock.owner)
    const forget = (): void => {
      const index = lock.waiting.indexOf(waiting)
      if (index >= 0) lock.waiting.splice(index, 1)
    }
    command.onEnd(forget)
    engine.after(command, Number(seconds) * 1000, () => deliver({ exitCode: 1 }))
  })
}

async function perform(command: Command, answer: (result: Result) => void): Promise<void> {
  const { host, name, words } = command
  const { engine } = host
  const turn = IN_TURN.has(name) ? host.takeTurn(command) : undefined
  await engine.sleep(command, host.delay(name, TYPICAL[name] ?? 20))
  if (host.isLeaseSlow && command.isOfRelease && name === 'sanlock') {
    host.isLeaseSlow = false
    await engine.sleep(command, LATE_LEASE)
  }
  if (turn !== undefined) await turn
  const fate = host.fateOf(command)
  if (fate === 'killed before') {
    command.end()
    return
  }
  await host.storageFor(command)
  await host.lockingFor(command)
  if (IN_TURN.has(name)) host.checkHeld(command)
  if (name === 'lvchange') host.noteTry(command)
  const result = fate === 'does nothing' ? DONE : await effectOf(command, host)
  if (name === 'lvchange') host.followKept(command)
  if (name === 'lvchange' || name === 'virsh')
    engine.tell(
      () =>
        `${host.name}: ${shortly(name, words)} → ${result.code}${result.stderr === '' ? '' : ` (${result.stderr.trim().split('\n')[0]?.trim()})`}${fate === 'lives' ? '' : `, ${fate}`}`,
    )
  if (fate === 'killed after') {
    command.end()
    return
  }
  await engine.sleep(command, host.delay('answer', 1))
  answer(result)
}

async function effectOf(command: Command, host: Host): Promise<Result> {
  const { engine } = host
  const { name, words } = command
  if (name === 'true') return DONE
  if (name === 'lvmconfig') return { ...DONE, stdout: 'activation=1\n' }
  if (name === 'virsh') return host.virsh(words)
  if (name === 'dmsetup' && words[0] === 'table') return host.tables()
  if (name === 'dmsetup' && words[0] === 'wipe_table') return host.wipe(words.at(-1) ?? '')
  if (name === 'dmsetup' && words[0] === 'remove') return host.removeDevice(words.at(-1) ?? '')
  if (name === 'lvmlockctl' && words[0] === '--drop') return host.dropLocks(words[1] ?? '')
  if (name === 'vgchange' && words.includes('--lock-start')) return host.startLocking(words.at(-1) ?? '')
  if (name === 'dd') return DONE
  // sanlock has left the lockspace of a host whose lease ran out, and lvmlockd still lists it (FACTS 46b).
  const vg = (words.at(-1) ?? '').split('/')[0] ?? ''
  if (name === 'lvchange' && !words.includes('n') && host.hasLostLease([vg])) {
    return { code: 5, stdout: '', stderr: `  VG ${vg} lock failed: storage failed for sanlock leases\n` }
  }
  const isShared = name === 'lvchange' && words.includes('sy')
  for (let tries = 0; ; tries++) {
    const result = runTool({ cluster: host.cluster, host: host.state }, name, words)
    if (!isShared || tries === SHARED_TRIES || !result.stderr.includes('LV locked by other host')) return result
    await engine.sleep(command, 1000)
  }
}

const LEFT_OUT = new Set(['--yes', '--config', '--ignoreactivationskip', '--connect', 'qemu:///system', '--'])
const shortly = (name: string, words: readonly string[]): string =>
  `${name} ${words.filter((word) => !word.includes('log/prefix') && !LEFT_OUT.has(word)).join(' ')}`
