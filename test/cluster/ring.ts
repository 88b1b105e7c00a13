/** The ring of tests on two real nodes: the Ring of all scenarios, and what those with libvirt need besides. */
import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import type { HookCall, Host, Lock, Result, Ring } from '../ring.ts'
import { Domain, type DomainOptions } from './domain.ts'
import { type Node, type Nodes, quote, volumeGroup } from './nodes.ts'
import { succeeds } from './expect.ts'
import { pace } from './pace.ts'
import { untilTrue } from './wait.ts'

/** libvirt's daemon, on the node. */
const DAEMON = 'libvirtd'

/**
 * libvirt's ports for the memory of VMs, 49152 to 49215, at one kilobyte a second; all else as fast as ever. With
 * little room in the kernel for what is on its way: else QEMU takes all for sent, and stops the VM to end the
 * migration.
 */
const SLOW_STREAM =
  'sysctl -q net.ipv4.tcp_wmem="4096 16384 65536" && ' +
  'tc qdisc replace dev eth1 root handle 1: prio && tc qdisc replace dev eth1 parent 1:3 handle 30: tbf rate 8kbit burst 3000 limit 60000 && ' +
  'tc filter replace dev eth1 parent 1: protocol ip prio 1 u32 match ip dport 49152 0xffc0 flowid 1:3'
// As Linux has it by itself.
const FREE_STREAM = 'sysctl -q net.ipv4.tcp_wmem="4096 16384 4194304"; tc qdisc del dev eth1 root 2> /dev/null || true'
/**
 * Nothing of DRBD's port leaves the node, all else as ever: in a band of its own, into which nothing falls by itself.
 * Undone by FREE_STREAM. Cut on both nodes, as a cable is.
 */
const CUT_REPLICATION =
  'tc qdisc replace dev eth1 root handle 1: prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1 && tc qdisc replace dev eth1 parent 1:4 handle 40: netem loss 100% && ' +
  ['dport', 'sport']
    .map(
      (port, index) =>
        `tc filter add dev eth1 parent 1: protocol ip prio ${index + 1} u32 match ip ${port} 7788 0xffff flowid 1:4`,
    )
    .join(' && ')
/**
 * What `apt install ./lvguard_*.deb` does on a node, which has no network and all that the package depends on. A
 * changed configuration stays.
 */
export const INSTALL_PACKAGE =
  'DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install /root/lvguard/dist/lvguard.deb'
/** When the scenario began, in seconds: what the scenarios before it had the agent say is no news. */
const BEGAN = '/run/scenario-began'

/**
 * What a host really holds: lvmlockd's locks, device-mapper's devices, libvirt's domains. Never the hook's own word.
 */
export interface Truth {
  readonly host: string
  /** By the name of the volume. */
  readonly locks: ReadonlyMap<string, Lock>
  /** Devices of the volume group by the name of the volume, with their open count. */
  readonly devices: ReadonlyMap<string, number>
  /** States of the defined domains, in libvirt's words. */
  readonly domains: ReadonlyMap<string, string>
}

export class ClusterHost implements Host {
  readonly name: string

  constructor(
    readonly node: Node,
    private readonly uuids: ReadonlyMap<string, string>,
  ) {
    this.name = node.name
  }

  async hook({
    name,
    operation,
    subOperation = operation === 'release' || operation === 'stopped' ? 'end' : 'begin',
    extra = '-',
    xml,
    options = [],
  }: HookCall): Promise<Result> {
    const words = ['/etc/libvirt/hooks/qemu', ...options, name, operation, subOperation, extra].map(quote).join(' ')
    const call = (): Promise<Result> =>
      this.node.shell(`env -i LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${words}`, {
        input: xml,
      })
    // A release ends within 5 s, on a slow node too, and leaves the rest to the agent. Where the agents are stopped,
    // the next call does that.
    for (let tries = 1; ; tries++) {
      const result = await call()
      if (operation !== 'release' || tries === 3 || !result.stderr.includes('is not given back yet')) return result
    }
  }

  program(words: readonly string[], stdin = ''): Promise<Result> {
    return this.node.shell(['lvguard', ...words].map(quote).join(' '), { input: stdin })
  }

  run(command: string, ...words: string[]): Promise<Result> {
    return this.node.run(command, ...words)
  }

  /** `virsh` with these words. */
  virsh(...words: string[]): Promise<Result> {
    return this.node.run('virsh', '-q', ...words)
  }

  async lock(volume: string): Promise<Lock> {
    return (await this.truth()).locks.get(nameOf(volume)) ?? 'none'
  }

