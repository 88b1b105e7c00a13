import type { ContestedStep } from '../core/contested.ts'
import type { DriveFacts, DrivePlan, Report } from '../core/domain-view.ts'
import { hasUntold, planDrive } from '../core/drive.ts'
import { heldBack, volumeIn, withoutLowering } from '../core/drive-step.ts'
import { stillUnplugged } from '../core/unplugged.ts'
import { type LockState, type VolumeTable, NO_VOLUMES, seenHere } from '../core/lock-state.ts'
import { type DomainRecord, type RecordedVolume, type Records, IN_USE } from '../core/record.ts'
import { noteGivenBack } from '../state/late-release.ts'
import { type Change, withTold } from '../core/start.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { markedVgs } from '../kill/mark.ts'
import { messageOf } from '../system/error-message.ts'
import type { Outcome } from '../core/outcome.ts'
import { asksLvs, releaseAllUnderLock } from './give-back.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, volumeTable } from '../lvm/lvm.ts'
import { type Replace, readRecords, replacing } from '../state/record-store.ts'
import { type VgLocks, lockVgs } from '../state/vg-lock.ts'
import { type CarriedOutAll, type Done, carryOutAll } from './carry-out.ts'
import { type AgentHost, type SeenDomain, vgsOfAct, vgsOfView } from './seen-domains.ts'
import { witnessed } from './witness.ts'
import { rewrite, tryToWrite, undemoted } from './drive-record.ts'
import { releaseUnplugged } from './unplugged.ts'
import { contestedAfter } from './contested.ts'

/** What came of an act for one domain. What it calls for beside locks is done afterwards, when no VG's lock is held. */
export interface ActResult {
  readonly view: SeenDomain
  readonly done: readonly Done[]
  readonly reports: readonly Report[]
  /** Its record could not be written: nothing was changed that is not on record. */
  readonly unwritable: string | undefined
  /** A hook changed its record between the look and the act. Nothing was done. */
  readonly isOvertaken: boolean
  readonly contested: ContestedStep
  readonly abortJob: boolean
  /** lvs has not told the UUIDs of a volume in use. */
  readonly isUntold: boolean
  /** Taken out of the domain while it runs, and given back. */
  readonly unplugged: readonly VolumeName[]
  /** Of a domain that is gone. */
  readonly released: Outcome | undefined
}

type Drive = Extract<DrivePlan, { kind: 'drive' }>

/** One domain, and what was decided for it. */
interface Planned {
  readonly view: SeenDomain
  readonly plan: DrivePlan
}

/** One domain that runs, in the middle of an act. */
interface Driven {
  readonly view: SeenDomain
  readonly plan: Drive
  /** Why its record could not be written. */
  readonly unwritable: string | undefined
  /** As it is on disk, or would be if there were room. */
  readonly record: DomainRecord
  readonly replace: Replace
}

/** The records, with the UUIDs that lvs has told meanwhile. */
interface IdentifiedRecords {
  /** After that answer. */
  readonly now: Pick<DriveFacts, 'locks' | 'devices'>
  readonly recordFor: (drive: Driven) => DomainRecord
}

/** Missing locks that waited for lvs, and whose domain each change was for. */
interface HeldBack extends CarriedOutAll {
  readonly ownerOf: (change: Change) => Driven | undefined
}

/** What was done for all domains that run. */
interface DoneForAll {
  /** What needed no answer of lvs: promotions, and demotions for a migration. */
  readonly atOnce: CarriedOutAll
  readonly identified: IdentifiedRecords
  readonly heldBack: HeldBack
}

const NOTHING = {
  done: [],
  unwritable: undefined,
  isOvertaken: false,
  contested: 'none',
  abortJob: false,
  isUntold: false,
  unplugged: [],
  released: undefined,
} as const

/** Overrides what a view calls for: `lvguard demote` and `promote`. */
export type Insist = (view: SeenDomain) => SeenDomain

/**
 * Brings the volumes of domains to what their states call for, under the locks of their VGs: looks again at everything,
 * writes the records, then acts (R11). Waits for no other host: a refused `lvchange -aey` fails at once (FACTS 20).
 * @param vgs of all these domains
 * @throws VgBusy if anybody else keeps a VG's lock for longer than lock_wait
 */
