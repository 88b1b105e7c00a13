/**
 * Two real nodes on this machine, in QEMU with software emulation (a nested /dev/kvm often boots firmware and then
 * hangs): /dev/vda is a node's system, /dev/vdb one disk that both share, /dev/vdc a disk of each node's own, for DRBD.
 *
 * All that belongs to a pair of nodes is in one run folder: disks, sockets, pids, logs. No fixed port is used; the
 * network between the nodes is a pair of Unix sockets, which outlives the crash of either.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { access, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import type { Result } from '../ring.ts'
import { monitor } from './monitor.ts'
import { pace } from './pace.ts'
import { until, untilTrue } from './wait.ts'

export type Suite = 'bookworm' | 'trixie'
export type Storage = 'shared' | 'drbd'
export type NodeNumber = 1 | 2

/** In which way lvguard is installed on the nodes. */
export type Way = 'install.sh' | 'package'

export interface Settings {
  readonly suite: Suite
  readonly storage: Storage
  /** The folder that image.sh printed. */
  readonly image: string
  /** Where this pair of nodes lives. */
  readonly run: string
  /** Whether the nodes end with this process, whatever ends it. */
  readonly bound: boolean
  /** Default: install.sh. */
  readonly way?: Way
  /** Nothing but Debian is on them. */
  readonly bare?: boolean
}

/** Builds the node image if it is not there yet; returns its folder. */
export async function image(suite: Suite, kind: 'node' | 'bare' = 'node'): Promise<string> {
  const { stdout } = await execa(join(folder(), 'image.sh'), [suite, kind], { stderr: 'inherit' })
  return stdout.trim()
}

/** A run folder of this person's, for nodes that may outlive the program. */
export function personalRun(name: string): string {
  return join(tmpdir(), `lvguard-${name}-${userInfo().username}`)
}

/**
 * The folder of this part of the project: the bundle that runs lies elsewhere, so it is looked for from the working
 * folder.
 */
export function folder(): string {
  return join(process.cwd(), 'test/cluster')
}

export const volumeGroup = 'virtVG'

/** A disk of a node that can hang: /dev/vdb, which both share, and /dev/vdc, which is its own. */
export type Disk = 'shared' | 'local'
/** Where the shared disk is on the node's PCI bus. */
const SHARED_SLOT = '05'

export class Node {
  readonly name: string
  private readonly home: string
  private retired = false

  constructor(
    readonly number: NodeNumber,
    private readonly settings: Settings,
  ) {
    this.name = `node${number}`
    this.home = join(settings.run, this.name)
  }

  /** The process id of this node's QEMU while it runs. */
  async pid(): Promise<number | undefined> {
    const text = await readFile(join(this.home, 'pid'), 'utf8').catch(() => '')
    const pid = Number.parseInt(text, 10)
    // A pid is only ours while its command line names our folder.
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return commandLine.includes(`${this.home}/`) ? pid : undefined
  }

