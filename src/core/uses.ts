import { type DomainRecord, IN_USE } from './record.ts'
import { type VolumeName, fullName } from './volume.ts'
import type { StatusFacts } from './status.ts'

/** A VM that uses a volume. */
export interface Use {
  readonly vm: string
  /** Absent: it has no record of it. */
  readonly record?: DomainRecord
  readonly isActive: boolean
}

/** Which VMs of this host use a volume, by `VG/LV`. */
export function usesOf({ records, active }: StatusFacts): Map<string, Use[]> {
  const uses = new Map<string, Use[]>()
  const add = (volume: VolumeName, use: Use): void =>
    void uses.set(fullName(volume), [...(uses.get(fullName(volume)) ?? []), use])
  for (const record of records.known) {
    const isActive = active.found.some(({ uuid }) => uuid === record.domain.uuid)
    if (IN_USE.includes(record.state) || record.state === 'releasing')
      for (const volume of record.volumes) add(volume, { vm: record.domain.name, record, isActive })
  }
  for (const { name, uuid, volumes } of active.found) {
    const record = records.known.find(({ domain, state }) => domain.uuid === uuid && IN_USE.includes(state))
    for (const volume of volumes)
      if (record?.volumes.some((each) => fullName(each) === fullName(volume)) !== true)
        add(volume, { vm: name, isActive: true })
  }
  return uses
}
