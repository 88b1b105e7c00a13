import { date } from '../system/clock.ts'
import {
  type Left,
  type MapperDevice,
  devicesOf,
  disksOf,
  isErrorTable,
  isGone,
  isWiped,
  leftOfDevice,
  leftOfDisks,
  recordedOn,
  tiersOf,
  vgUuidOf,
} from '../core/cut-off.ts'
import { isErrno, messageOf } from '../system/error-message.ts'
import type { ProcessIdentity } from '../system/processes.ts'
import type { Killed, Mark } from './mark.ts'
import type { KillWorld } from './world.ts'

/** Seconds between two looks at what is left. */
const PAUSE = 0.5
/** Seconds for which the devices below wait for those above them: a device above hangs as long as its I/O does. */
const TIER_PAUSE = 2

/** One VG to cut off. */
export interface Order {
  readonly vg: string
  readonly by: 'sanlock' | 'person'
  /** When it gives up, in seconds of the monotonic clock. At least one look is taken. */
  readonly until: number
}

/** What came of it. */
export interface CutOff {
  readonly mark: Mark
  /** What can still write, or cannot be told; nothing: it is done. */
  readonly left: readonly Left[]
}

/**
 * Cuts a VG off on this host (DESIGN 8, R13): marks it, kills each QEMU that has a volume of it, and takes its devices
 * away from under all others that have them open. It counts as done only when nothing of the VG can write any more;
 * until then it tries, while it has time. It takes no lock of the VG, because an lvchange that hangs may hold it. It
 * asks neither LVM nor libvirt, which may hang on the same storage. Two may do it at once, the agent and lvmlockctl's
 * command. Both kill, which is harmless. Only one wipes; the other takes over if that one ends.
 */
export async function cutOff(order: Order, world: KillWorld): Promise<CutOff> {
  const work = new Work(order, world)
  return work.run()
}

class Work {
  readonly #order: Order
  readonly #world: KillWorld
  #mark: Mark
  /** The mark was there: it could be written, or another one had written it. */
  #isMarked: boolean
  /** Processes that were looked at already, by number and start. */
  readonly #seen = new Set<string>()
  readonly #wiping = new Set<string>()
  /** Of the VG, without dashes, once it is known. */
  #vgUuid: string | undefined
  /** Devices whose live table was seen to be `error`, by UUID. */
  readonly #proven = new Set<string>()
  /**
   * By the device's UUID: when it may be wiped, in seconds of the monotonic clock. Kept, because a device that is wiped
   * no longer shows what it stood on.
   */
  readonly #dueAt = new Map<string, number>()

