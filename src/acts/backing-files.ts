import { planOnDrbd } from '../core/start-on-drbd.ts'
import { NO_VOLUMES, type VolumeTable } from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import type { RecordedVolume } from '../core/record.ts'
import { withIdsAndPool } from '../core/relatives.ts'
import { type Change, type HostFacts, activeMeanwhile, claimedMeanwhile, planStart, planUndo } from '../core/start.ts'
import { fullName } from '../core/volume.ts'
import { toldOf } from './told.ts'
import { drbdBelow } from '../drbd/drbd.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { lockState } from '../lvm/lvm.ts'
import { readRecords, recordOf } from '../state/record-store.ts'
import { type VgLocks, VgBusy, lockVgs } from '../state/vg-lock.ts'
import { carryOut } from './changes.ts'
import { problemOfBusy, problemOfError, problemsOf, withDisks } from './failures.ts'
import { type Subject, lookAround, missingOf, scopeFor, subjectWith, unvouchedOf, withCovers } from './host.ts'
import { type Level, type Link, ImageRefused, levelBelow, outside } from './image-links.ts'

/** What came of locking the backing files of a domain's images. `failed`: what could be undone is undone. */
export type BackingResult =
  | { readonly kind: 'locked'; readonly recorded: readonly RecordedVolume[] }
  | {
      readonly kind: 'failed'
      readonly problems: readonly Problem[]
      readonly recorded: readonly RecordedVolume[]
      readonly undone: readonly Change[]
    }

/** What is above them: a domain with its volumes locked. */
export interface Above {
  readonly subject: Subject
  readonly taken: readonly RecordedVolume[]
  /** The locks of the VGs of the XML's volumes; those of further VGs are added. */
  readonly locks: GrowingLocks
  /** A `prepare` of a migration. */
  readonly incoming: boolean
  /** Puts further volumes on record, before they are activated. */
  readonly record: (volumes: readonly RecordedVolume[]) => void
}

/**
 * Seconds for which a `prepare` that has the lock of one VG waits for that of another one. Two such may wait for each
 * other: that must not last.
 */
const FURTHER_LOCK_WAIT = 5

interface LockedLevel {
  readonly attempted: readonly Change[]
  readonly before: HostFacts
  readonly table: VolumeTable | undefined
  /** What this domain's record named before. */
  readonly earlier: readonly RecordedVolume[]
}

/**
 * Locks the volumes that the headers of qcow2 images name, level by level: a header can be read only while its own
 * volume is active. Each level costs one lvchange. The lock is shared, unless a header says that an image has its data
 * there.
 */
export async function lockBackingFiles(above: Above): Promise<BackingResult> {
  const {
    subject: {
      domain,
      configuration,
      candidates: { images },
    },
    locks,
    taken,
  } = above
  const recorded: RecordedVolume[] = []
  const steps: LockedLevel[] = []
  try {
    // An image in a VG that is not managed is left out.
    const managed = images.filter((image) => taken.some(({ vg, lv }) => vg === image.vg && lv === image.lv))
    let links: readonly Link[] = managed.map((image) => ({ ...image, above: [] }))
    while (links.length > 0) {
      const level = await levelBelow(links, domain, configuration, [...taken, ...recorded])
      if (level.candidates.length > 0) await lockLevel(above, level, links, recorded, steps)
      links = level.links
    }
    return { kind: 'locked', recorded }
  } catch (error) {
    const undone: Change[] = []
    for (const { attempted, before, table, earlier } of steps.reverse()) {
      const undo = planUndo(attempted, earlier, (name) => table?.volumes.get(fullName(name)), before, {
        locks: await lockState(),
        devices: activeVolumes(),
      })
      await carryOut(undo, locks, 'go-on')
      undone.push(...undo)
    }
    // Who holds what is asked last: by now nothing is locked for that.
    return { kind: 'failed', problems: await problemsIn(error), recorded, undone }
  }
}

