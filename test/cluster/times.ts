/**
 * What lvguard adds to a live migration on the two nodes, and how long both hosts share the volume. Figures only;
 * nothing is asserted.
 */
import { succeeds } from './expect.ts'
import type { Nodes } from './nodes.ts'
import { type ClusterHost, ClusterRing } from './ring.ts'

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Milliseconds of a command as this machine sees it. */
async function timed(act: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await act()
  return performance.now() - from
}

/** How far a node's clock is ahead of this machine's, in milliseconds. */
async function clockAhead({ node }: ClusterHost): Promise<number> {
  const before = Date.now()
  const there = Number(await node.must('date +%s%3N'))
  return there - (before + Date.now()) / 2
}

/** When this host's agent said last that the volume went from one mode to the other, on this machine's clock. */
async function transition(host: ClusterHost, arrow: string): Promise<number> {
  const line = await host.node.must(`journalctl -q --no-pager -o json -u lvguard | grep -F '${arrow}' | tail -n 1`)
  const { __REALTIME_TIMESTAMP: microseconds } = JSON.parse(line) as { __REALTIME_TIMESTAMP: string }
  return Number(microseconds) / 1000 - (await clockAhead(host))
}

/** Milliseconds of the last call with this operation, from the log. */
async function logged(host: ClusterHost, operation: string): Promise<number> {
  const line = await host.node.must(`grep '"operation":"${operation}"' /var/log/libvirt/lvguard.log | tail -n 1`)
  return (JSON.parse(line) as { milliseconds: number }).milliseconds
}

/**
 * Migrates a VM to and fro, with lvguard, and with its volume shared on both hosts beforehand and no hook. Prints a
 * table.
 */
export async function times(nodes: Nodes, turns: number): Promise<number> {
  const cluster = new ClusterRing(nodes)
  await cluster.reset()
  await cluster.startAgents()
  let { vm, from, to } = await cluster.standing()
  const rows = new Map<string, number[]>()
  const note = (what: string, value: number): void => {
    rows.set(what, [...(rows.get(what) ?? []), value])
  }
  for (let turn = 0; turn <= turns; turn++) {
    const whole = await timed(() => succeeds(vm.migrate(from, to)))
    await vm.runs(to)
    // The first one only warms up.
    if (turn > 0) {
      note('virsh migrate, with lvguard', whole)
      note('  hook migrate on the destination, its wait for the demotion included', await logged(to, 'migrate'))
      note('  hook prepare on the destination', await logged(to, 'prepare'))
      note('  hook release on the source', await logged(from, 'release'))
      note('  agent: exclusive -> shared on the source', await logged(from, 'demote'))
      note('  agent: shared -> exclusive on the destination', await logged(to, 'promote'))
      note(
        'the volume is shared, from the demotion to the promotion',
        (await transition(to, 'shared -> exclusive')) - (await transition(from, 'exclusive -> shared')),
      )
    }
    const was = from
    from = to
    to = was
  }
  await cluster.stopAgents()
  for (const host of cluster.hosts) {
    await host.node.must('mv /etc/libvirt/hooks/qemu /root/qemu-hook')
    await host.restartLibvirt()
    await host.node.must(`lvchange -q -asy ${cluster.volumeGroup}/${vm.name}`)
  }
  for (let turn = 0; turn <= turns; turn++) {
    const whole = await timed(() => succeeds(vm.migrate(from, to)))
    if (turn > 0) note('virsh migrate, no hook, shared beforehand', whole)
    const was = from
    from = to
    to = was
  }
  for (const host of cluster.hosts) {
    await host.node.must('mv /root/qemu-hook /etc/libvirt/hooks/qemu')
    await host.restartLibvirt()
  }
  await cluster.reset()
  await cluster.startAgents()
  for (const [what, values] of rows)
    process.stdout.write(`${(median(values) / 1000).toFixed(2).padStart(7)} s  ${what}\n`)
  process.stdout.write(`medians of ${turns} migrations each, ${nodes.settings.suite}, in emulation\n`)
  return 0
}
