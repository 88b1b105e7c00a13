/**
 * `npm run test:cluster [-- PATTERN…]`: plays the scenarios whose names match all the patterns, each on clean nodes, on
 * two pairs of nodes side by side: one pair alone leaves a third of two processors idle. SUITE=bookworm|trixie,
 * STORAGE=shared|drbd, PAIRS=N, INSTALL=install.sh|package.
 * WITHIN=MINUTES: what has not begun by then is named, and not run. The last line is `N passed, N failed, N skipped`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SCENARIOS as everywhere } from '../scenarios/all.ts'
import { storageOf, suiteOf, wayOf } from './cli.ts'
import { image, Nodes } from './nodes.ts'
import { keepPace, pace } from './pace.ts'
import { ClusterRing, Session } from './ring.ts'
import type { ClusterScenario } from './scenario.ts'
import { clusterScenarios, longScenarios } from './scenarios/all.ts'

interface Told {
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly seconds: number
}

/** What the pairs of nodes share. */
interface Run {
  /** Those that no pair has taken yet. */
  readonly waiting: Iterator<ClusterScenario>
  readonly told: Map<ClusterScenario, Told>
  /** The kept state of a pair with lvguard installed. */
  readonly installed: string
  /** When no scenario begins any more, in milliseconds of the epoch. */
  readonly end: number
  readonly stopping: () => boolean
  readonly logs: () => Promise<string>
}

export async function main(argv: readonly string[]): Promise<number> {
  const suite = suiteOf(process.env['SUITE'])
  const storage = storageOf(process.env['STORAGE'])
  const way = wayOf(process.env['INSTALL'])
  // Those that stop the agents last, and of them the short ones, so that no pair of nodes has long to wait for the
  // other.
  const scenarios = [...clusterScenarios, ...everywhere.map(fromEverywhere).reverse(), ...longScenarios].filter(
    ({ name }) => argv.every((pattern) => new RegExp(pattern).test(name)),
  )
  const pairs = Number(process.env['PAIRS'] ?? 2)
  if (!Number.isInteger(pairs) || pairs < 1)
    throw new Error(`PAIRS is a number of pairs of nodes, not ${process.env['PAIRS']}`)

  const home = await mkdtemp(join(tmpdir(), 'lvguard-cluster-'))
  const from = await image(suite)
  const all = Array.from(
    { length: Math.min(pairs, scenarios.length) },
    (_, index) => new Nodes({ suite, storage, way, image: from, run: join(home, `pair${index + 1}`), bound: true }),
  )
  // Whoever ends this program early: the nodes go first, so that no command waits for them; a second Ctrl-C ends it at
  // once (and the nodes with it, by their parent's death).
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Not `once`: execa's own listener ends this program if it finds itself the only one.
    process.on(signal, () => {
      if (stopping) process.exit(130)
      stopping = true
      for (const nodes of all) void nodes.each((node) => node.cut())
    })
  }
  try {
    return await tell(scenarios, all, home, () => stopping)
  } finally {
    for (const nodes of all) await nodes.down()
    await rm(home, { recursive: true, force: true })
  }
}

