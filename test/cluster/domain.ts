/**
 * A VM of the scenarios: defined on both nodes under one UUID, with a guest that writes its journal to its first
 * volume.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Result } from '../ring.ts'
import { acknowledged, type Journal, judge } from './guest/checker.ts'
import { quote, volumeGroup } from './nodes.ts'
import type { ClusterHost, ClusterRing, Truth } from './ring.ts'
import { untilTrue } from './wait.ts'

export interface DomainOptions {
  /** The volumes that are its own while it runs, one disk each; by default one of the domain's name. */
  readonly volumes?: readonly string[]
  /** `<disk>` elements in the place of those of its volumes. */
  readonly disks?: readonly string[]
  /** Volumes that it shares while it runs; they must be there. */
  readonly shared?: readonly string[]
  /** An image on the first volume in which the guest's journal lies. */
  readonly format?: 'qcow2'
  /**
   * What QEMU is told to boot; by default the guest that writes; `none`: the firmware alone, which costs nothing once
   * it has given up.
   */
  readonly kernel?: string
  /** Further elements of `<devices>`. */
  readonly devices?: string
  /** `<seclabel>` elements. */
  readonly security?: string
}

/** A disk on a volume of the shared group, or on another path, with what stands inside `<disk>` beside the source. */
export function diskOf(volume: string, target: string, { format = 'raw', device = 'disk', inside = '' } = {}): string {
  const path = volume.startsWith('/') ? volume : `/dev/${volumeGroup}/${volume}`
  const bus = device === 'cdrom' ? 'ide' : 'virtio'
  return `<disk type='block' device='${device}'><driver name='qemu' type='${format}' cache='none'/><source dev='${path}'/><target dev='${target}' bus='${bus}'/>${inside}</disk>`
}

const guest = '/var/lib/libvirt/boot/guest'

export class Domain {
  readonly uuid: string
  readonly volumes: readonly string[]

  constructor(
    readonly name: string,
    private readonly ring: ClusterRing,
    private readonly options: DomainOptions,
  ) {
    const hash = createHash('sha256').update(name).digest('hex')
    this.uuid = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`
    this.volumes = options.volumes ?? [name]
  }

  private get consolePath(): string {
    return `/var/log/libvirt/qemu/${this.name}.console`
  }

  xml(): string {
    return [
      "<domain type='qemu'>",
      `  <name>${this.name}</name><uuid>${this.uuid}</uuid>`,
      "  <memory unit='MiB'>10</memory><vcpu>1</vcpu>",
      `  <os><type arch='x86_64' machine='pc'>hvm</type>${this.options.kernel === 'none' ? '' : `<kernel>${this.options.kernel ?? guest}</kernel>`}</os>`,
      '  <features><acpi/></features>',
      '  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>',
      '  <devices>',
      ...(this.options.disks ??
        this.volumes.map((volume, index) => diskOf(volume, `vd${String.fromCharCode(97 + index)}`))),
      `    <serial type='pty'><log file='${this.consolePath}' append='on'/></serial>`,
      "    <memballoon model='none'/><controller type='usb' model='none'/>",
      ...(this.options.devices === undefined ? [] : [this.options.devices]),
      '  </devices>',
      ...(this.options.security === undefined ? [] : [this.options.security]),
      '</domain>',
      '',
    ].join('\n')
  }

  async define({ node }: ClusterHost): Promise<void> {
    const file = `/root/${this.name}.xml`
    await node.must(`cat > ${file} && virsh -q define ${file}`, { input: this.xml() })
  }

  start(on: ClusterHost): Promise<Result> {
    return on.virsh('start', this.name)
  }

  /** Asks the guest to power off: it does so at once. */
  shutdown(on: ClusterHost): Promise<Result> {
    return on.virsh('shutdown', this.name)
  }

  /** The guest powers off by itself, also while libvirt would let nobody ask it to: during a migration. */
  async powerOffFromInside(on: ClusterHost): Promise<void> {
    // QEMU looks once a second whether anybody is at the other end.
    await on.node.must(`{ printf p; sleep 4; } > $(virsh -q ttyconsole ${this.name})`)
    await untilTrue(`${this.name} powers off`, async () => (await this.console(on)).includes(' powers off after '))
  }

  destroy(on: ClusterHost): Promise<Result> {
    return on.virsh('destroy', this.name)
  }

  /** The guest resets its machine. */
  rebootFromInside(on: ClusterHost): Promise<Result> {
    return on.virsh('send-key', this.name, 'KEY_R')
  }

  /** `kill -9` of its QEMU. */
  async killQemu({ node }: ClusterHost): Promise<void> {
    await node.must(`kill -9 $(cat /run/libvirt/qemu/${this.name}.pid)`)
  }

  migrate(from: ClusterHost, to: ClusterHost, ...flags: string[]): Promise<Result> {
    const kind = flags.includes('--offline') ? [] : ['--live']
    const words = ['virsh', '-q', 'migrate', ...kind, ...flags, this.name, `qemu+ssh://${to.name}/system`]
    // Eight at once took 200 s: the scenario's own limit counts.
    return from.node.shell(words.map(quote).join(' '), { seconds: 600 })
  }

