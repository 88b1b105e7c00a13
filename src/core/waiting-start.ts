import { type Identified, type LogicalVolume, addressOf, deviceOf, identityOf } from './lock-state.ts'
import type { ManagedVolume } from './scope.ts'
import { type HostFacts, type StartPlan, planStart } from './start.ts'
import { type VolumeName, fullName } from './volume.ts'

/** A start that waits for the lock of its VGs, as far as another `prepare` that has them can serve it. */
export interface WaitingStart {
  readonly domain: { readonly name: string; readonly uuid: string }
  /** All of them; they are in VGs that have a lockspace here. */
  readonly volumes: readonly ServableVolume[]
}

/**
 * With its UUIDs: then it is this very volume that is taken for another start, and not one that has its name by then
 * (R14).
 */
export type ServableVolume = ManagedVolume & { readonly ids: NonNullable<Identified['ids']> }

/**
 * A volume that another `prepare` may take for a start that waits: exclusive, and under a lock of its own. One that has
 * its lock together with others (thin or VDO volumes, snapshots: FACTS 26, 27) is left to its own `prepare`, which looks
 * at them before and after.
 * @param row what lvs says of it; undefined: nothing
 */
export function servable(volume: ManagedVolume, row: LogicalVolume | undefined): ServableVolume | undefined {
  if (volume.role !== 'exclusive' || volume.isLocal || row === undefined) return undefined
  return row.pool === undefined && row.lockUuid === row.uuid ? { ...volume, ids: identityOf(row).ids } : undefined
}

/**
 * What a `prepare` that has the VGs' locks takes and records for a start that waits for them: exactly what that start's
 * own `prepare` would decide now, and only in the plain case, where it has no record and all its volumes are inactive.
 * @param facts of this host now; `users` may be empty, because nobody has an inactive volume open
 * @returns undefined: it is left to itself
 */
export function planForWaiting(
  { domain, volumes }: WaitingStart,
  facts: HostFacts,
): Extract<StartPlan, { kind: 'activate' }> | undefined {
  if (volumes.length === 0 || facts.records.known.some((record) => record.domain.uuid === domain.uuid)) return undefined
  if (volumes.some((volume) => deviceOf(volume, facts.devices) !== undefined)) return undefined
  const plan = planStart(volumes, facts, domain.uuid, false, [])
  if (plan.kind !== 'activate') return undefined
  if (plan.changes.length !== volumes.length || plan.changes.some(({ to }) => to !== 'exclusive')) return undefined
  const idsOf = (name: VolumeName): ServableVolume['ids'] | undefined =>
    volumes.find((volume) => fullName(volume) === fullName(name))?.ids
  return {
    kind: 'activate',
    changes: plan.changes.map((change) => ({ ...change, ...addressOf({ ...change, ids: idsOf(change) }, []) })),
    recorded: plan.recorded.map((volume) => {
      const ids = idsOf(volume)
      return ids === undefined ? volume : { ...volume, ids }
    }),
  }
}
