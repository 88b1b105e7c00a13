import assert from 'node:assert/strict'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterScenario } from '../scenario.ts'
import { untilTrue } from '../wait.ts'

/** A VM that runs, then something happens to its host, and it runs on, with its lock, through a restart of libvirt. */
function survivesRestart(name: string, happens: string): ClusterScenario {
  return {
    name,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await one.node.must(happens)
      await one.restartLibvirt()
      await tintin.runs(one)
      await tintin.writes(one)
      await isRefused(tintin.start(two), /held exclusively by node1/)
    },
  }
}

/** What goes wrong around a VM never kills it, and never lets it run twice. */
const stories: readonly ClusterScenario[] = [
  survivesRestart('libvirt restarts: the VM lives', 'true'),
  survivesRestart('libvirt restarts without Node: the VM lives', 'mv /usr/bin/node /usr/bin/node.gone'),
  survivesRestart('libvirt restarts with a broken configuration: the VM lives', 'echo "][" > /etc/libvirt/lvguard.conf'),
  survivesRestart('libvirt restarts after an upgrade of the hook: the VM lives', 'echo "// newer" >> /root/lvguard/dist/qemu && /root/lvguard/install/install.sh'),
  survivesRestart('libvirt restarts with /run and /var/log full: the VM lives', fullDisks()),
  {
    name: 'no Node: a start is refused in one clear sentence, and nothing is left active',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.node.must('mv /usr/bin/node /usr/bin/node.gone')
      await isRefused(tintin.start(one), /node/i)
      await tintin.runs('nowhere')
    },
  },
  {
    name: 'the log cannot be written: a VM starts and stops all the same',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.node.must('rm -f /var/log/libvirt/lvguard.log; ln -s /dev/full /var/log/libvirt/lvguard.log')
      await succeeds(tintin.start(one))
      await tintin.runs(one)
      await succeeds(tintin.destroy(one))
      await tintin.runs('nowhere')
    },
  },
  {
    name: 'a volume that is mounted on the host is refused',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const device = `/dev/${cluster.volumeGroup}/tintin`
      await one.node.must(`lvchange -aey ${cluster.volumeGroup}/tintin && mkfs.ext4 -q ${device} && mount ${device} /mnt`)
      await isRefused(tintin.start(one), /virtVG\/tintin/)
      const [here] = await cluster.truth()
      assert.deepEqual([here.locks.get('tintin'), here.devices.get('tintin')], ['ex', 1])
      await one.node.must('touch /mnt/still-mine && umount /mnt')
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
    name: 'lvmlockd is killed: a start is refused; it comes back and the VM that ran keeps its lock',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const milou = await cluster.domain('milou')
      await succeeds(tintin.start(one))
      await one.killLocking()
      await isRefused(milou.start(one), /lvmlockd/)
      await one.restartLocking()
      await tintin.runs(one)
      await isRefused(tintin.start(two), /held exclusively by node1/)
      await succeeds(milou.start(one))
      await milou.runs(one)
    },
  },
  {
    name: 'lvmlockd stops answering during a start: it waits, then runs with its lock',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await one.pauseLocking()
      const starting = tintin.start(one)
      await untilTrue('the hook at work', async () => (await one.node.shell("pgrep -f 'hooks/qemu tintin prepare'")).code === 0)
      await one.resumeLocking()
      await succeeds(starting)
      await tintin.runs(one)
    },
  },
]

export const faults: readonly ClusterScenario[] = stories.map((story) => ({ ...story, spoils: true }))

/** Fills what is left of both file systems but lets libvirt write its own small files (it kills VMs itself otherwise). */
function fullDisks(): string {
  return 'mkdir -p /run/lvguard && mount -t tmpfs -o size=4k full /run/lvguard && dd if=/dev/zero of=/run/lvguard/full bs=4k count=1 status=none; rm -f /var/log/libvirt/lvguard.log; ln -s /dev/full /var/log/libvirt/lvguard.log'
}
