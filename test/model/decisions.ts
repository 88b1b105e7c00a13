import { planIncoming } from '../../src/core/migrate.ts'
import { contestedStep, remembered } from '../../src/core/contested.ts'
import { planDrive } from '../../src/core/drive.ts'
import { wantedOf } from '../../src/core/reconcile.ts'
import { planRelease, stillHere } from '../../src/core/release.ts'
import { compare } from '../../src/core/saved-image.ts'
import { missingLocks, planStart, planUndo } from '../../src/core/start.ts'
import { isIncoming } from '../../src/core/takeover.ts'

/**
 * What the program decides, function by function: the very functions of src/core. A mutation puts another in the place
 * of one. Below them the habits of the programs that carry the decisions out, which the model keeps because without any
 * of them the protocol breaks.
 */
export interface Decisions {
  readonly planStart: typeof planStart
  readonly planIncoming: typeof planIncoming
  readonly planRelease: typeof planRelease
  readonly planUndo: typeof planUndo
  readonly missingLocks: typeof missingLocks
  readonly stillHere: typeof stillHere
  readonly isIncoming: typeof isIncoming
  readonly wantedOf: typeof wantedOf
  readonly planDrive: typeof planDrive
  readonly remembered: typeof remembered
  readonly contestedStep: typeof contestedStep
  readonly compare: typeof compare
  /** Whether the agent resumes what it has suspended, once it is exclusive: R12 forbids it. */
  readonly resumes: boolean
  /** Whether acts on one host exclude each other (R11). */
  readonly excludes: boolean
  /** Whether a hook keeps in mind which daemon called it. */
  readonly remembersCaller: boolean
  /** Whether `release` says on record that the domain has ended before it waits for the VG's lock. */
  readonly announcesRelease: boolean
  /** Whether `release` leaves alone the record of a life of the domain that began while it waited. */
  readonly releasesItsOwn: boolean
  /** Whether the agent holds the VG's lock while it takes away a record that names no volume. */
  readonly locksForNoVolumes: boolean
  /** Whether `release` gives back what others have put on record as to be released, too. */
  readonly releasesOthers: boolean
  /** Whether `release` takes a record away only while it holds the VG's lock. */
  readonly forgetsUnderLock: boolean
}

export const PRODUCT: Decisions = {
  planStart,
  planIncoming,
  planRelease,
  planUndo,
  missingLocks,
  stillHere,
  isIncoming,
  wantedOf,
  planDrive,
  remembered,
  contestedStep,
  compare,
  resumes: false,
  excludes: true,
  remembersCaller: true,
  announcesRelease: true,
  releasesItsOwn: true,
  locksForNoVolumes: true,
  forgetsUnderLock: true,
  releasesOthers: true,
}
