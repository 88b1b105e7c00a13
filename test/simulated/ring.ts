import { setTimeout } from 'node:timers/promises'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Ring } from '../ring.ts'
import { Cluster, type LvmVersion } from './cluster.ts'
import { CommandLog } from './command-log.ts'
import { SimulatedHost } from './host.ts'
import { contentFile } from './host-root.ts'
import { fullName } from './volume.ts'
import type { VolumeOptions } from './volumes.ts'

export interface RingOptions {
  readonly lvm?: LvmVersion
  /** The program under test; without it, what the build made. */
  readonly program?: string
  /** A folder with a `node`, to be found before any other; without it, LVGUARD_TEST_NODE of the environment. */
  readonly nodeFolder?: string | undefined
}

const BUILT = fileURLToPath(new URL('../../dist/qemu', import.meta.url))

/** Two simulated hosts, among whose tools the built program runs as a whole: fast, and without root. */
export class SimulatedRing implements Ring {
  readonly kind = 'simulated'
  readonly devices = true
  readonly cluster: Cluster
  readonly hosts: readonly [SimulatedHost, SimulatedHost]
  /** All commands that the tools of both hosts were asked to run. */
  readonly log = new CommandLog()
  readonly #folder: string
  readonly #contents: string

  private constructor({ lvm = '2.03.16', program = BUILT, nodeFolder = process.env.LVGUARD_TEST_NODE }: RingOptions) {
    // Short, because the path of a Unix socket may have 107 bytes.
    this.#folder = mkdtempSync(join(tmpdir(), 'lvguard-simulated-'))
    this.#contents = join(this.#folder, 'volumes')
    mkdirSync(this.#contents)
    // The program compares sanlock's figures with its own monotonic clock.
    this.cluster = new Cluster({ lvm, clock: () => Number(process.hrtime.bigint() / 1_000_000_000n) })
    const [first, second] = this.cluster.hosts
    const hostFor = (state: typeof first): SimulatedHost => {
      const folder = join(this.#folder, state.name)
      mkdirSync(folder)
      return new SimulatedHost({
        cluster: this.cluster,
        state,
        log: this.log,
        program,
        folder,
        contents: this.#contents,
        nodeFolder,
      })
    }
    this.hosts = [hostFor(first), hostFor(second)]
  }

  static async create(options: RingOptions = {}): Promise<SimulatedRing> {
    const ring = new SimulatedRing(options)
    for (const host of ring.hosts) await host.listen()
    return ring
  }

  get volumeGroup(): string {
    return this.cluster.volumeGroup
  }

  /** @returns its name as commands take it, `VG/LV` */
  async volume(name: string, options: VolumeOptions = {}): Promise<string> {
    return fullName(this.cluster.create(name, options))
  }

  /** Puts something on a volume, such as a qcow2 header. Both hosts see it in /dev where the volume is active. */
  fill(volume: string, content: string | Uint8Array): void {
    writeFileSync(contentFile(this.#contents, this.cluster.volumes.get(volume).uuid), content)
  }

  async pass(milliseconds: number): Promise<void> {
    await setTimeout(milliseconds)
  }

  async reset(): Promise<void> {
    for (const host of this.hosts) {
      await host.quiet()
      host.emptyRun()
      host.root.empty('/var/lib/lvguard/saved')
      host.root.empty('/var/lib/lvguard/confirm-off')
      host.root.empty('/var/lib/libvirt/qemu/save')
      host.root.clearDevices()
    }
    this.cluster.reset()
    this.log.clear()
  }

  async close(): Promise<void> {
    for (const host of this.hosts) await host.shutDown()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
