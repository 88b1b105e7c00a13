import assert from 'node:assert/strict'
import type { Domain } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'
import { untilTrue } from '../wait.ts'

/** One plain migration with these flags, nothing typed around it: exclusive before and after, nothing lost, one boot. */
function plain(kind: string, flags: readonly string[], more: Partial<ClusterScenario> = {}): ClusterScenario {
  return {
    name: `a live migration, ${kind}: nothing typed, nothing lost`,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await succeeds(tintin.migrate(one, two, ...flags))
      await tintin.runs(two)
      await tintin.writes(two)
      await endsWhole(tintin, two)
    },
    ...more,
  }
}

async function runsOn(cluster: ClusterRing, host: ClusterHost): Promise<Domain> {
  const tintin = await cluster.domain('tintin')
  await succeeds(tintin.start(host))
  await tintin.writes(host)
  return tintin
}

/** Off, free on both hosts, and its journal written by one boot alone. */
async function endsWhole(tintin: Domain, on: ClusterHost): Promise<void> {
  await succeeds(tintin.shutdown(on))
  await tintin.runs('nowhere')
  const { boots } = await tintin.dataIsWhole()
  assert.equal(boots.length, 1)
}

/** A migration that is refused with these words, and the VM runs on where it was. */
async function isRefusedAndRunsOn(tintin: Domain, one: ClusterHost, migration: Promise<Awaited<ReturnType<Domain['migrate']>>>, ...words: readonly RegExp[]): Promise<void> {
  await isRefused(migration, ...words)
  await tintin.runs(one)
  await tintin.writes(one)
  await endsWhole(tintin, one)
}

/** Live migrations with the agent on both hosts. */
export const migration: readonly ClusterScenario[] = [
  plain('plain', []),
  plain('peer to peer', ['--p2p']),
  plain('tunnelled', ['--p2p', '--tunnelled']),
  plain('post-copy', ['--postcopy', '--postcopy-after-precopy']),
  plain('persistent there and undefined here', ['--persistent', '--undefinesource']),
  {
    name: 'a paused VM migrates, and is resumed there',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await succeeds(one.virsh('suspend', 'tintin'))
      await succeeds(tintin.migrate(one, two))
      await tintin.runs(two, { state: 'paused' })
      await succeeds(two.virsh('resume', 'tintin'))
      await tintin.writes(two)
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'a VM migrates there and back ten times, with a policy in its metadata',
    seconds: 900,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      for (const host of cluster.hosts) await succeeds(host.virsh('metadata', 'tintin', 'urn:lvguard:policy:1', '--config', '--key', 'lvguard', '--set', '<policy/>'))
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      for (let turn = 0; turn < 5; turn++) {
        await succeeds(tintin.migrate(one, two))
        await tintin.runs(two)
        await succeeds(tintin.migrate(two, one))
        await tintin.runs(one)
      }
      await tintin.writes(one)
      await endsWhole(tintin, one)
    },
  },
  {
    name: 'two VMs migrate at once in opposite directions',
    seconds: 400,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      const milou = await cluster.domain('milou')
      await succeeds(milou.start(two))
      await Promise.all([succeeds(tintin.migrate(one, two)), succeeds(milou.migrate(two, one))])
      await tintin.runs(two)
      await milou.runs(one)
      await tintin.writes(two)
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'a migration is aborted in the middle: exclusive again where it runs',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await succeeds(one.virsh('migrate-setspeed', 'tintin', '1'))
      const migrating = tintin.migrate(one, two, '--bandwidth', '1')
      await untilTrue('the volume is shared', async () => (await one.lock('tintin')) === 'sh')
      await untilTrue('the migration is under way', async () => (await one.virsh('domjobabort', 'tintin')).code === 0)
      await isRefusedAndRunsOn(tintin, one, migrating)
    },
  },
  {
    name: 'without an agent on the source a live migration is refused by name, and the VM runs on',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await one.node.must('systemctl stop lvguard')
      await two.write('/etc/libvirt/lvguard.conf', 'migrate_wait = 3\n')
      await isRefusedAndRunsOn(tintin, one, tintin.migrate(one, two), /virtVG\/tintin is held exclusively by node1/, /systemctl start lvguard/)
    },
  },
  {
    name: 'without an agent on the destination a live migration is refused at once',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await two.node.must('systemctl stop lvguard')
      await isRefusedAndRunsOn(tintin, one, tintin.migrate(one, two), /no lvguard agent runs on this host/)
    },
  },
  {
    name: 'a migration that would copy the storage is refused, and the VM runs on with its lock',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await two.write('/etc/libvirt/lvguard.conf', 'migrate_wait = 3\n')
      await isRefusedAndRunsOn(tintin, one, tintin.migrate(one, two, '--copy-storage-all'), /virtVG\/tintin/)
    },
  },
  {
    name: 'an agent that is killed while a VM runs comes back and migrates it',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      for (const { node } of cluster.hosts) await node.must('systemctl kill -s KILL lvguard')
      for (const { node } of cluster.hosts) await untilTrue(`the agent of ${node.name}`, async () => (await node.shell('systemctl is-active -q lvguard && read pid start < /run/lvguard/agent && [ "$pid" = "$(systemctl show -P MainPID lvguard)" ]')).code === 0)
      await succeeds(tintin.migrate(one, two))
      await tintin.runs(two)
      await endsWhole(tintin, two)
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
    name: 'a migration to itself is refused and the VM runs on',
    async play(cluster) {
      const [one] = cluster.hosts
      const tintin = await runsOn(cluster, one)
      await isRefusedAndRunsOn(tintin, one, tintin.migrate(one, one))
    },
  },
]