  /** Starts the node, new or after `cut`; `awaitSsh` tells when it can be used. */
  async boot({ memory = '' } = {}): Promise<void> {
    const { image: from, run, bound, bare: hasWatchdog = false } = this.settings
    await mkdir(this.home, { recursive: true })
    const root = join(this.home, 'root.qcow2')
    const local = join(this.home, 'local.qcow2')
    if (!(await exists(root)))
      await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', join(from, 'root.raw'), '-F', 'raw', root])
    if (!(await exists(local))) await execa('qemu-img', ['create', '-q', '-f', 'qcow2', local, '2G'])
    const shared = join(run, 'shared.raw')
    if (!(await exists(shared))) {
      await writeFile(shared, '')
      await truncate(shared, 4 * 1024 ** 3)
    }
    await rm(this.network(this.number), { force: true })
    await rm(join(this.home, 'monitor'), { force: true })
    await rm(join(this.home, 'ssh'), { force: true })
    const port = await freePort()
    await writeFile(join(this.home, 'port'), String(port))
    const uuid = `00000000-0000-4000-8000-00000000000${this.number}`
    // What hardens, audits and measures a kernel costs LVM's, libvirt's and ssh's commands a tenth in emulation.
    // Compiling AppArmor's profiles takes half a minute a boot and ten seconds a VM: once, on Debian 13, is enough.
    const security = `mitigations=off audit=0 init_on_alloc=0 psi=0 lsm=${this.settings.suite === 'bookworm' ? 'capability' : 'apparmor'}`
    // The plainest processor is the quickest to emulate: all takes a seventh less than with `-cpu max` (node -e 0: 790
    // ms, not 920). Code at the same addresses in each process need not be translated anew, if there is room to keep
    // what was (tb-size, MiB): both together make Node start in 1.5 s here instead of 2.5 to 5 s.
    const words = [
      ...[
        '-name',
        this.name,
        '-uuid',
        uuid,
        '-accel',
        'tcg,thread=multi,tb-size=2048',
        '-cpu',
        'qemu64',
        '-smp',
        '1',
        '-m',
        '1800',
      ],
      ...['-display', 'none', '-serial', `file:${join(this.home, 'serial.log')}`, '-pidfile', join(this.home, 'pid')],
      ...['-qmp', `unix:${join(this.home, 'monitor')},server=on,wait=off`],
      ...['-kernel', join(from, 'vmlinux'), '-initrd', join(from, 'initrd.img')],
      ...[
        '-append',
        `root=/dev/vda rw console=ttyS0 systemd.hostname=${this.name} systemd.machine_id=${uuid.replaceAll('-', '')} net.ifnames=0 norandmaps ${security} quiet`,
      ],
      ...drive('root', `file=${root},cache=unsafe`, '0x4'),
      // Opened by both QEMUs: no lock of theirs, no cache of the host's.
      ...drive('shared', `file=${shared},format=raw,cache=none,aio=threads,file.locking=off`, '0x5'),
      ...drive('local', `file=${local},cache=unsafe`, '0x6'),
      ...['-netdev', `user,id=outside,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:22`],
      ...['-device', `virtio-net-pci,netdev=outside,mac=52:54:00:aa:00:0${this.number}`],
      '-netdev',
      `dgram,id=between,local.type=unix,local.path=${this.network(this.number)},remote.type=unix,remote.path=${this.network(this.number === 1 ? 2 : 1)}`,
      ...['-device', `virtio-net-pci,netdev=between,mac=52:54:00:bb:00:0${this.number}`],
      // A watchdog as a server has one. It resets nothing here: a machine under load is slower than any server.
      ...(hasWatchdog ? ['-device', 'i6300esb', '-action', 'watchdog=none'] : []),
      ...(memory === '' ? [] : ['-incoming', `exec:cat ${quote(memory)}`]),
    ]
    const log = openSync(join(this.home, 'qemu.log'), 'a')
    const [command, before] = bound
      ? ['setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64']]
      : ['qemu-system-x86_64', []]
    // In a process group of its own: Ctrl-C is for this program, which then takes the nodes down.
    const child = spawn(command, [...before, ...words], { stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    child.unref()
    let ended = false
    child.once('exit', () => {
      ended = true
    })
    const lives = async (): Promise<number | undefined> => {
      if (ended)
        throw new Error(
          `QEMU of ${this.name} ended:\n${readFileSync(join(this.home, 'qemu.log'), 'utf8').slice(-2000)}`,
        )
      return await this.pid()
    }
    await until(`QEMU of ${this.name}`, lives, { seconds: 30, every: 0.1 })
    if (memory !== '')
      await untilTrue(
        `the memory of ${this.name}`,
        async () => (await lives()) !== undefined && (await this.status().catch(() => '')) === 'paused',
        { every: 0.1 },
      )
  }

  /**
   * Opens the one ssh connection that all commands share: a handshake costs a second in emulation, a command on it 50
   * ms.
   */
  async awaitSsh(): Promise<void> {
    await untilTrue(
      `ssh to ${this.name}`,
      async () => {
        if ((await this.pid()) === undefined) throw new Error(`${this.name} does not run`)
        const { exitCode } = await execa('ssh', [...(await this.sshOptions()), '-M', '-N', '-f', 'node'], {
          reject: false,
          stdio: 'ignore',
        })
        return exitCode === 0
      },
      { seconds: this.settings.bare === true ? 1200 : 240, every: 0.5 },
    )
  }

  /** Waits until the daemons that a scenario needs answer. */
  async awaitServices(): Promise<void> {
    await untilTrue(
      `libvirt, lvmlockd and sanlock on ${this.name}`,
      async () => {
        const { code } = await this.shell('virsh -q list && lvmlockctl -i && sanlock client status')
        return code === 0
      },
      { seconds: 180, every: 0.5 },
    )
  }

  /** From now on every command throws: what a scenario left behind cannot reach into the next one. */
  retire(): void {
    this.retired = true
  }

  /** A command with its words, passed as they are. Never throws for an exit status; 255 is also a lost connection. */
  run(command: string, ...words: string[]): Promise<Result> {
    return this.shell([command, ...words].map(quote).join(' '))
  }

  /** A script for the node's shell. It may take so many seconds on a usual machine. */
  async shell(
    script: string,
    { input = '', seconds = 180 }: { input?: string; seconds?: number } = {},
  ): Promise<Result> {
    if (this.retired) throw new Error(`the scenario is over; not run on ${this.name}: ${script}`)
    const options = await this.sshOptions()
    const from = Date.now()
    const limit = pace().limit(seconds)
    const { exitCode, stdout, stderr, timedOut } = await execa('ssh', [...options, 'node', script], {
      input,
      reject: false,
      stripFinalNewline: false,
      timeout: limit * 1000,
    })
    if (process.env['TRACE'])
      process.stderr.write(
        `${((Date.now() - from) / 1000).toFixed(1).padStart(6)} s  ${this.name}: exit ${exitCode}: ${script}\n`,
      )
    if (timedOut)
      return { code: 124, stdout, stderr: `${stderr}no answer from ${this.name} in ${limit} s: ${script}\n` }
    return { code: exitCode ?? 255, stdout, stderr }
  }

  /** As `shell`, for what must succeed: returns standard output, throws what was said otherwise. */
  async must(script: string, options?: { input?: string; seconds?: number }): Promise<string> {
    const { code, stdout, stderr } = await this.shell(script, options)
    if (code !== 0) throw new Error(`${this.name}: ${script}\nexit ${code}: ${stderr}${stdout}`)
    return stdout
  }

  /**
   * Waits on the node until a condition of its shell holds: one command, where asking again and again would keep its
   * processor busy.
   */
  async until(what: string, condition: string, { seconds = 60, every = 0.2 } = {}): Promise<void> {
    const limit = pace().limit(seconds)
    const { code } = await this.shell(
      `left=${Math.ceil(limit / every)}; until ${condition}; do [ $((left -= 1)) -gt 0 ] || exit 1; sleep ${every}; done`,
      { seconds: seconds * 3 },
    )
    if (code !== 0) throw new Error(`waited ${limit} s in vain: ${what}`)
  }

  /** Copies a folder or file of this machine to the node, below `to`. */
  async copy(from: readonly string[], to: string): Promise<void> {
    const options = await this.sshOptions()
    await execa('tar', ['-cf', '-', ...from], { buffer: false }).pipe('ssh', [
      ...options,
      'node',
      `mkdir -p ${quote(to)} && tar -C ${quote(to)} --no-same-owner -xf -`,
    ])
  }

  /** A terminal on the node, or one command with this terminal's own input and output. */
  async terminal(words: readonly string[]): Promise<number> {
    const options = await this.sshOptions()
    const { exitCode } = await execa('ssh', [...(words.length === 0 ? ['-t'] : []), ...options, 'node', ...words], {
      stdio: 'inherit',
      reject: false,
    })
    return exitCode ?? 255
  }

  /** Pulls the plug. */
  async cut(): Promise<void> {
    const pid = await this.pid()
    if (pid === undefined) return
    process.kill(pid, 'SIGKILL')
    await untilTrue(`the end of ${this.name}`, async () => (await this.pid()) === undefined, { every: 0.05 })
    await execa('ssh', [...(await this.sshOptions()), '-O', 'exit', 'node'], { reject: false, stdio: 'ignore' })
    await rm(join(this.home, 'ssh'), { force: true })
  }

  /** Freezes the whole node, as a hypervisor under load would; `thaw` lets it go on. */
  async freeze(): Promise<void> {
    await this.ask('stop')
  }

  async thaw(): Promise<void> {
    await this.ask('cont')
  }

  /**
   * From now on a disk of this node takes a byte a second: its I/O neither fails nor ends. That of the other node is as
   * before.
   */
  async hangStorage(disk: Disk = 'shared'): Promise<void> {
    await this.throttle(disk, 1)
  }

  /** The path is back, with all that has waited for it. */
  async freeStorage(disk: Disk = 'shared'): Promise<void> {
    await this.throttle(disk, 0)
  }

  private async throttle(disk: Disk, bytes: number): Promise<void> {
    await this.ask('block_set_io_throttle', {
      device: disk,
      bps: bytes,
      bps_rd: 0,
      bps_wr: 0,
      iops: 0,
      iops_rd: 0,
      iops_wr: 0,
    })
  }

  /**
   * The shared disk of this node is gone from one moment to the next: all I/O fails, as when a path's time-out takes
   * the disk away (dev_loss_tmo).
   */
  async loseStorage(): Promise<void> {
    await this.must(`echo 1 > /sys/bus/pci/devices/0000:00:${SHARED_SLOT}.0/remove`)
  }

  /** It is there again, as a new one: /dev/vdb may be the name of the old one as long as anything has that open. */
  async findStorage(): Promise<void> {
    await this.must('echo 1 > /sys/bus/pci/rescan; udevadm settle')
  }

  /**
   * sanlock of this node uses a watchdog from now on, that of the kernel; over a boot, too. Its lockspace is started
   * anew.
   */
  async useWatchdog(startLockspace: (node: Node) => Promise<void>): Promise<void> {
    await this.must(
      `vgchange -q --lock-stop ${volumeGroup}; systemctl stop lvmlockd sanlock; systemctl unmask -q wdmd && echo softdog > /etc/modules-load.d/watchdog.conf && modprobe softdog && ` +
        "sed -i '/use_watchdog/d' /etc/sanlock/sanlock.conf && echo 'use_watchdog = 1' >> /etc/sanlock/sanlock.conf && sed -i 's/^sanlock_opts=.*/sanlock_opts=\"\"/' /etc/default/sanlock && " +
        'systemctl enable -q wdmd && systemctl restart wdmd sanlock lvmlockd && sync',
    )
    await this.until('sanlock with its watchdog', "sanlock client status -D | grep -q '^ *use_watchdog=1$'", {
      every: 0.5,
    })
    await startLockspace(this)
  }

  /** lvmlockctl runs `lvguard kill` when the lease of this node is lost. */
  async useKillCommand(): Promise<void> {
    await this.must(
      "sed -i '/^global {/a\\\tlvmlockctl_kill_command = \"/usr/sbin/lvguard kill\"' /etc/lvm/lvm.conf && lvmconfig global/lvmlockctl_kill_command | grep -q '/usr/sbin/lvguard kill'",
    )
  }

  /** After the node has reset itself: the old connection does not know it yet. */
  async awaitSshAgain(): Promise<void> {
    await execa('ssh', [...(await this.sshOptions()), '-O', 'exit', 'node'], { reject: false, stdio: 'ignore' })
    await rm(join(this.home, 'ssh'), { force: true })
    await this.awaitSsh()
  }

  /** Writes a frozen node's memory and devices into a file; it cannot go on afterwards. */
  async saveMemory(path: string): Promise<void> {
    await this.ask('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 })
    await this.ask('migrate', { uri: `exec:cat > ${quote(path)}` })
    await untilTrue(`the memory of ${this.name} in ${path}`, async () => (await this.status()) === 'postmigrate', {
      every: 0.1,
    })
  }

  private async status(): Promise<string> {
    const answer = await this.ask('query-status')
    return typeof answer === 'object' && answer !== null && 'status' in answer ? String(answer.status) : ''
  }

  /** A command to the QEMU of this node. */
  ask(execute: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return monitor(join(this.home, 'monitor'), execute, args)
  }

  /** What the kernel printed on the console: the log of a node that cannot be reached. */
  console(): Promise<string> {
    return readFile(join(this.home, 'serial.log'), 'utf8').catch(() => '')
  }

  private network(number: NodeNumber): string {
    return join(this.settings.run, `network${number}`)
  }

  /** The same for OpenSSH's own configuration, under this node's name. */
  async sshConfiguration(): Promise<string> {
    const [, , , identity, , port, ...options] = await this.sshOptions()
    const lines = [
      `IdentityFile=${identity}`,
      'IdentitiesOnly=yes',
      `Port=${port}`,
      ...options.filter((word) => word !== '-o'),
    ]
    return [`Host ${this.name}`, ...lines.map((line) => `  ${line.replace('=', ' ')}`), ''].join('\n')
  }

  private async sshOptions(): Promise<string[]> {
    const port = await readFile(join(this.home, 'port'), 'utf8')
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'BatchMode=yes',
      'HostName=127.0.0.1',
      'User=root',
      'ConnectTimeout=10',
      'ServerAliveInterval=20',
      'ServerAliveCountMax=6',
      `ControlPath=${join(this.home, 'ssh')}`,
    ]
    return [
      '-F',
      '/dev/null',
      '-i',
      join(this.settings.image, 'id'),
      '-p',
      port,
      ...options.flatMap((option) => ['-o', option]),
    ]
  }
}

export class Nodes {
  readonly all: readonly [Node, Node]

