import type { DomainRecord, RecordedVolume } from '../../src/core/record.ts'

/** What 0.1.0 did not write at all: notes of saved memories, and what a `restore` leaves for its `prepare`. */
const NOT_WRITTEN = /^\/var\/lib\/lvguard\/saved\/|^\/run\/lvguard\/[^/]+\.restore$/
const RECORD = /^\/run\/lvguard\/[0-9a-f-]{36}\.json$/

export const isUnknownToOlder = (path: string): boolean => NOT_WRITTEN.test(path)

/**
 * What a file of this version would say if 0.1.0 had written it: a record without the fields that came later.
 * @param hasIds LVM had told it the UUIDs of the volumes by then
 */
export function asOlder(path: string, text: string, hasIds: boolean): string {
  if (!RECORD.test(path)) return text
  const { restored: _, migration, volumes, ...record } = JSON.parse(text) as DomainRecord
  const older: DomainRecord = {
    ...record,
    volumes: volumes.map(
      ({ demoted: __, ids, ...volume }): RecordedVolume => ({ ...volume, ...(hasIds && ids && { ids }) }),
    ),
    ...(migration && {
      migration: { phase: migration.phase, ...(migration.suspend && { suspend: migration.suspend }) },
    }),
  }
  return `${JSON.stringify(older)}\n`
}
