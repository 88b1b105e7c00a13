import { isSameVolume } from './lock-state.ts'
import type { DomainRecord, RecordedVolume } from './record.ts'
import { goTogether, mayBeUsedByAnother } from './relatives.ts'
import type { VolumeName } from './volume.ts'
import type { DomainView, DriveFacts } from './domain-view.ts'

/**
 * Whether a volume was brought up for a domain that runs here, and has been taken out of it since. No for what another
 * domain uses, and for what would take another volume along: one of this domain, under the same lock, that is still
 * plugged in.
 */
export function isUnplugged(
  volume: RecordedVolume,
  own: readonly RecordedVolume[],
  { domain, named }: DomainView,
  { records, locks, devices }: DriveFacts,
): boolean {
  const isNamed = (other: VolumeName): boolean => named?.some((each) => isSameVolume(each, other)) !== false
  // After a lost lease, or with the locking stopped, nothing is given.
  if (
    locks.kind === 'unknown' ||
    !locks.lockspaces.has(volume.vg) ||
    volume.before !== 'inactive' ||
    volume.mode === 'local' ||
    isNamed(volume)
  )
    return false
  return (
    !mayBeUsedByAnother(volume, records, domain.uuid, devices) &&
    !own.some((other) => other !== volume && isNamed(other) && goTogether(volume, other, devices) !== 'no')
  )
}

/**
 * What is to be given back of a domain that runs, now that lvs has told what it can: a volume whose UUIDs were not on
 * record may turn out to have the lock of one that is in use. If lvs has not told, it stays for now (R9).
 * @param record the domain's, as it is now
 */
export const stillUnplugged = (
  unplugged: readonly RecordedVolume[],
  record: DomainRecord,
  view: DomainView,
  facts: DriveFacts,
): RecordedVolume[] =>
  unplugged.flatMap((volume) => {
    const now = record.volumes.find((each) => isSameVolume(each, volume)) ?? volume
    return now.ids !== undefined && isUnplugged(now, record.volumes, view, facts) ? [now] : []
  })