  constructor(readonly settings: Settings) {
    this.all = [new Node(1, settings), new Node(2, settings)]
  }

  /**
   * Both nodes with their daemons and the started lockspace: from a kept state in ten seconds, or booted, which takes
   * two minutes, and then kept beside the image.
   */
  async ready(): Promise<void> {
    const { image: from, storage } = this.settings
    const { stdout: version } = await execa('qemu-system-x86_64', ['--version'])
    const source = await readFile(join(folder(), 'nodes.ts'))
    const key = createHash('sha256').update(version).update(source).digest('hex').slice(0, 12)
    const kept = join(from, `${storage}-${key}`)
    if (!(await exists(kept))) {
      await this.up()
      await this.startLocking()
      await this.save(kept)
    }
    await this.restore(kept)
  }

  /** Boots both, side by side, and waits until their daemons answer. */
  async up(): Promise<void> {
    await mkdir(this.settings.run, { recursive: true })
    await writeFile(join(this.settings.run, 'settings.json'), JSON.stringify(this.settings))
    for (const node of this.all) await node.boot()
    await this.each((node) => node.awaitSsh())
    await this.openDesk()
    if (this.settings.bare === true) {
      // Compiling Python's modules ahead takes as long as all other packages together in emulation, and changes
      // nothing.
      await this.each((node) =>
        node.must("printf '#!/bin/sh\\nexit 0\\n' > /usr/local/bin/py3compile && chmod +x /usr/local/bin/py3compile"),
      )
      return
    }
    await this.each(async (node) => {
      await node.awaitServices()
      // A guest writes as fast as it can, on the one emulated processor that libvirt and the hook need too: they go
      // first.
      await node.must('systemctl set-property machine.slice CPUWeight=idle')
    })
  }

