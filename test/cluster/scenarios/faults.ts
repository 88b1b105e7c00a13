import assert from 'node:assert/strict'
import { diskOf } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterScenario } from '../scenario.ts'
import type { ClusterHost } from '../ring.ts'
import { untilTrue } from '../wait.ts'

/**
 * Something happens to the host of the VM that stands, and the VM runs on, with its lock, through a restart of libvirt.
 */
const survivesRestart = (name: string, happens: string, undone: string): ClusterScenario => ({
  name,
  standing: true,
  async play(cluster) {
    const { vm, from, to } = await cluster.standing()
    await from.node.must(happens)
    try {
      await from.restartLibvirt()
      await vm.isWholeOn(from)
      await isRefused(vm.start(to), new RegExp(`held exclusively by ${from.name}`))
    } finally {
      await from.node.must(undone)
    }
  },
})

const NO_NODE = 'mv /usr/bin/node /usr/bin/node.gone'
const NODE_AGAIN = 'mv /usr/bin/node.gone /usr/bin/node'
const NO_LOG = 'rm -f /var/log/libvirt/lvguard.log; ln -s /dev/full /var/log/libvirt/lvguard.log'
const LOG_AGAIN = 'rm -f /var/log/libvirt/lvguard.log'

/** Units that must come up before a unit, and so go down after it, when both do. */
const AFTER: readonly (readonly [string, readonly string[]])[] = [
  ['libvirtd', ['lvmlockd', 'lvmlocks', 'sanlock']],
  ['lvguard', ['lvmlockd', 'lvmlocks', 'sanlock', 'libvirtd']],
  ['libvirt-guests', ['lvmlockd', 'lvmlocks', 'sanlock', 'libvirtd', 'lvguard']],
]

const BY_INSTALL_SH = { package: 'it is about install.sh' } as const

