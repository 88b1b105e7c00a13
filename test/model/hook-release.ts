import type { DomainRecord, RecordedVolume } from '../../src/core/record.ts'
import type { ReleasePlan } from '../../src/core/release.ts'
import { withIds } from '../../src/core/start.ts'
import { carryOut } from './carry-out.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { noteSaved } from './hook-restore.ts'
import { type Here, devicesOf, isActiveHere, lockVg, locksOf, put, recordsOf, table, unlockVg } from './looks.ts'
import type { Steps } from './process.ts'

/** How often a volume in use is tried again. */
const TRIES = 2

/** release of src/hook/release.ts, effect by effect. */
export function* release(here: Here, decisions: Decisions, domain: Domain, gotPastPrepare: boolean, isSaved = false): Steps<boolean> {
  const call: Call = { domain, gotPastPrepare, mine: undefined }
  const plan = yield* decide(here, decisions, call)
  // Nobody can do a whole start between this look and this write.
  if (plan.kind === 'deactivate' && decisions.announcesRelease) {
    put(here, domain, { format: 1, domain: { name: domain.name, uuid: domain.uuid }, state: 'releasing', volumes: here.host.records.get(domain.uuid)?.volumes ?? plan.volumes })
  }
  if (isSaved) {
    yield
    noteSaved(here, domain, (here.host.records.get(domain.uuid)?.volumes ?? []).map((volume) => withIds(volume, table())))
  }
  if (plan.kind === 'keep' || (plan.kind === 'forget' && !decisions.forgetsUnderLock)) return yield* settle(here, domain, plan)
  const mine = here.host.records.get(domain.uuid)
  if (!(yield* lockVg(here))) return false
  try {
    return yield* underLock(here, decisions, decisions.releasesItsOwn ? { ...call, mine } : call)
  } finally {
    unlockVg(here)
  }
}

interface Call {
  readonly domain: Domain
  readonly gotPastPrepare: boolean
  /** The record as this `release` left it before it waited for the lock. */
  readonly mine: DomainRecord | undefined
}

/** A `release` that outlived its daemon may find that the domain has been started again: that record is not its own. */
const isNewLife = (record: DomainRecord | undefined, mine: DomainRecord | undefined): boolean =>
  mine !== undefined && record !== undefined && record !== mine && record.state !== 'releasing' && record.state !== 'refused'

function* decide(here: Here, decisions: Decisions, { domain, gotPastPrepare, mine }: Call): Steps<ReleasePlan> {
  const records = recordsOf(here)
  yield
  const record = records.known.find((known) => known.domain.uuid === domain.uuid)
  if (isNewLife(record, mine)) return { kind: 'keep', reason: 'it was started again', volumes: [] }
  const inXml = record === undefined && gotPastPrepare ? domain.volumes : []
  return decisions.planRelease({ record, records, inXml, gotPastPrepare, runsHere: isActiveHere(here, domain) })
}

function* settle(here: Here, domain: Domain, plan: Exclude<ReleasePlan, { kind: 'deactivate' }>): Steps<boolean> {
  yield
  if (plan.kind === 'forget') put(here, domain, undefined)
  return plan.kind === 'forget'
}

function* underLock(here: Here, decisions: Decisions, call: Call): Steps<boolean> {
  const { domain } = call
  const plan = yield* decide(here, decisions, call)
  if (plan.kind !== 'deactivate') return yield* settle(here, domain, plan)
  const write = (volumes: readonly RecordedVolume[]): void =>
    put(here, domain, { format: 1, domain: { name: domain.name, uuid: domain.uuid }, state: 'releasing', volumes })
  const wanted = plan.volumes.map((volume) => (volume.ids === undefined ? withIds(volume, table()) : volume))
  yield
  write(wanted)
  let left: readonly RecordedVolume[] = wanted
  for (let tries = 0; tries < TRIES; tries++) {
    const { failures, isLeft } = yield* carryOut(here, left.map(({ vg, lv }) => ({ vg, lv, to: 'inactive', reason: 'the domain has ended' })), 'go-on', undefined, true)
    // RELEASE_LIMIT: the program ends, its lvchange does not.
    if (isLeft) return false
    yield
    left = decisions.stillHere(left, locksOf(here), devicesOf(here))
    if (left.length === 0 || !failures.includes('in-use')) break
  }
  yield
  put(here, domain, left.length === 0 ? undefined : { format: 1, domain: { name: domain.name, uuid: domain.uuid }, state: 'releasing', volumes: left })
  return left.length === 0
}