  /** Waits until the guest reports a record beyond those that it has reported before. */
  async writes(on: ClusterHost): Promise<void> {
    const before = acknowledged(await this.console(on))
    await untilTrue(
      `${this.name} writes on ${on.name}`,
      async () => acknowledged(await this.console(on)) > before,
    ).catch(async (error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}; ${await this.whereItStands(on)}`)
    })
  }

  /** What its guest said last, and where its processor and its disk are, in a line. */
  private async whereItStands(on: ClusterHost): Promise<string> {
    const last = (await this.console(on)).trimEnd().split('\n').slice(-2).join(' | ')
    const asked = ['info status', 'info registers', 'info blockstats']
      .map((words) => `virsh -q qemu-monitor-command ${this.name} --hmp ${quote(words)}`)
      .join('; ')
    const { stdout } = await on.node.shell(
      `{ ${asked}; } 2>&1 | grep -E 'status|EIP|RIP|flush_op' | tr -s '\\r\\n' ' '`,
    )
    return `its console ends with '${last}'; ${stdout.slice(0, 600)}`
  }

  async console(on: ClusterHost): Promise<string> {
    return (await on.read(this.consolePath)) ?? ''
  }

  /**
   * Waits until it is so: the domain runs on this host (on none), its volumes are exclusive and open there, and nothing
   * of them is active or locked anywhere else.
   */
  async runs(
    on: ClusterHost | 'nowhere',
    {
      lock = 'ex',
      state = 'running',
      seconds = 30,
    }: { lock?: 'ex' | 'sh'; state?: 'running' | 'paused'; seconds?: number } = {},
  ): Promise<void> {
    let wrong: readonly string[] = []
    await untilTrue(
      '',
      async () => {
        wrong = (await this.ring.truth()).flatMap((truth) =>
          this.differences(truth, on !== 'nowhere' && on.name === truth.host ? lock : 'none', state),
        )
        return wrong.length === 0
      },
      { seconds, every: 0.5 },
    ).catch((error: unknown) => {
      if (wrong.length === 0) throw error
      throw new assert.AssertionError({
        message: `${this.name} should run on ${on === 'nowhere' ? 'no host' : on.name}:\n  ${wrong.join('\n  ')}`,
      })
    })
  }

  private differences(
    { host, locks, devices, domains }: Truth,
    wanted: 'ex' | 'sh' | 'none',
    active: string,
  ): string[] {
    const state = domains.get(this.name) ?? 'undefined'
    const isRight = wanted === 'none' ? state === 'shut off' || state === 'undefined' : state === active
    const wrong = isRight ? [] : [`the domain is ${state} on ${host}`]
    for (const volume of this.volumes) {
      const lock = locks.get(volume) ?? 'none'
      const open = devices.get(volume)
      if (lock !== wanted) wrong.push(`${volume}: lock ${lock} on ${host}, not ${wanted}`)
      if (wanted === 'none' && open !== undefined) wrong.push(`${volume} is active on ${host}, open count ${open}`)
      if (wanted !== 'none' && !(open !== undefined && open > 0))
        wrong.push(`${volume} is ${open === undefined ? 'not active' : 'not open'} on ${host}`)
    }
    // Others may share them too: nothing is said of hosts where this domain does not run.
    for (const volume of wanted === 'none' ? [] : (this.options.shared ?? [])) {
      const lock = locks.get(volume) ?? 'none'
      if (lock !== 'sh') wrong.push(`${volume}: lock ${lock} on ${host}, not sh`)
    }
    return wrong
  }

  /** Waits until its migration out of this host is in this phase, in libvirt's words. */
  async reaches(phase: 'begin3' | 'perform3' | 'finish3', on: ClusterHost): Promise<void> {
    await on.node.until(
      `phase ${phase} of ${this.name} on ${on.name}`,
      `grep -qs "phase='${phase}'" /run/libvirt/qemu/${this.name}.xml`,
      { every: 0.1 },
    )
  }

  /** Waits until the first of its memory has left this host: in the phase before, libvirt may be connecting still. */
  async isOnTheWay(from: ClusterHost): Promise<void> {
    await this.reaches('perform3', from)
    await untilTrue(`memory of ${this.name} leaves ${from.name}`, async () =>
      /Memory processed: +[1-9]/.test((await from.virsh('domjobinfo', this.name)).stdout),
    )
  }

  /**
   * Runs on this host and writes, exclusive within ten seconds, and nothing that any guest of it wrote was lost or
   * written by another. Its guest has booted once, or as often as the session says of the VM that stands.
   */
  async isWholeOn(host: ClusterHost): Promise<void> {
    await this.runs(host, { seconds: 10 })
    await this.writes(host)
    // What it has reported by now must be on the disk. Asked before: when it goes on, it reports what it wrote after
    // the look at the disk.
    const reported = await this.reported()
    // Suspended, so that no slot is read while it is written.
    const listing = await host.node.must(
      `virsh -q suspend ${this.name} && guest-journal list /dev/${volumeGroup}/${this.volumes[0]}; code=$?; virsh -q resume ${this.name}; exit $code`,
    )
    const { faults, boots } = judge(listing, reported)
    const { session } = this.ring
    assert.deepEqual([faults, boots.length], [[], session.stands ? session.boots : 1], `the data of ${this.name}`)
  }

  /** Reads the guest's journal off its first volume, which must be free: what was written, and by whom. */
  async journal(): Promise<Journal> {
    const [host] = this.ring.hosts
    const path = `${volumeGroup}/${this.volumes[0]}`
    const shared = (this.options.shared ?? []).map((volume) => `${volumeGroup}/${volume}`).join(' ')
    const [up, down] = shared === '' ? ['true', 'true'] : [`lvchange -q -asy ${shared}`, `lvchange -q -an ${shared}`]
    const list =
      this.options.format === undefined
        ? `guest-journal list /dev/${path}`
        : `qemu-img convert -f ${this.options.format} -O raw /dev/${path} /root/disk.raw && guest-journal list /root/disk.raw`
    const listing = await host.node.must(
      `${up} && lvchange -q -aey ${path} && ${list}; code=$?; lvchange -q -an ${path}; ${down}; exit $code`,
    )
    return judge(listing, await this.reported())
  }

  /** The highest number that it has reported as written, on whichever host. */
  private async reported(): Promise<number> {
    return Math.max(...(await Promise.all(this.ring.hosts.map(async (one) => acknowledged(await this.console(one))))))
  }

  /** Nothing the guest has written was lost, repeated, or written by anyone else. */
  async dataIsWhole(): Promise<Journal> {
    const journal = await this.journal()
    assert.deepEqual(journal.faults, [], `the data of ${this.name}`)
    assert.ok(journal.last > 0, `${this.name} has written nothing`)
    return journal
  }
}
