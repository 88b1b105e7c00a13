import type { DomainRecord } from './record.ts'
import { INCOMING_LIFETIME } from './record.ts'

/**
 * What tells a `prepare` of a migration from one of a fresh start: libvirt calls both with the same words (DESIGN 4).
 */
export interface IncomingEvidence {
  readonly record: DomainRecord | undefined
  /** The id in the XML on standard input. */
  readonly xmlId: string | undefined
  /** Whether that id stands in the domain's persistent definition too, or that could not be told. */
  readonly idInDefinition: boolean | 'unknown'
  /**
   * When libvirt called `prepare`, in seconds since boot. Since then it may have waited for the VG's lock, behind seven
   * other VMs.
   */
  readonly calledAt: number
}

/**
 * Whether this `prepare` belongs to the very migration that `migrate` let in (R2). Any doubt makes it a fresh start,
 * which asks for exclusive and so cannot harm.
 */
export function isIncoming({ record, xmlId, idInDefinition, calledAt }: IncomingEvidence): boolean {
  if (record?.state !== 'incoming' || record.incoming === undefined || xmlId === undefined) return false
  const age = calledAt - record.incoming.at
  return record.incoming.id === xmlId && age >= 0 && age < INCOMING_LIFETIME && idInDefinition === false
}
