import { type ContestedStep, contestedStep } from '../core/contested.ts'
import {
  type DriveFacts,
  type DrivePlan,
  type Report,
  hasUntold,
  heldBack,
  heldOf,
  isSameMemory,
  planDrive,
  stillUnplugged,
  volumeIn,
  withoutLowering,
} from '../core/drive.ts'
import {
  type LockState,
  NO_VOLUMES,
  type VolumeTable,
  addressOf,
  deviceOf,
  isSameVolume,
  seenHere,
} from '../core/lock-state.ts'
import { type DomainRecord, IN_USE, type MigrationMemory, type RecordedVolume, type Records } from '../core/record.ts'
import { noteGivenBack } from '../state/late-release.ts'
import { stillHere } from '../core/release.ts'
import { type Change, withTold } from '../core/start.ts'
import { type VolumeName, fullName } from '../core/volume.ts'
import { carryOut } from './changes.ts'
import { unlessFull } from './failures.ts'
import { markedVgs } from '../kill/mark.ts'
import { messageOf } from '../system/error-message.ts'
import { releaseIdlePools } from './idle-pools.ts'
import type { Outcome } from '../core/outcome.ts'
import { asksLvs, releaseAllUnderLock } from './release.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lockState, openVolumes, volumeTable } from '../lvm/lvm.ts'
import { type Replace, readRecords, replacing } from '../state/record-store.ts'
import { type VgLocks, lockVgs } from '../state/vg-lock.ts'
import { type Done, carryOutAll } from './carry-out.ts'
import { type AgentHost, type SeenDomain, vgsOfAct, vgsOfView } from './seen-domains.ts'
import { witnessed } from './witness.ts'

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
    const early = await lockState()
    host.learn(early)
    const known = readRecords()
    const look = host.look()
    const seen = uuids.map((uuid) => insist(host.viewOf(uuid, look, known)))
    const views = [...seen]
    for (const [index, view] of views.entries())
      if (view.wanted.mode === 'exclusive' && view.memory?.lvers !== undefined)
        views[index] = { ...view, memory: await witnessed(view.memory, view.record) }
    const records = asSeen(known, views)
    // The witnesses, lvs and sanlock, may have taken long.
    const isAsked = views.some((view, index) => view !== seen[index])
    const state = isAsked ? await lockState() : early
    const devices = activeVolumes()
    const plans = views.map((view) => planDrive(view, { locks: state, devices, records }, view.detail))
    const overtaken = new Set<SeenDomain>()
    const drives = plans.flatMap((plan, index): Driven[] => {
      const view = views[index]
      if (view === undefined || plan.kind !== 'drive') return []
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
      const written = plan.record === undefined ? { kind: 'replaced' as const } : tryTo(() => replace(put))
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
    })
    const owners = new Map(
      drives.flatMap(({ plan, record }) =>
        plan.changes.map((change) => [change, volumeIn(record, fullName(change))] as const),
      ),
    )
    const first = withoutLowering(owners)
    const { done, after } = await carryOutAll(first, (change) => owners.get(change) ?? change, state, locks)
    const marked = markedVgs()
    const started = after.kind === 'known' ? [...after.lockspaces.keys()] : undefined
    const gone = plans.flatMap((plan, index) => {
      const view = views[index]
      if (plan.kind !== 'release' || view === undefined) return []
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
      if (plan.kind !== 'keep' && record !== undefined && IN_USE.includes(record.state))
        noteGivenBack(record.domain.uuid)
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
    // One question to lvs for all, when all else is done: it may take long, and others wait for these locks.
    const table = await tableOf(drives.map(({ record }) => record))
    // It may have taken long, and a person needs no lock of ours: what is shared now is decided by what is so now (R3).
    const mayFollow = drives.some(
      ({ plan }) => waitsForLvs(plan) || plan.changes.some((change) => !first.includes(change)),
    )
    const now = { locks: mayFollow ? await lockState() : after, devices: activeVolumes() }
    const identified = new Map(
      drives.map((drive): [Driven, DomainRecord] => {
        const own = done.filter(({ change }) => drive.plan.changes.includes(change))
        const record = undemoted(drive.record, own, drive.replace)
        const whole = { ...record, volumes: record.volumes.map((volume) => withTold(volume, table, now)) }
        const isNew = whole.volumes.some(({ ids }, at) => ids !== record.volumes[at]?.ids)
        if (isNew && drive.unwritable === undefined) rewrite(drive.replace, whole)
        return [drive, whole]
      }),
    )
    const late = new Map(
      drives.flatMap((drive) =>
        drive.unwritable !== undefined
          ? []
          : heldBack(drive.plan, identified.get(drive) ?? drive.record, first, now.locks, now.devices).map(
              ({ change, volume }) => [change, { drive, volume }] as const,
            ),
      ),
    )
    const second = await carryOutAll(
      [...late.keys()],
      (change) => late.get(change)?.volume as RecordedVolume,
      now.locks,
      locks,
    )
    const results: ActResult[] = []
    for (const [index, view] of views.entries()) {
      const plan = plans[index]
      const drive = drives.find((each) => each.view === view)
      const reports = plan?.reports ?? []
      if (plan?.kind === 'release' && !overtaken.has(view)) {
        results.push({ ...NOTHING, view, reports, released: released.get(view) })
      } else if (drive === undefined) {
        const said = reports.filter(({ kind }) => kind !== 'lock-owner-unknown')
        results.push({ ...NOTHING, view, reports: said, isOvertaken: overtaken.has(view) })
      } else {
        const own = [
          ...done
            .filter(({ change }) => drive.plan.changes.includes(change))
            .map((each) => nowTold(each, identified.get(drive) ?? drive.record, now)),
          ...second.done.filter(({ change }) => late.get(change)?.drive === drive),
        ]
        const { replace } = drive
        const record = identified.get(drive) ?? drive.record
        // Said only where lvs was asked, and has not told.
        const isUntold = ({ volume }: { readonly volume: string }): boolean => {
          const known = volumeIn(record, volume)
          return known !== undefined && known.ids === undefined
        }
        const idle = stillUnplugged(drive.plan.unplugged, record, view, { locks: state, devices: now.devices, records })
        const unplugged = await giveBack(idle, record, replace, locks)
        const left = {
          ...record,
          volumes: record.volumes.filter((volume) => !unplugged.some((gone) => fullName(gone) === fullName(volume))),
        }
        const contested = contestedAfter(view, left, replace, second.after, host)
        results.push({
          view,
          done: own,
          reports: reports.filter((report) => report.kind !== 'lock-owner-unknown' || isUntold(report)),
          unwritable: drive.unwritable,
          isOvertaken: false,
          contested,
          abortJob: drive.plan.abortJob,
          isUntold: hasUntold(left.volumes, now),
          unplugged,
          released: undefined,
        })
      }
    }
    return results
  } finally {
    locks.release()
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

/**
 * Writes a record. Does nothing if a `release` has said in the meantime that the domain has ended: a `release` may say
 * so without a lock.
 */
const rewrite = (replace: Replace, record: DomainRecord): void => unlessFull(() => void replace(record))

type Written = { readonly kind: ReturnType<Replace> } | { readonly kind: 'unwritable'; readonly why: string }

function tryTo(write: () => ReturnType<Replace>): Written {
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
function undemoted(record: DomainRecord, done: readonly Done[], replace: Replace): DomainRecord {
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

/**
 * Deactivates what was taken out of a running domain, unless somebody has it open (R4). QEMU itself may still be
 * closing it.
 * @returns what is neither active nor locked here any more, and is off the record
 */
async function giveBack(
  unplugged: readonly RecordedVolume[],
  record: DomainRecord,
  replace: Replace,
  locks: VgLocks,
): Promise<RecordedVolume[]> {
  if (unplugged.length === 0) return []
  const devices = activeVolumes()
  // It may have another name by now (R14).
  const present = (volume: RecordedVolume): VolumeName => deviceOf(volume, devices) ?? volume
  const open = await openVolumes(unplugged.map(present), devices)
  const isUnplugged = (volume: RecordedVolume): boolean => unplugged.some((each) => isSameVolume(each, volume))
  const idle = record.volumes.filter((volume) => isUnplugged(volume) && !open.has(fullName(present(volume))))
  if (idle.length === 0) return []
  const changes = idle.map(
    (volume): Change => ({
      vg: volume.vg,
      lv: volume.lv,
      to: 'inactive',
      reason: 'it is not plugged in any more',
      ...addressOf(volume, devices),
    }),
  )
  await carryOut(changes, locks, 'go-on')
  const left = stillHere(idle, await lockState(), activeVolumes())
  const gone = idle.filter((volume) => !left.includes(volume))
  // A pool that stays locked keeps its volume on record.
  const bound = await releaseIdlePools(gone, locks, record.domain.uuid)
  const released = gone.filter((volume) => !bound.includes(volume))
  if (released.length > 0)
    rewrite(replace, { ...record, volumes: record.volumes.filter((volume) => !released.includes(volume)) })
  return released
}

/**
 * Decides what follows from a migration whose last reply was lost (DESIGN 4), and writes it into the record before
 * virsh is asked.
 */
function contestedAfter(
  view: SeenDomain,
  record: DomainRecord,
  replace: Replace,
  after: LockState,
  host: AgentHost,
): ContestedStep {
  const { status, memory, wanted } = view
  if (status === undefined || memory === undefined || wanted.mode !== 'exclusive') return 'none'
  const devices = activeVolumes()
  const isNowhere = (volume: RecordedVolume): boolean => deviceOf(volume, devices) === undefined
  const isGranted = record.volumes.every(
    (volume) =>
      volume.role === 'shared' ||
      volume.mode === 'local' ||
      isNowhere(volume) ||
      (after.kind === 'known' && heldOf(volume, after, devices) === 'exclusive'),
  )
  const step = contestedStep({
    status,
    memory,
    promotion: isGranted ? 'granted' : 'refused',
    onContested: host.configuration.onContested,
  })
  // Written only if it is new, because this is looked at again in each pass.
  const now = memoryAfter(step, memory)
  if (!isSameMemory(now, record.migration)) {
    const { migration: _old, ...kept } = record
    host.remember(view, now)
    rewrite(replace, { ...kept, ...(now && { migration: now }) })
  }
  return step
}

function memoryAfter(step: ContestedStep, memory: MigrationMemory): MigrationMemory | undefined {
  if (step === 'forget') return undefined
  if (step === 'suspend') return { ...memory, suspend: 'asked' }
  // From now on a person who resumes it has been warned.
  return step === 'stay' ? { ...memory, suspend: 'done' } : memory
}