/** One level: the same decision, record, lvchange and reading back as for the XML's own volumes. */
async function lockLevel(
  { subject: { domain, configuration }, incoming, record: putOnRecord, locks }: Above,
  { candidates }: Level,
  [link]: readonly Link[],
  recorded: RecordedVolume[],
  steps: LockedLevel[],
): Promise<void> {
  const level = subjectWith(domain, configuration, {
    volumes: candidates,
    impossible: [],
    standIns: [],
    images: [],
    problems: [],
  })
  const cutOff = cutOffProblems(level.vgsToLock)
  if (cutOff.length > 0) throw new ImageRefused(cutOff)
  await locks.add(level.vgsToLock, Math.min(configuration.lockWait, FURTHER_LOCK_WAIT))
  const records = readRecords()
  const looked = await lookAround(level, records)
  const first = await scopeFor(level, looked.locks)
  const {
    facts: before,
    scope,
    covers,
  } = await withCovers(level, { facts: looked, scope: first }, first.volumes, incoming)
  if (scope.problems.length > 0) throw new ImageRefused(scope.problems)
  const unmanaged = candidates.find((wanted) => !scope.volumes.some((volume) => fullName(volume) === fullName(wanted)))
  if (unmanaged !== undefined) throw outside(link ?? unmanaged, unmanaged)
  const record = recordOf(domain.uuid, records)
  if (covers === 'silent') throw new ImageRefused([noAnswerOfLvs()])
  const plan = planStart(scope.volumes, before, domain.uuid, incoming, record?.volumes ?? [], covers)
  if (plan.kind === 'refuse') throw new ImageRefused(plan.problems)
  putOnRecord([...recorded, ...plan.recorded])
  const { attempted, failed } = await carryOut(plan.changes, locks)
  const [table, after] = await Promise.all([level.table(), lockState()])
  steps.push({ attempted, before, table, earlier: record?.volumes ?? [] })
  const told = await toldOf(before, plan.recorded)
  recorded.push(...withIdsAndPool(plan.recorded, table ?? NO_VOLUMES, before, told))
  if (failed !== undefined)
    throw new ChangeFailed(async () => withDisks(await problemsOf(failed, table, after), candidates))
  // As in prepare.ts: a VG may have been cut off in the meantime.
  const missing = [
    ...(await missingOf(plan.recorded, table, after, activeVolumes())),
    ...claimedMeanwhile(plan.recorded, table, records, domain.uuid),
    ...activeMeanwhile(plan.recorded, table, before, domain.uuid),
    ...cutOffProblems(level.vgsToLock),
    ...(await unvouchedOf(plan.recorded, attempted, after)),
  ]
  if (missing.length > 0) throw new ImageRefused(withDisks(missing, candidates))
  // DRBD is asked here too. It may have been passed over for the volumes above: this host held them already, or they
  // are in another VG.
  const onDrbd = planOnDrbd(scope, plan, await drbdBelow(level.vgsToLock), record, before)
  if (onDrbd.kind === 'refuse') throw new ImageRefused(onDrbd.problems)
}

/** An lvchange failed. The reason is asked for later (`ask`). */
class ChangeFailed extends Error {
  override readonly name = 'ChangeFailed'
  constructor(readonly ask: () => Promise<readonly Problem[]>) {
    super('lvchange failed')
  }
}

async function problemsIn(error: unknown): Promise<readonly Problem[]> {
  if (error instanceof ImageRefused) return error.problems
  if (error instanceof ChangeFailed) return error.ask()
  return [error instanceof VgBusy ? problemOfBusy(error) : problemOfError(error)]
}

/** The locks that a `prepare` holds, and those of further VGs on top, until its last word is on record (R11). */
export class GrowingLocks implements VgLocks {
  readonly descriptors: Map<string, number>
  readonly #parts: VgLocks[]

  constructor(first: VgLocks) {
    this.descriptors = new Map(first.descriptors)
    this.#parts = [first]
  }

  /** Takes the locks of further VGs. @param seconds how long to wait @throws what lockVgs throws */
  async add(vgs: readonly string[], seconds: number): Promise<void> {
    const missing = vgs.filter((vg) => !this.descriptors.has(vg))
    if (missing.length === 0) return
    const more = await lockVgs(missing, seconds, seconds)
    this.#parts.push(more)
    for (const [vg, descriptor] of more.descriptors) this.descriptors.set(vg, descriptor)
  }

  release(): void {
    for (const locks of this.#parts) locks.release()
  }
}
