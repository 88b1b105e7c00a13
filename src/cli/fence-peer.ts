import { date, monotonic, pause } from '../system/clock.ts'
import type { Line } from '../core/agent-words.ts'
import { STAYS_FROZEN, SWITCHED_OFF } from '../core/fence.ts'
import { minorsOfVgs } from '../drbd/devices.ts'
import { drbdDevices, hostSections } from '../drbd/drbd.ts'
import { type FenceSettings, type FenceWorld, type Fenced, fencePeer } from '../drbd/fence.ts'
import { confirmationsInTime, readFenceAnswer, writeConfirmationLater, writeFenceAnswer } from '../drbd/notes.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { askSanlock } from '../sanlock/ask.ts'
import { sayInto } from '../kill/real-world.ts'
import { queryGroup } from '../system/run.ts'
import { write } from '../system/output.ts'
import { onHost } from '../system/paths.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { self } from '../system/self.ts'
import { VgBusy, lockVgs } from '../state/vg-lock.ts'

/** Milliseconds for drbdadm to read its configuration. */
const DUMP_LIMIT = 10_000

/**
 * `lvguard fence-peer`, for drbd.conf: `handlers { fence-peer "/usr/sbin/lvguard fence-peer"; }`. drbdadm gives a
 * handler 121 s (cmd-timeout-long), and ends it when it ends itself; this one answers well before.
 *
 * What it says goes into the kernel's log: to write there never waits, and the journal takes it from there. It also
 * goes to stderr, which nobody reads as a rule.
 * @returns 7: the peer is off, DRBD goes on; 1: nothing says so, and I/O stays frozen (core/fence.ts has the other
 *   codes, which this never gives)
 */
export async function fencePeerCommand(): Promise<number> {
  const say = ({ priority, text }: Line): void => {
    sayInto('/dev/kmsg', `<${priority}>lvguard fence-peer: ${printable(text)}\n`)
    write(2, `lvguard: ${printable(text)}\n`)
  }
  if (self().uid() !== 0 && onHost('') === '') {
    write(
      2,
      'lvguard: DRBD itself calls this, as root: handlers { fence-peer "/usr/sbin/lvguard fence-peer"; } (README, Two hosts on DRBD)\n',
    )
    return STAYS_FROZEN
  }
  const fenced = await settings()
    .then((read): Fenced | Promise<Fenced> =>
      'why' in read ? { kind: 'not-off', why: read.why } : fencePeer(self().environment, read, realWorld(say)),
    )
    .catch((error: unknown): Fenced => ({ kind: 'not-off', why: messageOf(error) }))
  const resource = self().environment['DRBD_RESOURCE'] ?? '?'
  if (fenced.kind === 'off') {
    say({ priority: 2, text: `DRBD resource ${resource} goes on without ${fenced.host}, which is off (${fenced.by})` })
    return SWITCHED_OFF
  }
  say({
    priority: 2,
    text: `DRBD resource ${resource} stays frozen on this host, since nothing says that its peer is off: ${fenced.why}`,
  })
  return STAYS_FROZEN
}

/**
 * The settings, or why nobody is switched off: something about fencing is wrong in the file. Without the delay both
 * hosts might switch each other off.
 */
async function settings(): Promise<FenceSettings | { readonly why: string }> {
  const parsed = await readConfiguration()
  if ('errors' in parsed) return { why: `/etc/libvirt/lvguard.conf cannot be used: ${parsed.errors[0] ?? ''}` }
  const wrong = parsed.mistakes.find((mistake) => mistake.includes('fence_'))
  return wrong === undefined ? parsed.configuration : { why: `/etc/libvirt/lvguard.conf is wrong: ${wrong}` }
}

const realWorld = (say: (line: Line) => void): FenceWorld => ({
  self: self().hostname(),
  now: monotonic,
  say,
  date: () => date().toISOString(),
  sleep: (seconds) => pause(seconds * 1000),
  devices: drbdDevices,
  sections: (resource) => hostSections(resource, DUMP_LIMIT),
  leases: async (minors) => {
    const asked = await askSanlock()
    const below = minorsOfVgs()
    return asked.kind === 'silent'
      ? []
      : asked.status.lockspaces.filter(({ vg }) => below.get(vg)?.some((minor) => minors.includes(minor)))
  },
  confirmations: confirmationsInTime,
  answer: readFenceAnswer,
  keep: (answer) => {
    try {
      writeFenceAnswer(answer)
    } catch {
      // Another resource's call runs fence_command once more.
    }
  },
  confirm: writeConfirmationLater,
  turn: async (host, seconds) => {
    try {
      // A queue like those in which acts on a VG wait. No VG can have a name with a colon in it.
      return (await lockVgs([`fence:${host}`], seconds, seconds)).release
    } catch (error) {
      if (error instanceof VgBusy) return undefined
      throw error
    }
  },
  run: async ([program = '', ...words], seconds) => {
    const { exitCode, stderr, isAbsent, timedOut } = await queryGroup(program, words, seconds * 1000)
    if (exitCode === 0) return undefined
    if (isAbsent) return `${program} was not found`
    if (timedOut) return `it did not end within ${Math.round(seconds)} s`
    const last = stderr.trim().split('\n').at(-1) ?? ''
    return `exit status ${exitCode ?? 'of a signal'}${last === '' ? '' : `, ${last}`}`
  },
})