  async read(path: string): Promise<string | undefined> {
    const { code, stdout } = await this.node.run('cat', path)
    return code === 0 ? stdout : undefined
  }

  async write(path: string, text: string | undefined): Promise<void> {
    const file = quote(path)
    if (text === undefined) await this.node.must(`rm -f ${file}`)
    else await this.node.must(`mkdir -p "$(dirname ${file})" && cat > ${file}`, { input: text })
  }

  async list(directory: string): Promise<string[]> {
    const { stdout } = await this.node.run('ls', '-A', directory)
    return stdout.split('\n').filter((name) => name !== '')
  }

  async pauseLocking(): Promise<void> {
    await this.node.must('kill -STOP $(pidof lvmlockd)')
  }

  async resumeLocking(): Promise<void> {
    await this.node.must('kill -CONT $(pidof lvmlockd)')
  }

  async killLocking(): Promise<void> {
    await this.node.must('systemctl kill -s KILL lvmlockd')
    await untilTrue(
      `the end of lvmlockd on ${this.name}`,
      async () => (await this.node.shell('pidof lvmlockd')).code !== 0,
    )
  }

  async restartLocking(): Promise<void> {
    await this.write(
      '/run/systemd/system/lvmlockd.service.d/adopt.conf',
      '[Service]\nExecStart=\nExecStart=/sbin/lvmlockd --foreground --adopt 1\n',
    )
    await this.node.must('systemctl daemon-reload; systemctl reset-failed lvmlockd; systemctl start lvmlockd')
    await untilTrue(`lvmlockd on ${this.name}`, async () => (await this.node.shell(`vgs ${volumeGroup}`)).code === 0)
  }

  /** What the agent has said in its journal since the scenario began. */
  agentSaid(): Promise<string> {
    return this.node.must(`journalctl -q --no-pager -u lvguard --since "@$(cat ${BEGAN})"`)
  }

  /** What sanlock says of this node's lease: when it was renewed last, and its own clock, in seconds. */
  async lease(): Promise<{ readonly renewed: number; readonly now: number }> {
    const status = await this.node.must('sanlock client status -D')
    const number = (name: string, text: string): number => Number(new RegExp(`^ +${name}=(\\d+)$`, 'm').exec(text)?.[1])
    return {
      renewed: number('renewal_last_success', status.slice(status.indexOf(`\ns lvm_${volumeGroup}:`))),
      now: number('monotime', status),
    }
  }

  /**
   * When the agent said something first since this boot, in seconds of the monotonic clock, which is sanlock's;
   * undefined: never.
   */
  async saidAt(words: RegExp): Promise<number | undefined> {
    const lines = await this.node.must('journalctl -q --no-pager -b -o short-monotonic -u lvguard')
    const line = lines.split('\n').find((each) => words.test(each))
    return line === undefined ? undefined : Number(/^\[ *([\d.]+)\]/.exec(line)?.[1])
  }

  /** Puts these lines into the configuration, and has the agent read them. */
  async configure(...lines: readonly string[]): Promise<void> {
    await this.write('/etc/libvirt/lvguard.conf', `${lines.join('\n')}\n`)
    await this.node.must('systemctl reload lvguard')
  }

  /** Waits until the agent that systemd has started says that it is there: in emulation it takes seconds to begin. */
  async agentWatches(): Promise<void> {
    await this.node.until(
      `the agent of ${this.name}`,
      '{ systemctl is-active -q lvguard && read pid start beat < /run/lvguard/agent && [ "$pid" = "$(systemctl show -P MainPID lvguard)" ]; } 2> /dev/null',
    )
  }

  /** From now on migrations that leave this host stay in the middle, until `freeStream`. */
  async slowStream(): Promise<void> {
    await this.node.must(SLOW_STREAM)
  }

  async freeStream(): Promise<void> {
    await this.node.must(FREE_STREAM)
  }

  /** From now on nothing of DRBD leaves this host, until `freeStream`; migration and ssh go on. */
  async cutReplication(): Promise<void> {
    await this.node.must(CUT_REPLICATION)
  }

  /** Stops libvirt's daemon, and its sockets, which would start it again. */
  async stopLibvirt(): Promise<void> {
    await this.node.must(`systemctl stop '${DAEMON}*'`)
  }

  /** Restarts libvirt's daemon and waits until it answers. */
  async restartLibvirt(): Promise<void> {
    await this.node.must(`systemctl reset-failed ${DAEMON}; systemctl restart ${DAEMON}`)
    await untilTrue(`libvirt on ${this.name}`, async () => (await this.virsh('list')).code === 0)
  }

