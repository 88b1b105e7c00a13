import { setTimeout } from 'node:timers/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Ring } from '../ring.ts'
import { LocksHost } from './host.ts'
import { HOSTS, hosts } from './hosts.ts'

export { available } from './hosts.ts'
export { type Running, together } from './running.ts'

export interface RingOptions {
  /** The program under test; without it, what the build made. */
  readonly program?: string
  /** A folder with a `node`, to be found before any other; without it, LVGUARD_TEST_NODE of the environment. */
  readonly nodeFolder?: string | undefined
}

const BUILT = fileURLToPath(new URL('../../dist/qemu', import.meta.url))

/** Two hosts in mount namespaces of this machine, with the real lvm2, lvmlockd and sanlock. Needs root; 6 s to make. */
export class LocksRing implements Ring {
  readonly kind = 'locks'
  readonly devices = false
  readonly volumeGroup = 'virtVG'
  readonly hosts: readonly [LocksHost, LocksHost]
  /** With the daemons' logs in h1 and h2. */
  readonly folder: string
  readonly #end: () => Promise<void>

  private constructor(folder: string, pair: readonly [LocksHost, LocksHost], end: () => Promise<void>) {
    this.folder = folder
    this.hosts = pair
    this.#end = end
  }

  /** @throws Error if the hosts cannot be made; `available` tells why beforehand */
  static async create({
    program = BUILT,
    nodeFolder = process.env['LVGUARD_TEST_NODE'],
  }: RingOptions = {}): Promise<LocksRing> {
    const folder = mkdtempSync(join(tmpdir(), 'lvguard-locks-'))
    const end = await hold(folder)
    const hostFor = async (number: 1 | 2): Promise<LocksHost> =>
      new LocksHost({ number, folder, keeper: Number(await hosts('pid', folder, String(number))), program, nodeFolder })
    return new LocksRing(folder, [await hostFor(1), await hostFor(2)], end)
  }

  /** @returns its name as commands take it, `VG/LV` */
  async volume(name: string): Promise<string> {
    const [first] = this.hosts
    const full = `${this.volumeGroup}/${name}`
    const create = ['lvcreate', '-an', '-L', '8m', '--setautoactivation', 'n', '-n', name, this.volumeGroup] as const
    const { code, stderr } = await first.run(...create)
    if (code === 0) return full
    if (!stderr.includes('already exists')) throw new Error(`lvcreate: ${stderr}`)
    if ((await first.run('lvremove', '-y', full)).code !== 0) {
      for (const host of this.hosts) await host.must('lvchange', '-an', full)
      await first.must('lvremove', '-y', full)
    }
    await first.must(...create)
    return full
  }

  /** Many new volumes, in one shell. @throws Error if one cannot be made */
  async newVolumes(names: readonly string[]): Promise<void> {
    await this.hosts[0].must(
      'sh',
      '-c',
      'for volume; do lvcreate -q -an -l 1 --setautoactivation n -n "$volume" virtVG > /dev/null || exit; done',
      'sh',
      ...names,
    )
  }

  async pass(milliseconds: number): Promise<void> {
    await setTimeout(milliseconds)
  }

  async reset(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.reset()))
  }

  async close(): Promise<void> {
    await this.#end()
  }
}

/**
 * Makes the hosts. They last until the standard input of `hosts.sh hold` ends: at the latest when this process does,
 * however that happens.
 * @returns how to end them
 */
async function hold(folder: string): Promise<() => Promise<void>> {
  // In a session of its own, so that a Ctrl-C for the tests does not stop it half-way.
  const holder = spawn('bash', [HOSTS, 'hold', folder], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  const closed = once(holder, 'close')
  let complaint = ''
  holder.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  const isUp = await Promise.race([once(holder.stdout, 'data').then(() => true), closed.then(() => false)])
  if (!isUp) throw new Error(complaint)
  return async () => {
    ;(holder.stdin as Writable).end()
    const [code] = (await closed) as [number | null]
    if (code !== 0) throw new Error(complaint)
  }
}