  constructor(order: Order, world: KillWorld) {
    this.#order = order
    this.#world = world
    const { vg, by } = order
    const before = world.readMark(vg)
    this.#isMarked = before !== undefined
    this.#mark = {
      format: 1,
      vg,
      by: before === undefined || before.by === 'unknown' ? by : before.by,
      at: before === undefined || before.at === '' ? date().toISOString() : before.at,
      killed: before?.killed ?? [],
      disks: before?.disks ?? [],
      state: 'started',
      // The worker of a kill that has ended does nothing any more.
      ...(before?.state === 'started' && before.worker !== undefined && { worker: before.worker }),
    }
  }

  async run(): Promise<CutOff> {
    for (let first = true; ; first = false) {
      // Another one that did the same was done sooner, and the VG was taken back: what runs on it now has its locks.
      if (!first && this.#isMarked && this.#world.readMark(this.#order.vg) === undefined) return this.#takenBack()
      // The mark comes first: from here on nothing starts on the VG. If another one is at work there is a mark already.
      const { worker } = this.#mark
      if (this.#isWorker() && (worker === undefined || !isSame(worker, this.#world.self)))
        this.#put({ worker: this.#world.self })
      this.#killAll()
      if (this.#isWorker()) this.#wipeAll()
      // A process that ends at once has ended by then.
      if (first) await this.#world.sleep(PAUSE / 5)
      const left = this.#left()
      // If only processes are left, it matters whether the devices that they have open are proven to fail.
      if (left.length === 0 || (left.every(({ kind }) => kind === 'process') && !this.#areProven()))
        left.push(...(await this.#unproven()))
      if (left.length === 0) return this.#end('clear', left)
      if (this.#world.now() + PAUSE > this.#order.until) return this.#end('left', left)
      await this.#world.sleep(PAUSE)
    }
  }

  /** Not `clear`: lvmlockctl would give up the locks that are in force again. */
  #takenBack(): CutOff {
    return { mark: this.#mark, left: [{ kind: 'unknown', text: 'it is used here again, and was left alone' }] }
  }

  #end(state: 'clear' | 'left', left: readonly Left[]): CutOff {
    this.#put({ state })
    return { mark: this.#mark, left }
  }

  /**
   * Writes the mark. What another one that does the same has written there stays. If the mark cannot be written, that
   * is said, and the kill goes on.
   */
  #put(change: Partial<Mark>): void {
    const there = this.#world.readMark(this.#mark.vg)
    const mine = { ...this.#mark, ...change }
    this.#mark = {
      ...mine,
      killed: [
        ...mine.killed,
        ...(there?.killed ?? []).filter((other) => !mine.killed.some((own) => isSame(own, other))),
      ],
      disks: [...new Set([...mine.disks, ...(there?.disks ?? [])])],
    }
    try {
      this.#world.writeMark(this.#mark)
      this.#isMarked = true
    } catch (error) {
      this.#world.say({
        priority: 2,
        text: `${this.#mark.vg}: the mark in /run/lvguard that keeps VMs from starting on it cannot be written (${messageOf(error)})`,
      })
    }
  }

  #isWorker(): boolean {
    const { worker } = this.#world.readMark(this.#order.vg) ?? this.#mark
    return worker === undefined || isSame(worker, this.#world.self) || !this.#world.lives(worker)
  }

  #devices(): readonly MapperDevice[] | 'ambiguous' {
    const all = this.#world.devices()
    if (this.#vgUuid === undefined) {
      const found = vgUuidOf(this.#order.vg, all, this.#world.records())
      if (found === 'ambiguous') return found
      this.#vgUuid = found?.uuid
    }
    return this.#vgUuid === undefined ? [] : devicesOf(this.#order.vg, this.#vgUuid, all)
  }

  /**
   * Kills each QEMU that has a volume of the VG. A process that cannot be told to be a QEMU is named, and lives on
   * (R9). Its devices are wiped all the same.
   */
  #killAll(): void {
    const { vg } = this.#order
    const world = this.#world
    const recorded = recordedOn(vg, world.records())
    const { running, unreadable } = world.domains([...recorded].map(([uuid, { name }]) => ({ name, uuid })))
    const devices = this.#devices()
    const nodes = devices === 'ambiguous' ? [] : devices.map(({ node }) => node)
    const killed: Killed[] = []
    // Those on record first: to see what a process has open takes time.
    for (const domain of [...running].sort((a, b) => Number(recorded.has(b.uuid)) - Number(recorded.has(a.uuid)))) {
      const now = world.processAt(domain.pid)
      if (now === undefined) continue
      const process = { pid: domain.pid, start: now.start }
      const key = `${process.pid} ${process.start}`
      if (this.#seen.has(key) || this.#mark.killed.some((each) => isSame(each, process))) continue
      const isConcerned =
        recorded.has(domain.uuid) || world.openDevices(domain.pid).some((node) => nodes.includes(node))
      if (!isConcerned) {
        this.#seen.add(key)
        continue
      }
      const isQemu = world.isQemu(process, domain.uuid)
      // Its memory is gone already. It is waited for, like one that was killed here.
      const isDying = now.threads?.includes('Z') === true && /^(?:qemu|kvm)/.test(now.comm)
      if (isQemu === true || isDying) {
        if (this.#kill(domain.name, process))
          killed.push({
            name: domain.name,
            uuid: domain.uuid,
            ...process,
            volumes: recorded.get(domain.uuid)?.volumes ?? [],
          })
        continue
      }
      this.#seen.add(key)
      // Otherwise another process has the number by now.
      if (isQemu === undefined)
        world.say({
          priority: 2,
          text: `${domain.name} was not killed: whether process ${domain.pid} is its QEMU cannot be told`,
        })
    }
    for (const file of unreadable.filter((each) => !this.#seen.has(each))) {
      this.#seen.add(file)
      world.say({
        priority: 3,
        text: `${file} cannot be read: which process it names cannot be told, and none was killed for it`,
      })
    }
    if (killed.length > 0) this.#put({ killed: [...this.#mark.killed, ...killed] })
  }

  /** @returns whether it is ending, or has ended */
  #kill(name: string, { pid }: ProcessIdentity): boolean {
    const { by, vg } = this.#order
    try {
      this.#world.kill(pid)
    } catch (error) {
      if (isErrno(error, 'ESRCH')) return true
      this.#world.say({ priority: 2, text: `${name} (process ${pid}) could not be killed: ${messageOf(error)}` })
      return false
    }
    this.#world.say({
      priority: 2,
      text: `${name} was killed here (process ${pid}): ${by === 'sanlock' ? `this host has lost its lease on ${vg}` : `${vg} is cut off`}`,
    })
    return true
  }

  /** Each device once: a wipe that is under way is left alone until it ends, and tried again if it has failed. */
  #wipeAll(): void {
    const devices = this.#devices()
    if (devices === 'ambiguous' || devices.length === 0) return
    const world = this.#world
    const now = world.now()
    const fresh = devices.filter(({ uuid }) => !this.#dueAt.has(uuid))
    for (const [tier, members] of tiersOf(fresh).entries())
      for (const { uuid } of members) this.#dueAt.set(uuid, now + tier * TIER_PAUSE)
    if (fresh.length > 0 && this.#vgUuid !== undefined) {
      const disks = disksOf(this.#vgUuid, world.devices())
      if (disks.some((disk) => !this.#mark.disks.includes(disk)))
        this.#put({ disks: [...new Set([...this.#mark.disks, ...disks])] })
    }
    for (const device of devices) {
      // Nothing stands on it any more that could be wiped first.
      const isTop = !devices.some(({ slaves }) => slaves.includes(device.node))
      if (isWiped(device) || this.#wiping.has(device.uuid) || (!isTop && (this.#dueAt.get(device.uuid) ?? 0) > now))
        continue
      this.#wiping.add(device.uuid)
      const ended = (): void => void this.#wiping.delete(device.uuid)
      world.wipe(device.name).then(ended, ended)
    }
  }

  #left(): Left[] {
    const world = this.#world
    const devices = this.#devices()
    const processes = this.#mark.killed
      .filter(({ pid, start }) => !isGone(start, world.processAt(pid)))
      .map((each) => leftOfProcess(each, world))
    if (devices === 'ambiguous')
      return [
        ...processes,
        {
          kind: 'unknown',
          text: `which devices belong to ${this.#order.vg} cannot be told: its records and its devices name several UUIDs`,
        },
      ]
    const disks = this.#mark.disks.map((disk) => [disk, world.inFlightOf(disk)] as const)
    return [...processes, ...devices.flatMap(leftOfDevice), ...leftOfDisks(disks, this.#order.vg, world.devices())]
  }

  /** The final proof: the live tables themselves. */
  async #unproven(): Promise<Left[]> {
    const devices = this.#devices()
    if (devices === 'ambiguous' || devices.length === 0) return []
    const tables = await this.#world.tables()
    if (tables === undefined) return [{ kind: 'unknown', text: 'dmsetup does not tell the tables of the devices' }]
    return devices.flatMap(({ name, uuid }): Left[] => {
      if (!isErrorTable(tables.get(name) ?? []))
        return [{ kind: 'device', text: `the table of ${name} is not 'error'` }]
      this.#proven.add(uuid)
      return []
    })
  }

  /** Whether dmsetup has shown all tables to be `error` already. It is not asked again: it may be slow. */
  #areProven(): boolean {
    const devices = this.#devices()
    return devices !== 'ambiguous' && devices.every(({ uuid }) => this.#proven.has(uuid))
  }
}

const isSame = (a: ProcessIdentity, b: ProcessIdentity): boolean => a.pid === b.pid && a.start === b.start

function leftOfProcess({ name, pid }: Killed, world: KillWorld): Left {
  const threads = world.processAt(pid)?.threads
  const waiting = threads?.filter((state) => state === 'D').length ?? 0
  const why =
    threads === undefined
      ? 'its threads cannot be read'
      : waiting > 0
        ? `${waiting === 1 ? 'a thread waits' : `${waiting} threads wait`} for I/O`
        : 'it has not ended yet'
  return { kind: 'process', text: `${name} (process ${pid}) was killed, and is not gone: ${why}` }
}
