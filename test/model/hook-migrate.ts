import { IN_USE, type DomainRecord, type RecordedVolume, claimsOn } from '../../src/core/record.ts'
import type { LockState } from '../../src/core/lock-state.ts'
import type { IncomingFacts } from '../../src/core/migrate.ts'
import { type Change, type StartPlan, withIds } from '../../src/core/start.ts'
import { carryOut } from './carry-out.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { holders } from './leases.ts'
import {
  type Here,
  devicesOf,
  isActiveHere,
  lockVg,
  locksOf,
  lookAround,
  put,
  recordsOf,
  table,
  unlockVg,
} from './looks.ts'
import { type Steps, untilOrLimit } from './process.ts'

/** How often a trial that somebody was quicker than is repeated, at most. */
const TRIALS = 3

interface Decided {
  readonly plan: StartPlan
  readonly facts: IncomingFacts
}

/**
 * migrate of src/acts/migrate.ts, effect by effect. @returns the id that it put into the XML, or undefined where it
 * refused
 */
export function* migrate(here: Here, decisions: Decisions, domain: Domain): Steps<string | undefined> {
  const first = yield* decide(here, decisions, domain)
  const { plan } = first
  if (plan.kind === 'refuse') return undefined
  for (let trials = 0; trials < TRIALS; trials++) {
    // awaitDemotion: reads the leases, without a lock.
    const isFree = (): boolean =>
      plan.recorded.every(({ lv }) => ![...holders(here.world, lv).values()].includes('exclusive'))
    if ((yield untilOrLimit(isFree)) === 'limit') return undefined
    const trial = yield* tryShared(here, decisions, domain)
    if (trial !== 'held') return trial === 'failed' ? undefined : trial.id
    yield
  }
  return undefined
}

function* decide(here: Here, decisions: Decisions, domain: Domain): Steps<Decided> {
  const records = recordsOf(here)
  yield
  const around = { ...(yield* lookAround(here)), records }
  yield
  const record = records.known.find((known) => known.domain.uuid === domain.uuid)
  const facts: IncomingFacts = {
    ...around,
    table: table(),
    record,
    activeHere: isActiveHere(here, domain),
    agent: here.host.agent?.isAlive === true ? { kind: 'runs', pid: 1 } : { kind: 'absent' },
  }
  return { plan: decisions.planIncoming(domain.volumes, facts, domain.uuid), facts }
}

type Trial = 'held' | 'failed' | { readonly id: string }

function* tryShared(here: Here, decisions: Decisions, domain: Domain): Steps<Trial> {
  if (!(yield* lockVg(here))) return 'failed'
  try {
    return yield* tryUnderLock(here, decisions, domain)
  } finally {
    unlockVg(here)
  }
}

function* tryUnderLock(here: Here, decisions: Decisions, domain: Domain): Steps<Trial> {
  const { world, host } = here
  const { plan, facts } = yield* decide(here, decisions, domain)
  if (plan.kind === 'refuse') return 'failed'
  const leftovers = (facts.record?.volumes ?? []).filter(
    (old) => old.before === 'inactive' && !plan.recorded.some(({ vg, lv }) => vg === old.vg && lv === old.lv),
  )
  const write = (volumes: readonly RecordedVolume[], incoming?: DomainRecord['incoming']): void =>
    put(here, domain, {
      format: 1,
      domain: { name: domain.name, uuid: domain.uuid },
      state: 'incoming',
      volumes: [...volumes, ...leftovers],
      ...(incoming && { incoming }),
    })
  const ours = plan.recorded
    .filter(
      (volume) => volume.before === 'inactive' && claimsOn(volume, facts.records, domain.uuid, IN_USE).length === 0,
    )
    .map((volume) => withIds(volume, facts.table))
  yield
  write(plan.recorded)
  const { isFailed, failures } = yield* carryOut(here, plan.changes)
  yield
  const after = locksOf(here)
  const missing = isFailed ? [] : decisions.missingLocks(plan.recorded, facts.table, after, devicesOf(here))
  const takenHere = (locks: LockState): RecordedVolume[] => decisions.stillHere(ours, locks, devicesOf(here))
  const undo = takenHere(after).map(({ vg, lv }): Change => ({ vg, lv, to: 'inactive', reason: 'the trial is over' }))
  yield* carryOut(here, undo, 'go-on')
  yield
  const left = undo.length === 0 ? [] : takenHere(locksOf(here))
  yield
  if (!isFailed && missing.length === 0 && left.length === 0) {
    const id = `id-${world.next()}`
    world.reach('let in')
    write([], { id, at: world.now - host.bootedAt })
    return { id }
  }
  if (left.length === 0 && leftovers.length === 0) put(here, domain, undefined)
  else write(left)
  return failures.length > 0 && failures.every((failure) => failure === 'held') ? 'held' : 'failed'
}
