import { join } from 'node:path'
import { CLOCK } from '../system/clock.ts'
import type { LockState } from '../core/lock-state.ts'
import { type DomainRecord, RECORD_FORMAT } from '../core/record.ts'
import type { Change } from '../core/start.ts'
import { type WaitingStart, plainVolumes, planForWaiting, servableStart } from '../core/waiting-start.ts'
import { drbdMinors } from '../drbd/devices.ts'
import { cutOffProblems } from '../kill/mark.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { volumeTable } from '../lvm/lvm.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import { type ProcessIdentity, lives, processOf } from '../system/processes.ts'
import { makeRunFolder, readRecords, replaceRecord } from '../state/record-store.ts'
import { mkdirSync, readFileSync, readdirSync, rmSync, statIfAny, writeFileSync } from '../system/files.ts'
import { self } from '../system/self.ts'
import type { VgLocks } from '../state/vg-lock.ts'
import { carryOut } from './changes.ts'
import { callingDaemon } from './daemon.ts'
import type { Subject } from './host.ts'

/**
 * Many starts at one moment. lvchange takes 75 ms for one volume and little more for sixteen (FACTS 23). So the start
 * that has the VG's lock takes the volumes of the starts that wait for it too. It puts each on record as that start's
 * own `prepare` would. It asks lvs for all of them: if each of three hundred did so while it waits, they would take the
 * processor from the one that all wait for (`npm run crowd`).
 *
 * A start does not rely on that. It still waits for its turn, looks at the locks under the VG's lock, and takes itself
 * what it does not find (R1, R11). If it is killed while it waits, it leaves what a killed `prepare` leaves: a record,
 * and locks that the `release` or the agent gives back.
 */
const FOLDER = join(RUN_FOLDER, 'waiting')

/** Milliseconds of waiting after which a start says what it waits for. A single act is nearly over by then. */
const SAY_AFTER = 50

/**
 * How many starts one `prepare` serves. Its own VM waits for them: about half a second in one lvchange (a hundred
 * volumes took 0.67 s, with real locks).
 */
const MOST = 64

/** One file of the folder. */
interface Said extends WaitingStart {
  readonly format: 1
  /** The `prepare`, and the libvirt daemon that waits for it. */
  readonly hook: ProcessIdentity
  readonly daemon: ProcessIdentity
}

/** A start that has said what it waits for, or is about to. */
export interface QueuePlace {
  /** It no longer waits. Must be called, however the wait ends. */
  leave(): void
  /** Whether another one has served it meanwhile: known when it has left. Only the locks tell what came of it. */
  isServed(): boolean
}

/**
 * Says what a `prepare` waits for, unless its wait is short. Only in the plain case (plainVolumes), and on a host
 * without DRBD devices. It runs no command: a hundred others wait too. If it fails, the start takes its volumes itself.
 */
export function queueUp({ domain, candidates }: Subject): QueuePlace {
  let file: string | undefined
  let isServed = false
  const tell = (): void => {
    const volumes = domain.incomingId === undefined ? plainVolumes(candidates) : undefined
    const own = processOf(self().pid)
    if (volumes === undefined || own === undefined || drbdMinors().length > 0) return
    const { name, uuid } = domain
    file = write({ format: 1, hook: own, ...callingDaemon(), domain: { name, uuid }, volumes })
  }
  const cancel = CLOCK.after(SAY_AFTER, () => {
    try {
      tell()
    } catch {
      // /run is full, or the like.
    }
  })
  return {
    leave: () => {
      cancel()
      if (file === undefined) return
      isServed = statIfAny(file) === undefined
      rmSync(file, { force: true })
    },
    isServed: () => isServed,
  }
}

/** @returns the file @throws what the file system throws */
function write(said: Said): string {
  makeRunFolder()
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const file = join(FOLDER, `${said.hook.pid}.json`)
  // Whoever reads a part of it finds no JSON, and leaves this start to itself.
  writeFileSync(file, JSON.stringify(said), { mode: 0o600 })
  return file
}

/** Those that wait now, as far as they can be read, the first to come first. */
function waitingStarts(): readonly (Said & { readonly file: string })[] {
  let names: string[]
  try {
    names = readdirSync(FOLDER).filter((name) => /^\d+\.json$/.test(name))
  } catch {
    return []
  }
  return names
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .flatMap((name) => {
      const file = join(FOLDER, name)
      try {
        const said = JSON.parse(readFileSync(file, 'utf8')) as Said
        if (said.format !== 1 || !Array.isArray(said.volumes)) return []
        if (lives(said.hook) && lives(said.daemon)) return [{ ...said, file }]
        rmSync(file, { force: true })
        return []
      } catch {
        return []
      }
    })
}

/** Whether a start still waits: when its wait has ended, it first removes its file. */
const stillWaits = ({ hook, file }: Said & { readonly file: string }): boolean =>
  lives(hook) && statIfAny(file) !== undefined

/**
 * Takes the volumes of the starts that wait, in one lvchange a VG, each on record before. Never throws: what it does
 * not do, they do themselves.
 * @param vgs whose locks are held, and whose volumes may be taken
 * @param state the locks of this host, read since the last change
 */
export async function serveWaiting(vgs: readonly string[], locks: VgLocks, state: LockState): Promise<void> {
  try {
    const starts = waitingStarts()
      .filter(({ volumes }) => volumes.every(({ vg }) => vgs.includes(vg)))
      .slice(0, MOST)
    if (starts.length === 0 || state.kind === 'unknown' || drbdMinors().length > 0) return
    if (cutOffProblems(vgs).length > 0) return
    const table = await volumeTable(starts.flatMap(({ volumes }) => volumes))
    if (table === undefined) return
    const devices = activeVolumes()
    let records = readRecords()
    const changes: Change[] = []
    for (const start of starts) {
      const { domain, daemon } = start
      const found = servableStart(start, table, state)
      const plan =
        found === undefined ? undefined : planForWaiting(found, { locks: state, devices, records, users: new Map() })
      if (plan === undefined) {
        // It is left to itself, so that it keeps nobody behind it waiting.
        rmSync(start.file, { force: true })
        continue
      }
      const record: DomainRecord = { format: RECORD_FORMAT, domain, state: 'prepared', volumes: plan.recorded, daemon }
      if (replaceRecord(domain.uuid, undefined, record) === 'changed') continue
      // If the wait has ended meanwhile, that start was refused, or killed. Its `release` may have looked for a record
      // before there was this one. If the wait ends from now on, that `release` finds this record.
      if (!stillWaits(start)) {
        replaceRecord(domain.uuid, record, undefined)
        continue
      }
      records = { ...records, known: [...records.known, record] }
      changes.push(...plan.changes)
      // One try is enough: if it fails, the domain's own `prepare` tries again, and says why.
      rmSync(start.file, { force: true })
    }
    if (changes.length > 0) await carryOut(changes, locks, 'go-on')
  } catch {
    // /run is full, or the like.
  }
}
