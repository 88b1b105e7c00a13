import assert from 'node:assert/strict'
import type { Domain } from '../domain.ts'
import { isRefused, succeeds } from '../expect.ts'
import type { Node } from '../nodes.ts'
import { PowerSwitch, SWITCH } from '../power-switch.ts'
import type { ClusterHost, ClusterRing } from '../ring.ts'
import type { ClusterScenario } from '../scenario.ts'
import { until, untilTrue } from '../wait.ts'

const not = { shared: 'there is no DRBD below the volume group' }

/** What DRBD on a host says of the one resource. */
const state = (node: Node): Promise<string> => node.must('drbdsetup events2 --now r0')

const isInSync = async ({ node }: ClusterHost): Promise<boolean> => {
  const said = await state(node)
  return / connection:Connected /.test(said) && / disk:UpToDate/.test(said) && / peer-disk:UpToDate/.test(said)
}

const inSync = async (hosts: readonly ClusterHost[]): Promise<void> => {
  for (const host of hosts)
    await untilTrue(`both copies are one, says ${host.name}`, () => isInSync(host), { seconds: 180, every: 1 })
}

/** Waits until the agent of a host has said it. */
const says = (host: ClusterHost, words: RegExp): Promise<void> =>
  untilTrue(`the agent of ${host.name} says ${words.source}`, async () => words.test(await host.agentSaid()), {
    seconds: 90,
    every: 2,
  })

/** A VM on each host, and both write. */
async function oneOnEach(cluster: ClusterRing) {
  const [one, two] = cluster.hosts
  const tintin = await cluster.domain('tintin')
  const milou = await cluster.domain('milou')
  await succeeds(tintin.start(one))
  await succeeds(milou.start(two))
  await tintin.writes(one)
  await milou.writes(two)
  return { one, two, tintin, milou }
}

/** node2, which was off, boots, starts nothing on a copy that may be old, and gets what it has missed. */
async function isBackInSync(one: ClusterHost, two: ClusterHost, milou: Domain): Promise<void> {
  await two.node.boot()
  await two.node.awaitSsh()
  await two.node.awaitServices()
  await isRefused(milou.start(two), /milou was not started/)
  await two.node.must('modprobe drbd && { drbdadm up r0 || drbdadm adjust r0; }')
  await inSync([one, two])
}

/** node2 is Primary again: its VM, which runs on node1, comes back by a migration, and writes to its end. */
async function takesItsShare(
  cluster: ClusterRing,
  { one, two, tintin, milou }: { one: ClusterHost; two: ClusterHost; tintin: Domain; milou: Domain },
): Promise<void> {
  await two.node.must('drbdadm primary r0')
  await cluster.nodes.startLockspace(two.node)
  await cluster.startAgents()
  await isRefused(milou.start(two), /virtVG\/milou is held exclusively by node1/)
  await succeeds(milou.migrate(one, two))
  await milou.runs(two)
  await milou.writes(two)
  await tintin.isWholeOn(one)
  await succeeds(milou.destroy(two))
  await milou.runs('nowhere')
}

/** Each host may switch the other one off, the second one later: the README's file, and DRBD's handler. */
async function fenceEachOther({ hosts: [one, two] }: ClusterRing): Promise<void> {
  for (const { node } of [one, two]) {
    await node.must(
      `sed -i 's|^  protocol C;|  protocol C;\\n  disk { fencing resource-and-stonith; }\\n  handlers { fence-peer "/usr/sbin/lvguard fence-peer"; }|' /etc/drbd.d/r0.res && drbdadm adjust r0 && sync`,
    )
    assert.match(await node.must('drbdsetup show r0'), /fencing\s+resource-and-stonith/)
  }
  await one.configure(`fence_command = [ "${SWITCH}", "%h" ]`, 'fence_delay = 0')
  await two.configure(`fence_command = [ "${SWITCH}", "%h" ]`, 'fence_delay = 30')
  for (const host of [one, two]) await succeeds(host.program(['check-config']))
  // Seconds of the disk of a node that is switched off are in its memory.
  for (const { node } of [one, two]) await node.must('sync')
}

/** What the kernel's log says of the handler, with seconds since boot. */
const handlerSaid = ({ node }: ClusterHost): Promise<string> =>
  node.must("journalctl -q --no-pager -b -k -o short-monotonic | grep -E 'fence-peer|lvguard' || true")

