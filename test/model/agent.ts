import type { DrivePlan } from '../../src/core/drive.ts'
import type { DomainStatus, Sighting } from '../../src/core/reconcile.ts'
import type { MigrationMemory } from '../../src/core/record.ts'
import { withIds } from '../../src/core/start.ts'
import { carryOut } from './carry-out.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { INIT } from './hook-prepare.ts'
import { type Here, devicesOf, isActiveHere, lockVg, locksOf, put, recordsOf, table, unlockVg } from './looks.ts'
import { type Steps, until } from './process.ts'
import type { Session } from './session.ts'

/** Seconds between two full passes, and until a promotion that was refused is tried again. */
const PASS = 15
const RETRY = 1

/** What the agent keeps in mind of a domain; gone with it. */
interface Memory {
  /** Full passes in a row that did not see it. */
  absences: number
}

/** The agent of one host: watches, compares, acts; for ever. */
export function* agent(here: Here, decisions: Decisions, session: Session): Steps<void> {
  const { world, host } = here
  const memories = new Map<string, Memory>()
  let nextPass = world.now
  for (;;) {
    yield until(() => host.hasStatusChanged || world.now >= nextPass)
    const isFull = world.now >= nextPass
    host.hasStatusChanged = false
    let isRetrying = false
    for (const domain of world.domains) {
      const memory = memories.get(domain.name) ?? { absences: 0 }
      memories.set(domain.name, memory)
      if (isFull) memory.absences = host.statuses.has(domain.name) ? 0 : memory.absences + 1
      const isSettled = yield* new Look(here, decisions, domain, memory, session).run()
      isRetrying ||= !isSettled
    }
    nextPass = world.now + (isRetrying ? RETRY : PASS)
  }
}

/** One look at one domain, and what follows. */
class Look {
  constructor(
    readonly here: Here,
    readonly decisions: Decisions,
    readonly domain: Domain,
    readonly memory: Memory,
    readonly session: Session,
  ) {}

  /** @returns whether nothing is left to be done */
  *run(): Steps<boolean> {
    const first = yield* this.#decide()
    if (isIdle(first.plan) && first.memory === undefined) return true
    // A record that names no volume names no VG either.
    const isNameless =
      first.plan.kind === 'release' && first.plan.plan.kind === 'forget' && !this.decisions.locksForNoVolumes
    if (!isNameless && !(yield* lockVg(this.here))) return false
    try {
      const { plan, status } = yield* this.#decide()
      if (plan.kind === 'release') return yield* this.#release(plan)
      if (plan.kind === 'drive') return yield* this.#drive(plan, status)
      return true
    } finally {
      unlockVg(this.here)
    }
  }

