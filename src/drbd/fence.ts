import type { Line } from '../core/agent-words.ts'
import { type Confirmation, type DrbdDevice, type ThisBoot, confirmationsOver, ofThisBoot } from '../core/drbd.ts'
import {
  type FenceAnswer,
  type FenceTarget,
  type HostSection,
  answerHolds,
  fenceEnds,
  fenceTarget,
  fenceWords,
  fencedNote,
  namesHost,
  whyNotFenced,
} from '../core/fence.ts'
import type { Lockspace } from '../core/lease.ts'
import type { DrbdDevices } from './drbd.ts'

/** Seconds between two tries of fence_command. */
const PAUSE = 2

/**
 * All that the handler knows of this host, and does to it. It reads no disk, except for the programs that it starts and
 * the configurations. Times in seconds of the monotonic clock.
 */
export interface FenceWorld {
  readonly self: string
  now(): number
  /** ISO 8601. */
  date(): string
  sleep(seconds: number): Promise<void>
  devices(): Promise<DrbdDevices>
  sections(resource: string): Promise<readonly HostSection[]>
  /** The leases of this host on what stands on these minors; none where sanlock does not say. */
  leases(minors: readonly number[]): Promise<readonly Lockspace[]>
  confirmations(): Promise<readonly Confirmation[]>
  answer(host: string): FenceAnswer | undefined
  /** Either may fail without a message: it only helps the next call. */
  keep(answer: FenceAnswer): void
  confirm(confirmation: Confirmation): void
  /** One call at a time for a host. @returns what lets the next one go; undefined if the time was over */
  turn(host: string, seconds: number): Promise<(() => void) | undefined>
  /** @returns undefined if it ended with 0, else what it said */
  run(words: readonly string[], seconds: number): Promise<string | undefined>
  say(line: Line): void
}

/** What lvguard.conf says of fencing (core/configuration.ts). `fenceDelay` in seconds. */
export interface FenceSettings {
  readonly fenceCommand: readonly string[]
  readonly fenceDelay: number
}

/** What DRBD is answered. `by`: whose word it is that the host is off. */
export type Fenced =
  | {
      readonly kind: 'off'
      readonly host: string
      readonly by: 'fence_command' | 'an answer of a moment ago' | 'confirm-off'
    }
  | { readonly kind: 'not-off'; readonly why: string }

/**
 * DRBD's handler `fence-peer`, with `fencing resource-and-stonith`: all I/O on the resource waits until it has
 * answered, that of sanlock and of the VMs too. It switches the peer off by fence_command, and tries again while there
 * is time. It says that the peer is off only if the command has said so, or a person.
 */
export async function fencePeer(
  env: Readonly<Record<string, string | undefined>>,
  { fenceCommand, fenceDelay }: FenceSettings,
  world: FenceWorld,
): Promise<Fenced> {
  const began = world.now()
  const beganAt = world.date()
  const bootedAt = new Date(Date.parse(beganAt) - began * 1000).toISOString()
  const isSaid = async (target: FenceTarget, devices: readonly DrbdDevice[]): Promise<boolean> =>
    wordOf(target, await world.confirmations(), devices, { beganAt, bootedAt, now: world.date() })
  const notOff = (why: string): Fenced => ({ kind: 'not-off', why })
  const first = await world.devices()
  if (first.kind === 'unknown') return notOff(`what DRBD knows cannot be told: ${first.detail}`)
  const { devices } = first
  const named = env['DRBD_RESOURCE'] ?? ''
  // Only a name that DRBD has reaches a command.
  const sections = devices.some((device) => device.resource === named) ? await world.sections(named) : []
  const target = fenceTarget(env, devices, sections, world.self)
  if ('why' in target) return notOff(target.why)
  const { resource, host } = target
  const off = (by: Extract<Fenced, { kind: 'off' }>['by']): Fenced => ({ kind: 'off', host, by })
  if (await isSaid(target, devices)) return off('confirm-off')
  const refused = whyNotFenced(target, devices)
  if (refused !== undefined) return notOff(refused)
  if (fenceCommand.length === 0)
    return notOff(`fence_command is not set in /etc/libvirt/lvguard.conf: nothing can switch ${host} off`)
  if (target.others > 1 && !namesHost(fenceCommand))
    return notOff(
      `fence_command does not say which host it switches off (%h), and ${resource} has ${target.others} others`,
    )
  const minors = devices.filter((device) => device.resource === resource).map(({ minor }) => minor)
  const ends = fenceEnds(await world.leases(minors), world.now())
  if (ends === undefined)
    return notOff('this host has lost its own lease, and its VMs are cut off: it switches nobody off')
  const left = (): number => ends - world.now()
  const free = left() <= 0 ? undefined : await world.turn(host, left())
  if (free === undefined)
    return notOff(
      `there was no time for it before the lease of this host runs out (${Math.round(world.now() - began)} s)`,
    )
  try {
    if (answerHolds(world.answer(host), target, devices, world.now())) {
      world.confirm(fencedNote(target, world.date()))
      return off('an answer of a moment ago')
    }
    world.say({
      priority: 2,
      text: `DRBD resource ${resource} has lost ${host}, and its I/O waits: fence_command is to switch ${host} off${fenceDelay === 0 ? '' : `, in ${fenceDelay} s`}`,
    })
    await world.sleep(Math.min(fenceDelay, Math.max(0, left())))
    let failure = 'there was no time for it'
    for (let tries = 0; ; tries++) {
      const again = await world.devices()
      if (again.kind === 'unknown') return notOff(`what DRBD knows cannot be told: ${again.detail}`)
      if (await isSaid(target, again.devices)) return off('confirm-off')
      const why = whyNotFenced(target, again.devices)
      if (why !== undefined) return notOff(why)
      if (left() <= 0)
        return notOff(
          `fence_command has not said that ${host} is off before the lease of this host runs out: ${failure}`,
        )
      const said = await world.run(fenceWords(fenceCommand, host), left())
      if (said === undefined) {
        world.keep({ host, resource, peer: target.peer, at: world.now() })
        world.confirm(fencedNote(target, world.date()))
        return off('fence_command')
      }
      failure = said
      if (tries === 0)
        world.say({ priority: 2, text: `fence_command does not say that ${host} is off, and is tried again: ${said}` })
      await world.sleep(Math.min(PAUSE, Math.max(0, left())))
    }
  } finally {
    free()
  }
}

/** `beganAt`: ISO 8601. */
interface Times extends ThisBoot {
  readonly beganAt: string
}

/**
 * Whether somebody has said already that the host is off. On a host that is Primary, DRBD calls because a connection is
 * lost: a confirmation from before the call belongs to an earlier loss. A host that is about to become Primary has lost
 * no connection. There a confirmation counts as long as the peer was not seen since (confirmationsOver), but only
 * within this boot (ofThisBoot).
 */
function wordOf(
  { resource, peer }: FenceTarget,
  confirmations: readonly Confirmation[],
  devices: readonly DrbdDevice[],
  { beganAt, ...boot }: Times,
): boolean {
  const isPrimary = devices.some((device) => device.resource === resource && device.role === 'Primary')
  const over = confirmationsOver(confirmations, devices)
  const inTime = isPrimary ? confirmations.filter(({ at }) => at >= beganAt) : ofThisBoot(confirmations, boot)
  return inTime.some((each) => each.resource === resource && each.peer === peer && !over.includes(each))
}
