/**
 * `npm run test:cluster [-- PATTERN…]`: plays the scenarios whose names match all the patterns on one pair of nodes, each on clean
 * nodes. SUITE=bookworm|trixie, STORAGE=shared|drbd. WITHIN=MINUTES: what has not begun by then is named, and not run. The last line is
 * `N passed, N failed, N skipped`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SCENARIOS as everywhere } from '../scenarios/all.ts'
import { storageOf, suiteOf } from './cli.ts'
import { image, Nodes, type Suite } from './nodes.ts'
import { ClusterRing, Session } from './ring.ts'
import type { ClusterScenario } from './scenario.ts'
import { clusterScenarios } from './scenarios/all.ts'

interface Told {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly seconds: number
}

export async function main(argv: readonly string[]): Promise<number> {
  const suite = suiteOf(process.env['SUITE'])
  const storage = storageOf(process.env['STORAGE'])
  // In their order: those that stop the agents last.
  const scenarios = [...clusterScenarios, ...everywhere.map(fromEverywhere)].filter(({ name }) => argv.every((pattern) => new RegExp(pattern).test(name)))

  const home = await mkdtemp(join(tmpdir(), 'lvguard-cluster-'))
  const nodes = new Nodes({ suite, storage, image: await image(suite), run: join(home, 'run'), bound: true })
  // Whoever ends this program early: the nodes go first, so that no command waits for them; a second Ctrl-C ends it at once
  // (and the nodes with it, by their parent's death).
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Not `once`: execa's own listener ends this program if it finds itself the only one.
    process.on(signal, () => {
      if (stopping) process.exit(130)
      stopping = true
      void nodes.each((node) => node.cut())
    })
  }
  try {
    return await tell(scenarios, nodes, suite, join(home, 'installed'), () => stopping)
  } finally {
    await nodes.down()
    await rm(home, { recursive: true, force: true })
  }
}

async function tell(scenarios: readonly ClusterScenario[], nodes: Nodes, suite: Suite, installed: string, stopping: () => boolean): Promise<number> {
  const times: [string, number][] = []
  const timed = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    const from = Date.now()
    const result = await act()
    times.push([what, (Date.now() - from) / 1000])
    return result
  }
  await timed('(nodes ready)', () => nodes.ready())
  const fresh = new ClusterRing(nodes)
  await timed('(install.sh on both)', () => fresh.install())
  await timed('(a first life of a VM)', () => fresh.warmUp())
  await timed('(state kept)', () => nodes.save(installed))

  const told: Told[] = []
  const end = Date.now() + Number(process.env['WITHIN'] ?? Number.POSITIVE_INFINITY) * 60_000
  let logs: string | undefined
  /** Going on with the same nodes is faster than the kept state: their emulation has its code translated already. */
  let clean = false
  let session = new Session()
  for (const scenario of scenarios) {
    const reason = scenario.not?.[suite] ?? scenario.not?.[nodes.settings.storage] ?? (Date.now() > end ? 'NOT RUN, no time was left' : undefined)
    if (reason !== undefined) {
      told.push({ name: scenario.name, outcome: 'skipped', seconds: 0 })
      print(`skipped  ${scenario.name}: ${reason}`)
      continue
    }
    const from = Date.now()
    let failure: unknown
    const own = new Nodes(nodes.settings)
    if (!clean) session = new Session()
    const cluster = new ClusterRing(own, session)
    try {
      if (!clean) await own.restore(installed)
      await cluster.begin()
      if (session.stands && scenario.standing !== true) await cluster.reset()
      await within(scenario.seconds ?? 240, scenario.play(cluster))
      if (scenario.standing === true) await cluster.settle()
    } catch (error) {
      failure = error ?? new Error('it threw nothing')
    }
    if (stopping()) throw new Error('stopped before the end')
    const seconds = (Date.now() - from) / 1000
    told.push({ name: scenario.name, outcome: failure === undefined ? 'passed' : 'failed', seconds })
    print(`${failure === undefined ? 'passed ' : 'FAILED '} ${seconds.toFixed(0).padStart(4)} s  ${scenario.name}`)
    if (failure !== undefined) {
      logs ??= await mkdtemp(join(tmpdir(), 'lvguard-cluster-logs-'))
      const into = join(logs, scenario.name.replaceAll(/\W+/g, '-').slice(0, 60))
      await cluster.collect(into).catch((error: unknown) => print(`         the logs are not complete: ${String(error)}`))
      print(indented(failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)))
      print(`         logs: ${into}`)
    }
    clean = failure === undefined && scenario.spoils !== true && (scenario.standing === true || (await isClean(cluster)))
    for (const node of own.all) node.retire()
  }
  for (const { name, outcome, seconds } of told) if (outcome !== 'skipped') times.push([name, seconds])
  const total = times.reduce((sum, [, seconds]) => sum + seconds, 0)
  print('')
  for (const [what, seconds] of times) print(`${seconds.toFixed(1).padStart(7)} s  ${what}`)
  print(`${total.toFixed(1).padStart(7)} s  in all, ${suite}, ${nodes.settings.storage} storage`)
  const count = (outcome: Told['outcome']): number => told.filter((one) => one.outcome === outcome).length
  print(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`)
  return count('failed') === 0 && told.length > 0 ? 0 : 1
}

/** A scenario of all rings (test/scenarios) for this one. */
function fromEverywhere(scenario: (typeof everywhere)[number]): ClusterScenario {
  const reason = scenario.not?.cluster
  return {
    name: `everywhere: ${scenario.name}`,
    play: async (cluster) => {
      await cluster.stopAgents()
      await scenario.play(cluster)
    },
    ...(reason === undefined ? {} : { not: { bookworm: reason, trixie: reason } }),
  }
}

async function isClean(cluster: ClusterRing): Promise<boolean> {
  return await cluster.reset().then(
    () => true,
    () => false,
  )
}

async function within(seconds: number, play: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${seconds} s`)), seconds * 1000)
  })
  try {
    await Promise.race([play, late])
  } finally {
    clearTimeout(timer)
  }
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '         ')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
