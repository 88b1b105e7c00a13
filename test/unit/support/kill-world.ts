import type { Line } from '../../../src/core/agent-words.ts'
import {
  type InFlight,
  type MapperDevice,
  type ProcessFacts,
  type RunningDomain,
  isQemuOf,
} from '../../../src/core/cut-off.ts'
import type { DomainRecord, Records } from '../../../src/core/record.ts'
import { mapperUuid } from '../../../src/core/volume.ts'
import type { Mark } from '../../../src/kill/mark.ts'
import type { SanlockAnswer } from '../../../src/core/lease.ts'
import type { Domains, RecoverWorld } from '../../../src/kill/world.ts'
import type { ProcessIdentity } from '../../../src/system/processes.ts'
import { logicalVolume, lvmUuid, recordOf, recorded, uuidOf } from './lvm.ts'

interface Process {
  start: string
  comm: string
  threads: string[] | undefined
  /** Undefined where its memory cannot be read. */
  words: string[] | undefined
  opens: string[]
  /** What becomes of it when it is killed. */
  killed: 'ends' | 'waits' | 'lives'
}

interface Device extends Mutable<MapperDevice> {
  table: string[]
  opened: number
}
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const NO_IO: InFlight = { reads: 0, writes: 0 }

/** A host on which nothing is real, and time passes only while somebody sleeps. */
export class KillDouble implements RecoverWorld {
  time = 80
  readonly self: ProcessIdentity = { pid: 1, start: '1' }
  readonly alive = new Set(['1 1'])
  readonly processes = new Map<number, Process>()
  readonly list: Device[] = []
  readonly disks = new Map<string, InFlight>([['vdb', NO_IO]])
  readonly known: DomainRecord[] = []
  readonly status = new Map<string, RunningDomain>()
  unreadable: string[] = []
  /** Devices whose wipe does not end: I/O in flight. */
  readonly hanging = new Set<string>()
  /** Wipes that fail so often. */
  readonly failing = new Map<string, number>()
  isSilent = false
  isFull = false
  asked: SanlockAnswer = { kind: 'silent', why: 'not asked' }
  locking: string | undefined
  dropping: string | undefined
  /** What lvmlockd lists. */
  readonly managers = new Map<string, string>()
  readonly marks = new Map<string, Mark>()
  /** All that was done, in order. */
  readonly did: string[] = []
  readonly said: string[] = []
  #timers: { at: number; act: () => void }[] = []

  constructor() {
    this.device('virtVG', 'lvmlock', ['vdb'])
  }

  /** Something that happens at a time. */
  at(time: number, act: () => void): void {
    this.#timers.push({ at: time, act })
  }

  device(vg: string, lv: string, slaves: readonly string[], { suffix = '', name = `${vg}-${lv}` } = {}): Device {
    const uuid = lv === 'lvmlock' ? lvmUuid(`${vg}/lvmlock`) : logicalVolume({ vg, lv }).uuid
    const device: Device = {
      node: `dm-${this.list.length}`,
      name,
      uuid: mapperUuid(lvmUuid(vg), uuid) + suffix,
      slaves,
      isSuspended: false,
      inFlight: NO_IO,
      table: ['0 16384 linear 252:16 2048'],
      opened: 0,
    }
    this.list.push(device)
    return device
  }

  /** A VM that runs, with one volume of its name, on record. */
  vm(number: number, vg = 'virtVG', process: Partial<Process> = {}): { readonly pid: number; readonly device: Device } {
    const [name, pid] = [`vm${number}`, 100 + number]
    const device = this.device(vg, name, ['vdb'])
    device.opened = 1
    this.known.push(
      recordOf(number, 'running', [
        recorded(
          { vg, lv: name },
          {
            ids: {
              lv: logicalVolume({ vg, lv: name }).uuid,
              vg: lvmUuid(vg),
              lock: logicalVolume({ vg, lv: name }).uuid,
            },
          },
        ),
      ]),
    )
    this.status.set(name, { name, uuid: uuidOf(number), pid })
    this.processes.set(pid, {
      start: String(1000 + number),
      comm: 'qemu-system-x86',
      threads: ['S', 'S'],
      words: ['/usr/bin/qemu-system-x86_64', '-name', `guest=${name}`, '-uuid', uuidOf(number)],
      opens: [device.node],
      killed: 'ends',
      ...process,
    })
    return { pid, device }
  }

