import assert from 'node:assert/strict'
import type { Result } from '../../ring.ts'
import { diskOf } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import { quote, volumeGroup } from '../nodes.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'
import { until, untilTrue } from '../wait.ts'

/** A finding of `lvguard check`, as `--json` prints it. */
export interface Finding {
  readonly code: string
  readonly severity: string
  readonly what: string
}

/** What lvguard says as JSON, with its exit status. */
export async function asked<T>(
  { node }: Pick<ClusterHost, 'node'>,
  words: string,
): Promise<{ readonly code: number; readonly said: T }> {
  const { code, stdout, stderr } = await node.shell(`lvguard ${words}`)
  assert.ok(stdout.startsWith('{'), `lvguard ${words} says no JSON, exit ${code}: ${stdout}${stderr}`)
  return { code, said: JSON.parse(stdout) as T }
}

/** What is true of a node that is set up as the README says. */
export const TRUE_HERE: ReadonlyMap<string, string> = new Map([
  ['LVG101', 'a node has no watchdog'],
  // sanlock remembers an hour of renewals; a node stands still while its state is kept and restored.
  ['LVG114', 'the emulated disk is slow while the machine has no time for it'],
  ['LVG115', 'a node that gets no time renews its lease late'],
])
/** The same on DRBD, as the nodes have it. */
const TRUE_ON_DRBD: ReadonlyMap<string, string> = new Map([
  ...TRUE_HERE,
  ['LVG303', 'the resource of the nodes has no fencing'],
])

/** `lvguard check` finds these codes, and no other than what is true there. */
async function finds(cluster: ClusterRing, host: ClusterHost, ...codes: readonly string[]): Promise<Finding[]> {
  const isTrue = cluster.nodes.settings.storage === 'drbd' ? TRUE_ON_DRBD : TRUE_HERE
  const { code, said } = await asked<{ readonly findings: readonly Finding[] }>(host, 'check --json')
  const made = said.findings.filter(({ code: each }) => !isTrue.has(each) || codes.includes(each))
  const lines = said.findings.map(({ code: each, severity, what }) => `${each} ${severity}: ${what}`)
  assert.deepEqual([...new Set(made.map((each) => each.code))].sort(), [...codes].sort(), lines.join('\n'))
  const has = (severity: string): boolean => said.findings.some((each) => each.severity === severity)
  assert.equal(code, has('critical') ? 2 : has('warning') ? 1 : has('unknown') ? 3 : 0, lines.join('\n'))
  return made
}

/** A mistake, the code by which it is found, and what takes it back. */
interface Mistake {
  readonly code: string
  readonly make: string
  readonly undo: string
}

const LVM_CONF = '/etc/lvm/lvm.conf'
const inSection = (section: string, line: string): string => `sed -i '/^${section} {/a\\\t${line}' ${LVM_CONF}`