  /**
   * `ssh` and `scp` in the run folder's `bin` that know node1 and node2, as those on an administrator's own machine do:
   * for whoever has that folder in the PATH.
   */
  async openDesk(): Promise<void> {
    const { run } = this.settings
    const config = join(run, 'ssh_config')
    const texts = await Promise.all(this.all.map((node) => node.sshConfiguration()))
    await writeFile(config, texts.join('\n'))
    await mkdir(join(run, 'bin'), { recursive: true })
    for (const command of ['ssh', 'scp']) {
      await writeFile(join(run, 'bin', command), `#!/bin/sh\nexec /usr/bin/${command} -F ${quote(config)} "$@"\n`, {
        mode: 0o755,
      })
    }
  }

  /** Keeps the state of both nodes, which stop, and of their disks in a new folder. */
  async save(folder: string): Promise<void> {
    const { run } = this.settings
    await mkdir(dirname(folder), { recursive: true })
    // Another run may be saving the same.
    const aside = await mkdtemp(`${folder}.saving-`)
    await this.each((node) => node.freeze())
    await this.each((node) => node.saveMemory(join(aside, `${node.name}.memory`)))
    await this.each((node) => node.cut())
    await execa('cp', ['--sparse=always', join(run, 'shared.raw'), aside])
    for (const { name } of this.all) {
      await mkdir(join(aside, name))
      await execa('cp', [join(run, name, 'root.qcow2'), join(run, name, 'local.qcow2'), join(aside, name)])
    }
    await rename(aside, folder).catch(async (error: unknown) => {
      await rm(aside, { recursive: true, force: true })
      if (!(await exists(folder))) throw error
    })
  }

