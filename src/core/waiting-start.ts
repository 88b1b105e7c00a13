import type { Candidates } from './domain.ts'
import type { DomainName } from './domain-name.ts'
import {
  type Identified,
  type IdentityTable,
  type LockState,
  type LogicalVolume,
  NO_VOLUMES,
  type VolumeTable,
  addressOf,
  deviceOf,
  identityOf,
} from './lock-state.ts'
import type { RecordedVolume } from './record.ts'
import type { ManagedVolume } from './scope.ts'
import { type HostFacts, type StartPlan, planStart } from './start.ts'
import { type VolumeName, fullName } from './volume.ts'

/** A start that waits for the lock of its VGs, as far as another `prepare` that has them can serve it. */
export interface WaitingStart {
  readonly domain: DomainName
  /** All of them. */
  readonly volumes: readonly ManagedVolume[]
}

/** The same, and its volumes are such that they can be taken for it. */
export interface ServableStart extends WaitingStart {
  readonly volumes: readonly ServableVolume[]
}

/**
 * All volumes of a start that another one may serve, in the plain case: each is wanted exclusive, and the lockspaces of
 * their VGs alone tell that they are managed.
 * @returns undefined: it is not the plain case
 */
export function plainVolumes({ volumes, impossible, standIns, problems }: Candidates): ManagedVolume[] | undefined {
  if (impossible.length + standIns.length + problems.length > 0 || volumes.length === 0) return undefined
  const found = volumes.flatMap(({ path: _, mode, optional, isElement: __, unknownUse, ...volume }) =>
    mode === 'exclusive' && optional !== true && unknownUse === undefined && volume.stack?.vg === undefined
      ? [{ ...volume, role: mode, isLocal: false }]
      : [],
  )
  return found.length === volumes.length ? found : undefined
}

/**
 * A volume with its UUIDs. So this very volume is taken for the other start, and not one that has its name by then
 * (R14).
 */
export type ServableVolume = ManagedVolume & { readonly ids: NonNullable<Identified['ids']> }

/**
 * A start with what lvs says of its volumes; undefined where one of them is left to the start's own `prepare`, or its
 * VG has no lockspace here.
 */
export function servableStart(
  { domain, volumes }: WaitingStart,
  table: VolumeTable,
  locks: LockState,
): ServableStart | undefined {
  const found = volumes.flatMap((volume) =>
    locks.kind === 'known' && locks.lockspaces.has(volume.vg)
      ? (servable(volume, table.volumes.get(fullName(volume))) ?? [])
      : [],
  )
  return found.length === volumes.length ? { domain, volumes: found } : undefined
}

/**
 * A volume that another `prepare` may take for a start that waits: exclusive, and under a lock of its own. A volume
 * that shares its lock with others (thin or VDO volumes, snapshots: FACTS 26, 27) is left to its own `prepare`, which
 * looks at those others before and after.
 * @param row what lvs says of it; undefined: nothing
 * @returns undefined: it is left to its own `prepare`
 */
export function servable(volume: ManagedVolume, row: LogicalVolume | undefined): ServableVolume | undefined {
  if (volume.role !== 'exclusive' || volume.isLocal || row === undefined) return undefined
  return row.pool === undefined && row.lockUuid === row.uuid ? { ...volume, ids: identityOf(row).ids } : undefined
}

/**
 * What a `prepare` that has the VGs' locks takes and records for a start that waits for them. It is exactly what that
 * start's own `prepare` would decide now. Only in the plain case: the domain has no record, and all its volumes are
 * inactive.
 * @param facts of this host now; `users` may be empty, because nobody has an inactive volume open
 * @returns undefined: it is left to itself
 */
export function planForWaiting(
  { domain, volumes }: ServableStart,
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

/**
 * Which volumes these are, as the `prepare` that served the start has put it on record: lvs need not be asked again. It
 * says nothing of what is locked.
 */
export const identitiesOf = (volumes: readonly RecordedVolume[]): IdentityTable => ({
  ...NO_VOLUMES,
  volumes: new Map(
    volumes.flatMap(({ vg, lv, ids, pool }) =>
      ids === undefined || pool !== undefined || ids.lock !== ids.lv
        ? []
        : [[fullName({ vg, lv }), { vg, lv, uuid: ids.lv, vgUuid: ids.vg, lockUuid: ids.lock }]],
    ),
  ),
})