/** Each by itself changes nothing of the locks that are there. */
const MISTAKES: readonly Mistake[] = [
  { code: 'LVG106', make: "sed -i 's/host_id = .*/host_id = 7/' /etc/lvm/lvmlocal.conf", undo: 'cluster-identity' },
  { code: 'LVG110', make: 'systemctl disable -q lvmlocks', undo: 'systemctl enable -q lvmlocks' },
  { code: 'LVG117', make: inSection('global', 'lvmlockctl_kill_command = "/bin/true"'), undo: '' },
  { code: 'LVG202', make: inSection('devices', 'scan_lvs = 1'), undo: '' },
  {
    code: 'LVG204',
    make: `lvchange -q --setautoactivation y ${volumeGroup}/spare`,
    undo: `lvchange -q --setautoactivation n ${volumeGroup}/spare`,
  },
  { code: 'LVG205', make: `lvchange -q -aey ${volumeGroup}/idle`, undo: `lvchange -q -an ${volumeGroup}/idle` },
  {
    code: 'LVG207',
    make: `lvchange -q -aey ${volumeGroup}/dead && dmsetup wipe_table ${volumeGroup}-dead`,
    undo: `lvchange -q -an ${volumeGroup}/dead`,
  },
  {
    code: 'LVG208',
    make: `virsh -q pool-define-as virtpool logical --source-name ${volumeGroup} --target /dev/${volumeGroup} && virsh -q pool-autostart virtpool`,
    undo: 'virsh -q pool-undefine virtpool',
  },
  { code: 'LVG405', make: 'systemctl stop lvguard', undo: 'systemctl start lvguard' },
  // Hook and command are one file, or a link to it: the command stays what it is.
  {
    code: 'LVG401',
    make: 'cp -L /usr/sbin/lvguard /root/program && mv /etc/libvirt/hooks/qemu /root/hook && mv /usr/sbin/lvguard /root/command && cp /root/program /usr/sbin/lvguard && install -m 644 /root/program /etc/libvirt/hooks/qemu',
    undo: 'mv -f /root/hook /etc/libvirt/hooks/qemu; mv -f /root/command /usr/sbin/lvguard',
  },
  {
    code: 'LVG407',
    make: 'echo \'volume_groups = [ "virtvg" ]\' > /etc/libvirt/lvguard.conf',
    undo: 'rm /etc/libvirt/lvguard.conf',
  },
  {
    code: 'LVG502',
    make: 'cp /etc/hosts /root/hosts && sed -i "s/^10.*$(hostname)$/127.0.1.1 $(hostname)/" /etc/hosts',
    undo: 'cp /root/hosts /etc/hosts',
  },
  {
    code: 'LVG503',
    make: 'cp /etc/default/libvirt-guests /root/guests && echo ON_SHUTDOWN=suspend >> /etc/default/libvirt-guests',
    undo: 'cp /root/guests /etc/default/libvirt-guests',
  },
]

/** The volumes of the scenario with status: others are left of the scenarios before. */
const OWN: readonly string[] = ['haddock', 'milou', 'spare', 'tintin']

/** The words of the state that lvmlockctl and libvirt show, for a comparison with what lvguard says. */
interface StatusSaid {
  readonly host: string
  readonly agent: string
  readonly vms: readonly { readonly name: string; readonly state: string; readonly volumes: readonly string[] }[]
  readonly volumes: readonly {
    readonly volume: string
    readonly lv: string
    readonly state: string
    readonly active: boolean
    readonly holders: readonly { readonly host: string; readonly here: boolean; readonly mode: string }[]
  }[]
  readonly hosts: readonly { readonly host: string; readonly state: string }[]
  readonly attention: readonly string[]
  readonly unknown: readonly string[]
}

/** A status that is whole: on a node that gets no time a command may not answer within its 5 s, and that is said. */
async function statusOf(host: ClusterHost): Promise<StatusSaid> {
  return await until(
    `all is known on ${host.name}`,
    async () => {
      const { code, said } = await asked<StatusSaid>(host, 'status --json')
      const isLate = said.unknown.some((words) => /answer within/.test(words))
      if (isLate) return undefined
      assert.deepEqual([code, said.unknown], [0, []])
      return said
    },
    { seconds: 90 },
  )
}

const MODES: Readonly<Record<string, string>> = { ex: 'exclusive', sh: 'shared' }

/** What each host's `lvguard status --json` says of who holds what is what both hosts' lvmlockd and libvirt say. */
async function statusIsTrue(cluster: ClusterRing): Promise<readonly StatusSaid[]> {
  const truths = await cluster.truth()
  const wanted = truths
    .flatMap(({ host, locks }) => [...locks].map(([volume, mode]) => `${volumeGroup}/${volume} ${MODES[mode]} ${host}`))
    .sort()
  const all: StatusSaid[] = []
  for (const [at, host] of cluster.hosts.entries()) {
    const said = await statusOf(host)
    const held = said.volumes.flatMap(({ volume, holders }) =>
      holders.map((each) => `${volume} ${each.mode} ${each.host}`),
    )
    assert.deepEqual([said.host, held.sort()], [host.name, wanted], `seen from ${host.name}`)
    const active = said.volumes.filter((each) => each.active).map(({ lv }) => lv)
    assert.deepEqual(active.sort(), [...(truths[at]?.devices.keys() ?? [])].sort(), `active on ${host.name}`)
    const running = [...(truths[at]?.domains ?? [])].filter(([, state]) => state !== 'shut off').map(([name]) => name)
    assert.deepEqual(said.vms.map(({ name }) => name).sort(), running.sort(), `VMs of ${host.name}`)
    all.push(said)
  }
  return all
}