  now = (): number => this.time
  sleep = async (seconds: number): Promise<void> => {
    this.time += seconds
    for (const timer of this.#timers.filter(({ at }) => at <= this.time)) {
      this.#timers = this.#timers.filter((each) => each !== timer)
      timer.act()
    }
    // What has ended meanwhile is told.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }
  lives = ({ pid, start }: ProcessIdentity): boolean => this.alive.has(`${pid} ${start}`)
  ask = (): Promise<SanlockAnswer> => Promise.resolve(this.asked)
  records = (): Records => ({ known: this.known, unreadable: [] })
  domains = (known: readonly { readonly name: string; readonly uuid: string }[]): Domains => {
    const running = [...this.status.values()]
    const byPidFile = known.flatMap(({ name, uuid }) =>
      this.pidFiles.has(name) && !running.some((domain) => domain.uuid === uuid)
        ? [{ name, uuid, pid: this.pidFiles.get(name) ?? 0 }]
        : [],
    )
    return { running: [...running, ...byPidFile], unreadable: this.unreadable }
  }
  readonly pidFiles = new Map<string, number>()
  processAt = (pid: number): ProcessFacts | undefined => this.processes.get(pid)
  isQemu = ({ pid }: ProcessIdentity, uuid: string): boolean | undefined => {
    const words = this.processes.get(pid)?.words
    return words === undefined ? undefined : isQemuOf(uuid, words, words[0])
  }
  openDevices = (pid: number): readonly string[] => this.processes.get(pid)?.opens ?? []
  kill = (pid: number): void => {
    this.did.push(`kill ${pid}`)
    const process = this.processes.get(pid)
    if (process?.killed === 'ends') this.processes.delete(pid)
    else if (process?.killed === 'waits') process.threads = ['Z', 'D']
  }
  devices = (): readonly MapperDevice[] => this.list
  inFlightOf = (disk: string): InFlight | undefined => this.disks.get(disk)
  tables = (): Promise<ReadonlyMap<string, readonly string[]> | undefined> =>
    Promise.resolve(this.isSilent ? undefined : new Map(this.list.map(({ name, table }) => [name, table])))
  wipe = (name: string): Promise<boolean> => {
    this.did.push(`wipe ${name}`)
    const left = this.failing.get(name) ?? 0
    if (left > 0) {
      this.failing.set(name, left - 1)
      return Promise.resolve(false)
    }
    return new Promise((resolve) => {
      const end = (): void => {
        if (this.hanging.has(name)) {
          this.at(this.time + 0.1, end)
          return
        }
        const device = this.list.find((each) => each.name === name)
        if (device !== undefined)
          Object.assign(device, { slaves: [], isSuspended: false, inFlight: NO_IO, table: ['0 16384 error '] })
        resolve(true)
      }
      end()
    })
  }
  readMark = (vg: string): Mark | undefined => this.marks.get(vg)
  writeMark = (mark: Mark): void => {
    if (this.isFull) throw new Error('ENOSPC')
    this.did.push('mark')
    this.marks.set(mark.vg, mark)
  }
  removeMark = (vg: string): void => {
    this.did.push('unmark')
    this.marks.delete(vg)
  }
  say = ({ priority, text }: Line): void => void this.said.push(`<${priority}>${text}`)
  reset = (why: string): void => void this.did.push(`reset: ${why}`)
  /** Disks that the kernel has no more. */
  readonly gone = new Set<string>()
  hasDisk = (disk: string): boolean => !this.gone.has(disk)
  answers = (disk: string): Promise<boolean> => {
    const below = this.list.find(({ node }) => node === disk)?.slaves ?? [disk]
    return Promise.resolve(below.every((each) => this.disks.has(each)))
  }
  openCounts = (): Promise<ReadonlyMap<string, number> | undefined> =>
    Promise.resolve(this.isSilent ? undefined : new Map(this.list.map(({ uuid, opened }) => [uuid, opened])))
  remove = (name: string): Promise<string | undefined> => {
    this.did.push(`remove ${name}`)
    this.list.splice(0, this.list.length, ...this.list.filter((device) => device.name !== name))
    return Promise.resolve(undefined)
  }
  lockManagerOf = (vg: string): Promise<string | undefined> => Promise.resolve(this.managers.get(vg))
  /** What lvmlockd lists as locked. */
  locks: string[] | undefined = []
  locked = (): Promise<readonly string[] | undefined> => Promise.resolve(this.locks)
  drop = (vg: string): Promise<string | undefined> => {
    this.did.push(`drop ${vg}`)
    return Promise.resolve(this.dropping)
  }
  startLocking = (vg: string): Promise<string | undefined> => {
    this.did.push(`lock-start ${vg}`)
    return Promise.resolve(this.locking)
  }
  holderOf = (): Promise<string> => Promise.resolve('node2 (exclusive)')
}
