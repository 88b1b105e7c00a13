import { NO_VOLUMES } from '../../src/core/lock-state.ts'
import type { DomainRecord, RecordedVolume } from '../../src/core/record.ts'
import type { HostFacts, StartPlan } from '../../src/core/start.ts'
import { withIds } from '../../src/core/start.ts'
import { fullName } from '../../src/core/volume.ts'
import { carryOut } from './carry-out.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { isAsSaved } from './hook-restore.ts'
import { type Here, devicesOf, lockVg, locksOf, lookAround, put, table, unlockVg } from './looks.ts'
import type { Steps } from './process.ts'

/** What a hook is told by libvirt. */
export interface Call {
  readonly domain: Domain
  /** The id in the XML on standard input. */
  readonly xmlId: string | undefined
  /** The oracle's own knowledge, never the hook's: the call belongs to a migration. */
  readonly isMigration: boolean
  /** It belongs to a `restore`, which has left a mark for it. */
  readonly isRestore: boolean
}

/** The process that adopts orphans; it outlives everything. */
export const INIT = { pid: 1, start: '0' }

interface Decided {
  readonly facts: HostFacts
  readonly plan: StartPlan
}

/** prepare of src/acts/prepare.ts, effect by effect. @returns whether it exits with 0 */
export function* prepare(here: Here, decisions: Decisions, call: Call): Steps<boolean> {
  const calledAt = here.world.now - here.host.bootedAt
  // lvmlockctl answers while the VG's lock is taken: what it says may be older.
  const asked = locksOf(here)
  if (!(yield* lockVg(here))) return false
  try {
    return yield* underLock(here, decisions, call, yield* decide(here, decisions, call, asked, calledAt))
  } finally {
    unlockVg(here)
  }
}

function* decide(
  here: Here,
  decisions: Decisions,
  { domain, xmlId, isMigration }: Call,
  asked: HostFacts['locks'],
  calledAt: number,
): Steps<Decided> {
  const { world, host } = here
  const facts = yield* lookAround(here, asked)
  const record = facts.records.known.find((known) => known.domain.uuid === domain.uuid)
  yield
  const idInDefinition = xmlId !== undefined && host.definitions.get(domain.name) === xmlId
  const incoming = decisions.isIncoming({ record, xmlId, idInDefinition, calledAt })
  if (incoming) world.reach('prepare of a migration')
  if (incoming && !isMigration)
    world.violate('R2', `a fresh start of ${domain.name} on ${host.name} was taken for a migration`)
  return { facts, plan: decisions.planStart(domain.volumes, facts, domain.uuid, incoming, record?.volumes ?? []) }
}

function* underLock(
  here: Here,
  decisions: Decisions,
  { domain, isRestore }: Call,
  { facts, plan }: Decided,
): Steps<boolean> {
  const { host } = here
  const leftovers = (facts.records.known.find((known) => known.domain.uuid === domain.uuid)?.volumes ?? []).filter(
    ({ before }) => before === 'inactive',
  )
  const write = (state: DomainRecord['state'], volumes: readonly RecordedVolume[]): void => {
    const others = leftovers.filter((old) => !volumes.some(({ vg, lv }) => vg === old.vg && lv === old.lv))
    // Whoever is asked for its parent later is told of process 1, which adopts the child of a daemon that has ended.
    const daemon = decisions.remembersCaller ? here.caller : host.daemon === here.caller ? here.caller : INIT
    put(here, domain, {
      format: 1,
      domain: { name: domain.name, uuid: domain.uuid },
      state,
      volumes: [...volumes, ...others],
      ...(daemon && { daemon }),
    })
  }
  const putRefused = (volumes: readonly RecordedVolume[]): void =>
    write(volumes.length + leftovers.length === 0 ? 'refused' : 'releasing', volumes)
  yield
  if (plan.kind === 'refuse') {
    putRefused([])
    return false
  }
  write('prepared', plan.recorded)
  const { attempted, isFailed } = yield* carryOut(here, plan.changes)
  yield
  const after = locksOf(here)
  const devices = devicesOf(here)
  const missing = isFailed ? [] : decisions.missingLocks(plan.recorded, table(), after, devices)
  yield
  const locked = new Set(attempted.flatMap(({ lv }) => table().volumes.get(`virtVG/${lv}`)?.uuid ?? []))
  const isStale = isRestore && !isFailed && missing.length === 0 && !isAsSaved(here, decisions, domain, locked)
  if (!isFailed && missing.length === 0 && !isStale) {
    write(
      'prepared',
      plan.recorded.map((volume) => withIds(volume, table() ?? NO_VOLUMES)),
    )
    return true
  }
  const undo = decisions.planUndo(attempted, (name) => table().volumes.get(fullName(name)), facts, {
    locks: after,
    devices,
  })
  yield* carryOut(here, undo, 'go-on')
  yield
  const locksNow = locksOf(here)
  const taken = plan.recorded
    .map((volume) => withIds(volume, table()))
    .filter(
      (volume) =>
        undo.some(({ vg, lv }) => vg === volume.vg && lv === volume.lv) &&
        (host.devices.has(volume.lv) ||
          locksNow.kind === 'unknown' ||
          volume.ids === undefined ||
          locksNow.locks.has(volume.ids.lock)),
    )
  yield
  putRefused(taken)
  return false
}
