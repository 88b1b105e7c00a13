import assert from 'node:assert/strict'
import type { Result } from '../../ring.ts'
import type { Domain } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import { pace } from '../pace.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'

interface Standing {
  readonly vm: Domain
  readonly from: ClusterHost
  readonly to: ClusterHost
}

/** A story about the VM that stands, which runs on `from` and may go to `to`. */
function standing(
  name: string,
  play: (standing: Standing, cluster: ClusterRing) => Promise<void>,
  more: Partial<ClusterScenario> = {},
): ClusterScenario {
  return { name, standing: true, play: async (cluster) => play(await cluster.standing(), cluster), ...more }
}

/**
 * One migration with these flags, nothing typed around it: exclusive before and after, nothing lost, no second boot.
 */
const plain = (kind: string, ...flags: string[]): ClusterScenario =>
  standing(`a live migration, ${kind}: nothing typed, nothing lost`, async ({ vm, from, to }) => {
    await succeeds(vm.migrate(from, to, ...flags))
    await vm.isWholeOn(to)
  })

/** A migration that is refused with these words, and the VM runs on where it was. */
async function isRefusedAndRunsOn(
  { vm, from }: Standing,
  migration: Promise<Result>,
  ...words: readonly RegExp[]
): Promise<void> {
  await isRefused(migration, ...words)
  await vm.isWholeOn(from)
}

/** What virsh says of a migration that copies storage: the destination knows only that nothing was shared. */
const copiesStorage = (vm: Domain, from: ClusterHost): readonly RegExp[] => [
  new RegExp(`virtVG/${vm.name} is held exclusively by ${from.name}`),
  /With --copy-storage no shared volume can go along: leave that option out/,
]

const stopAgent = ({ node }: ClusterHost): Promise<string> => node.must('systemctl stop lvguard')
const AGENT_FILE = 'read pid start beat < /run/lvguard/agent;'
const SHORT_WAIT = 'migrate_wait = 3\n'

