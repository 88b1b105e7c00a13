import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { HookCall, Host, Lock, Result } from '../ring.ts'
import { COUNTED } from '../support/counted.ts'
import { hosts } from './hosts.ts'
import { type Running, type StartOptions, start } from './running.ts'

const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

export interface HostSetup {
  readonly number: 1 | 2
  /** The folder that hosts.sh made. */
  readonly folder: string
  /** A process that lives as long as the host, in its mount namespace. */
  readonly keeper: number
  /** The program under test. */
  readonly program: string
  /** A folder with another `node`. */
  readonly nodeFolder: string | undefined
}

/** One host: a mount namespace with an lvmlockd and a sanlock of its own. */
export class LocksHost implements Host {
  readonly name: string
  /** Where its files are, as this process sees them. */
  readonly root: string
  readonly #setup: HostSetup
  readonly #environment: Readonly<Record<string, string>>

  constructor(setup: HostSetup) {
    this.name = `host${setup.number}`
    this.root = `/proc/${setup.keeper}/root`
    this.#setup = setup
    this.#environment = {
      LC_ALL: 'C',
      PATH: setup.nodeFolder === undefined ? SYSTEM_PATH : `${setup.nodeFolder}:${SYSTEM_PATH}`,
      ...COUNTED,
    }
  }

  hook(call: HookCall): Promise<Result> {
    return this.startHook(call).result
  }

  program(words: readonly string[], stdin?: string): Promise<Result> {
    return this.start([this.#setup.program, ...words], { stdin }).result
  }

  run(command: string, ...words: string[]): Promise<Result> {
    return this.start([command, ...words]).result
  }

  /**
   * Runs a tool that must not fail.
   * @throws Error with what it said
   */
  async must(command: string, ...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, ...words)
    if (code !== 0)
      throw new Error(`${this.name}: ${[command, ...words].join(' ')}: exit status ${code}\n${stdout}${stderr}`)
    return stdout
  }

  /** Any program, not waited for. */
  start(command: readonly string[], options?: StartOptions): Running {
    return start(this.#setup.keeper, this.#environment, command, options)
  }

  /** The agent, not waited for. */
  startAgent(): Running {
    return this.start([this.#setup.program, 'agent'])
  }

  /** The hook, not waited for. */
  startHook(
    { options = [], name, operation, subOperation, extra = '-', xml }: HookCall,
    { gate = false }: StartOptions = {},
  ): Running {
    const sub = subOperation ?? (operation === 'release' || operation === 'stopped' ? 'end' : 'begin')
    return this.start([this.#setup.program, ...options, name, operation, sub, extra], { stdin: xml, gate })
  }

  /**
   * @param volume its name, with or without its VG
   * @throws Error if lvmlockd does not answer
   */
  async lock(volume: string): Promise<Lock> {
    const name = volume.replace(/^virtVG\//, '')
    const volumes = await this.must('lvs', '--nolocking', '--noheadings', '-o', 'lv_name,lv_uuid', 'virtVG')
    const uuid = new Map([...volumes.matchAll(/^ *(\S+) +(\S+)$/gm)].map(([, lv = '', id = '']) => [lv, id])).get(name)
    if (uuid === undefined) throw new Error(`there is no volume ${name}`)
    return (await this.locks()).get(uuid) ?? 'none'
  }

  /** All locks that this host's lvmlockd holds, by the volumes' UUIDs. */
  async locks(): Promise<Map<string, Lock>> {
    const { code, stdout, stderr } = await this.run('lvmlockctl', '-i')
    // It has one socket for its answer on the whole host: the hook asks at this moment.
    if (stderr.includes('socket error -98')) return this.locks()
    if (code !== 0) throw new Error(`${this.name}: lvmlockctl: ${stderr}`)
    return new Map(
      [...stdout.matchAll(/^LK LV (ex|sh) (\S+)$/gm)].map(([, mode, uuid = '']) => [uuid, mode === 'ex' ? 'ex' : 'sh']),
    )
  }

  async read(path: string): Promise<string | undefined> {
    return readFile(this.root + path, 'utf8').catch(unlessAbsent)
  }

  /** Replaces the file by rename, as libvirt does (FACTS 13). */
  async write(path: string, text: string | undefined): Promise<void> {
    const file = this.root + path
    if (text === undefined) return rm(file, { force: true, recursive: true })
    await mkdir(dirname(file), { recursive: true })
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }

  async list(directory: string): Promise<string[]> {
    return ((await readdir(this.root + directory).catch(unlessAbsent)) ?? []).sort()
  }

  async pauseLocking(): Promise<void> {
    await this.#hosts('pause-locking')
  }

  async resumeLocking(): Promise<void> {
    await this.#hosts('resume-locking')
  }

  async killLocking(): Promise<void> {
    await this.#hosts('stop-locking')
  }

  /**
   * With the locks that it had. Without device-mapper lvmlockd cannot adopt them itself: hosts.sh says what is done
   * instead.
   */
  async restartLocking(): Promise<void> {
    await this.#hosts('start-locking')
  }

  /**
   * The power goes: all that ran on it ends, /run is empty. `restartLocking` boots it; its locks stay on the disk until
   * then, or for 69 s.
   */
  async crash(): Promise<void> {
    await this.#hosts('crash')
  }

  /** Ends whatever runs on it but its daemons, drops its locks, and empties /run of records and status files. */
  async reset(): Promise<void> {
    await this.#hosts('quiet')
    const locks = await this.locks().catch(() => this.restartLocking().then(() => this.locks()))
    const held = [...locks.keys()].map((uuid) => `lv_uuid=${uuid}`)
    if (held.length > 0) await this.must('lvchange', '-an', '--select', held.join(' || '), 'virtVG')
    for (const folder of ['/run/lvguard', '/var/lib/lvguard'])
      await rm(this.root + folder, { recursive: true, force: true })
    for (const name of await this.list('/run/libvirt/qemu')) await this.write(`/run/libvirt/qemu/${name}`, undefined)
  }

  async #hosts(verb: string): Promise<void> {
    await hosts(verb, this.#setup.folder, String(this.#setup.number))
  }
}

function unlessAbsent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
