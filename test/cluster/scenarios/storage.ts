import assert from 'node:assert/strict'
import { type Domain, diskOf } from '../domain.ts'
import type { Mark } from '../../../src/kill/mark.ts'
import { isRefused, succeeds } from '../expect.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'
import { pause, untilTrue } from '../wait.ts'

// The hang is of one node's path to the shared disk (Node.hangStorage); sanlock's io_timeout is its default, 10 s. A
// node has no watchdog.
const NOT_DRBD = { drbd: 'a disk below DRBD that hangs is another story' }

const KILLED = /tintin was killed here \(process \d+\): this host has lost its lease on virtVG/
const CUT_OFF = /virtVG: cut off\. Nothing here can write on it any more/
const NOT_CUT_OFF = /virtVG is not cut off, and other hosts may take its locks: /
const RECOVERED = /virtVG can be used here again; killed when it was cut off: tintin \(virtVG\/tintin is held by node2/

/**
 * Notes when the agent said each of these, in seconds after the last renewal; and how long the other host had to wait.
 */
async function noteTimes(
  cluster: ClusterRing,
  host: ClusterHost,
  renewed: number,
  words: Readonly<Record<string, RegExp>>,
): Promise<void> {
  for (const [what, pattern] of Object.entries(words)) {
    const at = await host.saidAt(pattern)
    cluster.notes.push(`T0+${at === undefined ? '?' : (at - renewed).toFixed(1)} s: ${what}`)
  }
}

/** Waits until the agent has said it. */
const says = (host: ClusterHost, words: RegExp, seconds: number): Promise<void> =>
  untilTrue(`the agent of ${host.name} says ${words}`, async () => words.test(await host.agentSaid()), {
    seconds,
    every: 1,
  })

/**
 * tintin runs on the first node and writes; then its path hangs.
 * @param before done while all is well
 * @returns T0, the last renewal there, in seconds of that node's monotonic clock
 */
async function hangsUnderTintin(
  cluster: ClusterRing,
  configuration: readonly string[] = [],
  before: (one: ClusterHost) => Promise<void> = async () => undefined,
) {
  const [one, two] = cluster.hosts
  const tintin = await cluster.domain('tintin')
  // Off. Of tintin libvirt says that it runs for as long as a thread of its QEMU hangs.
  const haddock = await cluster.domain('haddock')
  await succeeds(tintin.start(one))
  await tintin.writes(one)
  if (configuration.length > 0) await one.configure(...configuration)
  await before(one)
  await one.node.hangStorage()
  // What was under way may still have been a renewal.
  await pause(2)
  const { renewed } = await one.lease()
  return { one, two, tintin, haddock, renewed }
}

/**
 * tintin runs on the first node, where no agent is; its path hangs, lvmlockctl's command kills it, and is killed itself
 * before it has cut the VG off.
 */
async function commandIsEnded(cluster: ClusterRing) {
  const story = await hangsUnderTintin(cluster, ['kill_fallback = "none"'], async (host) => {
    await host.node.useKillCommand()
    await host.node.must('systemctl kill -s KILL lvguard; systemctl stop lvguard')
  })
  const { one } = story
  await untilTrue("lvmlockctl's command kills tintin", async () => KILLED.test(await kernelSaid(one)), {
    seconds: 120,
    every: 1,
  })
  const markOn = async () => JSON.parse(await one.node.must('cat /run/lvguard/virtVG.killed')) as Mark
  const { worker } = await markOn()
  await one.node.must(`kill -KILL ${worker?.pid}`)
  const { state } = await markOn()
  assert.equal(state, 'started')
  assert.doesNotMatch(await kernelSaid(one), CUT_OFF)
  return story
}

/** Starts tintin on the other node as soon as it can be, and notes when that was. */
async function startsElsewhere(
  cluster: ClusterRing,
  tintin: Domain,
  { one, two, renewed }: { one: ClusterHost; two: ClusterHost; renewed: number },
  age?: () => Promise<number>,
): Promise<void> {
  await untilTrue('tintin starts on node2', async () => (await tintin.start(two)).code === 0, {
    seconds: 240,
    every: 2,
  })
  const seconds = age === undefined ? (await one.lease()).now - renewed : await age()
  cluster.notes.push(`T0+${seconds.toFixed(0)} s: tintin runs on node2`)
  assert.ok(seconds >= 139, `node2 has the lock after ${seconds} s`)
  await tintin.writes(two)
}

/** It starts elsewhere, the path is there again, and only then an agent, which takes the VG back. */
async function agentComesLater(
  cluster: ClusterRing,
  { one, two, tintin, renewed }: { one: ClusterHost; two: ClusterHost; tintin: Domain; renewed: number },
): Promise<void> {
  await startsElsewhere(cluster, tintin, { one, two, renewed })
  await one.node.freeStorage()
  await cluster.startAgents()
  await says(one, RECOVERED, 400)
  await tintin.writes(two)
  await tintin.runs(two)
  await isRefused(tintin.start(one), /held exclusively by node2/)
}

/** The path is there again, and the host, which was reset, has its locks started. */
async function isBack(cluster: ClusterRing, host: ClusterHost): Promise<void> {
  await host.node.freeStorage()
  await host.node.awaitSshAgain()
  await host.node.awaitServices()
  await cluster.nodes.startLockspace(host.node)
}

/** It has been started once on each host, and ends: nothing of it is lost, and nothing foreign was written. */
async function endsWhole(tintin: Domain, two: ClusterHost): Promise<void> {
  await succeeds(tintin.destroy(two))
  await tintin.runs('nowhere')
  assert.equal((await tintin.dataIsWhole()).boots.length, 2)
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

/** What lvmlockctl's command has said into the kernel's log. journald takes `lvguard: ` away from the message. */
const kernelSaid = ({ node }: ClusterHost): Promise<string> => node.must('dmesg | grep lvguard: || true')

/** Seconds since T0, also while the node cannot be asked. */
async function clockOf(one: ClusterHost, renewed: number): Promise<() => number> {
  const began = Date.now()
  const { now } = await one.lease()
  return () => now - renewed + (Date.now() - began) / 1000
}

/**
 * A migration stands in the middle, and the storage of one of the two hangs for 50 s: it is said, and costs nobody
 * anything.
 */
const hangInTheMiddle = (which: 'source' | 'destination'): ClusterScenario => ({
  name: `in the middle of a migration the storage of the ${which} hangs for 50 s: it goes on, and no write is lost`,
  standing: true,
  seconds: 600,
  not: NOT_DRBD,
  async play(cluster) {
    const { vm, from, to } = await cluster.standing()
    const hung = which === 'source' ? from : to
    await from.slowStream()
    const migration = vm.migrate(from, to)
    await vm.isOnTheWay(from)
    await hung.node.hangStorage()
    try {
      await pause(50)
    } finally {
      await hung.node.freeStorage()
    }
    await says(hung, /virtVG: this host renews its lease again, after \d+ s/, 60)
    assert.doesNotMatch(await hung.agentSaid(), /was killed/)
    await from.freeStream()
    await succeeds(migration)
    await vm.isWholeOn(to)
  },
})

export const storage: readonly ClusterScenario[] = [
  hangInTheMiddle('source'),
  hangInTheMiddle('destination'),
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
      const { one, two, tintin, haddock, renewed } = await hangsUnderTintin(cluster, ['kill_fallback = "none"'])
      await says(one, KILLED, 120)
      await isRefused(haddock.start(one), /the VMs of volume group virtVG were cut off on this host/)
      await says(one, NOT_CUT_OFF, 90)
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      await one.node.freeStorage()
      await says(one, CUT_OFF, 60)
      await says(one, RECOVERED, 400)
      await noteTimes(cluster, one, renewed, {
        'tintin is killed on node1': KILLED,
        'it cannot be cut off': NOT_CUT_OFF,
        'cut off, the path is back': CUT_OFF,
        recovered: RECOVERED,
      })
      assert.equal((await one.node.shell('ls /run/lvguard/virtVG.killed')).code, 2)
      await tintin.writes(two)
      await tintin.runs(two)
      // node1 locks again, and gets what is free.
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await succeeds(tintin.destroy(two))
      await tintin.runs('nowhere')
      const { faults } = await tintin.journal()
      // What was in flight when the path hung may land when it is back: only a reset takes it back. One guest has one
      // write in flight.
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
      await untilTrue(
        'node1 resets itself',
        async () =>
          (await one.node.console()).includes('lvguard resets this host: virtVG could not be cut off within 125 s'),
        { seconds: 120, every: 1 },
      )
      const seconds = await age()
      cluster.notes.push(`T0+${seconds.toFixed(0)} s: node1 resets itself`)
      await startsElsewhere(cluster, tintin, { one, two, renewed }, age)
      await isBack(cluster, one)
      await tintin.writes(two)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'the storage hangs, on_lost_lease "alert": it is said, the VM lives; lvguard kill by hand',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster, ['on_lost_lease = "alert"'])
      const LOST =
        /virtVG: the lease of this host is lost, and in \d+ s another host may take its locks and start these VMs, which run here still: tintin\. Stop them now: lvguard kill virtVG/
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
    name: 'sanlock is killed under a VM and started again: it is said what follows, and lvguard kill ends the VM in time',
    spoils: true,
    seconds: 900,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await one.node.must(
        'systemctl kill -s KILL sanlock; systemctl reset-failed sanlock lvmlockd; systemctl start sanlock',
      )
      await says(
        one,
        /virtVG: sanlock has no lease of this host any more, so that another host may take its locks within 140 s and start these VMs, which run here still: tintin\./,
        60,
      )
      // Nothing but a person ends it (on_lost_lease is about a lease that runs out under sanlock's eyes).
      await tintin.writes(one)
      const { stdout, stderr } = await one.program(['kill', '--yes', 'virtVG'])
      await untilTrue(
        `tintin is off: ${stdout}${stderr}`,
        async () => (await one.truth()).domains.get('tintin') === 'shut off',
      )
      assert.match(await one.node.must('dmsetup table virtVG-tintin'), /^0 \d+ error/)
      await untilTrue('tintin starts on node2', async () => (await tintin.start(two)).code === 0, {
        seconds: 240,
        every: 2,
      })
      await tintin.writes(two)
      // lvmlockd lists the old lock until the host has booted.
      await one.node.must("nohup sh -c 'sleep 1; echo b > /proc/sysrq-trigger' > /dev/null 2>&1 &")
      await pause(3)
      await isBack(cluster, one)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await endsWhole(tintin, two)
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
      await node.until(
        'the lockspace of otherVG',
        'lvcreate -q -an -y -Wn -Zn -L 8m --setautoactivation n -n milou otherVG',
        { seconds: 120, every: 2 },
      )
      await node.must(
        'lvchange -q -aey otherVG/milou && dd if=/dev/zero of=/dev/otherVG/milou bs=1M count=8 oflag=direct status=none && lvchange -q -an otherVG/milou',
      )
      const milou = await cluster.domain('milou', { volumes: [], disks: [diskOf('/dev/otherVG/milou', 'vda')] })
      await succeeds(milou.start(cluster.hosts[0]))
      await milou.writes(cluster.hosts[0])
      const { one, renewed } = await hangsUnderTintin(cluster, ['kill_fallback = "none"'])
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
  {
    name: 'the storage of the source hangs for good in the middle of a migration: killed and reset there, and it starts on the destination',
    spoils: true,
    seconds: 1200,
    not: NOT_DRBD,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await one.slowStream()
      const migration = tintin.migrate(one, two)
      await tintin.isOnTheWay(one)
      await one.node.hangStorage()
      await pause(2)
      const { renewed } = await one.lease()
      const age = await clockOf(one, renewed)
      await says(one, KILLED, 120)
      await untilTrue(
        'node1 resets itself',
        async () =>
          (await one.node.console()).includes('lvguard resets this host: virtVG could not be cut off within 125 s'),
        { seconds: 120, every: 1 },
      )
      cluster.notes.push(`T0+${age().toFixed(0)} s: node1 resets itself`)
      await isRefused(migration)
      // The destination gives up what came in when the other end of its ssh has been silent for half a minute.
      await startsElsewhere(cluster, tintin, { one, two, renewed }, () => Promise.resolve(age()))
      await isBack(cluster, one)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'the storage of the destination hangs for good in the middle of a migration: what came there is killed, and the VM runs on where it was',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await two.configure('kill_fallback = "none"')
      await one.slowStream()
      const migration = tintin.migrate(one, two)
      await tintin.isOnTheWay(one)
      await two.node.hangStorage()
      await says(two, KILLED, 140)
      await one.freeStream()
      await isRefused(migration)
      await tintin.writes(one)
      // Shared with a host whose lease has still to run out: 140 to 150 s after its last renewal.
      await untilTrue('tintin is exclusive on node1', async () => (await one.lock('tintin')) === 'ex', {
        seconds: 240,
        every: 2,
      })
      await two.node.freeStorage()
      await says(two, /virtVG can be used here again/, 400)
      await tintin.isWholeOn(one)
      await succeeds(tintin.migrate(one, two))
      await tintin.isWholeOn(two)
    },
  },
  {
    name: 'the storage hangs for good, with a watchdog: killed at 80 s; the watchdog resets the host, and lvguard does not',
    spoils: true,
    seconds: 1200,
    not: NOT_DRBD,
    async play(cluster) {
      const [first] = cluster.hosts
      await first.node.useWatchdog((node) => cluster.nodes.startLockspace(node))
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster)
      const age = await clockOf(one, renewed)
      await says(one, KILLED, 120)
      await untilTrue(
        'the watchdog resets node1',
        async () => (await one.node.console()).includes('softdog: Initiating system reboot'),
        { seconds: 120, every: 1 },
      )
      cluster.notes.push(`T0+${age().toFixed(0)} s: the watchdog resets node1`)
      assert.ok(age() < 155, `the watchdog has fired after ${age()} s`)
      assert.doesNotMatch(await one.node.console(), /lvguard resets this host/)
      await startsElsewhere(cluster, tintin, { one, two, renewed }, () => Promise.resolve(age()))
      await isBack(cluster, one)
      await tintin.writes(two)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'the storage fails with errors instead of hanging: cut off within seconds, no reset, and used again when the disk is back under another name',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const [one, two] = cluster.hosts
      const tintin = await cluster.domain('tintin')
      const haddock = await cluster.domain('haddock')
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await one.node.loseStorage()
      await pause(1)
      const { renewed } = await one.lease()
      await says(one, KILLED, 120)
      await says(one, CUT_OFF, 30)
      const [killed = 0, cutOff = 0] = [await one.saidAt(KILLED), await one.saidAt(CUT_OFF)]
      await noteTimes(cluster, one, renewed, { 'tintin is killed on node1': KILLED, 'cut off': CUT_OFF })
      assert.ok(cutOff - killed < 25, `cut off ${cutOff - killed} s after the kill`)
      await isRefused(haddock.start(one), /virtVG/)
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      assert.doesNotMatch(await one.node.console(), /lvguard resets this host/)
      await one.node.findStorage()
      await says(one, RECOVERED, 400)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await succeeds(haddock.start(one))
      await succeeds(haddock.destroy(one))
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'a QEMU that does not die, since another disk of it hangs: its host is not reset once the lost disk fails, and is cut off when it has ended',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const [one, two] = cluster.hosts
      await cluster.volume('tintin')
      // It writes its journal on the node's own disk; of virtVG it has a disk that it does not use.
      const tintin = await cluster.domain('tintin', {
        volumes: ['tintin'],
        disks: [diskOf('/dev/vdc', 'vda'), diskOf('tintin', 'vdb')],
      })
      const haddock = await cluster.domain('haddock', { disks: [diskOf('tintin', 'vda')], volumes: [] })
      await succeeds(tintin.start(one))
      await tintin.writes(one)
      await one.node.hangStorage('local')
      await one.node.loseStorage()
      await pause(1)
      const { renewed } = await one.lease()
      await says(one, KILLED, 120)
      await says(
        one,
        /virtVG is not cut off, and other hosts may take its locks: tintin \(process \d+\) was killed, and is not gone: a thread waits for I\/O/,
        90,
      )
      await pause(15)
      assert.doesNotMatch(await one.node.console(), /lvguard resets this host/)
      await untilTrue('its volume starts on node2', async () => (await haddock.start(two)).code === 0, {
        seconds: 240,
        every: 2,
      })
      cluster.notes.push(`T0+${((await one.lease()).now - renewed).toFixed(0)} s: its volume is used on node2`)
      await one.node.freeStorage('local')
      await says(one, CUT_OFF, 60)
      await one.node.findStorage()
      await says(one, /virtVG can be used here again/, 400)
      await succeeds(haddock.destroy(two))
    },
  },
  {
    name: 'the storage hangs for good, with lvmlockctl_kill_command, and the agent is there too: killed once, cut off when the path is back',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster, ['kill_fallback = "none"'], (host) =>
        host.node.useKillCommand(),
      )
      await untilTrue(
        'one of the two kills tintin',
        async () => KILLED.test((await one.agentSaid()) + (await kernelSaid(one))),
        { seconds: 120, every: 1 },
      )
      await noteTimes(cluster, one, renewed, { 'tintin is killed by the agent': KILLED })
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      await one.node.freeStorage()
      await says(one, RECOVERED, 400)
      await tintin.writes(two)
      await tintin.runs(two)
      await isRefused(tintin.start(one), /held exclusively by node2/)
    },
  },
  {
    name: 'the storage hangs for good, with lvmlockctl_kill_command, and the agent was killed before: its command kills; recovered by the agent that comes later',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(
        cluster,
        ['kill_fallback = "none"'],
        async (host) => {
          await host.node.useKillCommand()
          await host.node.must('systemctl kill -s KILL lvguard; systemctl stop lvguard')
        },
      )
      await untilTrue('its command kills tintin', async () => KILLED.test(await kernelSaid(one)), {
        seconds: 120,
        every: 1,
      })
      cluster.notes.push(
        `T0+${((await one.lease()).now - renewed).toFixed(0)} s: tintin is killed by lvmlockctl's command`,
      )
      await agentComesLater(cluster, { one, two, tintin, renewed })
    },
  },
  {
    name: 'the storage hangs for good, and lvmlockctl_kill_command is ended half-way, with no agent there: the agent that comes later takes the volume group back',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      await agentComesLater(cluster, await commandIsEnded(cluster))
    },
  },
  {
    name: 'the storage hangs for good, lvmlockctl_kill_command is ended half-way, and a person starts the locking again: the agent that comes later takes the volume group back',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, haddock, renewed } = await commandIsEnded(cluster)
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      await one.node.freeStorage()
      await untilTrue(
        'QEMU is gone',
        async () => (await one.node.must('pgrep -c qemu-system || true')).trim() === '0',
        { seconds: 120, every: 2 },
      )
      // lvmlockd frees the lockspace; sanlock needs a while until it takes this host in again.
      await one.node.must('lvmlockctl --drop virtVG')
      await cluster.nodes.startLockspace(one.node)
      await isRefused(haddock.start(one), /virtVG/)
      await cluster.startAgents()
      await says(one, RECOVERED, 400)
      await isRefused(tintin.start(one), /held exclusively by node2/)
      await succeeds(haddock.start(one))
      await succeeds(haddock.destroy(one))
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'the path comes back 10 s before another host may take the volume: nothing foreign is written, and nothing late',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster, ['kill_fallback = "none"'])
      const age = await clockOf(one, renewed)
      await says(one, KILLED, 120)
      await untilTrue('130 s', async () => age() >= 130, { seconds: 60, every: 0.2 })
      await one.node.freeStorage()
      await untilTrue('tintin starts on node2', async () => (await tintin.start(two)).code === 0, {
        seconds: 240,
        every: 2,
      })
      const started = age()
      cluster.notes.push(`T0+${started.toFixed(0)} s: tintin runs on node2`)
      await tintin.writes(two)
      await says(one, RECOVERED, 400)
      // Before 140 s only if nothing on node1 can write any more: a lockspace that is given back is waited for by
      // nobody.
      const cutOff = await one.saidAt(CUT_OFF)
      assert.ok(
        started >= 139 || (cutOff !== undefined && cutOff - renewed <= started),
        `node2 has the lock after ${started} s, and node1 was cut off at ${cutOff}`,
      )
      await endsWhole(tintin, two)
    },
  },
  {
    name: 'the path comes back 10 s after another host has taken the volume: nothing foreign is written but what was in flight',
    spoils: true,
    seconds: 900,
    not: NOT_DRBD,
    async play(cluster) {
      const { one, two, tintin, renewed } = await hangsUnderTintin(cluster, ['kill_fallback = "none"'])
      await says(one, KILLED, 120)
      await startsElsewhere(cluster, tintin, { one, two, renewed })
      await pause(10)
      await one.node.freeStorage()
      await says(one, RECOVERED, 400)
      await tintin.writes(two)
      await succeeds(tintin.destroy(two))
      await tintin.runs('nowhere')
      const { faults } = await tintin.journal()
      if (faults.length > 0) cluster.notes.push(`late writes: ${JSON.stringify(faults)}`)
      // One guest has one write in flight; only a reset takes it back.
      assert.ok(faults.length <= 1, JSON.stringify(faults))
    },
  },
]
