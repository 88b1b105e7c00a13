export type Lock = 'ex' | 'sh' | 'un'

/**
 * The lease of one volume on the shared disk, as sanlock writes it: the last owner, a time stamp that is 0 unless that
 * owner holds it exclusively, and the host_ids that share it (FACTS 31).
 */
export class Lease {
  owner = 0
  lver = 0
  timestamp = 0
  writeTimestamp = 0
  readonly sharers = new Set<number>()

  held(hostId: number): Lock {
    if (this.timestamp !== 0 && this.owner === hostId) return 'ex'
    return this.sharers.has(hostId) ? 'sh' : 'un'
  }

  /**
   * Takes the lease in the mode.
   * @param clock that host's monotonic clock, seconds
   * @param isDead hosts that sanlock counts as dead are in nobody's way (FACTS 32)
   * @returns the host_id that is in the way, if any
   */
  take(hostId: number, mode: 'ex' | 'sh', clock: number, isDead: (hostId: number) => boolean): number | undefined {
    const inTheWay = (id: number): boolean => id !== hostId && !isDead(id)
    const before = this.held(hostId)
    if (before === mode) return undefined
    if (this.timestamp !== 0 && inTheWay(this.owner)) return this.owner
    // Any other way than down, a host owns the lease for a moment, and stays its last owner even if it then finds
    // sharers (measured).
    if (before !== 'ex') {
      this.owner = hostId
      this.lver += 1
      this.writeTimestamp = clock
      this.timestamp = 0
    }
    const sharer = mode === 'ex' ? [...this.sharers].find(inTheWay) : undefined
    if (sharer !== undefined) return sharer
    this.timestamp = mode === 'ex' ? clock : 0
    if (mode === 'ex') this.sharers.clear()
    else this.sharers.add(hostId)
    return undefined
  }

  drop(hostId: number): void {
    if (this.held(hostId) === 'ex') this.timestamp = 0
    this.sharers.delete(hostId)
  }
}
