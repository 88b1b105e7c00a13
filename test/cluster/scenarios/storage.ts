import assert from 'node:assert/strict'
import { type Domain, diskOf } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'
import { pause, untilTrue } from '../wait.ts'

// The hang is of one node's path to the shared disk (Node.hangStorage); sanlock's io_timeout is its default, 10 s. A node has no watchdog.
const NOT_DRBD = { drbd: 'a disk below DRBD that hangs is another story' }

const KILLED = /tintin was killed here \(process \d+\): this host has lost its lease on virtVG/
const CUT_OFF = /virtVG: cut off\. Nothing here can write on it any more/
const NOT_CUT_OFF = /virtVG is not cut off, and other hosts may take its locks: /
const RECOVERED = /virtVG can be used here again; killed when it was cut off: tintin \(virtVG\/tintin is held by node2/

/** Notes when the agent said each of these, in seconds after the last renewal; and how long the other host had to wait. */
async function noteTimes(cluster: ClusterRing, host: ClusterHost, renewed: number, words: Readonly<Record<string, RegExp>>): Promise<void> {
  for (const [what, pattern] of Object.entries(words)) {
    const at = await host.saidAt(pattern)
    cluster.notes.push(`T0+${at === undefined ? '?' : (at - renewed).toFixed(1)} s: ${what}`)
  }
}

/** Waits until the agent has said it. */
const says = (host: ClusterHost, words: RegExp, seconds: number): Promise<void> =>
  untilTrue(`the agent of ${host.name} says ${words}`, async () => words.test(await host.agentSaid()), { seconds, every: 1 })

/** tintin runs on the first node and writes; then its path hangs. @returns T0, the last renewal there, in seconds of that node's monotonic clock */
async function hangsUnderTintin(cluster: ClusterRing, ...configuration: readonly string[]) {
  const [one, two] = cluster.hosts
  const tintin = await cluster.domain('tintin')
  // Off. Of tintin libvirt says that it runs for as long as a thread of its QEMU hangs.
  const haddock = await cluster.domain('haddock')
  await succeeds(tintin.start(one))
  await tintin.writes(one)
  if (configuration.length > 0) await one.configure(...configuration)
  await one.node.hangStorage()
  // What was under way may still have been a renewal.
  await pause(2)
  const { renewed } = await one.lease()
  return { one, two, tintin, haddock, renewed }
}

/** Starts tintin on the other node as soon as it can be, and notes when that was. */
async function startsElsewhere(cluster: ClusterRing, tintin: Domain, { one, two, renewed }: { one: ClusterHost; two: ClusterHost; renewed: number }, age?: () => Promise<number>): Promise<void> {
  await untilTrue('tintin starts on node2', async () => (await tintin.start(two)).code === 0, { seconds: 240, every: 2 })
  const seconds = age === undefined ? (await one.lease()).now - renewed : await age()
  cluster.notes.push(`T0+${seconds.toFixed(0)} s: tintin runs on node2`)
  assert.ok(seconds >= 139, `node2 has the lock after ${seconds} s`)
  await tintin.writes(two)
}

/** It has ended here, everything is given back, and it starts on the other host, where nothing of it is lost. */
async function livesElsewhere(tintin: Domain, two: ClusterHost): Promise<void> {
  await tintin.runs('nowhere', { seconds: 60 })
  await succeeds(tintin.start(two))
  await tintin.writes(two)
  await succeeds(tintin.destroy(two))
  await tintin.runs('nowhere')
  await tintin.dataIsWhole()
}

export const storage: readonly ClusterScenario[] = [
  {
    name: 'the storage of a node hangs for 50 s: it is said, nothing happens, no write is lost',
    standing: true,
    seconds: 400,
    not: NOT_DRBD,
    async play(cluster) {
      const { vm, from } = await cluster.standing()
      await from.node.hangStorage()
      try {
        await pause(50)
      } finally {
        await from.node.freeStorage()
      }
      await says(from, /virtVG: this host renews its lease again, after \d+ s/, 60)
      const said = await from.agentSaid()
      assert.match(said, /virtVG: this host has not renewed its lease for \d+ s: .* these VMs are killed here: tintin/)
      assert.doesNotMatch(said, /was killed/)
      await vm.isWholeOn(from)
    },
  },
  {
    name: 'the storage hangs for good, kill_fallback "none": killed at 80 s, started elsewhere, recovered when the path is back',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, haddock, renewed } = await hangsUnderTintin(cluster, 'kill_fallback = "none"')
      await says(one, KILLED, 120)
      await isRefused(haddock.start(one), /the VMs of volume group virtVG were cut off on this host/)
      await says(one, NOT_CUT_OFF, 90)
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      await one.node.freeStorage()
      await says(one, CUT_OFF, 60)
      await says(one, RECOVERED, 400)
      await noteTimes(cluster, one, renewed, { 'tintin is killed on node1': KILLED, 'it cannot be cut off': NOT_CUT_OFF, 'cut off, the path is back': CUT_OFF, recovered: RECOVERED })
      assert.equal((await one.node.shell('ls /run/lvguard/virtVG.killed')).code, 2)
      await tintin.writes(two)
      await tintin.runs(two)
      // node1 locks again, and gets what is free.
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await succeeds(tintin.destroy(two))
      await tintin.runs('nowhere')
      const { faults } = await tintin.journal()
      // What was in flight when the path hung may land when it is back: only a reset takes it back. One guest has one write in flight.
      if (faults.length > 0) cluster.notes.push(`late writes: ${JSON.stringify(faults)}`)
      assert.ok(faults.length <= 1, JSON.stringify(faults))
    },
  },
  {
    name: 'the storage hangs for good: the host resets itself at 125 s, and nothing foreign is written when it is back',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster)
      const began = Date.now()
      const { now } = await one.lease()
      const age = async (): Promise<number> => now - renewed + (Date.now() - began) / 1000
      await says(one, KILLED, 120)
      await untilTrue('node1 resets itself', async () => (await one.node.console()).includes('lvguard resets this host: virtVG could not be cut off within 125 s'), { seconds: 120, every: 1 })
      const seconds = await age()
      cluster.notes.push(`T0+${seconds.toFixed(0)} s: node1 resets itself`)
      await startsElsewhere(cluster, tintin, { one, two, renewed }, age)
      await one.node.freeStorage()
      await one.node.awaitSshAgain()
      await one.node.awaitServices()
      await cluster.nodes.startLockspace(one.node)
      await tintin.writes(two)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await succeeds(tintin.destroy(two))
      await tintin.runs('nowhere')
      assert.equal((await tintin.dataIsWhole()).boots.length, 2)
    },
  },
  {
    name: 'the storage hangs, on_lost_lease "alert": it is said, the VM lives; lvguard kill by hand',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster, 'on_lost_lease = "alert"')
      const LOST = /virtVG: the lease of this host is lost, and in \d+ s another host may take its locks and start these VMs, which run here still: tintin\. Stop them now: lvguard kill virtVG/
      await says(one, LOST, 120)
      await noteTimes(cluster, one, renewed, { 'said that it is lost': LOST })
      assert.doesNotMatch(await one.agentSaid(), /was killed/)
      assert.equal((await one.truth()).domains.get('tintin'), 'running')
      // Before anybody else can have the lock.
      await one.node.freeStorage()
      await tintin.writes(one)
      await succeeds(one.program(['kill', '--yes', '--drop', 'virtVG']))
      await untilTrue('tintin is off', async () => (await one.truth()).domains.get('tintin') === 'shut off')
      // The storage answers, and it was no person who has lost the lease: the agent takes the way back.
      await says(one, /virtVG can be used here again/, 400)
      await livesElsewhere(tintin, two)
    },
  },
  {
    name: 'lvguard kill and lvguard recover by hand, with nothing wrong',
    seconds: 400,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await succeeds(one.program(['kill', '--yes', 'virtVG']))
      await untilTrue('tintin is off', async () => (await one.truth()).domains.get('tintin') === 'shut off')
      assert.match(await one.node.must('dmsetup table virtVG-tintin'), /^0 \d+ error/)
      await isRefused(tintin.start(one), /the VMs of volume group virtVG were cut off on this host/)
      // Its lease is as good as ever.
      await isRefused(tintin.start(two), /held exclusively by node1/)
      await succeeds(one.node.shell('lvguard recover virtVG', { seconds: 300 }))
      await livesElsewhere(tintin, two)
    },
  },
  {
    name: 'two volume groups, of which one hangs: the VM of the other lives on',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const [{ node }] = cluster.hosts
      // On the first node's own disk: that is no less a volume group with a lock manager.
      await node.must('vgcreate -q --shared otherVG /dev/vdc', { seconds: 300 })
      await node.until('the lockspace of otherVG', "lvcreate -q -an -y -Wn -Zn -L 8m --setautoactivation n -n milou otherVG", { seconds: 120, every: 2 })
      await node.must('lvchange -q -aey otherVG/milou && dd if=/dev/zero of=/dev/otherVG/milou bs=1M count=8 oflag=direct status=none && lvchange -q -an otherVG/milou')
      const milou = await cluster.domain('milou', { volumes: [], disks: [diskOf('/dev/otherVG/milou', 'vda')] })
      await succeeds(milou.start(cluster.hosts[0]))
      await milou.writes(cluster.hosts[0])
      const { one, renewed } = await hangsUnderTintin(cluster, 'kill_fallback = "none"')
      await says(one, KILLED, 120)
      await says(one, NOT_CUT_OFF, 90)
      await noteTimes(cluster, one, renewed, { 'tintin is killed': KILLED })
      assert.equal((await one.truth()).domains.get('milou'), 'running')
      await milou.writes(one)
      assert.doesNotMatch(await one.agentSaid(), /milou was killed|otherVG: /)
      await one.node.freeStorage()
      await says(one, /virtVG can be used here again/, 400)
      await milou.writes(one)
    },
  },
]
