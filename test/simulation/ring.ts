import type { HookCall, Host as RingHost, Lock, Result, Ring } from '../ring.ts'
import type { LvmVersion } from '../simulated/cluster.ts'
import { lockListed, runTool } from '../simulated/tools.ts'
import { parseSettings } from '../simulated/tools/settings.ts'
import { fullName } from '../simulated/volume.ts'
import { BEGINNING, Engine } from './engine.ts'
import type { Host } from './host.ts'
import { Land, NO_FAULTS, type Setting } from './land.ts'
import { Process } from './process.ts'
import { PRODUCT } from './product.ts'

/** Milliseconds that pass at a time while somebody waits. */
const STRIDE = 50
const FOLDERS = ['/run/lvguard', '/run/libvirt/qemu', '/var/lib/lvguard', '/var/lib/libvirt/qemu/save']
const SETTING: Omit<Setting, 'lvm'> = {
  hosts: 2,
  tellsReasons: true,
  volumeGroups: ['virtVG'],
  volumes: [],
  lockless: [],
  vms: [],
}

/** What is waited for, and by whom. */
interface Waiting {
  readonly isOver: () => boolean
  readonly goOn: () => void
}

/**
 * The world of the simulation as a ring for the scenarios: nothing goes wrong by itself, and what must hold at every
 * moment is looked at all the same.
 */
export class EngineRing implements Ring {
  readonly kind = 'simulated'
  readonly devices = true
  readonly volumeGroup = 'virtVG'
  readonly hosts: readonly [EngineHost, EngineHost]
  readonly #engine = new Engine(1, false)
  readonly #land: Land
  readonly #waiting = new Set<Waiting>()
  #isGoing = false

  constructor(lvm: LvmVersion) {
    this.#land = new Land(this.#engine, PRODUCT, { ...SETTING, lvm }, NO_FAULTS)
    this.#engine.afterStep = () => this.#land.checkMoment()
    const [first, second] = this.#land.hosts.map((host) => new EngineHost(host, this))
    if (first === undefined || second === undefined) throw new Error('a ring has two hosts')
    this.hosts = [first, second]
  }

  async volume(name: string): Promise<string> {
    return fullName(this.#land.cluster.create(name))
  }

  async pass(milliseconds: number): Promise<void> {
    const end = this.#engine.now + milliseconds
    await this.until(() => this.#engine.now >= end)
  }

  /** Lets time go on until something is so. The scenario itself goes on between two strides, in no process. */
  until(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.add({ isOver, goOn: resolve })
      if (!this.#isGoing) this.#go().catch(reject)
    })
  }

  async #go(): Promise<void> {
    const engine = this.#engine
    this.#isGoing = true
    try {
      while (this.#waiting.size > 0) {
        await engine.runUntil(engine.now - BEGINNING + STRIDE)
        if (engine.violation !== undefined) throw new Error(`${engine.violation.rule}: ${engine.violation.text}`)
        for (const waiting of this.#waiting) {
          if (!waiting.isOver()) continue
          this.#waiting.delete(waiting)
          waiting.goOn()
        }
        // What the scenario does now is done before time goes on.
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      this.#isGoing = false
    }
  }

  async reset(): Promise<void> {
    for (const host of this.hosts) host.reset()
    this.#land.cluster.reset()
  }

  async close(): Promise<void> {}
}

class EngineHost implements RingHost {
  readonly #host: Host
  readonly #ring: EngineRing

  constructor(host: Host, ring: EngineRing) {
    this.#host = host
    this.#ring = ring
  }

  get name(): string {
    return this.#host.name
  }

  async hook({ name, operation, subOperation, extra = '-', xml }: HookCall): Promise<Result> {
    const host = this.#host
    const process = new Process(host, 'hook', `${operation} ${name}`, host.pid(), host.libvirt.daemon?.pid ?? 1)
    const event = { name, operation, subOperation: subOperation ?? (operation === 'release' ? 'end' : 'begin'), extra }
    let fault: unknown
    host.engine.after(process, host.delay('node', 60), () => {
      host.land.product.hook(event, xml, process).then(
        (status) => process.exit(status),
        (error: unknown) => {
          fault = error
          process.end()
        },
      )
    })
    await this.#ring.until(() => !process.isAlive)
    if (process.status === undefined) throw fault
    return { code: process.status, stdout: process.stdout, stderr: process.stderr }
  }

  program(): Promise<Result> {
    throw new Error('no scenario types a command')
  }

  /** What a person does: at once, and without the lock of a VG. */
  async run(command: string, ...words: string[]): Promise<Result> {
    const { cluster, state } = this.#host
    return runTool({ cluster, host: state }, command, words)
  }

  async lock(volume: string): Promise<Lock> {
    return lockListed({ cluster: this.#host.cluster, host: this.#host.state }, volume)
  }

  async read(path: string): Promise<string | undefined> {
    this.#host.show(path)
    const node = this.#host.disk.find(path)
    return node?.kind === 'file' ? (node.make?.() ?? node.text) : undefined
  }

  async write(path: string, text: string | undefined): Promise<void> {
    const { disk, state } = this.#host
    if (path === '/etc/lvm/lvm.conf') state.lvmConf = parseSettings(text ?? '')
    this.#host.show(path)
    if (text === undefined) disk.remove(path)
    else disk.write(path, text)
  }

  async list(directory: string): Promise<string[]> {
    const node = this.#host.disk.find(directory)
    return node?.kind === 'folder' ? [...node.entries.keys()].sort() : []
  }

  async pauseLocking(): Promise<void> {
    this.#host.pauseLocking()
  }

  async resumeLocking(): Promise<void> {
    this.#host.resumeLocking()
  }

  async killLocking(): Promise<void> {
    this.#host.killLocking()
  }

  async restartLocking(): Promise<void> {
    this.#host.restartLocking()
  }

  /** As a host is on which an agent runs that has nothing to do. */
  reset(): void {
    const host = this.#host
    host.resumeLocking()
    host.restartLocking()
    for (const folder of FOLDERS) {
      host.disk.remove(folder)
      host.disk.folder(folder)
    }
    host.land.recordsOf(host).clear()
    const pid = host.pid()
    host.addProcess(pid, 'lvguard')
    const start = (host.disk.find(`/proc/${pid}/stat`) as { readonly text: string }).text.split(' ')[21]
    host.disk.write('/run/lvguard/agent', `${pid} ${start}\n`)
  }
}