/** What goes wrong around a VM never kills it, and never lets it run twice. */
export const faults: readonly ClusterScenario[] = [
  {
    name: 'systemd: VMs, agent and libvirt start after the lockspaces and stop before them; what install.sh says',
    not: BY_INSTALL_SH,
    async play(cluster) {
      const { node } = cluster.hosts[0]
      for (const [unit, before] of AFTER) {
        const after = (await node.must(`systemctl show -P After ${unit}`)).trim().split(' ')
        assert.deepEqual(
          before.filter((each) => !after.includes(`${each}.service`)),
          [],
          `${unit} starts after these`,
        )
      }
      const { stdout, stderr } = await node.shell('/root/lvguard/install/install.sh')
      assert.match(stdout, /^started {4}lvguard\.service, the agent$/m)
      // A node has no watchdog: nothing may reset it in the middle of a test.
      assert.match(
        stderr,
        /^warning: this host has no watchdog \(sanlock runs without one\)\. .*\nwarning: to have one: .*take use_watchdog = 0 out of \/etc\/sanlock\/sanlock\.conf; .*\n$/,
      )
      await cluster.hosts[0].agentWatches()
    },
  },
  survivesRestart('libvirt restarts: the VM lives', 'true', 'true'),
  survivesRestart('libvirt restarts without Node: the VM lives', NO_NODE, NODE_AGAIN),
  survivesRestart(
    'libvirt restarts with a broken configuration: the VM lives',
    'echo "][" > /etc/libvirt/lvguard.conf',
    'rm /etc/libvirt/lvguard.conf',
  ),
  {
    ...survivesRestart(
      'libvirt restarts after an upgrade of the hook: the VM lives',
      'echo "// newer" >> /root/lvguard/dist/qemu && /root/lvguard/install/install.sh',
      'true',
    ),
    not: BY_INSTALL_SH,
  },
  // What is left of both file systems, but libvirt can write its own small files: it kills VMs itself otherwise.
  survivesRestart(
    'libvirt restarts with /run and /var/log full: the VM lives',
    `mount -t tmpfs -o size=4k full /run/lvguard && dd if=/dev/zero of=/run/lvguard/full bs=4k count=1 status=none; ${NO_LOG}`,
    `umount /run/lvguard; ${LOG_AGAIN}`,
  ),
  {
    name: 'no Node: a start is refused in one clear sentence, and nothing is left active',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.node.must(NO_NODE)
      try {
        await isRefused(tintin.start(one), /node/i)
        await tintin.runs('nowhere')
      } finally {
        await one.node.must(NODE_AGAIN)
      }
    },
  },
  {
    name: 'the log cannot be written: a VM starts and stops all the same',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.node.must(NO_LOG)
      try {
        await succeeds(tintin.start(one))
        await tintin.runs(one)
        await succeeds(tintin.destroy(one))
        await tintin.runs('nowhere')
      } finally {
        await one.node.must(LOG_AGAIN)
      }
    },
  },
  {
    name: 'a volume that is mounted on the host is refused',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const device = `/dev/${cluster.volumeGroup}/tintin`
      await one.node.must(
        `lvchange -aey ${cluster.volumeGroup}/tintin && mkfs.ext4 -q ${device} && mount ${device} /mnt`,
      )
      await isRefused(tintin.start(one), /virtVG\/tintin/)
      const [here] = await cluster.truth()
      assert.deepEqual([here.locks.get('tintin'), here.devices.get('tintin')], ['ex', 1])
      await one.node.must('touch /mnt/still-mine && umount /mnt')
    },
  },
  {
    name: 'something on the host keeps the volume of a VM that ends: it is named, and the volume is given back once that has ended too',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      const pid = await one.node.must(`sleep 1000 < /dev/${cluster.volumeGroup}/tintin > /dev/null 2>&1 & echo -n $!`)
      try {
        await succeeds(tintin.destroy(one))
        // On a slow node LVM does not answer within the seconds of a `release`, and the agent says it.
        await untilTrue('what has it open is named in the log, or in the journal', async () =>
          new RegExp(`virtVG/tintin[^}]*opened by sleep \\(process ${pid}\\)`).test(
            await one.node.must(
              `grep '"operation":"release"' /var/log/libvirt/lvguard.log | tail -n 1; journalctl -q --no-pager -u lvguard | grep 'opened by' | tail -n 1`,
            ),
          ),
        )
        assert.equal(await one.lock('tintin'), 'ex')
      } finally {
        await one.node.shell(`kill ${pid}`)
      }
      await untilTrue('the volume is given back', async () => (await one.lock('tintin')) === 'none', { seconds: 90 })
    },
  },
  {
    name: 'a volume group that LVM does not see, that is exported, or that is another host’s by its system ID: refused, with its own words',
    not: { drbd: 'the disk of each node’s own carries DRBD' },
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin', {
        disks: [diskOf('tintin', 'vda'), diskOf('/dev/localVG/scratch', 'vdb')],
      })
      await one.node.must(
        'vgcreate -q localVG /dev/vdc && lvcreate -q -y -L 8m -n scratch localVG && udevadm settle && cp -a /etc/lvm/lvm.conf /root/lvm.conf',
      )
      try {
        await one.node.must(`sed -i '/^devices {/a global_filter = [ "r|/dev/vdc|" ]' /etc/lvm/lvm.conf`)
        await isRefused(
          tintin.start(one),
          /localVG\/scratch is active on this host, but LVM does not see its volume group and cannot lock it \(disk vdb\)/,
          /global_filter/,
        )
        assert.equal(await one.lock('tintin'), 'none')
        await one.node.must('cp -a /root/lvm.conf /etc/lvm/lvm.conf && lvchange -q -an localVG && vgexport -q localVG')
        await isRefused(
          tintin.start(one),
          /LVM gives no access to volume group localVG: 'Volume group localVG is exported'/,
          /vgimport localVG/,
        )
        await one.node.must('vgimport -q localVG && vgchange -q -y --systemid node9 localVG')
        await isRefused(
          tintin.start(one),
          /LVM gives no access to volume group localVG: 'Cannot access VG localVG with system ID node9 with /,
          /vgs --foreign -o \+systemid localVG/,
        )
        assert.equal(await one.lock('tintin'), 'none')
      } finally {
        await one.node.shell(
          'cp -a /root/lvm.conf /etc/lvm/lvm.conf; vgchange -q -an localVG; wipefs -q -a /dev/vdc; udevadm settle',
        )
      }
    },
  },
  {
    name: 'a volume group with a VM that runs: LVM renames it on neither host',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      // It may end with 0 although it has refused (lvm2 2.03.16, where an LV is active): the name tells.
      const doesNotRename = async (host: ClusterHost, why: RegExp): Promise<void> => {
        const { code, stdout, stderr } = await host.run('vgrename', cluster.volumeGroup, 'renamedVG')
        assert.match(stderr, why, `vgrename: exit status ${code}\n${stdout}${stderr}`)
        await succeeds(host.run('vgs', cluster.volumeGroup))
      }
      await doesNotRename(one, /has active|must be inactive/)
      await doesNotRename(two, /virtVG\/tintin must be inactive on all hosts|has active/)
      await two.node.must(`vgchange -q --lock-stop ${cluster.volumeGroup}`)
      await doesNotRename(one, /has active|must be inactive/)
      await two.node.must(`vgchange -q --lock-start ${cluster.volumeGroup}`)
      await tintin.runs(one)
    },
  },
  {
    name: 'the lockspace is stopped: a start is refused, and works again once it is started',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.node.must(`vgchange -q --lock-stop ${cluster.volumeGroup}`)
      await isRefused(tintin.start(one), /lock/i)
      await cluster.nodes.startLockspace(one.node)
      await succeeds(tintin.start(one))
      await tintin.runs(one)
    },
  },
  {
    name: 'lvmlockd is killed: a start is refused, the VM that ran lives, nobody else gets its volume, and the agent raises the alarm',
    spoils: true,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const milou = await cluster.domain('milou')
      await succeeds(tintin.start(one))
      await one.killLocking()
      await isRefused(milou.start(one), /lvmlockd/)
      // As Debian starts it, without --adopt: the lease stays with sanlock, and the lockspace with nobody (FACTS 34).
      await one.node.must('systemctl reset-failed lvmlockd; systemctl start lvmlockd')
      await isRefused(milou.start(one), /virtVG/)
      await isRefused(tintin.start(two), /held exclusively by node1/)
      await untilTrue('the alarm', async () => /has no lockspace here any more/.test(await one.agentSaid()))
      const [here] = await cluster.truth()
      assert.deepEqual([here.domains.get('tintin'), here.devices.get('tintin')], ['running', 1])
      await tintin.writes(one)
    },
  },
  {
    name: 'lvmlockd stops answering during a start: it waits, then runs with its lock',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.pauseLocking()
      const starting = tintin.start(one)
      await one.node.until('the hook at work', "pgrep -f '[h]ooks/qemu tintin prepare' > /dev/null")
      await one.resumeLocking()
      await succeeds(starting)
      await tintin.runs(one)
    },
  },
]