/**
 * Runs a command with `lvguard with` in a process group of its own, to which Ctrl-C goes as a whole, and waits until it
 * has its volume.
 */
async function beginsWith({ node }: ClusterHost, volume: string): Promise<void> {
  const command = `lvguard with ${volumeGroup}/${volume} -- sh -c "touch /run/with-began; sleep 300"`
  await node.must(
    `rm -f /run/with-*; setsid -f bash -c 'echo $$ > /run/with-pid; ${command}; echo $? > /run/with-code' < /dev/null > /run/with-said 2>&1`,
  )
  await node.until(`the command with ${volume}`, '[ -e /run/with-began ]')
}

/** What a person sees, for the output: README shows it. */
async function shows(cluster: ClusterRing, host: ClusterHost, command: string): Promise<void> {
  const { stdout } = await host.node.shell(command)
  cluster.notes.push(`${host.name}# ${command}`, ...stdout.trimEnd().split('\n'))
}

/** How a refusal of libvirt reads, in a line. */
const text = ({ stdout, stderr }: Result): string => `${stdout}${stderr}`

/** What a person types. */
export const verbs: readonly ClusterScenario[] = [
  {
    name: 'check: a good set-up gives only what is true there, and each mistake is found by its code',
    seconds: 600,
    async play(cluster) {
      const [one, two] = cluster.hosts
      for (const volume of ['spare', 'idle', 'dead']) await cluster.volume(volume)
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      for (const host of cluster.hosts) await finds(cluster, host)
      await shows(cluster, one, 'lvguard check')
      const milou = await cluster.domain('milou', { kernel: 'none' })
      await one.node.must(`cp ${LVM_CONF} /root/lvm.conf`)
      try {
        for (const { make } of MISTAKES) await one.node.must(make)
        // libvirt keeps a disk's cache mode out of a migration.
        await one.node.must(
          `virsh -q dumpxml --inactive milou | sed "s/cache='none'/cache='writeback'/" > /root/cached.xml && virsh -q define /root/cached.xml`,
        )
        const found = await finds(cluster, one, ...MISTAKES.map(({ code }) => code), 'LVG501')
        await shows(cluster, one, 'lvguard check')
        for (const [code, words] of [
          ['LVG106', /host_id is 7, and this host has joined virtVG as 1/],
          ['LVG110', /not started at boot: lvmlocks$/],
          ['LVG204', /virtVG\/spare/],
          ['LVG205', /virtVG\/idle$/],
          ['LVG207', /virtVG\/dead \(fails all I\/O\)/],
          ['LVG208', /virtpool is on virtVG, and is started at boot/],
          ['LVG501', /milou live because of disk vda \(cache writeback\)/],
          ['LVG502', /node1, the name of this host, leads to 127\.0\.1\.1/],
        ] as const)
          assert.match(found.find((each) => each.code === code)?.what ?? 'nothing', words)
        // The other host has none of it, but sees the volume that would be activated at boot there too.
        await finds(cluster, two, 'LVG204')
        const { code, stdout } = await one.node.shell('lvguard check --quiet')
        assert.equal(code, 2)
        assert.match(stdout, /^LVGUARD CRITICAL - \d+ critical, \d+ warning: [^\n]*\n$/)
      } finally {
        for (const { undo } of [...MISTAKES].reverse()) await one.node.shell(undo === '' ? 'true' : undo)
        await one.node.must('cp /root/lvm.conf /etc/lvm/lvm.conf; systemctl daemon-reload')
        await milou.define(one)
      }
      await one.agentWatches()
      await finds(cluster, one)
      // Without its lock daemon LVM itself sees nothing of the volume group.
      await one.node.must(`sed -i 's/^\\(\\s*use_lvmlockd = \\)1/\\10/' ${LVM_CONF}`)
      const { said } = await asked<{ readonly findings: readonly Finding[] }>(one, 'check --json')
      await one.node.must('cp /root/lvm.conf /etc/lvm/lvm.conf')
      assert.ok(
        said.findings.some(({ code }) => code === 'LVG109'),
        JSON.stringify(said.findings),
      )
      await tintin.isWholeOn(one)
    },
  },
  {
    name: 'check: what has come and gone is in the journal, what is muted is not said, and Prometheus has its file',
    async play(cluster) {
      const [one] = cluster.hosts
      await cluster.volume('idle')
      const said = async (): Promise<string> =>
        one.node.must('journalctl -q --no-pager -o cat -u lvguard-check --since "@$(cat /run/scenario-began)"')
      await one.node.must('rm -f /run/lvguard/check; systemctl start lvguard-check')
      assert.match(await said(), /^LVG101 warning: sanlock runs without a watchdog/m)
      await one.node.must(`lvchange -q -aey ${volumeGroup}/idle && systemctl start lvguard-check`)
      assert.match(await said(), /^LVG205 warning: active here, .*virtVG\/idle/m)
      await one.node.must(`lvchange -q -an ${volumeGroup}/idle && systemctl start lvguard-check`)
      assert.match(await said(), /^LVG205 is over: active here/m)
      assert.equal((await said()).match(/^LVG101/gm)?.length, 1, 'said once')
      await one.configure('mute = [ "LVG101", "LVG114" ]')
      const { code, stdout } = await one.node.shell('lvguard check --prometheus /run/lvguard.prom')
      assert.equal(code, 0, stdout)
      assert.match(stdout, /^LVGUARD OK - \d+ checks, nothing found \(\d muted\) \| critical=0 warning=0 unknown=0\n$/)
      const file = await one.node.must('cat /run/lvguard.prom; ls -la /run | grep prom')
      assert.match(file, /^lvguard_check_result 0$/m)
      assert.match(file, /^lvguard_findings\{code="LVG205"\} 0$/m)
      assert.match(file, /^-rw-r--r-- .* lvguard\.prom$/m)
    },
  },
  {
    name: 'check --host: two hosts that are alike, and each difference is found by its code',
    seconds: 480,
    async play(cluster) {
      const [one, two] = cluster.hosts
      await cluster.domain('tintin')
      // A node's clock stands still while its state is kept: those of the two may be apart.
      const differs = async (...codes: readonly string[]): Promise<readonly Finding[]> => {
        const { said } = await asked<{ readonly other: string; readonly findings: readonly Finding[] }>(
          one,
          'check --host node2 --json',
        )
        const made = said.findings.filter(({ code }) => code !== 'LVG611' || codes.includes(code))
        assert.deepEqual(
          [said.other, [...new Set(made.map(({ code }) => code))].sort()],
          ['node2', [...codes].sort()],
          said.findings.map(({ code, severity, what }) => `${code} ${severity}: ${what}`).join('\n'),
        )
        return made
      }
      await differs()
      const bridge = "<interface type='bridge'><source bridge='br7'/><model type='virtio'/></interface>"
      const disk =
        "<disk type='volume' device='cdrom'><source pool='images' volume='x.iso'/><target dev='hda' bus='ide'/></disk>"
      await cluster.domain('milou', { devices: `${bridge}${disk}` })
      await one.node.must(
        'ip link add br7 type bridge; virsh -q pool-define-as images dir --target /var/lib/libvirt/images',
      )
      await two.node.must(`cp ${LVM_CONF} /root/lvm.conf`)
      try {
        await two.configure('lock_wait = 60')
        await two.node.must(inSection('devices', 'scan_lvs = 1'))
        await succeeds(two.virsh('undefine', 'tintin'))
        const found = await differs('LVG603', 'LVG604', 'LVG607', 'LVG608', 'LVG609')
        for (const words of [
          /^lock_wait: 30 on node1, 60 on node2$/,
          /^scan_lvs: 0 on node1, 1 on node2$/,
          /^defined on node1 alone: tintin$/,
          /^node2 has no network device br7, which milou needs$/,
          /^node2 has no storage pool images, which milou needs$/,
        ])
          assert.ok(
            found.some(({ what }) => words.test(what)),
            `${words}: ${JSON.stringify(found)}`,
          )
      } finally {
        await one.node.shell('ip link del br7; virsh -q pool-undefine images')
        await two.node.shell(
          'cp /root/lvm.conf /etc/lvm/lvm.conf; rm -f /etc/libvirt/lvguard.conf; systemctl reload lvguard',
        )
      }
      const nobody = await one.node.shell('lvguard check --host node9')
      assert.deepEqual(
        [nobody.code, /^LVGUARD UNKNOWN - 1 unknown: LVG601 /.test(nobody.stdout)],
        [3, true],
        text(nobody),
      )
    },
  },
  {
    name: 'status and holders say what lvmlockctl and libvirt say, in the middle of a migration too',
    seconds: 400,
    async play(cluster) {
      const [one, two] = cluster.hosts
      await cluster.volume('spare')
      const tintin = await cluster.domain('tintin')
      const milou = await cluster.domain('milou')
      await cluster.domain('haddock')
      await succeeds(tintin.start(one))
      await succeeds(milou.start(two))
      await tintin.runs(one)
      await milou.runs(two)
      const [here] = await statusIsTrue(cluster)
      assert.deepEqual(
        here?.volumes.filter(({ lv }) => OWN.includes(lv)).map(({ lv, state }) => `${lv} ${state}`),
        ['haddock free', 'milou held', 'spare free', 'tintin held'],
      )
      assert.deepEqual(here?.attention, [])
      const screen = await one.node.must('lvguard status')
      for (const line of [
        /^node1: nothing to look at$/m,
        /^virtVG: locking started \(sanlock, host_id 1, lease renewed \d+ s ago\)$/m,
        /^ {2}tintin {2}running {2}virtVG\/tintin {2}exclusive$/m,
        /^node2 \(host_id 2, alive, seen \d+ s ago\)$/m,
        /^ {2}milou {2}virtVG\/milou {2}exclusive$/m,
        /^free: (?:.*, )?virtVG\/haddock, .*virtVG\/spare/ms,
      ])
        assert.match(screen, line)
      assert.ok(Math.max(...screen.split('\n').map(({ length }) => length)) <= 80, screen)
      const holders = await one.node.must(
        `lvguard holders ${volumeGroup}/tintin ${volumeGroup}/milou ${volumeGroup}/spare`,
      )
      assert.match(
        holders,
        /^virtVG\/milou exclusive node2 seen=\d+s takeable=when-released\nvirtVG\/spare free - seen=- takeable=now\nvirtVG\/tintin exclusive node1 seen=\d+s takeable=when-released\n$/,
      )
      // The exit status of what does not exist, and of wrong usage.
      const statuses: number[] = []
      for (const words of [
        'status nobody',
        `holders ${volumeGroup}/nothing`,
        'holders',
        'status tintin',
        `status ${volumeGroup}/spare`,
      ])
        statuses.push((await one.node.shell(`lvguard ${words}`)).code)
      assert.deepEqual(statuses, [1, 1, 2, 0, 0])

      // In the middle of a migration both hosts share the volume.
      await one.slowStream()
      const migrated = tintin.migrate(one, two)
      await tintin.isOnTheWay(one)
      const [from, to] = await statusIsTrue(cluster)
      assert.equal(from?.vms.find(({ name }) => name === 'tintin')?.state, 'migrating out')
      assert.equal(to?.vms.find(({ name }) => name === 'tintin')?.state, 'migrating in')
      await shows(cluster, one, 'lvguard status')
      await shows(cluster, one, `lvguard holders ${volumeGroup}/tintin`)
      assert.match(
        await two.node.must(`lvguard holders ${volumeGroup}/tintin`),
        /^virtVG\/tintin shared node2 seen=\d+s takeable=when-released\nvirtVG\/tintin shared node1 seen=\d+s takeable=when-released\n$/,
      )
      await one.node.until(
        'systemctl status lvguard tells of the migration',
        'systemctl status lvguard | grep -q \'Status: "1 VM, 0 volumes exclusive, 1 shared, 1 migrating"\'',
      )
      await one.freeStream()
      await succeeds(migrated)
      await tintin.runs(two)
      await statusIsTrue(cluster)
      await two.node.until(
        'systemctl status lvguard tells of both VMs',
        'systemctl status lvguard | grep -q \'Status: "2 VMs, 2 volumes exclusive"\'',
      )

      // What nobody uses, and what runs without an agent, is to look at.
      await one.node.must(`lvchange -q -aey ${volumeGroup}/spare && systemctl stop lvguard`)
      const { attention } = await statusOf(one)
      assert.deepEqual(attention, [
        'the agent does not run, so that no VM is let in by a migration: systemctl start lvguard',
        'virtVG/spare is active here, and no VM here uses it',
      ])
      await one.node.must(`lvchange -q -an ${volumeGroup}/spare && systemctl start lvguard`)
      // lvmlockd that does not answer: what is not known is not called free.
      await one.pauseLocking()
      try {
        const silent = await asked<StatusSaid>(one, 'status --json')
        assert.equal(silent.code, 3)
        assert.ok(silent.said.unknown.length > 0)
      } finally {
        await one.resumeLocking()
      }
      await tintin.isWholeOn(two)
    },
  },
  {
    name: 'with: a file system, an image, a backup; Ctrl-C and kill -9 leave nothing; refused while the VM runs elsewhere',
    seconds: 480,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const path = `${volumeGroup}/tintin`
      const with_ = (host: ClusterHost, command: string, seconds = 180): Promise<Result> =>
        host.node.shell(`lvguard with ${path} -- ${command}`, { seconds })
      const isFree = async (): Promise<boolean> =>
        (await cluster.truth()).every(({ locks, devices }) => !locks.has('tintin') && !devices.has('tintin'))
      assert.deepEqual(
        (await succeeds(with_(one, `sh -c 'lvmlockctl -i | grep -c "LK LV ex"; mkfs.ext4 -q /dev/${path}'`))).stdout,
        '1\n',
      )
      assert.ok(await isFree())
      // An image, and a backup of the VM that has it, is stopped.
      await one.node.must(
        'head -c 4M /dev/urandom > /root/image.raw && qemu-img convert -O qcow2 /root/image.raw /root/image.qcow2',
      )
      await succeeds(with_(one, `qemu-img convert -n -O raw /root/image.qcow2 /dev/${path}`))
      await succeeds(with_(two, `sh -c 'dd if=/dev/${path} bs=1M count=4 status=none > /root/backup'`))
      const sum = (host: ClusterHost, file: string) => host.node.must(`sha256sum < ${file}`)
      assert.equal(await sum(two, '/root/backup'), await sum(one, '/root/image.raw'))
      assert.ok(await isFree())
      // The exit status is that of the command.
      assert.deepEqual(
        [(await with_(one, "sh -c 'exit 7'")).code, (await with_(one, '/no/such/command')).code],
        [7, 127],
      )
      assert.ok(await isFree())

      // Ctrl-C, to the whole group as a terminal sends it.
      await beginsWith(one, 'tintin')
      await isRefused(tintin.start(one), /tintin was not started/)
      await isRefused(tintin.start(two), /virtVG\/tintin is held exclusively by node1/)
      await one.node.must('kill -INT -$(cat /run/with-pid)')
      await one.node.until('the end of the command', '[ -e /run/with-code ]')
      assert.equal(await one.read('/run/with-code'), '126\n')
      assert.ok(await isFree())
      // kill -9 of lvguard alone: the command goes on, and its volume stays; of all: the agent gives it back.
      await beginsWith(one, 'tintin')
      await one.node.must('kill -9 -$(cat /run/with-pid)')
      await untilTrue('the agent gives the volume back', isFree, { seconds: 60 })

      // Where the guest finds something else than zeros, it takes it for its own.
      await succeeds(with_(one, `dd if=/dev/zero of=/dev/${path} bs=1M count=8 oflag=direct status=none`))
      await succeeds(tintin.start(two))
      await isRefused(with_(one, 'true'), /virtVG\/tintin is held exclusively by node2/, /nothing was run/i)
      await isRefused(with_(two, 'true'), /virtVG\/tintin/, /nothing was run/i)
      await tintin.runs(two)
      // Larger, while its VM runs, as the README says.
      await two.node.must(`lvextend -q -L +4m ${path}`)
      await succeeds(two.virsh('blockresize', 'tintin', `/dev/${path}`, '12m'))
      assert.match((await succeeds(two.virsh('domblkinfo', 'tintin', 'vda'))).stdout, /Capacity: +12582912/)
      await tintin.runs(two)
      await tintin.writes(two)
      await succeeds(tintin.destroy(two))
      await tintin.runs('nowhere')
      // Of its usual size again for the next scenario.
      await one.node.must(`lvremove -q -y ${path}`)
    },
  },
  {
    name: 'evacuate sends away what can go, live, and says why the rest stays; return fetches it back',
    seconds: 600,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const names = ['tintin', 'milou']
      const vms = []
      for (const name of names) vms.push(await cluster.domain(name))
      const stuck = await cluster.domain('castafiore', {
        disks: [diskOf('castafiore', 'vda').replace("cache='none'", "cache='writeback'")],
      })
      for (const vm of [...vms, stuck]) await succeeds(vm.start(one))
      for (const vm of [...vms, stuck]) await vm.runs(one)
      for (const vm of vms) await vm.writes(one)
      const why = 'libvirt refuses because of disk vda \\(cache writeback\\)'

      const dry = await one.node.shell('lvguard evacuate --dry-run')
      assert.equal(dry.code, 1, text(dry))
      assert.match(
        dry.stdout,
        new RegExp(`^castafiore stays: ${why}\n(?:(?:tintin|milou) would migrate to node2\n){2}$`),
      )
      for (const vm of [...vms, stuck]) await vm.runs(one)

      const went = await one.node.shell('lvguard evacuate', { seconds: 500 })
      assert.equal(went.code, 1, text(went))
      for (const name of names) {
        assert.match(went.stdout, new RegExp(`^${name}: migrates to node2$`, 'm'))
        assert.match(went.stdout, new RegExp(`^${name}: runs on node2 \\(\\d+ s\\)$`, 'm'))
      }
      assert.match(went.stdout, new RegExp(`^2 VMs are on node2, 1 is not:\n {2}castafiore: ${why}\n$`, 'm'))
      for (const vm of vms) await vm.runs(two)
      await stuck.runs(one)
      for (const vm of vms) await vm.writes(two)

      const back = await one.node.shell('lvguard return --dry-run')
      assert.match(text(back), /^(?:(?:tintin|milou) would come back from node2\n){2}$/)
      // What does not run there any more stays away, with the reason; the rest comes.
      await succeeds(two.virsh('destroy', 'milou'))
      const came = await one.node.shell('lvguard return', { seconds: 500 })
      assert.equal(came.code, 1, text(came))
      assert.match(came.stdout, /^milou stays away: it does not run on node2 any more$/m)
      assert.match(came.stdout, /^1 VM is back here, 1 is not:$/m)
      await vms[0]?.isWholeOn(one)
      await vms[1]?.runs('nowhere')
      // Nothing to do for those that are named, and a host that nobody is.
      const none = await one.node.shell('lvguard evacuate milou --to node2')
      assert.deepEqual(
        [none.code, /^milou stays: it does not run on this host$/m.test(none.stdout)],
        [1, true],
        text(none),
      )
      // No agent there: nothing goes.
      await two.node.must('systemctl stop lvguard')
      const refused = await one.node.shell('lvguard evacuate tintin')
      assert.deepEqual(
        [refused.code, /^tintin stays: no agent runs on node2: systemctl start lvguard there$/m.test(refused.stdout)],
        [1, true],
        text(refused),
      )
      await vms[0]?.runs(one)
    },
  },
  {
    name: 'lvguard-evacuate.service empties a host that reboots before libvirt-guests would stop its VMs',
    seconds: 900,
    spoils: true,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      await tintin.writes(one)
      // What `systemctl edit` makes of the README's lines. The words are those for more than one other host.
      await one.node.must(
        "mkdir -p /etc/systemd/system/lvguard-evacuate.service.d && printf '[Service]\\nExecStop=\\nExecStop=/usr/sbin/lvguard evacuate --to node2\\n' > /etc/systemd/system/lvguard-evacuate.service.d/override.conf && systemctl daemon-reload",
      )
      await one.node.must('systemctl enable -q --now lvguard-evacuate')
      // As at a shutdown, but without the boot after it. systemctl asks for one stop after the other: the second one is
      // not begun before the first has ended, by the order of the units. Asked for the other way round, libvirt-guests
      // would be stopped before anybody speaks of the other (measured, systemd 252).
      await one.node.must('systemctl stop lvguard-evacuate libvirt-guests', { seconds: 500 })
      await tintin.runs(two)
      await tintin.writes(two)
      await one.node.must('systemctl start libvirt-guests lvguard-evacuate')
      await succeeds(one.node.shell('lvguard return', { seconds: 500 }))
      await tintin.isWholeOn(one)
    },
  },
  {
    name: 'sync defines on the other host what is defined here, shows what changes, and knows the newer side',
    seconds: 400,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await cluster.domain('milou')
      const memory = async ({ node }: ClusterHost): Promise<string> =>
        /<memory unit='KiB'>(\d+)/.exec(await node.must('virsh dumpxml --inactive tintin'))?.[1] ?? ''
      const edit = async ({ node }: ClusterHost, megabytes: number): Promise<void> =>
        void (await node.must(
          `virsh dumpxml --inactive --security-info tintin | sed "s|unit='KiB'>[0-9]*</|unit='KiB'>$((${megabytes} * 1024))</|" > /root/edited.xml && virsh -q define /root/edited.xml`,
        ))
      const same = await succeeds(one.node.shell('lvguard sync --to node2 --dry-run'))
      assert.equal(same.stdout, '2 of 2 are the same on node2\n')
      await succeeds(two.virsh('undefine', 'milou'))
      await edit(one, 12)
      await succeeds(tintin.start(one))
      await tintin.runs(one)

      const dry = await one.node.shell('lvguard sync --to node2 --dry-run')
      assert.equal(dry.code, 1, text(dry))
      assert.match(dry.stdout, /^milou: not defined on node2$/m)
      assert.match(
        dry.stdout,
        /^tintin: this host holds its volumes, so that its definition here is the newer one\. On node2 this would change:$/m,
      )
      assert.match(
        dry.stdout,
        /^- {3}<memory unit='KiB'>10240<\/memory>\n(?:- .*\n)?\+ {3}<memory unit='KiB'>12288<\/memory>$/m,
      )
      assert.deepEqual([await memory(one), await memory(two)], ['12288', '10240'])

      // A question for each; no answer is no.
      const asks = await one.node.shell('echo n | lvguard sync --to node2 tintin')
      assert.equal(asks.code, 1)
      assert.match(text(asks), /Define tintin on node2 as it is here\? \[y\/N\] /)
      assert.equal(await memory(two), '10240')

      // From the host that does not hold it: the other side is the newer one, and stays.
      const older = await two.node.shell('lvguard sync --to node1 --yes')
      assert.equal(older.code, 1, text(older))
      assert.match(older.stdout, /^tintin: node1 holds its volumes, so that its definition there is the newer one\./m)
      assert.match(older.stdout, /^tintin: left as it is; to take over what node1 has, type lvguard sync there$/m)
      assert.deepEqual([await memory(one), await memory(two)], ['12288', '10240'])

      const done = await succeeds(one.node.shell('lvguard sync --to node2 --yes'))
      assert.match(done.stdout, /^milou: defined on node2$/m)
      assert.match(done.stdout, /^tintin: defined on node2$/m)
      assert.deepEqual([await memory(one), await memory(two)], ['12288', '12288'])
      assert.equal(
        (await succeeds(one.node.shell('lvguard sync --to node2'))).stdout,
        '2 of 2 were the same on node2\n',
      )

      // Never undefined: what only the other host has stays there, without a word.
      await succeeds(one.virsh('undefine', 'milou'))
      await succeeds(one.node.shell('lvguard sync --to node2 --yes'))
      await succeeds(two.virsh('dominfo', 'milou'))
      // Another VM of that name there.
      await two.node.must(
        `virsh dumpxml --inactive milou | sed 's|<uuid>.*</uuid>|<uuid>${quote('00000000-0000-4000-8000-00000000abcd')}</uuid>|' > /root/other.xml && virsh -q undefine milou && virsh -q define /root/other.xml`,
      )
      await cluster.hosts[0].node.must('virsh -q define /root/milou.xml')
      const twice = await one.node.shell('lvguard sync --to node2 --yes milou')
      assert.deepEqual(
        [twice.code, /^milou: node2 has another VM of that name/m.test(twice.stdout)],
        [1, true],
        text(twice),
      )
      await tintin.runs(one)
    },
  },
]
