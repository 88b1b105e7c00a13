import { milliseconds, pause, uptime } from '../system/clock.ts'
import { isEmpty } from '../core/scope.ts'
import { lockDomain } from '../state/domain-locks.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { lockState } from '../lvm/lvm.ts'
import { lookingAgain } from '../state/record-store.ts'
import { type AnnouncedRestore, takeRestore } from '../state/saved-images.ts'
import { VgBusy } from '../state/vg-lock.ts'
import { awaitLocking, isTooEarly } from './await-locking.ts'
import { GrowingLocks } from './backing-files.ts'
import { callingDaemon } from './daemon.ts'
import { problemOfBusy, problemOfError, refused } from './failures.ts'
import { type LocksQuestion, type Subject, isFresh, scopeFor, subjectWith } from './host.ts'
import { type Outcome, NOT_CONCERNED } from '../core/outcome.ts'
import { type QueuePlace, queueUp } from './waiting-starts.ts'
import { startUnderLock } from './start.ts'

/** `prepare begin -`: locks every volume of the domain here, or undoes what it did and refuses (R1). */
export async function prepare(subject: Subject, asked?: LocksQuestion): Promise<Outcome> {
  const calledAt = uptime()
  // First of all: the mark of the `restore` is used up, whatever comes of this call.
  const restored = takeRestore(subject.domain, callingDaemon().daemon, calledAt)
  if (!subject.isConcerned) return notConcerned(subject, restored)
  // This comes before anything that may wait for the storage. The `release` that follows finds no record of its own,
  // and changes nothing.
  const cutOff = cutOffProblems(subject.vgsToLock)
  if (cutOff.length > 0) return refused(subject, cutOff)
  const first = await prepareOnce(subject, asked, calledAt, restored)
  const { domain, configuration, candidates } = subject
  if (configuration.startWait === 0 || !isTooEarly(first)) return first
  const again = (): Promise<Outcome> =>
    prepareOnce(subjectWith(domain, configuration, candidates), undefined, calledAt, restored)
  return awaitLocking(first, again, configuration.startWait * 1000, { pause, now: milliseconds })
}

/**
 * The domain has nothing that lvguard manages, as far as its XML and the configuration say now. They may have changed
 * since its memory was saved.
 */
const notConcerned = (subject: Subject, restored: AnnouncedRestore | undefined): Outcome =>
  restored === undefined || restored.problems.length === 0 || subject.domain.incomingId !== undefined
    ? NOT_CONCERNED
    : refused(subject, restored.problems)

async function prepareOnce(
  subject: Subject,
  asked: LocksQuestion | undefined,
  calledAt: number,
  restored: AnnouncedRestore | undefined,
): Promise<Outcome> {
  let locks: GrowingLocks | undefined
  const queue = restored === undefined ? queueUp(subject) : NO_QUEUE
  try {
    const { domain, vgsToLock, configuration } = subject
    const held = new GrowingLocks(await lockDomain(domain.uuid, vgsToLock, configuration.lockWait).finally(queue.leave))
    locks = held
    const early = asked !== undefined && isFresh(asked) ? asked : undefined
    return await lookingAgain(() => startUnderLock({ subject, locks: held, asked: early, calledAt, restored, queue }))
  } catch (error) {
    if (error instanceof VgBusy) return refused(subject, [problemOfBusy(error)])
    // A path such as /dev/shm/x looks like a volume. But a VM without any volume must not depend on lvguard's own
    // folder.
    const isConcerned = locks !== undefined || !isEmpty(await scopeFor(subject, await lockState()))
    return isConcerned ? refused(subject, [problemOfError(error)]) : notConcerned(subject, restored)
  } finally {
    locks?.release()
  }
}

/** For a start that nobody else serves. */
const NO_QUEUE: QueuePlace = { leave: () => undefined, isServed: () => false }