  /** Ends both nodes if they run, and continues from what `save` kept. Returns when their commands answer again. */
  async restore(folder: string): Promise<void> {
    const { run } = this.settings
    for (const node of this.all) await node.cut()
    await mkdir(run, { recursive: true })
    await writeFile(join(run, 'settings.json'), JSON.stringify(this.settings))
    await execa('cp', ['--sparse=always', join(folder, 'shared.raw'), run])
    for (const { name } of this.all) await execa('cp', ['-r', join(folder, name), run])
    await this.each((node) => node.boot({ memory: join(folder, `${node.name}.memory`) }))
    await this.each((node) => node.thaw())
    await this.each((node) => node.awaitSsh())
  }

  /** Ends both and removes all that was theirs. */
  async down(): Promise<void> {
    for (const node of this.all) await node.cut()
    await rm(this.settings.run, { recursive: true, force: true })
  }

  /** Makes the shared volume group, or starts its lockspace where it exists; returns when both nodes can lock. */
  async startLocking(): Promise<void> {
    const [one] = this.all
    if (this.settings.storage === 'drbd') await this.startDrbd()
    const disk = this.settings.storage === 'drbd' ? '/dev/drbd0' : '/dev/vdb'
    if ((await one.shell(`vgs ${volumeGroup}`)).code !== 0)
      await one.must(`vgcreate -q --shared ${volumeGroup} ${disk}`)
    await this.each((node) => this.startLockspace(node))
  }

