import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import type { HookCall, Host, Lock, Result } from '../ring.ts'
import type { Cluster } from './cluster.ts'
import type { CommandLog } from './command-log.ts'
import { Faults } from './faults.ts'
import { HostRoot } from './host-root.ts'
import type { HostState } from './host-state.ts'
import { type Running, descriptorsFromOutside, start } from './running.ts'
import { ToolServer } from './server.ts'
import { Toolbox } from './toolbox.ts'
import { TOOLS, lockListed, runTool } from './tools.ts'
import { COUNTED } from '../support/counted.ts'
import { parseSettings } from './tools/settings.ts'

const CLIENT = fileURLToPath(new URL('client.pl', import.meta.url))
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

export interface HostSetup {
  readonly cluster: Cluster
  readonly state: HostState
  readonly log: CommandLog
  /** The built program. */
  readonly program: string
  /** Folder that this host has for itself, and the one with the contents of the volumes. */
  readonly folder: string
  readonly contents: string
  /** A folder with another `node`. */
  readonly nodeFolder: string | undefined
}

/** What must never be this machine's own. */
const OF_THE_WORLD = /^(?:lv|vg|pv|dm|sanlock|virsh|virt|drbd|wdmd|systemctl)/

/** One host: its part of the model, its files, its tools, and the program that runs among them. */
export class SimulatedHost implements Host {
  readonly name: string
  readonly state: HostState
  readonly root: HostRoot
  readonly faults = new Faults()
  readonly #cluster: Cluster
  readonly #toolbox: Toolbox
  readonly #environment: Readonly<Record<string, string>>
  readonly #bin: string
  readonly #running = new Set<Running>()
  #server: ToolServer | undefined