export async function act(
  uuids: readonly string[],
  vgs: readonly string[],
  host: AgentHost,
  insist: Insist = (view) => view,
): Promise<ActResult[]> {
  const locks = await lockVgs(vgs, host.configuration.lockWait)
  try {
    return await actUnderLock(uuids, locks, host, insist)
  } finally {
    locks.release()
  }
}

async function actUnderLock(
  uuids: readonly string[],
  locks: VgLocks,
  host: AgentHost,
  insist: Insist,
): Promise<ActResult[]> {
  const early = await lockState()
  host.learn(early)
  const known = readRecords()
  const look = host.look()
  const seen = uuids.map((uuid) => insist(host.viewOf(uuid, look, known)))
  const views = await withWitnesses(seen)
  // The witnesses, lvs and sanlock, may have taken long.
  const isAsked = views.some((view, index) => view !== seen[index])
  const facts = {
    locks: isAsked ? await lockState() : early,
    devices: activeVolumes(),
    records: asSeen(known, views),
  }
  const planned = views.map((view): Planned => ({ view, plan: planDrive(view, facts, view.detail) }))
  const overtaken = new Set<SeenDomain>()
  const drives = planned.flatMap((one) => putOnRecord(one, locks, overtaken))
  const owners = new Map(
    drives.flatMap(({ plan, record }) =>
      plan.changes.map((change) => [change, volumeIn(record, fullName(change))] as const),
    ),
  )
  const first = withoutLowering(owners)
  const atOnce = await carryOutAll(first, (change) => owners.get(change) ?? change, facts.locks, locks)
  const released = await releaseEnded(planned, atOnce.after, locks, overtaken)
  const identified = await identifyAll(drives, first, atOnce)
  const late = await takeHeldBack(drives, first, identified, locks)
  const results: ActResult[] = []
  for (const { view, plan } of planned) {
    const drive = drives.find((each) => each.view === view)
    if (plan.kind === 'release' && !overtaken.has(view)) {
      results.push({ ...NOTHING, view, reports: plan.reports, released: released.get(view) })
    } else if (drive === undefined) {
      const reports = plan.reports.filter(({ kind }) => kind !== 'lock-owner-unknown')
      results.push({ ...NOTHING, view, reports, isOvertaken: overtaken.has(view) })
    } else results.push(await resultOf(drive, facts, { atOnce, identified, heldBack: late }, host, locks))
  }
  return results
}

/** Views, with what the leases tell of other hosts where a migration's end is in doubt. */
async function withWitnesses(seen: readonly SeenDomain[]): Promise<SeenDomain[]> {
  const views: SeenDomain[] = []
  for (const view of seen) {
    const isWanted = view.wanted.mode === 'exclusive' && view.memory?.lvers !== undefined
    views.push(isWanted ? { ...view, memory: await witnessed(view.memory, view.record) } : view)
  }
  return views
}

/**
 * Writes the record of a domain that runs, before anything is changed.
 * @param overtaken gets those for which a hook was quicker, or these locks are too few
 * @returns nothing if there is nothing to be done, or it is overtaken
 */
function putOnRecord({ view, plan }: Planned, locks: VgLocks, overtaken: Set<SeenDomain>): Driven[] {
  if (plan.kind !== 'drive') return []
  const put = plan.record ?? view.record
  if (put === undefined) return []
  // A domain that was gone runs again, and the locks that are held here are not enough for that. A record may be
  // changed only under the locks of all VGs that it names, or will name.
  const named = [...put.volumes, ...(view.record?.volumes ?? [])]
  if ([...plan.changes, ...plan.unplugged, ...named].some(({ vg }) => !locks.descriptors.has(vg))) {
    overtaken.add(view)
    return []
  }
  const replace = replacing(view.domain.uuid, view.record)
  const written = plan.record === undefined ? { kind: 'replaced' as const } : tryToWrite(() => replace(put))
  if (written.kind === 'changed') {
    overtaken.add(view)
    return []
  }
  const unwritable = written.kind === 'unwritable' ? written.why : undefined
  // What is on record already may be made exclusive all the same: that is no danger to anybody.
  const isOnRecord = (name: string): boolean =>
    view.record?.volumes.some((volume) => fullName(volume) === name) === true
  const changes =
    unwritable === undefined
      ? plan.changes
      : plan.changes.filter((change) => change.to === 'exclusive' && isOnRecord(fullName(change)))
  return [{ view, plan: { ...plan, changes }, unwritable, record: put, replace }]
}