  *#decide(): Steps<{ plan: DrivePlan; status: DomainStatus | undefined; memory: MigrationMemory | undefined }> {
    const { here, domain, memory, decisions } = this
    const { host, world } = here
    yield
    const status = host.statuses.get(domain.name)
    if (status !== undefined) memory.absences = 0
    const sighting: Sighting =
      status === undefined
        ? { kind: 'gone', passes: memory.absences }
        : isActiveHere(here, domain)
          ? { kind: 'active', status }
          : { kind: 'left-over' }
    yield
    const records = recordsOf(here)
    yield
    const devices = devicesOf(here)
    const locks = locksOf(here)
    const record = records.known.find((known) => known.domain.uuid === domain.uuid)
    const recordDaemonAlive =
      record?.daemon === undefined
        ? 'unknown'
        : record.daemon.pid === host.daemon?.pid || record.daemon.pid === INIT.pid
    const wanted = decisions.wantedOf(sighting, record, {
      libvirtAlive: host.daemon !== undefined,
      recordDaemonAlive,
      now: world.now - host.bootedAt,
    })
    const migration =
      status === undefined ? undefined : decisions.remembered(status, record?.migration, record?.volumes)
    const view = {
      memory: migration,
      domain: { name: domain.name, uuid: domain.uuid },
      wanted,
      record,
      runs: status !== undefined && status.pid > 0,
      live: domain.volumes.map(({ vg, lv, role, reason }) => ({ vg, lv, mode: role, reason })),
    }
    return { plan: decisions.planDrive(view, { locks, devices, records }), status, memory: migration }
  }

  *#drive(
    { record, changes, abortJob }: Extract<DrivePlan, { kind: 'drive' }>,
    status: DomainStatus | undefined,
  ): Steps<boolean> {
    const { here, domain } = this
    yield
    if (record !== undefined) put(here, domain, record)
    if (abortJob) {
      here.world.reach('storage copy aborted')
      for (const migration of here.world.migrations) if (migration.domain === domain) migration.isAborted = true
    }
    const isGoingOut =
      status?.async === 'migration out' &&
      status.phase !== undefined &&
      ((status.flags ?? 0) & (0x40 | 0x80 | 0x400)) === 0
    const { failures } = yield* carryOut(
      here,
      changes,
      'go-on',
      (lv) => isGoingOut && domain.volumes.some((volume) => volume.lv === lv),
    )
    yield
    const isGranted = failures.length === 0 && this.#holdsAll()
    if (status !== undefined) yield* this.#settleContest(status, isGranted ? 'granted' : 'refused')
    return failures.length === 0 && (isGranted || status?.async !== 'none')
  }

  /** Read back: an exit status of 0 is not a lock (R1). */
  #holdsAll(): boolean {
    const {
      here: { world, host },
      domain,
    } = this
    return domain.volumes.every(
      ({ lv, role }) => role === 'shared' || world.leases.get(lv)?.get(host.name) === 'exclusive',
    )
  }

  /** The lost reply: what follows from a promotion that was tried (src/core/contested.ts). */
  *#settleContest(status: DomainStatus, promotion: 'granted' | 'refused'): Steps<void> {
    const { here, domain, decisions, session } = this
    const { host, world } = here
    const remember = (migration: MigrationMemory | undefined): void => {
      const record = host.records.get(domain.uuid)
      if (record === undefined) return
      const { migration: _old, ...kept } = record
      put(here, domain, { ...kept, ...(migration && { migration }) })
    }
    yield
    const memory = host.records.get(domain.uuid)?.migration
    const step = decisions.contestedStep({ status, memory, promotion, onContested: 'suspend' })
    if (step === 'forget') remember(undefined)
    if (step === 'stay' && promotion === 'granted' && decisions.resumes) session.resume(host, domain)
    if (step !== 'suspend' || memory === undefined) return
    const { phase } = memory
    remember({ phase, suspend: 'asked' })
    world.reach('suspended by the agent')
    // libvirt may be at work on a hook that waits for the VG's lock.
    unlockVg(here)
    const command = session.suspend(host, domain)
    yield until(() => command?.isAlive !== true)
    if (!(yield* lockVg(here))) return
    yield
    const isDone = command !== undefined && host.statuses.get(domain.name)?.state === 'paused'
    if (isDone && host.records.get(domain.uuid)?.migration !== undefined) remember({ phase, suspend: 'done' })
  }

  *#release({ plan }: Extract<DrivePlan, { kind: 'release' }>): Steps<boolean> {
    const { here, domain, decisions } = this
    yield
    if (plan.kind === 'keep') return true
    here.world.reach('released by the agent')
    if (plan.kind === 'forget') {
      put(here, domain, undefined)
      return true
    }
    const wanted = plan.volumes.map((volume) => (volume.ids === undefined ? withIds(volume, table()) : volume))
    put(here, domain, {
      format: 1,
      domain: { name: domain.name, uuid: domain.uuid },
      state: 'releasing',
      volumes: wanted,
    })
    yield* carryOut(
      here,
      wanted.map(({ vg, lv }) => ({ vg, lv, to: 'inactive', reason: 'the domain has ended' })),
      'go-on',
    )
    yield
    const left = decisions.stillHere(wanted, locksOf(here), devicesOf(here))
    yield
    put(
      here,
      domain,
      left.length === 0
        ? undefined
        : { format: 1, domain: { name: domain.name, uuid: domain.uuid }, state: 'releasing', volumes: left },
    )
    return left.length === 0
  }
}

const isIdle = (plan: DrivePlan): boolean =>
  plan.kind === 'nothing' ||
  (plan.kind === 'drive' && plan.record === undefined && plan.changes.length === 0 && !plan.abortJob)
