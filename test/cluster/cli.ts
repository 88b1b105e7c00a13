/**
 * `npm run cluster -- up | bare | down | ssh N [COMMAND…] | cut N | boot N | status`: the nodes of the tests, for a
 * person.
 */
import {
  found,
  image,
  Nodes,
  personalRun,
  quote,
  volumeGroup,
  type Node,
  type Storage,
  type Suite,
  type Way,
} from './nodes.ts'
import { ClusterRing } from './ring.ts'
import { times } from './times.ts'

const usage = `usage: npm run cluster -- COMMAND
  up [--suite=bookworm|trixie] [--storage=shared|drbd] [--install=install.sh|package]   boots two nodes with the shared volume group
                     ${volumeGroup}, lvguard installed
  bare [--suite=bookworm|trixie]   boots two hosts with nothing but Debian on them, for who follows the README
  ssh N [COMMAND…]   a shell, or one command, on node N
  cut N              pulls the plug of node N
  boot N             starts it again, with its lockspace
  status             which nodes run
  times [N]          what lvguard adds to N live migrations between them
  down               ends both and removes their disks`

export async function main(argv: readonly string[]): Promise<number> {
  const run = personalRun('cluster')
  const [command = '', number = '', ...words] = argv.filter(
    (word, at) => !(at > 0 && (argv[0] === 'up' || argv[0] === 'bare') && word.startsWith('--')),
  )
  const option = (name: string): string | undefined =>
    argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3)
  const nodes = await found(run)

  switch (command) {
    case 'up':
      return await up(
        run,
        nodes,
        suiteOf(option('suite') ?? process.env['SUITE']),
        storageOf(option('storage') ?? process.env['STORAGE']),
        wayOf(option('install') ?? process.env['INSTALL']),
      )
    case 'bare':
      return await bare(run, nodes, suiteOf(option('suite') ?? process.env['SUITE']))
    case 'down':
      await nodes?.down()
      return 0
    case 'status':
      return await status(nodes)
    case 'times':
      return nodes === undefined ? say('no nodes: npm run cluster -- up', 1) : await times(nodes, Number(number || 5))
    case 'ssh':
    case 'cut':
    case 'boot': {
      if (nodes === undefined) return say('no nodes: npm run cluster -- up', 1)
      const node = nodes.all.find((one) => String(one.number) === number)
      if (node === undefined) return say(usage, 2)
      return await act(nodes, node, command, words)
    }
    default:
      return say(usage, 2)
  }
}

/** Whether nodes run in the folder; what is left of others is removed. */
async function isTaken(old: Nodes | undefined): Promise<boolean> {
  if (old === undefined) return false
  const pids = await old.each((node) => node.pid())
  if (pids.some((pid) => pid !== undefined)) return true
  await old.down()
  return false
}

async function bare(run: string, old: Nodes | undefined, suite: Suite): Promise<number> {
  if (await isTaken(old)) return say('nodes run already: npm run cluster -- status', 1)
  const nodes = new Nodes({
    suite,
    storage: 'shared',
    image: await image(suite, 'bare'),
    run,
    bound: false,
    bare: true,
  })
  try {
    await nodes.up()
  } catch (error) {
    await nodes.down()
    throw error
  }
  say(`Their shared disk is /dev/vdb; apt has the packages of the README's section, and no network.`, 0)
  say(
    `debian-12-nocloud-amd64.qcow2 in /root stands in for Debian's image: it says one line on its serial console, and obeys virsh shutdown.`,
    0,
  )
  say(`This machine's ssh and scp know node1 and node2 with: PATH=${quote(`${run}/bin`)}:$PATH`, 0)
  return await status(nodes)
}

async function up(run: string, old: Nodes | undefined, suite: Suite, storage: Storage, way: Way): Promise<number> {
  if (await isTaken(old)) return say('nodes run already: npm run cluster -- status', 1)
  const nodes = new Nodes({ suite, storage, way, image: await image(suite), run, bound: false })
  try {
    await nodes.ready()
    await new ClusterRing(nodes).install()
  } catch (error) {
    await nodes.down()
    throw error
  }
  return await status(nodes)
}

async function act(
  nodes: Nodes,
  node: Node,
  command: 'ssh' | 'cut' | 'boot',
  words: readonly string[],
): Promise<number> {
  switch (command) {
    case 'ssh':
      return await node.terminal(words)
    case 'cut':
      await node.cut()
      return 0
    case 'boot':
      if ((await node.pid()) !== undefined) return say(`${node.name} runs`, 1)
      await node.boot()
      await node.awaitSsh()
      await nodes.openDesk()
      if (nodes.settings.bare === true) return 0
      await node.awaitServices()
      await nodes.startLockspace(node)
      return 0
  }
}

async function status(nodes: Nodes | undefined): Promise<number> {
  if (nodes === undefined) return say('no nodes', 0)
  say(
    `${nodes.settings.suite}, ${nodes.settings.bare === true ? 'bare' : `${nodes.settings.storage} storage`}, in ${nodes.settings.run}`,
    0,
  )
  for (const node of nodes.all) {
    const pid = await node.pid()
    say(pid === undefined ? `${node.name}: off` : `${node.name}: runs, pid ${pid}`, 0)
  }
  return 0
}

export function suiteOf(text: string | undefined): Suite {
  if (text === undefined || text === 'bookworm' || text === 'trixie') return text ?? 'bookworm'
  throw new Error(`SUITE is bookworm or trixie, not ${text}`)
}

export function storageOf(text: string | undefined): Storage {
  if (text === undefined || text === 'shared' || text === 'drbd') return text ?? 'shared'
  throw new Error(`STORAGE is shared or drbd, not ${text}`)
}

export function wayOf(text: string | undefined): Way {
  if (text === undefined || text === 'install.sh' || text === 'package') return text ?? 'install.sh'
  throw new Error(`INSTALL is install.sh or package, not ${text}`)
}

function say(text: string, code: number): number {
  process.stdout.write(`${text}\n`)
  return code
}