/**
 * Gives back what domains that are gone have left.
 * @param after the locks, after what was done for domains that run
 * @param overtaken gets those for which a hook was quicker, or these locks are too few
 */
async function releaseEnded(
  planned: readonly Planned[],
  after: LockState,
  locks: VgLocks,
  overtaken: Set<SeenDomain>,
): Promise<ReadonlyMap<SeenDomain, Outcome>> {
  const marked = markedVgs()
  const started = after.kind === 'known' ? [...after.lockspaces.keys()] : undefined
  const gone = planned.flatMap(({ view, plan }) => {
    if (plan.kind !== 'release') return []
    // A hook has put another record there meanwhile, and the locks that are held here are not those of its VGs. Or it
    // names no VG, and the locking of a further one has been started: a hook may be at work on that.
    if (vgsOfAct(view, started, marked)?.every((vg) => locks.descriptors.has(vg)) !== true) {
      overtaken.add(view)
      return []
    }
    return [{ view, domain: view.domain, record: view.record, plan: plan.plan }]
  })
  // Its `release` has not said anything yet, and may still come.
  for (const { record, plan } of gone)
    if (plan.kind !== 'keep' && record !== undefined && IN_USE.includes(record.state)) noteGivenBack(record.domain.uuid)
  // What names no VG goes first: while the others are given back, the locking of a further VG may be started. Last goes
  // what waits for an answer of lvs.
  const turnOf = ({ view, plan }: (typeof gone)[number]): number =>
    vgsOfView(view).length === 0 ? 0 : asksLvs(plan) ? 2 : 1
  const released = new Map<SeenDomain, Outcome>()
  for (const turn of [0, 1, 2]) {
    const some = gone.filter((each) => turnOf(each) === turn)
    const outcomes = await releaseAllUnderLock(some, locks, () => 0).catch((error: unknown) =>
      some.map(() => failed(error)),
    )
    for (const [index, { view }] of some.entries()) released.set(view, outcomes[index] as Outcome)
  }
  return released
}

/**
 * Asks lvs once for all domains, when all else is done: it may take long, and others wait for these locks. Writes the
 * UUIDs that it tells into the records, and takes `demoted` off what is exclusive again.
 */
async function identifyAll(
  drives: readonly Driven[],
  first: readonly Change[],
  { done, after }: CarriedOutAll,
): Promise<IdentifiedRecords> {
  const table = await tableOf(drives.map(({ record }) => record))
  // It may have taken long, and a person needs no lock of ours: what is shared now is decided by what is so now (R3).
  const mayFollow = drives.some(
    ({ plan }) => waitsForLvs(plan) || plan.changes.some((change) => !first.includes(change)),
  )
  const now = { locks: mayFollow ? await lockState() : after, devices: activeVolumes() }
  const records = new Map(
    drives.map((drive): [Driven, DomainRecord] => {
      const own = done.filter(({ change }) => drive.plan.changes.includes(change))
      const record = undemoted(drive.record, own, drive.replace)
      const whole = { ...record, volumes: record.volumes.map((volume) => withTold(volume, table, now)) }
      const isNew = whole.volumes.some(({ ids }, at) => ids !== record.volumes[at]?.ids)
      if (isNew && drive.unwritable === undefined) rewrite(drive.replace, whole)
      return [drive, whole]
    }),
  )
  return { now, recordFor: (drive) => records.get(drive) ?? drive.record }
}