  constructor({ cluster, state, log, program, folder, contents, nodeFolder }: HostSetup) {
    this.name = state.name
    this.state = state
    this.root = new HostRoot(join(folder, 'root'), contents)
    this.#cluster = cluster
    this.#toolbox = new Toolbox({ cluster, host: state }, log, this.faults)
    this.#bin = join(folder, 'bin')
    mkdirSync(this.#bin)
    writeFileSync(
      join(this.#bin, '.descriptors'),
      descriptorsFromOutside()
        .map((line) => `${line}\n`)
        .join(''),
    )
    // A copy, because not every way to unpack the sources keeps a file executable.
    copyFileSync(CLIENT, join(this.#bin, '.client'))
    chmodSync(join(this.#bin, '.client'), 0o755)
    for (const tool of Object.keys(TOOLS)) symlinkSync('.client', join(this.#bin, tool))
    for (const name of ['etc/libvirt/hooks/qemu', 'usr/sbin/lvguard']) symlinkSync(program, this.root.at(name))
    const path = [...(nodeFolder === undefined ? [] : [nodeFolder]), this.#bin, SYSTEM_PATH].join(':')
    this.#environment = { LVGUARD_ROOT: this.root.path, PATH: path, LC_ALL: 'C', ...COUNTED }
    cluster.onChange(() => this.root.show(cluster.devices.list(state)))
    this.root.show(cluster.devices.list(state))
  }

  async listen(): Promise<void> {
    this.#server = await ToolServer.listen(join(this.#bin, '.server'), (request) => this.#toolbox.run(request))
  }

  hook(call: HookCall): Promise<Result> {
    return this.startHook(call).result
  }

  program(words: readonly string[], stdin?: string): Promise<Result> {
    return this.startProgram(words, stdin).result
  }

  /** `lvguard fence-peer` with what DRBD puts into its environment, not waited for. */
  startFence(env: Readonly<Record<string, string>>): Running {
    return this.#start(this.root.at('usr/sbin/lvguard'), ['fence-peer'], undefined, env)
  }

  run(command: string, ...words: string[]): Promise<Result> {
    // The real one would act on this machine, or be missing on another one.
    if (OF_THE_WORLD.test(command) && !(command in TOOLS)) throw new Error(`${command} is not simulated`)
    return this.#start(command in TOOLS ? join(this.#bin, command) : command, words).result
  }

  /** The hook, not waited for. */
  startHook({ options = [], name, operation, subOperation, extra = '-', xml }: HookCall): Running {
    const sub = subOperation ?? (operation === 'release' || operation === 'stopped' ? 'end' : 'begin')
    return this.#startProgram('etc/libvirt/hooks/qemu', [...options, name, operation, sub, extra], xml)
  }

  /** `lvguard WORDS…`, not waited for: an agent, say. */
  startProgram(words: readonly string[], stdin?: string): Running {
    return this.#startProgram('usr/sbin/lvguard', words, stdin)
  }

  /** Runs a simulated command at once, without its client, its log and its faults: for what happens meanwhile. */
  act(line: string): Result {
    const [tool = '', ...words] = line.split(' ')
    return runTool({ cluster: this.#cluster, host: this.state }, tool, words)
  }

  /** @throws Error if lvmlockd does not answer */
  async lock(volume: string): Promise<Lock> {
    return lockListed({ cluster: this.#cluster, host: this.state }, volume)
  }

  open(volume: string): void {
    this.#cluster.devices.open(this.state, volume)
  }

  close(volume: string): void {
    this.#cluster.devices.close(this.state, volume)
  }

  async read(path: string): Promise<string | undefined> {
    return this.root.read(path)
  }

  async write(path: string, text: string | undefined): Promise<void> {
    if (path === '/etc/lvm/lvm.conf') this.state.lvmConf = parseSettings(text ?? '')
    this.root.write(path, text)
  }

  async list(directory: string): Promise<string[]> {
    return this.root.list(directory)
  }

  async pauseLocking(): Promise<void> {
    this.#toolbox.pause()
  }

  async resumeLocking(): Promise<void> {
    this.#toolbox.resume()
  }

  async killLocking(): Promise<void> {
    this.#cluster.locks.setLvmlockd(this.state, 'killed')
  }

  /** A new lvmlockd, with the locks that the last one had unless told otherwise. After a crash: the host boots. */
  async restartLocking({ adopt } = { adopt: true }): Promise<void> {
    if (this.state.diedAt === undefined) this.#cluster.locks.restartLvmlockd(this.state, { adopt })
    else this.#cluster.locks.join(this.state)
  }

  /**
   * The power goes: all that ran ends, /run is empty. `restartLocking` boots it; its locks stay on the disk until then.
   */
  async crash(): Promise<void> {
    await this.#endPrograms()
    this.#cluster.crash(this.state)
    this.emptyRun()
  }

  emptyRun(): void {
    for (const folder of ['/run/lvguard', '/run/libvirt/qemu']) this.root.empty(folder)
    this.root.write('/run/libvirtd.pid', undefined)
  }

  /** Ends what still runs and takes all faults and waits away; no command that waits is carried out. */
  async quiet(): Promise<void> {
    const ended = this.#endPrograms()
    this.faults.clear()
    this.#toolbox.resume()
    await ended
  }

  async shutDown(): Promise<void> {
    await this.quiet()
    await this.#server?.close()
  }

  async #endPrograms(): Promise<void> {
    this.#server?.disconnect()
    for (const running of this.#running) running.kill()
    await Promise.allSettled([...this.#running].map(({ result }) => result))
  }

  // The shell stub ends hook calls by anyone but root with exit 0, so that they go straight to Node.
  #startProgram(link: string, words: readonly string[], stdin?: string): Running {
    const file = this.root.at(link)
    return process.getuid?.() === 0 ? this.#start(file, words, stdin) : this.#start('node', [file, ...words], stdin)
  }

  #start(file: string, words: readonly string[], stdin?: string, env: Readonly<Record<string, string>> = {}): Running {
    const running = start(file, words, { env: { ...this.#environment, ...env }, stdin })
    this.#running.add(running)
    void running.result.catch(() => undefined).then(() => this.#running.delete(running))
    return running
  }
}
