import { type VolumeTable, isSameVolume, seenHere } from '../core/lock-state.ts'
import type { DomainName } from '../core/domain-name.ts'
import type { Problem } from '../core/problem.ts'
import { type DomainRecord, type RecordedVolume, goesWithDomainStill } from '../core/record.ts'
import { type HostFacts, byPresentName, withTold } from '../core/start.ts'
import { type Replace, RecordChanged, replacing } from '../state/record-store.ts'
import { callingDaemon } from './daemon.ts'
import { problemOfError, unlessFull } from './failures.ts'

/**
 * The record of a domain that is started. What an earlier life of it brought up here and did not give back (leftovers)
 * stays on it, whatever comes of the start.
 */
export class StartRecord {
  /** As it was when the start was decided. */
  readonly before: DomainRecord | undefined
  readonly #domain: DomainName
  readonly #replace: Replace
  readonly #isMemoryChecked: boolean
  #leftovers: readonly RecordedVolume[]

  /** @param isMemoryChecked a saved memory is restored, and is to be as new as its disks: the record says so */
  constructor(
    { name, uuid }: DomainName,
    before: DomainRecord | undefined,
    { locks, devices }: Pick<HostFacts, 'locks' | 'devices'>,
    isMemoryChecked: boolean,
  ) {
    this.before = before
    this.#domain = { name, uuid }
    this.#replace = replacing(uuid, before)
    this.#isMemoryChecked = isMemoryChecked
    this.#leftovers = (before?.volumes ?? [])
      .filter((old) => goesWithDomainStill(old, seenHere(old, locks, devices).lock))
      .map((old) => byPresentName(old, devices))
  }

  get leftovers(): readonly RecordedVolume[] {
    return this.#leftovers
  }

  /** Adds UUIDs to leftovers, as lvs or their devices tell them (withTold). */
  identifyLeftovers(told: VolumeTable, now: Pick<HostFacts, 'locks' | 'devices'>): void {
    this.#leftovers = this.#leftovers.map((old) => withTold(old, told, now))
  }

  /**
   * Writes volumes, and the leftovers beside them.
   * @throws RecordChanged if somebody else has changed it; what the file system says if it cannot be written
   */
  put(state: DomainRecord['state'], volumes: readonly RecordedVolume[]): void {
    const others = this.#leftovers.filter((old) => !volumes.some((volume) => isSameVolume(volume, old)))
    const replaced = this.#replace({
      format: 1,
      domain: this.#domain,
      state,
      volumes: [...volumes, ...others],
      ...callingDaemon(),
      ...(this.#isMemoryChecked && state === 'prepared' && { restored: true }),
    })
    if (replaced === 'changed') throw new RecordChanged()
  }

  /**
   * Writes `releasing`, or `refused` if there is nothing to give back, for the `release` that follows. Never throws. If
   * it cannot be written, the XML tells that `release` the same (Domain.gotPastPrepare).
   */
  putRefused(volumes: readonly RecordedVolume[]): void {
    unlessFull(() => this.put(volumes.length + this.#leftovers.length === 0 ? 'refused' : 'releasing', volumes))
  }

  /**
   * Puts volumes on record as `prepared`. Never throws.
   * @returns a problem only if somebody else has changed the record. A full /run, or another failed write, is none: the
   *   record says the same already, less precisely
   */
  problemsOfPut(volumes: readonly RecordedVolume[]): readonly Problem[] {
    try {
      this.put('prepared', volumes)
    } catch (error) {
      if (error instanceof RecordChanged) return [problemOfError(error)]
    }
    return []
  }
}