/** Takes, shared, the missing locks that were held back: by now lvs has told whose lock each volume has. */
async function takeHeldBack(
  drives: readonly Driven[],
  first: readonly Change[],
  { now, recordFor }: IdentifiedRecords,
  locks: VgLocks,
): Promise<HeldBack> {
  const late = new Map(
    drives.flatMap((drive) =>
      drive.unwritable !== undefined
        ? []
        : heldBack(drive.plan, recordFor(drive), first, now.locks, now.devices).map(
            ({ change, volume }) => [change, { drive, volume }] as const,
          ),
    ),
  )
  const volumeOf = (change: Change): RecordedVolume => late.get(change)?.volume as RecordedVolume
  const carried = await carryOutAll([...late.keys()], volumeOf, now.locks, locks)
  return { ...carried, ownerOf: (change) => late.get(change)?.drive }
}

/** The rest of what a domain that runs calls for, and what is said of it. */
async function resultOf(
  drive: Driven,
  { locks: locksBefore, records }: DriveFacts,
  { atOnce, identified, heldBack: late }: DoneForAll,
  host: AgentHost,
  locks: VgLocks,
): Promise<ActResult> {
  const { view, plan, replace } = drive
  const record = identified.recordFor(drive)
  const done = [
    ...atOnce.done
      .filter(({ change }) => plan.changes.includes(change))
      .map((each) => nowTold(each, record, identified.now)),
    ...late.done.filter(({ change }) => late.ownerOf(change) === drive),
  ]
  // Said only where lvs was asked, and has not told.
  const isUntold = ({ volume }: { readonly volume: string }): boolean => {
    const known = volumeIn(record, volume)
    return known !== undefined && known.ids === undefined
  }
  const facts = { locks: locksBefore, devices: identified.now.devices, records }
  const unplugged = await releaseUnplugged(stillUnplugged(plan.unplugged, record, view, facts), record, replace, locks)
  const left = {
    ...record,
    volumes: record.volumes.filter((volume) => !unplugged.some((gone) => fullName(gone) === fullName(volume))),
  }
  const contested = contestedAfter(view, left, replace, late.after, host)
  return {
    view,
    done,
    reports: plan.reports.filter((report) => report.kind !== 'lock-owner-unknown' || isUntold(report)),
    unwritable: drive.unwritable,
    isOvertaken: false,
    contested,
    abortJob: plan.abortJob,
    isUntold: hasUntold(left.volumes, identified.now),
    unplugged,
    released: undefined,
  }
}

/**
 * The records, by what is seen of their domains: a domain that is gone makes no claim, and a domain that runs keeps its
 * volumes, whatever its record says. So domains that end together do not keep each other's volumes.
 */
const asSeen = ({ known, unreadable }: Records, views: readonly SeenDomain[]): Records => ({
  known: known.map((record): DomainRecord => {
    const view = views.find(({ domain }) => domain.uuid === record.domain.uuid)
    if (view?.wanted.mode === 'inactive') return { ...record, state: 'releasing' }
    return view?.status !== undefined && record.state === 'releasing' ? { ...record, state: 'running' } : record
  }),
  unreadable,
})

const failed = (error: unknown): Outcome => ({ kind: 'left', volumes: [], why: messageOf(error) })

/** Whether lvs has to tell whose lock it is before the rest can be done. */
const waitsForLvs = ({ reports }: Drive): boolean => reports.some(({ kind }) => kind === 'lock-owner-unknown')

/** What failed only because lvs had not told yet whose lock it is: a thin volume has its pool's (FACTS 27). */
function nowTold(each: Done, record: DomainRecord, { locks, devices }: Pick<DriveFacts, 'locks' | 'devices'>): Done {
  const volume = volumeIn(record, fullName(each.change))
  const isDone = volume?.ids !== undefined && seenHere(volume, locks, devices).lock === each.change.to
  return each.kind === 'failed' && isDone ? { ...each, kind: 'done', why: '' } : each
}

/** What lvs tells of all volumes on these records whose UUIDs are not known; nothing where it is silent. */
async function tableOf(records: readonly DomainRecord[]): Promise<VolumeTable> {
  const unknown = new Map(
    records
      .flatMap(({ volumes }) => volumes)
      .filter(({ ids, mode }) => ids === undefined && mode !== 'local')
      .map((volume) => [fullName(volume), volume]),
  )
  return unknown.size === 0 ? NO_VOLUMES : ((await volumeTable([...unknown.values()])) ?? NO_VOLUMES)
}