  /** One look at all that counts, in one command. */
  async truth(): Promise<Truth> {
    const text = await this.node.must(
      [
        // 158: another one runs on the node, the agent's for example (they share one abstract socket), and it has said
        // nothing.
        'while lvmlockctl -i; [ $? = 158 ]; do sleep 0.1; done',
        'echo =',
        'dmsetup info -c --noheadings --separator " " -o name,open || true',
        'echo =',
        'virsh -q list --all',
      ].join('; '),
    )
    const [locks = '', devices = '', domains = ''] = text.split(/^=$/m)
    const names = new Map([...this.uuids].map(([name, uuid]) => [uuid, name]))
    return {
      host: this.name,
      locks: new Map(
        [...locks.matchAll(/^LK LV (ex|sh) (\S+)/gm)].map(([, mode, uuid = '']) => [
          names.get(uuid) ?? uuid,
          mode === 'ex' ? 'ex' : 'sh',
        ]),
      ),
      devices: new Map(
        [...devices.matchAll(/^(\S+) (\d+)$/gm)].flatMap(([, name = '', open]) => {
          const volume = name.startsWith(`${volumeGroup}-`)
            ? name.slice(volumeGroup.length + 1).replaceAll('--', '-')
            : ''
          return volume === '' || volume === 'lvmlock' ? [] : [[volume, Number(open)] as const]
        }),
      ),
      domains: new Map(
        [...domains.matchAll(/^ *\S+ +(\S+) +(.+?) *$/gm)].map(([, name = '', state = '']) => [name, state]),
      ),
    }
  }
}

/** What lasts from one scenario to the next, as long as the nodes are the same. */
export class Session {
  /** UUIDs of the volumes that were made, by name. */
  readonly uuids = new Map<string, string>()
  /** Whether the VM of `ClusterRing.standing` runs. */
  stands = false
  /** How often that VM's guest has booted. */
  boots = 0
}

const STANDING = 'tintin'

export class ClusterRing implements Ring {
  readonly kind = 'cluster'
  readonly devices = true
  readonly volumeGroup = volumeGroup
  readonly hosts: readonly [ClusterHost, ClusterHost]
  /** Volumes of this scenario: they may be in use. */
  private readonly made = new Set<string>()

  /** What is to be said of this scenario, beside whether it passed. */
  readonly notes: string[] = []

  constructor(
    readonly nodes: Nodes,
    readonly session = new Session(),
  ) {
    const [one, two] = nodes.all
    this.hosts = [new ClusterHost(one, session.uuids), new ClusterHost(two, session.uuids)]
  }

  async volume(name: string): Promise<string> {
    const [one, two] = this.hosts
    const path = `${volumeGroup}/${name}`
    this.made.add(name)
    // Zeroed: an old journal must not show through. `-an` at once: lvcreate would leave it exclusive here (FACTS 36).
    const zeroed = `dd if=/dev/zero of=/dev/${path} bs=1M count=8 oflag=direct status=none && lvchange -q -an ${path} > /dev/null`
    if (this.session.uuids.has(name) && (await one.node.shell(`lvchange -q -aey ${path} && ${zeroed}`)).code === 0)
      return path
    const create = `lvcreate -q -y -Wn -Zn -L 8m --setautoactivation n -n ${quote(name)} ${volumeGroup} > /dev/null && ${zeroed} && lvs --noheadings -o lv_uuid ${path}`
    const fresh = await one.node.shell(create)
    // There already, from before the state of the nodes was kept.
    if (fresh.code !== 0) await two.run('lvchange', '-an', '-y', path)
    const uuid =
      fresh.code === 0
        ? fresh.stdout
        : await one.node.must(`{ lvchange -q -an -y ${path}; lvremove -q -y ${path}; } > /dev/null 2>&1; ${create}`)
    this.session.uuids.set(name, uuid.trim())
    return path
  }

  /**
   * A VM that runs and writes, for scenarios with `standing`, which leave it so: the one of the scenario before, on
   * whichever host it was left, or a new one on the first host. A start takes longer here than a migration.
   * @returns the VM, the host on which it runs, and the other one
   */
  async standing(): Promise<{ vm: Domain; from: ClusterHost; to: ClusterHost }> {
    const [one, two] = this.hosts
    if (this.session.stands) {
      const vm = new Domain(STANDING, this, {})
      const [{ domains }] = await this.truth()
      const [from, to] = domains.get(vm.name) === 'running' ? [one, two] : [two, one]
      await vm.runs(from)
      return { vm, from, to }
    }
    const vm = await this.domain(STANDING)
    await succeeds(vm.start(one))
    await vm.writes(one)
    await vm.runs(one)
    this.session.stands = true
    this.session.boots = 1
    return { vm, from: one, to: two }
  }

