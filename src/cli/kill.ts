import { readFileSync } from '../system/files.ts'
import { vmsOn } from '../kill/vms-on.ts'
import type { Line } from '../core/agent-words.ts'
import { mayWrite, vgUuidOf } from '../core/cut-off.ts'
import { killEnds, leaseState } from '../core/lease.ts'
import { isValidName } from '../core/volume.ts'
import { printable } from '../core/outcome.ts'
import { cutOff } from '../kill/kill.ts'
import { noMark, readMark, removeMark } from '../kill/mark.ts'
import { realWorld, sayInto } from '../kill/real-world.ts'
import { refusalOf } from '../kill/refusal.ts'
import { isLeftBehind, recover } from '../kill/recover.ts'
import { resetHost } from '../kill/reset.ts'
import { write } from '../system/output.ts'
import { onHost } from '../system/paths.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { self } from '../system/self.ts'

/** Seconds that a kill has if the lease is not lost: as many as one that begins 8 × io_timeout after a renewal. */
const PATIENCE = 45
/** Seconds that a kill has at least. */
const LEAST = 5

const complain = (what: string, advice?: string): 1 => {
  write(2, [what, ...(advice === undefined ? [] : [advice])].map((line) => `lvguard: ${printable(line)}\n`).join(''))
  return 1
}

/** What is wrong with a call, before anything is looked at. */
function problemOf(vg: string): readonly [string, string] | undefined {
  if (self().uid() !== 0 && onHost('') === '')
    return ['only root can do that; nothing was changed.', 'Run it with sudo.']
  return isValidName(vg) ? undefined : [`no volume group can be called ${vg}; nothing was changed.`, "See 'vgs'."]
}

/** When the lease is lost, sanlock runs lvmlockctl, and that runs global/lvmlockctl_kill_command (FACTS 47). */
function isCalledByLvmlockctl(): boolean {
  try {
    return readFileSync(`/proc/${self().ppid}/comm`, 'utf8').trim() === 'lvmlockctl'
  } catch {
    return false
  }
}

const hasTerminal = (): boolean => self().isTerminal(0) || self().isTerminal(1) || self().isTerminal(2)

/**
 * `lvguard kill VG`: what the agent does when the lease is lost, for a person and for lvmlockctl (kill/kill.ts).
 * @returns 0 only if nothing of the VG can write any more: lvmlockctl gives the locks up then
 */
export async function killVg(
  vg: string,
  { yes, drop }: { readonly yes: boolean; readonly drop: boolean },
): Promise<number> {
  const problem = problemOf(vg)
  if (problem !== undefined) return complain(...problem)
  const isOfSanlock = isCalledByLvmlockctl()
  // Nobody reads what lvmlockctl's command prints. The kernel's log takes it to the journal.
  const sayToAll = ({ priority, text }: Line): void => {
    sayInto('/dev/kmsg', `<${priority}>lvguard: ${printable(text)}\n`)
    complain(text)
  }
  const say = (line: Line): void => void (isOfSanlock ? sayToAll(line) : complain(line.text))
  const world = realWorld(say)
  const asked = await world.ask()
  const lockspace = asked.kind === 'status' ? asked.status.lockspaces.find((each) => each.vg === vg) : undefined
  // Not asked if sanlock calls: it has a reason. And the question needs lvmlockctl, and only one can run (FACTS 55).
  const refusal = isOfSanlock ? undefined : await refusalOf(vg, asked, world)
  if (refusal !== undefined) return complain(...refusal)
  if (!isOfSanlock && hasTerminal() && !yes) {
    const users = vmsOn(vg, world)
    return complain(
      `this kills ${users.length === 0 ? 'no VM' : users.join(', ')} on this host, and makes every volume of ${vg} fail here until lvguard recover ${vg}.`,
      `If that is what you want: lvguard kill --yes ${vg}`,
    )
  }
  const state = lockspace !== undefined && asked.kind === 'status' ? leaseState(lockspace, asked.status.now) : undefined
  const isLost = state?.kind === 'lost'
  const until = Math.max(
    world.now() + LEAST,
    lockspace !== undefined && isLost && asked.kind === 'status'
      ? lockspace.renewed + killEnds({ ioTimeout: lockspace.ioTimeout, watchdogFire: asked.status.watchdogFire })
      : world.now() + PATIENCE,
  )
  const { left } = await cutOff({ vg, by: isLost || isOfSanlock ? 'sanlock' : 'person', until }, world)
  const words = left.map(({ text }) => text).join('; ')
  if (left.length > 0) {
    // The configuration is read only now: /etc may be on the disk that hangs. A reset also needs sanlock's own word
    // that the lease is lost, and that it has no watchdog.
    if (
      isLost &&
      mayWrite(left) &&
      asked.kind === 'status' &&
      asked.status.hasWatchdog === false &&
      (await killFallback()) === 'reset'
    )
      await resetHost(`${vg} could not be cut off in time: ${words}`, { ...world, say: sayToAll })
    say({ priority: 2, text: `${vg} is not cut off: ${words}` })
    return 1
  }
  say({ priority: 2, text: `${vg}: cut off. Nothing here can write on it any more` })
  const refused = drop ? await world.drop(vg) : undefined
  return refused === undefined ? 0 : complain(`lvmlockd does not give up its locks of ${vg}: ${refused}.`)
}

/** A configuration that is wrong resets nothing. */
async function killFallback(): Promise<'reset' | 'none'> {
  const parsed = await readConfiguration()
  return 'configuration' in parsed ? parsed.configuration.killFallback : 'none'
}

/** `lvguard recover VG`: the way back, by hand. @returns 0 if the VG can be used again, else 1 */
export async function recoverVg(vg: string): Promise<number> {
  const problem = problemOf(vg)
  if (problem !== undefined) return complain(...problem)
  const world = realWorld(({ text }) => void complain(text))
  const mark = readMark(vg) ?? ((await isLeftBehind(vg, world)) ? noMark(vg) : undefined)
  if (mark === undefined)
    return complain(
      `${vg} was not cut off on this host: there is no /run/lvguard/${vg}.killed.`,
      `If its locking is not started: vgchange --lock-start ${vg}`,
    )
  // Nothing was ever done for this mark: some program has named a VG that is not here.
  if (
    mark.by === 'unknown' &&
    readMark(vg) !== undefined &&
    mark.killed.length === 0 &&
    vgUuidOf(vg, world.devices(), world.records()) === undefined
  ) {
    removeMark(vg)
    write(1, `${vg} is not marked any more; nothing of it is on this host\n`)
    return 0
  }
  const recovery = await recover(mark, world)
  if (recovery.kind === 'not-yet')
    return complain(`${vg} cannot be used here again yet: ${recovery.why}.`, 'Nothing is lost by trying again.')
  write(1, `${printable(recovery.text)}\n`)
  return 0
}