  /** Starts the lockspace on one node and awaits it: up to 30 s, two to three minutes after a crash (FACTS 28). */
  async startLockspace(node: Node): Promise<void> {
    await node.must(`vgchange -q --lock-start ${volumeGroup}`, { seconds: 300 })
    await untilTrue(
      `the lockspace of ${volumeGroup} on ${node.name}`,
      async () => {
        // vgs reads without a lock if need be, says so, and exits with 0.
        const { code, stderr } = await node.shell(
          `lvmlockctl -i | grep -q 'LS sanlock lvm_${volumeGroup}' && vgs ${volumeGroup}`,
        )
        return code === 0 && stderr === ''
      },
      { seconds: 300, every: 1 },
    )
  }

  /** DRBD 8.4 between the nodes' own disks, primary on both. */
  private async startDrbd(): Promise<void> {
    const resource = [
      'resource r0 {',
      '  protocol C;',
      '  net { allow-two-primaries; after-sb-0pri disconnect; after-sb-1pri disconnect; after-sb-2pri disconnect; }',
      '  startup { become-primary-on both; wfc-timeout 0; }',
      '  device /dev/drbd0; disk /dev/vdc; meta-disk internal;',
      '  on node1 { address 10.0.128.1:7788; }',
      '  on node2 { address 10.0.128.2:7788; }',
      '}',
    ].join('\n')
    await this.each(async (node) => {
      // LVM would see the physical volume twice, on the backing disk too, and refuse to write (FACTS 37).
      await node.must(`sed -i '/^devices {/a\\\\tglobal_filter = [ "r|/dev/vdc|" ]' /etc/lvm/lvm.conf`)
      await node.must('cat > /etc/drbd.d/r0.res', { input: `${resource}\n` })
      await node.must(
        'modprobe drbd && { drbdadm dump-md r0 > /dev/null 2>&1 || drbdadm create-md --force r0; } && drbdadm up r0',
      )
    })
    const [one, two] = this.all
    await untilTrue('the connection of the DRBD peers', async () =>
      (await one.must('drbdadm cstate r0')).startsWith('Connected'),
    )
    // Both disks are new: nothing to copy.
    await one.must('drbdadm -- --clear-bitmap new-current-uuid r0/0')
    await one.must('drbdadm primary r0')
    await two.must('drbdadm primary r0')
  }

  /** The same on both nodes at once. */
  each<T>(act: (node: Node) => Promise<T>): Promise<[T, T]> {
    return Promise.all([act(this.all[0]), act(this.all[1])])
  }
}

/** The pair of nodes that lives in a run folder, if one does. */
export async function found(run: string): Promise<Nodes | undefined> {
  const text = await readFile(join(run, 'settings.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const settings: Settings = JSON.parse(text)
  return new Nodes(settings)
}

function drive(id: string, options: string, address: string): string[] {
  return ['-drive', `if=none,id=${id},${options}`, '-device', `virtio-blk-pci,drive=${id},serial=${id},addr=${address}`]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** A word for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
