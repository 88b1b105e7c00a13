import { milliseconds } from '../system/clock.ts'
import { heldOf } from '../core/drive-step.ts'
import type { Identified, LockState } from '../core/lock-state.ts'
import type { Change } from '../core/start.ts'
import { type Mode, fullName } from '../core/volume.ts'
import { batchesOf } from './changes.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { type Failure, classify } from '../lvm/failures.ts'
import { bringTo, lockState } from '../lvm/lvm.ts'
import type { CommandResult } from '../system/run.ts'
import type { VgLocks } from '../state/vg-lock.ts'

/** What became of one change, read back from lvmlockd (FACTS 24). `refused`: another host holds the volume. */
export interface Done {
  readonly change: Change
  readonly kind: 'done' | 'refused' | 'failed'
  readonly before: Mode | 'none'
  /** Of its lvchange. */
  readonly milliseconds: number
  /** LVM's words, where it failed. */
  readonly why: string
}

/** What became of all, and the locks afterwards. */
export interface CarriedOutAll {
  readonly done: readonly Done[]
  readonly after: LockState
}

/** Carries out changes of several domains, in as few lvchange as can be (FACTS 23). If one fails, the others go on. */
export async function carryOutAll(
  changes: readonly Change[],
  volumeOf: (change: Change) => Identified,
  before: LockState,
  locks: VgLocks,
): Promise<CarriedOutAll> {
  if (changes.length === 0) return { done: [], after: before }
  const failures: Failure[] = []
  const times = new Map<Change, number>()
  for (const { vg, to, changes: batch, addresses } of batchesOf(changes)) {
    const descriptor = locks.descriptors.get(vg)
    if (descriptor === undefined) throw new Error(`the lock of ${vg} is not held`)
    const start = milliseconds()
    const outcome = await bringTo(to, addresses, descriptor)
    for (const change of batch) times.set(change, milliseconds() - start)
    if (outcome.exitCode !== 0) failures.push(...failuresOf(outcome))
  }
  const after = await lockState()
  const devices = activeVolumes()
  const held = (change: Change, state: LockState): Mode | 'none' =>
    state.kind === 'known' ? heldOf(volumeOf(change), state, devices) : 'none'
  const done = changes.map((change): Done => {
    const now = held(change, after)
    const common = { change, before: held(change, before), milliseconds: times.get(change) ?? 0 }
    if (now === change.to) return { ...common, kind: 'done', why: '' }
    const own = failures.filter(
      (failure) =>
        !('volume' in failure) ||
        failure.volume === fullName(change) ||
        !changes.some((other) => fullName(other) === failure.volume),
    )
    const isHeld = own.some(({ kind }) => kind === 'held')
    return {
      ...common,
      kind: isHeld ? 'refused' : 'failed',
      why: after.kind === 'unknown' ? after.detail : wordsOf(own),
    }
  })
  return { done, after }
}

const failuresOf = ({ timedOut, isAbsent, stderr, exitCode }: CommandResult): Failure[] => {
  if (isAbsent) return [{ kind: 'other', text: 'lvchange was not found: apt install lvm2' }]
  if (timedOut) return [{ kind: 'other', text: 'lvchange did not end within its time' }]
  const found = classify(stderr)
  return found.length > 0
    ? found
    : [{ kind: 'other', text: `lvchange exited with ${exitCode ?? 'a signal'} and said nothing` }]
}

const wordsOf = (failures: readonly Failure[]): string => {
  const words = failures.map((failure) => ('text' in failure ? `LVM says '${failure.text}'` : MEANING[failure.kind]))
  return words.length === 0 ? 'lvchange said nothing, and lvmlockd holds no such lock' : [...new Set(words)].join('; ')
}

const MEANING: Readonly<Record<Exclude<Failure, { text: string }>['kind'], string>> = {
  held: 'another host holds it',
  'in-use': 'it is in use',
  'not-shareable': 'its type cannot be shared',
  'lvmlockd-down': 'lvmlockd is not running',
  'lvmlockd-off': 'LVM does not use lvmlockd',
  starting: 'the locking of its volume group is still starting',
  'not-started': 'the locking of its volume group is not started',
  'missing-volume': 'there is no such volume',
  'missing-vg': 'there is no such volume group',
  'lock-left': 'LVM could not change its lock',
}