/** Live migrations with the agent on both hosts, told of one VM that goes to and fro. */
export const migration: readonly ClusterScenario[] = [
  plain('plain'),
  plain('peer to peer', '--p2p'),
  plain('tunnelled', '--p2p', '--tunnelled'),
  plain('post-copy', '--postcopy', '--postcopy-after-precopy'),
  standing(
    'a live migration, persistent there and undefined here: nothing typed, nothing lost',
    async ({ vm, from, to }) => {
      await succeeds(vm.migrate(from, to, '--persistent', '--undefinesource'))
      await vm.isWholeOn(to)
      assert.equal((await from.truth()).domains.get(vm.name), undefined)
      await vm.define(from)
    },
  ),
  standing('a paused VM migrates, and is resumed there', async ({ vm, from, to }) => {
    await succeeds(from.virsh('suspend', vm.name))
    await succeeds(vm.migrate(from, to))
    await vm.runs(to, { state: 'paused', seconds: 10 })
    await succeeds(to.virsh('resume', vm.name))
    await vm.isWholeOn(to)
  }),
  standing(
    'a VM migrates there and back ten times, with a policy in its metadata',
    async ({ vm, from, to }, cluster) => {
      await succeeds(
        from.virsh('metadata', vm.name, 'urn:lvguard:policy:1', '--live', '--key', 'lvguard', '--set', '<policy/>'),
      )
      const turns = cluster.fewer('turns', 5, 2)
      for (let turn = 0; turn < turns; turn++) {
        await succeeds(vm.migrate(from, to))
        await vm.runs(to, { seconds: 10 })
        await succeeds(vm.migrate(to, from))
        await vm.runs(from, { seconds: 10 })
      }
      await vm.isWholeOn(from)
      assert.match((await from.virsh('metadata', vm.name, 'urn:lvguard:policy:1')).stdout, /policy/)
    },
    { seconds: 600 },
  ),
  standing('two VMs migrate at once in opposite directions', async ({ vm, from, to }, cluster) => {
    const milou = await cluster.domain('milou')
    await succeeds(milou.start(to))
    await Promise.all([succeeds(vm.migrate(from, to)), succeeds(milou.migrate(to, from))])
    await milou.runs(from, { seconds: 10 })
    await vm.isWholeOn(to)
    await succeeds(milou.shutdown(from))
    await milou.runs('nowhere')
    await milou.dataIsWhole()
  }),
  standing('without an agent on the source a live migration is refused by name', async (all) => {
    const { vm, from, to } = all
    await stopAgent(from)
    await to.write('/etc/libvirt/lvguard.conf', SHORT_WAIT)
    await isRefusedAndRunsOn(
      all,
      vm.migrate(from, to),
      new RegExp(`virtVG/${vm.name} is held exclusively by ${from.name}`),
      /systemctl restart lvguard/,
    )
  }),
  standing('without an agent on the destination a live migration is refused at once', async (all) => {
    const { vm, from, to } = all
    await stopAgent(to)
    await isRefusedAndRunsOn(all, vm.migrate(from, to), /no lvguard agent runs on this host/)
  }),
  standing(
    'an agent that hangs lets no migration in, and says so; systemd starts it anew, and the VM migrates',
    async (all) => {
      const { vm, from, to } = all
      // Stopped, and as if it had been so for long: systemd leaves 60 s to see it so.
      const pid = await to.node.must(
        `systemctl kill -s STOP lvguard; ${AGENT_FILE} echo "$pid $start 1.0" > /run/lvguard/agent; echo "$pid"`,
      )
      await isRefusedAndRunsOn(
        all,
        vm.migrate(from, to),
        /the lvguard agent of this host hangs \(process \d+, no sign of life for \d+ s\)/,
        /systemctl restart lvguard/,
      )
      await to.node.until('another agent', `${AGENT_FILE} [ "$pid" != ${pid.trim()} ]`, { seconds: 150 })
      await to.agentWatches()
      await succeeds(vm.migrate(from, to))
      await vm.isWholeOn(to)
    },
    { seconds: 400 },
  ),
  standing('an agent that is killed while a VM runs comes back by itself and migrates it', async ({ vm, from, to }) => {
    for (const { node } of [from, to]) await node.must('systemctl kill -s KILL lvguard')
    for (const host of [from, to]) await host.agentWatches()
    await succeeds(vm.migrate(from, to))
    await vm.isWholeOn(to)
  }),
  standing('a migration that would copy the storage is refused, and the VM runs on with its lock', async (all) => {
    const { vm, from, to } = all
    await to.write('/etc/libvirt/lvguard.conf', SHORT_WAIT)
    await isRefusedAndRunsOn(all, vm.migrate(from, to, '--copy-storage-all'), new RegExp(`virtVG/${vm.name}`))
    assert.match(await from.agentSaid(), /--copy-storage/)
  }),
  standing('a migration of a running VM with --offline is refused, and the VM runs on with its lock', async (all) => {
    await all.to.write('/etc/libvirt/lvguard.conf', SHORT_WAIT)
    await isRefusedAndRunsOn(all, all.vm.migrate(all.from, all.to, '--offline', '--persistent'))
  }),
  standing('a migration to itself is refused and the VM runs on', async (all) => {
    await isRefusedAndRunsOn(all, all.vm.migrate(all.from, all.from))
  }),
  standing(
    'a destination that has a domain of the same name refuses, and the VM runs on with its lock',
    async (all) => {
      const { vm, from, to } = all
      await succeeds(to.virsh('undefine', vm.name))
      await to.node.must('cat > /root/define.xml && virsh -q define /root/define.xml', {
        input: vm.xml().replace(vm.uuid, '11111111-2222-4333-8444-555555555555'),
      })
      await isRefusedAndRunsOn(all, vm.migrate(from, to), /already exists with uuid/)
      await succeeds(to.virsh('undefine', vm.name))
      await vm.define(to)
    },
  ),
  {
    name: 'a destination without a file of the VM refuses, and the VM runs on with its lock',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const path = '/var/lib/libvirt/images/local.img'
      await one.node.must(`truncate -s 1M ${path}`)
      const file = `<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='${path}'/><target dev='vdb' bus='virtio'/></disk>`
      const tintin = await cluster.domain('tintin', { devices: file })
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await isRefused(tintin.migrate(one, two, '--unsafe'), /local\.img/)
      await tintin.isWholeOn(one)
      await two.node.must(`! ls /run/lvguard/${tintin.uuid}.json`)
    },
  },
  {
    name: 'a migration that copies a local disk beside a shared one is refused, virsh says why, and the VM runs on with its lock',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const path = '/var/lib/libvirt/images/local.img'
      for (const { node } of cluster.hosts) await node.must(`truncate -s 1M ${path}`)
      const file = `<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='${path}'/><target dev='vdb' bus='virtio'/></disk>`
      const tintin = await cluster.domain('tintin', { devices: file })
      await two.write('/etc/libvirt/lvguard.conf', SHORT_WAIT)
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await isRefused(
        tintin.migrate(one, two, '--copy-storage-all', '--migrate-disks', 'vdb'),
        ...copiesStorage(tintin, one),
      )
      assert.match(await one.agentSaid(), /tintin migrates with --copy-storage/)
      await tintin.isWholeOn(one)
      await two.node.must(`! ls /run/lvguard/${tintin.uuid}.json`)
    },
  },
  {
    name: 'an offline migration leaves nothing active',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(two.virsh('undefine', 'tintin'))
      await succeeds(tintin.migrate(one, two, '--offline', '--persistent'))
      await tintin.runs('nowhere')
      await succeeds(tintin.start(two))
      await tintin.runs(two)
    },
  },
  {
    name: 'eight VMs migrate at once, and all of them are exclusive there',
    seconds: 600,
    async play(cluster) {
      const [one, two] = cluster.hosts
      // One guest writes: eight would leave the node's one processor little for libvirt.
      const tintin = await cluster.domain('tintin')
      const others = await Promise.all(
        Array.from({ length: cluster.fewer('VMs', 8, 3) - 1 }, (_, index) =>
          cluster.domain(`vm${index}`, { kernel: 'none' }),
        ),
      )
      const vms = [tintin, ...others]
      // Eight hooks one after the other, on one emulated processor: longer than the half minute of a real host.
      for (const host of cluster.hosts)
        await host.write('/etc/libvirt/lvguard.conf', `lock_wait = ${Math.min(600, pace().limit(120))}\n`)
      await Promise.all(vms.map((vm) => succeeds(vm.start(one))))
      await tintin.writes(one)
      await Promise.all(vms.map((vm) => succeeds(vm.migrate(one, two))))
      for (const vm of vms) await vm.runs(two, { seconds: 20 })
      await tintin.isWholeOn(two)
    },
  },
]
