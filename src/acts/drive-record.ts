import type { DomainRecord, RecordedVolume } from '../core/record.ts'
import { fullName } from '../core/volume.ts'
import { unlessFull } from './failures.ts'
import { messageOf } from '../system/error-message.ts'
import type { Replace } from '../state/record-store.ts'
import type { Done } from './carry-out.ts'

/**
 * Writes a record. Does nothing if a `release` has said in the meantime that the domain has ended: a `release` may say
 * so without a lock.
 */
export const rewrite = (replace: Replace, record: DomainRecord): void => unlessFull(() => void replace(record))

type Written = { readonly kind: ReturnType<Replace> } | { readonly kind: 'unwritable'; readonly why: string }

/** Writes a record. Never throws. @returns what came of it, or why it could not be written */
export function tryToWrite(write: () => ReturnType<Replace>): Written {
  try {
    return { kind: write() }
  } catch (error) {
    return { kind: 'unwritable', why: messageOf(error) }
  }
}

/**
 * Takes `demoted` off volumes that are exclusive here again: they stay on this host when the domain ends
 * (goesWithDomain).
 */
export function undemoted(record: DomainRecord, done: readonly Done[], replace: Replace): DomainRecord {
  const isPromoted = (volume: RecordedVolume): boolean =>
    volume.demoted === true &&
    done.some(
      ({ kind, change }) => kind === 'done' && change.to === 'exclusive' && fullName(change) === fullName(volume),
    )
  if (!record.volumes.some(isPromoted)) return record
  const volumes = record.volumes.map((volume): RecordedVolume => {
    const { demoted: _, ...kept } = volume
    return isPromoted(volume) ? kept : volume
  })
  rewrite(replace, { ...record, volumes })
  return { ...record, volumes }
}
