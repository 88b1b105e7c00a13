import { isTakenByAnother } from '../core/contested.ts'
import type { DomainRecord, MigrationMemory } from '../core/record.ts'
import { hostNameOf, leaseCounts, ownHostId } from '../lvm/lvm.ts'

/**
 * `lver` of the leases of a domain's exclusive volumes, by the UUID of their locks; undefined where none can be read.
 */
export async function leasesOf(
  record: DomainRecord | undefined,
): Promise<Readonly<Record<string, number>> | undefined> {
  const uuids = (record?.volumes ?? []).flatMap(({ role, ids }) =>
    role === 'exclusive' && ids !== undefined ? [ids.lock] : [],
  )
  const counts = await leaseCounts([...new Set(uuids)])
  return counts.size === 0 ? undefined : Object.fromEntries([...counts].map(([uuid, { lver }]) => [uuid, lver]))
}

/**
 * What is remembered of a migration in doubt, together with what the leases tell: whether another host has locked a
 * volume since (FACTS 51). To be asked before a promotion is tried.
 */
export async function witnessed(
  memory: MigrationMemory | undefined,
  record: DomainRecord | undefined,
): Promise<MigrationMemory | undefined> {
  if (memory?.lvers === undefined || memory.lockedBy !== undefined) return memory
  const counts = await leaseCounts(Object.keys(memory.lvers))
  for (const { vg, ids } of record?.volumes ?? []) {
    const [before, now] = ids === undefined ? [] : [memory.lvers[ids.lock], counts.get(ids.lock)]
    if (before === undefined || now === undefined || now.lver <= before) continue
    const ownId = await ownHostId(vg)
    if (ownId !== undefined && isTakenByAnother(before, now, ownId))
      return { ...memory, lockedBy: await hostNameOf(vg, now.owner) }
  }
  return memory
}