/** Two hosts on DRBD that lose each other: what runs, runs on, and nothing starts that may run on the other side. */
export const drbd: readonly ClusterScenario[] = [
  {
    name: 'DRBD: the link is cut: both hosts run on, start and let in nothing; split brain, and one side gives up its writes',
    not,
    seconds: 900,
    spoils: true,
    async play(cluster) {
      const { one, two, tintin, milou } = await oneOnEach(cluster)
      const haddock = await cluster.domain('haddock')
      await Promise.all([one, two].map((host) => host.cutReplication()))
      await says(one, /DRBD resource r0 has not seen node2 since .* What runs here runs on/)
      await says(two, /DRBD resource r0 has not seen node1 since .* What runs here runs on/)
      await tintin.writes(one)
      await milou.writes(two)
      // A VM that ran nowhere, on either side; and one that runs on the other side.
      await isRefused(
        haddock.start(one),
        /haddock was not started: DRBD resource r0, below volume group virtVG, has not seen node2 since/,
        /drbdadm status r0.*lvguard confirm-off node2/,
      )
      await isRefused(haddock.start(two), /has not seen node1 since/)
      await isRefused(tintin.start(two), /has not seen node1 since/)
      // libvirt's own line is whole.
      await isRefused(tintin.migrate(one, two), /tintin was not let in: DRBD resource r0/)
      await tintin.runs(one)
      await succeeds(milou.destroy(two))
      await milou.runs('nowhere')
      await isRefused(milou.start(two), /has not seen node1 since/)
      await isRefused(milou.start(one), /has not seen node2 since/)
      // A lease runs out after 140 s, and a start is refused all the same (FACTS 52: without lvguard it was not).
      await new Promise((resolve) => setTimeout(resolve, 170_000))
      await isRefused(tintin.start(two), /has not seen node1 since/)
      await tintin.writes(one)

      await Promise.all([one, two].map((host) => host.freeStream()))
      await until(
        'a split brain',
        async () =>
          (await Promise.all([one, two].map(({ node }) => state(node)))).some((said) =>
            said.includes('connection:StandAlone'),
          )
            ? true
            : undefined,
        { seconds: 90, every: 1 },
      )
      const alone = (await state(one.node)).includes('connection:StandAlone') ? one : two
      await says(alone, /DRBD resource r0 is StandAlone: .*split brain/)
      await isRefused(haddock.start(alone), /r0, below volume group virtVG, is StandAlone/, /README, Two hosts on DRBD/)
      await isRefused(haddock.start(one), /DRBD resource r0/)
      await isRefused(haddock.start(two), /DRBD resource r0/)
      assert.match(
        (await one.program(['confirm-off', 'node2', '--yes'])).stderr +
          (await two.program(['confirm-off', 'node1', '--yes'])).stderr,
        /StandAlone.*cannot be confirmed/,
      )
      for (const host of [one, two]) await host.node.must('rm -rf /var/lib/lvguard/confirm-off')

      // As the README says it: the second host gives its writes up.
      await two.node.must('vgchange -q --lock-stop virtVG; drbdadm disconnect r0 || true')
      await two.node.until('nobody has the device open', 'drbdadm secondary r0')
      await isRefused(haddock.start(two), /haddock was not started/)
      await two.node.must('drbdadm connect --discard-my-data r0')
      await one.node.must('drbdadm disconnect r0; drbdadm connect r0')
      await inSync([one, two])
      await isRefused(
        haddock.start(two),
        /LVM sees no volume group virtVG on this host, and what it may stand on, DRBD resource r0, is Secondary/,
        /drbdadm primary r0; then vgchange --lock-start virtVG/,
      )
      await two.node.must('drbdadm primary r0')
      await cluster.nodes.startLockspace(two.node)
      await says(one, /DRBD resource r0 sees its peer again, which it had not seen since/)
      await succeeds(haddock.start(two))
      await haddock.runs(two)
      await tintin.isWholeOn(one)
      await succeeds(tintin.migrate(one, two))
      await tintin.isWholeOn(two)
    },
  },
  {
    name: 'DRBD: the plug of a host is pulled: its VM starts elsewhere only when a person has said that it is off; its copy is synced when it is back',
    not,
    seconds: 900,
    spoils: true,
    async play(cluster) {
      const { one, two, tintin, milou } = await oneOnEach(cluster)
      await two.node.cut()
      await says(one, /DRBD resource r0 has not seen node2 since/)
      await tintin.writes(one)
      await isRefused(milou.start(one), /has not seen node2 since/, /lvguard confirm-off node2/)
      await isRefused(one.program(['confirm-off', 'node3', '--yes']), /no DRBD resource of this host waits for node3/)
      await isRefused(one.program(['confirm-off', 'node2'], 'node1\n'), /that is not node2; nothing was changed/)
      await succeeds(one.program(['confirm-off', 'node2'], 'node2\n'))
      await says(one, /DRBD resource r0 does not see node2, which counts as off .*: VMs start here/)
      // Its lease runs out 140 to 150 s after its last renewal (FACTS 32).
      await until('the start of what ran there', async () => ((await milou.start(one)).code === 0 ? true : undefined), {
        seconds: 300,
        every: 15,
      })
      await untilTrue('milou is exclusive on node1', async () => (await one.lock('milou')) === 'ex', { seconds: 30 })
      await milou.writes(one)
      assert.match(
        (await one.read('/var/log/libvirt/lvguard.log')) ?? '',
        /counts as off since 'lvguard confirm-off node2'/,
      )

      await isBackInSync(one, two, milou)
      await says(
        one,
        /DRBD resource r0 sees node2 again: what was said with 'lvguard confirm-off node2' counts no longer/,
      )
      assert.deepEqual(await one.list('/var/lib/lvguard/confirm-off'), [])
      await takesItsShare(cluster, { one, two, tintin, milou })
      await milou.dataIsWhole()
    },
  },
  {
    name: 'DRBD with fence-peer: the link is cut: one host is switched off, the other one goes on and starts its VMs; then the first one is back',
    not,
    seconds: 1200,
    spoils: true,
    async play(cluster) {
      const { one, two, tintin, milou } = await oneOnEach(cluster)
      const haddock = await cluster.domain('haddock')
      await fenceEachOther(cluster)
      const power = await PowerSwitch.between(cluster.nodes.all)
      const cutAt = Date.now()
      const since = (): string => `${((Date.now() - cutAt) / 1000).toFixed(0)} s after the cut`
      await Promise.all([one, two].map((host) => host.cutReplication()))
      try {
        await untilTrue('node2 is switched off', async () => (await two.node.pid()) === undefined, {
          seconds: 70,
          every: 0.5,
        })
        cluster.notes.push(`${since()}: node2 is off`)
        await untilTrue(
          'the handler has answered',
          async () => /r0 goes on without node2, which is off \(fence_command\)/.test(await handlerSaid(one)),
          { seconds: 40, every: 1 },
        )
      } finally {
        await power.stop()
      }
      assert.deepEqual(power.did, ['node1 switches node2 off'])
      await tintin.writes(one)
      cluster.notes.push(`${since()}: tintin writes on`)
      assert.match(await state(one.node), / peer-disk:Outdated/)
      assert.match(await state(one.node), / suspended:no/)
      // Nothing is cut off, and its lease is in force.
      assert.doesNotMatch(await one.agentSaid(), /was killed|is lost/)
      await succeeds(haddock.start(one))
      assert.equal(await one.lock('haddock'), 'ex')
      const note = JSON.parse((await one.read('/var/lib/lvguard/confirm-off/r0+0.json')) ?? '{}')
      assert.deepEqual([note.resource, note.host, note.by], ['r0', 'node2', 'fence'])
      await until('the start of what ran there', async () => ((await milou.start(one)).code === 0 ? true : undefined), {
        seconds: 300,
        every: 10,
      })
      cluster.notes.push(`${since()}: milou runs on node1`)
      await milou.writes(one)

      await one.freeStream()
      await isBackInSync(one, two, milou)
      await says(one, /DRBD resource r0 sees node2 again: .* counts no longer/)
      await takesItsShare(cluster, { one, two, tintin, milou })
      assert.equal((await milou.dataIsWhole()).boots.length, 2)
    },
  },
  {
    name: 'DRBD with fence-peer: nobody can be switched off: I/O stays frozen, and a person’s word lets one host go on',
    not,
    seconds: 900,
    spoils: true,
    async play(cluster) {
      const { one, two, tintin } = await oneOnEach(cluster)
      await fenceEachOther(cluster)
      // A switch that does not answer.
      for (const { node } of [one, two])
        await node.must(
          `printf '#!/bin/sh\\necho no route to the switch >&2\\nexit 1\\n' > ${SWITCH} && chmod 755 ${SWITCH} && sync`,
        )
      await Promise.all([one, two].map((host) => host.cutReplication()))
      await untilTrue(
        'fence_command was tried',
        async () =>
          /fence_command does not say that node2 is off, and is tried again: exit status 1, no route to the switch/.test(
            await handlerSaid(one),
          ),
        { seconds: 60, every: 1 },
      )
      assert.match(await state(one.node), / suspended:fencing/)
      // Before the lease of node1 runs out, whose I/O waits too.
      await two.node.cut()
      await succeeds(one.program(['confirm-off', 'node2', '--yes']))
      await untilTrue(
        'the handler has answered',
        async () => /r0 goes on without node2, which is off \(confirm-off\)/.test(await handlerSaid(one)),
        { seconds: 30, every: 1 },
      )
      await tintin.writes(one)
      assert.equal(await one.lock('tintin'), 'ex')
      assert.doesNotMatch(await one.agentSaid(), /was killed/)
    },
  },
]