async function tell(
  scenarios: readonly ClusterScenario[],
  pairs: readonly Nodes[],
  home: string,
  stopping: () => boolean,
): Promise<number> {
  const [first] = pairs
  if (first === undefined) throw new Error('no scenario has such a name')
  const { suite, storage, way = 'install.sh' } = first.settings
  const begin = Date.now()
  const times: [string, number][] = []
  const timed = async (what: string, act: () => Promise<void>): Promise<void> => {
    const from = Date.now()
    await act()
    times.push([what, (Date.now() - from) / 1000])
  }
  const installed = join(home, 'installed')
  await timed('(nodes ready)', () => first.ready())
  const fresh = new ClusterRing(first)
  await timed(`(${way} on both)`, () => fresh.install())
  await timed('(a first life of a VM)', () => fresh.warmUp())
  const { call = 0, times: slower } = keepPace(await fresh.hookCall())
  print(`a hook call takes ${call.toFixed(1)} s here; limits are ${slower.toFixed(1)} times those of a usual machine`)
  await timed('(state kept)', () => first.save(installed))

  let logs: Promise<string> | undefined
  const run: Run = {
    waiting: scenarios.values(),
    told: new Map(),
    installed,
    end: begin + Number(process.env['WITHIN'] ?? Number.POSITIVE_INFINITY) * 60_000,
    stopping,
    logs: () => (logs ??= mkdtemp(join(tmpdir(), 'lvguard-cluster-logs-'))),
  }
  // All of them have ended before their nodes are taken down, whatever one of them throws.
  const ends = await Promise.allSettled(pairs.map((nodes) => playOn(nodes, run)))
  for (const end of ends) if (end.status === 'rejected' && !stopping()) throw end.reason

  for (const scenario of scenarios) {
    const { outcome, seconds } = run.told.get(scenario) ?? { outcome: 'skipped', seconds: 0 }
    if (outcome !== 'skipped') times.push([scenario.name, seconds])
  }
  print('')
  for (const [what, seconds] of times) print(`${seconds.toFixed(1).padStart(7)} s  ${what}`)
  print(
    `${((Date.now() - begin) / 1000).toFixed(1).padStart(7)} s  in all, pairs of nodes side by side: ${pairs.length}, ${suite}, ${storage} storage, ${way}`,
  )
  const count = (outcome: Told['outcome']): number =>
    [...run.told.values()].filter((one) => one.outcome === outcome).length
  const left = scenarios.length - run.told.size
  if (stopping()) print(`ended by hand: ${left} were not played`)
  print(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped') + left} skipped`)
  return stopping() ? 130 : count('failed') === 0 ? 0 : 1
}

/** Plays what no other pair plays, until nothing is left. */
async function playOn(nodes: Nodes, run: Run): Promise<void> {
  const { suite, storage, way = 'install.sh' } = nodes.settings
  /** Going on with the same nodes is faster than the kept state: their emulation has its code translated already. */
  let clean = false
  let session = new Session()
  let isAgain = false
  for (let next = run.waiting.next(); next.done !== true; next = isAgain ? next : run.waiting.next()) {
    const scenario = next.value
    const reason =
      scenario.not?.[suite] ??
      scenario.not?.[storage] ??
      scenario.not?.[way] ??
      (Date.now() > run.end && !isAgain ? 'NOT RUN, no time was left' : undefined)
    if (reason !== undefined) {
      run.told.set(scenario, { outcome: 'skipped', seconds: 0 })
      print(`skipped  ${scenario.name}: ${reason}`)
      continue
    }
    const from = Date.now()
    let failure: unknown
    const own = new Nodes(nodes.settings)
    if (!clean) session = new Session()
    const cluster = new ClusterRing(own, session)
    try {
      if (!clean) await own.restore(run.installed)
      if (run.stopping()) throw new Error('stopped before it began')
      await cluster.begin()
      if (scenario.agents !== false) await cluster.startAgents()
      if (session.stands && scenario.standing !== true) await cluster.reset()
      await within(pace().limit(scenario.seconds ?? 240), scenario.play(cluster))
      if (scenario.standing === true) await cluster.settle()
    } catch (error) {
      failure = error ?? new Error('it threw nothing')
    }
    if (run.stopping()) throw new Error('stopped before the end')
    const seconds = (Date.now() - from) / 1000
    const lost: string | undefined =
      failure === undefined || isAgain ? undefined : await cluster.lostMemory().catch(() => undefined)
    isAgain = lost !== undefined
    if (isAgain) {
      print(
        `again    ${scenario.name}: after ${seconds.toFixed(0)} s the emulation of the nodes had lost memory of a guest: ${lost}`,
      )
      clean = false
      for (const node of own.all) node.retire()
      continue
    }
    run.told.set(scenario, { outcome: failure === undefined ? 'passed' : 'failed', seconds })
    const told = [
      `${failure === undefined ? 'passed ' : 'FAILED '} ${seconds.toFixed(0).padStart(4)} s  ${scenario.name}`,
      ...cluster.notes.map((note) => `         ${note}`),
    ]
    if (failure !== undefined) {
      const into = join(await run.logs(), scenario.name.replaceAll(/\W+/g, '-').slice(0, 60))
      await cluster
        .collect(into)
        .catch((error: unknown) => told.push(`         the logs are not complete: ${String(error)}`))
      told.push(
        indented(failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)),
        `         logs: ${into}`,
      )
    }
    print(told.join('\n'))
    clean =
      failure === undefined && scenario.spoils !== true && (scenario.standing === true || (await isClean(cluster)))
    for (const node of own.all) node.retire()
  }
}

/** A scenario of all rings (test/scenarios) for this one. */
function fromEverywhere(scenario: (typeof everywhere)[number]): ClusterScenario {
  const reason = scenario.not?.cluster
  return {
    name: `everywhere: ${scenario.name}`,
    agents: false,
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
