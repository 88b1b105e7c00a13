import assert from 'node:assert/strict'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterScenario } from '../scenario.ts'

/** Live migrations, the source demoted by hand: what the agent will do. */
export const migration: readonly ClusterScenario[] = [
  {
    name: 'a live migration with the source demoted by hand, and promoted by hand: nothing lost',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const path = `${cluster.volumeGroup}/tintin`
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await succeeds(one.run('lvchange', '-asy', path))
      await succeeds(tintin.migrate(one, two))
      await tintin.runs(two, { lock: 'sh' })
      await succeeds(two.run('lvchange', '-aey', path))
      await tintin.runs(two)
      await tintin.writes(two)
      await succeeds(tintin.shutdown(two))
      await tintin.runs('nowhere')
      const { boots } = await tintin.dataIsWhole()
      assert.equal(boots.length, 1)
    },
  },
  {
    name: 'a live migration whose source is not demoted is refused by name, and the VM runs on',
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await two.write('/etc/libvirt/lvguard.conf', 'migrate_wait = 3\n')
      await succeeds(tintin.start(one))
      await isRefused(tintin.migrate(one, two), /virtVG\/tintin is held exclusively by node1/)
      await tintin.runs(one)
      await tintin.writes(one)
      await succeeds(tintin.shutdown(one))
      await tintin.runs('nowhere')
      await tintin.dataIsWhole()
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
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await isRefused(tintin.migrate(one, one))
      await tintin.runs(one)
      await tintin.writes(one)
    },
  },
]