  /** What a scenario with `standing` leaves: nothing but its VM, exclusive on one host. @throws what else there is */
  async settle(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.node.must(`rm -f /etc/libvirt/lvguard.conf; ${FREE_STREAM}`)))
    const truths = await this.truth()
    const here = truths.map(({ locks, devices, domains }) => ({
      locks: [...locks],
      devices: [...devices.keys()],
      running: [...domains].filter(([, state]) => state === 'running').map(([name]) => name),
    }))
    const nothing = { locks: [], devices: [], running: [] }
    const all = { locks: [[STANDING, 'ex']], devices: [STANDING], running: [STANDING] }
    assert.deepEqual(
      [...here].sort((a, b) => a.running.length - b.running.length),
      [nothing, all],
    )
  }

  /** A VM, shut off, of the same UUID on both nodes, with new volumes: by default one of its own name. */
  async domain(name: string, options: DomainOptions = {}): Promise<Domain> {
    const domain = new Domain(name, this, options)
    for (const volume of domain.volumes) if (!this.made.has(volume)) await this.volume(volume)
    await Promise.all(this.hosts.map((host) => domain.define(host)))
    return domain
  }

  /** What both hosts hold, now. */
  async truth(): Promise<readonly [Truth, Truth]> {
    const [one, two] = this.hosts
    return await Promise.all([one.truth(), two.truth()])
  }

  /**
   * Installs the built tree on both nodes as an administrator does, in the way that the settings say. Both ways lie in
   * /root/lvguard afterwards.
   */
  async install(): Promise<void> {
    await rm('dist/lvguard.deb', { force: true })
    await execa('node', ['install/debian/deb.mjs'], { env: { LVGUARD_DEB: 'dist/lvguard.deb' } })
    await Promise.all(
      this.hosts.map(async ({ node }) => {
        await node.copy(['README.md', 'dist', 'install'], '/root/lvguard')
        await node.must(this.nodes.settings.way === 'package' ? INSTALL_PACKAGE : '/root/lvguard/install/install.sh')
        // Post-copy, by a QEMU that is not root.
        await node.must('sysctl -q vm.unprivileged_userfaultfd=1')
      }),
    )
  }

  /**
   * On DRBD nothing that a host had is started elsewhere before a person says that it is off; on a disk that both share
   * its lease is enough. Waits until DRBD misses it.
   */
  async confirmOff(dead: ClusterHost, on: ClusterHost): Promise<void> {
    if (this.nodes.settings.storage !== 'drbd') return
    await untilTrue(
      `${on.name} does not see ${dead.name} any more`,
      async () => (await on.program(['confirm-off', dead.name, '--yes'])).code === 0,
      { seconds: 60, every: 1 },
    )
  }

  /** A VM's life once: libvirt learns what QEMU can do, the hook's code is compiled and kept, ssh connected. */
  async warmUp(): Promise<void> {
    await this.startAgents()
    const { vm, from, to } = await this.standing()
    await succeeds(vm.migrate(from, to))
    await to.node.must(`ssh ${from.name} true`)
    await this.reset()
  }

  /**
   * What a hook call takes on a node, in seconds: the last `prepare` there, of a VM's first life; its code was compiled
   * before.
   */
  async hookCall(): Promise<number> {
    const { node } = this.hosts[1]
    const line = await node.must(`grep '"operation":"prepare"' /var/log/libvirt/lvguard.log | tail -n 1`)
    return (JSON.parse(line) as { milliseconds: number }).milliseconds / 1000
  }

  /** How many things a scenario plays with: fewer on a slow machine, which is said then. */
  fewer(what: string, usual: number, least: number): number {
    const count = pace().fewer(usual, least)
    const note = pace().smallerForm(what, usual, count)
    if (note !== undefined) this.notes.push(note)
    return count
  }

  /** Before each scenario. */
  async begin(): Promise<void> {
    await Promise.all(this.hosts.map(({ node }) => node.must(`date +%s > ${BEGAN}`)))
  }

  /**
   * What QEMU said, if it has lost a page of a guest's memory in a live migration since the scenario began: then the
   * guest is broken, and the scenario says nothing of lvguard. Seen on QEMU 7.2 without KVM, twice in one whole run
   * of the ring: a page may be noted as changed, sent, and only then written, if that thread gets no processor time in
   * between. With KVM the kernel keeps that account.
   */
  async lostMemory(): Promise<string | undefined> {
    const said = await Promise.all(
      this.hosts.map(({ node }) =>
        node.must(
          `from=$(date -u -d "@$(cat ${BEGAN})" +%FT%T); awk -v from="$from" '$1 >= from && /Guest index .* inconsistent with Host index/' /var/log/libvirt/qemu/*.log`,
        ),
      ),
    )
    return said.map((words) => words.trim()).find((words) => words !== '')
  }

  /** The agent on both nodes, as installed; returns when it is there. */
  async startAgents(): Promise<void> {
    await Promise.all(
      this.hosts.map(async (host) => {
        await host.node.must(
          'systemctl is-active -q lvguard || { rm -f /run/lvguard/agent; systemctl reset-failed lvguard; systemctl start lvguard; }',
        )
        await host.agentWatches()
      }),
    )
  }

  /** No agent, but hooks that believe in one: for domains that no libvirt knows, which an agent would take for gone. */
  async stopAgents(): Promise<void> {
    await Promise.all(
      this.hosts.map(({ node }) =>
        node.must(`systemctl stop lvguard; echo "1 $(cut -d ' ' -f 22 /proc/1/stat)" > /run/lvguard/agent`),
      ),
    )
  }

  async pass(milliseconds: number): Promise<void> {
    await setTimeout(milliseconds)
  }

  async reset(): Promise<void> {
    this.session.stands = false
    await Promise.all(
      this.hosts.map(({ node }) =>
        node.must(
          'kill -CONT $(pidof lvmlockd); names=$(virsh -q list --all --name); commands=; ' +
            'for name in $names; do commands="$commands destroy $name; undefine --managed-save $name;"; done; ' +
            '[ -z "$names" ] || virsh -q "$commands" 2> /dev/null; ' +
            `lvchange -q -an -y ${volumeGroup}; rm -rf /run/lvguard/*.json /var/lib/lvguard /run/libvirt/qemu/*.xml /var/log/libvirt/qemu/*.console /etc/libvirt/lvguard.conf; ${FREE_STREAM}`,
        ),
      ),
    )
    for (const { host, locks, devices, domains } of await this.truth()) {
      assert.deepEqual([[...locks], [...devices], [...domains]], [[], [], []], `${host} is not clean`)
    }
  }

  async close(): Promise<void> {
    await this.nodes.down()
  }

  /** All that a person needs to find out what went wrong, in a folder: logs of both nodes, and what they hold now. */
  async collect(into: string): Promise<void> {
    for (const { node } of this.hosts) {
      const folder = join(into, node.name)
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, 'console.log'), await node.console())
      const looks: Record<string, string> = {
        'lvguard.log': 'cat /var/log/libvirt/lvguard.log',
        'libvirt.log': 'journalctl --no-pager -o short-monotonic -u libvirtd -u virtqemud',
        'lvmlockd.log': 'lvmlockctl --dump; journalctl --no-pager -o short-monotonic -u lvmlockd -u lvmlocks',
        'sanlock.log': 'cat /var/log/sanlock.log; sanlock client status -D',
        'kernel.log': 'dmesg',
        'journal.log': 'journalctl --no-pager -o short-monotonic -b | tail -n 3000',
        'qemu.log': 'tail -n +1 /var/log/libvirt/qemu/*',
        'records.txt': 'tail -n +1 /run/lvguard/*',
        'status.txt': 'tail -n +1 /run/libvirt/qemu/*.xml',
        'drbd.txt': 'cat /proc/drbd; drbdsetup events2 --now; tail -n +1 /var/lib/lvguard/confirm-off/*',
        'truth.txt':
          'lvmlockctl -i; dmsetup info -c; dmsetup table; virsh list --all; ps -eo pid,ppid,etime,stat,wchan:20,args',
        'guests.txt': `for vm in $(virsh -q list --name); do for words in 'info status' 'info registers' 'info pic' 'info block' 'info blockstats'; do echo "== $vm: $words"; virsh -q qemu-monitor-command "$vm" --hmp "$words"; done; done`,
      }
      for (const [file, command] of Object.entries(looks)) {
        const { stdout, stderr } = await node.shell(`( ${command} ) 2>&1`, { seconds: 20 })
        await writeFile(join(folder, file), stdout + stderr)
      }
    }
  }
}

/** `virtVG/tintin` or `tintin`. */
function nameOf(volume: string): string {
  return volume.slice(volume.lastIndexOf('/') + 1)
}
