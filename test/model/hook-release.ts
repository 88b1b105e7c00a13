import type { DomainRecord, RecordedVolume } from '../../src/core/record.ts'
import type { ReleasePlan } from '../../src/core/release.ts'
import { withIds } from '../../src/core/start.ts'
import { carryOut } from './carry-out.ts'
import type { Decisions } from './decisions.ts'
import { type Domain, VG } from './domains.ts'
import { noteSaved } from './hook-restore.ts'
import { type Here, devicesOf, isActiveHere, lockVg, locksOf, put, recordsOf, table, unlockVg } from './looks.ts'
import type { Steps } from './process.ts'

/** How often a volume in use is tried again. */
const TRIES = 2

/** release of src/acts/release.ts, effect by effect. */
export function* release(
  here: Here,
  decisions: Decisions,
  domain: Domain,
  gotPastPrepare: boolean,
  isSaved = false,
): Steps<boolean> {
  const call: Call = { domain, gotPastPrepare, mine: undefined }
  const plan = yield* decide(here, decisions, call)
  if (isSaved) {
    yield
    const noted = here.host.records.get(domain.uuid)
    noteSaved(
      here,
      domain,
      (noted?.volumes ?? []).map((volume) => withIds(volume, table())),
    )
    yield
    if (decisions.releasesItsOwn && isNewLife(here.host.records.get(domain.uuid), noted)) return true
  }
  // Nobody can do a whole start between this look and this write.
  if (plan.kind === 'deactivate' && decisions.announcesRelease) {
    put(here, domain, {
      format: 1,
      domain: { name: domain.name, uuid: domain.uuid },
      state: 'releasing',
      volumes: here.host.records.get(domain.uuid)?.volumes ?? plan.volumes,
    })
  }
  if (plan.kind === 'keep' || (plan.kind === 'forget' && !decisions.forgetsUnderLock))
    return yield* settle(here, domain, plan)
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
  mine !== undefined &&
  record !== undefined &&
  record !== mine &&
  record.state !== 'releasing' &&
  record.state !== 'refused'

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
  const others = yield* endedMeanwhile(here, decisions, domain)
  write(wanted)
  let left: readonly RecordedVolume[] = wanted
  let leftOfOthers = others
  for (let tries = 0; tries < TRIES; tries++) {
    const lvs = new Set([...left, ...leftOfOthers.flatMap(({ volumes }) => volumes)].map(({ lv }) => lv))
    const { failures, isLeft } = yield* carryOut(
      here,
      [...lvs].map((lv) => ({ vg: VG, lv, to: 'inactive', reason: 'the domain has ended' })),
      'go-on',
      undefined,
      true,
    )
    // RELEASE_LIMIT: the program ends, its lvchange does not.
    if (isLeft) return false
    yield
    left = decisions.stillHere(left, locksOf(here), devicesOf(here))
    leftOfOthers = leftOfOthers.map((other) => ({
      ...other,
      volumes: decisions.stillHere(other.volumes, locksOf(here), devicesOf(here)),
    }))
    if (left.length === 0 || !failures.includes('in-use')) break
  }
  yield
  put(
    here,
    domain,
    left.length === 0
      ? undefined
      : { format: 1, domain: { name: domain.name, uuid: domain.uuid }, state: 'releasing', volumes: left },
  )
  for (const { domain: other, volumes } of leftOfOthers) {
    yield
    put(
      here,
      other,
      volumes.length === 0
        ? undefined
        : { format: 1, domain: { name: other.name, uuid: other.uuid }, state: 'releasing', volumes },
    )
  }
  return left.length === 0
}

/** Other domains that are to be released too: one lvchange serves all. */
function* endedMeanwhile(
  here: Here,
  decisions: Decisions,
  own: Domain,
): Steps<{ readonly domain: Domain; readonly volumes: readonly RecordedVolume[] }[]> {
  const records = recordsOf(here)
  yield
  return here.world.domains
    .filter(({ uuid }) => uuid !== own.uuid)
    .flatMap((domain) => {
      const record = records.known.find((known) => known.domain.uuid === domain.uuid)
      if (record?.state !== 'releasing' || !decisions.releasesOthers) return []
      const plan = decisions.planRelease({
        record,
        records,
        inXml: [],
        gotPastPrepare: true,
        runsHere: isActiveHere(here, domain),
      })
      if (plan.kind !== 'deactivate') return []
      here.world.reach('released along')
      return [
        {
          domain,
          volumes: plan.volumes.map((volume) => (volume.ids === undefined ? withIds(volume, table()) : volume)),
        },
      ]
    })
}
