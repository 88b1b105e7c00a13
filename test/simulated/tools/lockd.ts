import { type Volume, fullName } from '../volume.ts'
import type { Answer, Scene } from './answer.ts'

/** How long `-asy` tries again while another host holds the volume exclusively (FACTS 21). */
const SHARED_RETRIES = 5

/**
 * Asks lvmlockd for the lock that covers a volume, with LVM's words for a refusal.
 * @returns true also if no lock covers the volume: an LV without lock_args activates with none
 */
export function lockVolume({ cluster, host }: Scene, volume: Volume, mode: 'ex' | 'sh', answer: Answer): boolean {
  const covering = cluster.volumes.lockVolume(volume)
  const type = unshareableType(cluster.lvm, covering ?? volume, cluster.volumes.snapshotsOf(covering ?? volume))
  if (mode === 'sh' && type !== undefined) {
    answer.say(`Shared activation not compatible with LV type ${type} of ${fullName(covering ?? volume)}`)
    return false
  }
  if (covering === undefined) return true
  const obstacle = cluster.locks.acquire(host, covering, mode)
  if (obstacle === undefined) return true
  if (mode === 'sh') cluster.time.advance(SHARED_RETRIES)
  answer.say(
    `LV locked by other host: ${fullName(covering)}${cluster.lvm === '2.03.33' ? ` (host_id ${obstacle})` : ''}`,
  )
  return false
}

/** FACTS 27, 37a. */
function unshareableType(lvm: string, { kind }: Volume, snapshots: readonly Volume[]): string | undefined {
  if (kind.kind === 'linear' || kind.kind === 'striped')
    return snapshots.length > 0 && lvm !== '2.03.16' ? kind.kind : undefined
  return kind.kind
}

/**
 * Gives the lock back, with LVM's words if that fails. A pool keeps its lock while it or a thin volume of it is active
 * (FACTS 27).
 */
export function unlockVolume({ cluster, host }: Scene, volume: Volume, answer: Answer): boolean {
  const covering = cluster.volumes.lockVolume(volume)
  if (covering === undefined || (covering.kind.kind === 'thin-pool' && cluster.devices.isActive(host, covering)))
    return true
  if (cluster.locks.keepPools && covering !== volume && covering.kind.kind === 'thin-pool') return true
  if (host.lvmlockd !== 'running') return false
  const { state } = host.lockspace(covering.vg)
  const error =
    state === 'stopped'
      ? 'lockspace is inactive'
      : state === 'starting' || host.keepsLock.has(covering.uuid)
        ? 'error -211'
        : undefined
  if (error === undefined) cluster.locks.release(host, covering)
  else answer.say(`LV ${fullName(covering)} lock failed: ${error}`)
  return error === undefined
}
