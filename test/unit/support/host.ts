import type { Device, LockTable, LogicalVolume } from '../../../src/core/lock-state.ts'
import type { HostFacts, Change } from '../../../src/core/start.ts'
import { type Mode, type VolumeName, fullName } from '../../../src/core/volume.ts'
import { batchesOf } from '../../../src/acts/changes.ts'
import { deviceOf, lockTable, records } from './lvm.ts'

type Lock = Mode | 'none'

/** One volume of a modelled host. */
export interface State {
  readonly volume: LogicalVolume
  active: boolean
  /** What another host holds on its lock. */
  readonly elsewhere: Lock
}

/**
 * What lvchange does to a host, as far as FACTS 20, 23 and 27 tell: devices, and one lock for all volumes of a thin
 * pool.
 */
export class Host {
  readonly #locks: Map<string, Lock>
  constructor(
    readonly states: readonly State[],
    locks: readonly (readonly [uuid: string, lock: Lock])[],
  ) {
    this.#locks = new Map(locks)
  }

  /** Everything that must be as it was after an undo. */
  snapshot(): string[] {
    return this.states.map(
      ({ volume, active }) => `${fullName(volume)} ${active ? 'active' : 'inactive'} ${this.lock(volume)}`,
    )
  }

  lock(volume: LogicalVolume): Lock {
    return this.#locks.get(volume.lockUuid) ?? 'none'
  }

  facts(): HostFacts & { readonly locks: LockTable } {
    const held = this.states.flatMap(({ volume }): [LogicalVolume, Mode][] => {
      const lock = this.lock(volume)
      return lock === 'none' ? [] : [[volume, lock]]
    })
    const devices = this.states
      .filter(({ active }) => active)
      .map(({ volume }, index): Device => deviceOf(volume, `dm-${index}`))
    return { locks: lockTable(held), devices, records: records(), users: new Map() }
  }

  volumeOf = (name: VolumeName): LogicalVolume | undefined =>
    this.states.find(({ volume }) => volume.vg === name.vg && volume.lv === name.lv)?.volume

  /** One volume of one lvchange. Says whether it succeeded. */
  change({ vg, lv, to }: Change): boolean {
    const state = this.states.find(({ volume }) => volume.vg === vg && volume.lv === lv)
    if (state === undefined) return false
    const { volume, elsewhere } = state
    if (to === 'inactive') {
      state.active = false
      if (!this.states.some((other) => other.active && other.volume.lockUuid === volume.lockUuid))
        this.#locks.set(volume.lockUuid, 'none')
      return true
    }
    if (to !== 'local') {
      if (
        (to === 'shared' && !volume.shareable) ||
        elsewhere === 'exclusive' ||
        (to === 'exclusive' && elsewhere === 'shared')
      )
        return false
      this.#locks.set(volume.lockUuid, to)
    }
    state.active = true
    return true
  }

  /**
   * Carries changes out as src/acts/changes.ts does, with further failures that chance decides. Returns what was
   * attempted.
   */
  carryOut(
    changes: readonly Change[],
    chance: () => boolean = () => true,
  ): { readonly attempted: readonly Change[]; readonly ok: boolean } {
    const attempted: Change[] = []
    for (const { changes: batch } of batchesOf(changes)) {
      attempted.push(...batch)
      if (!batch.map((change) => chance() && this.change(change)).every(Boolean)) return { attempted, ok: false }
    }
    return { attempted, ok: true }
  }
}
