import { statSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { DEFAULTS } from '../core/configuration.ts'
import { PASS_PERIOD } from '../core/retry.ts'
import { announceAgent, runningAgent } from '../agent-presence.ts'
import { messageOf } from '../hook/failures.ts'
import { write } from '../output.ts'
import { CONFIGURATION_FILE, STATUS_FOLDER } from '../paths.ts'
import { readConfiguration } from '../read-configuration.ts'
import { Aftermath } from './aftermath.ts'
import { Agent } from './agent.ts'
import { AgentHost } from './host.ts'
import { openJournal } from './journal.ts'
import { Retries } from './retries.ts'
import { FolderWatch } from './watch.ts'

/** Bytes that the heap may grow before what passes leave behind is given back. */
const HEAP_GROWTH = 2 * 1024 * 1024

/**
 * Passes keep little, but V8 by itself would not give back for hours what they took. With 500 VMs this made a pass 43 to 50 ms of CPU
 * instead of 32 (Node 20, npm run bench).
 */
function memoryKeeper(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  let kept = 0
  return () => {
    if (typeof collect !== 'function' || process.memoryUsage().heapUsed < kept + HEAP_GROWTH) return
    collect()
    kept = process.memoryUsage().heapUsed
  }
}

/**
 * `lvguard agent`: runs until it is ended, which it may be at any moment. SIGHUP (systemctl reload) reads the configuration and makes a
 * pass at once.
 * @returns only if it cannot start
 */
export async function runAgent(): Promise<number> {
  const other = runningAgent()
  if (other !== undefined) {
    write(2, `lvguard: an agent runs on this host already (process ${other.pid}): systemctl status lvguard\n`)
    return 1
  }
  const host = new AgentHost(DEFAULTS)
  const journal = openJournal(() => host.configuration)
  const aftermath = new Aftermath(host, journal)
  const agent = new Agent(host, aftermath, new Retries())
  let mark = ''
  const configure = async (): Promise<void> => {
    mark = markOf(CONFIGURATION_FILE)
    const parsed = await readConfiguration()
    const wrong = 'errors' in parsed ? parsed.errors : []
    host.configuration = 'configuration' in parsed ? parsed.configuration : host.configuration
    aftermath.sayOfHost(wrong.map((error) => ({ key: error, priority: 3, text: `configuration: ${error}; what was in force stays so` })), 'configuration')
  }
  await configure()
  try {
    announceAgent()
  } catch (error) {
    journal.say({ priority: 3, text: `/run/lvguard/agent cannot be written (${messageOf(error)}): no migration is let in here` })
  }
  const freeMemory = memoryKeeper()
  const watch = new FolderWatch(STATUS_FOLDER, coalesced(() => agent.lookAtChanges()))
  const pass = async (): Promise<void> => {
    watch.renew()
    // The hook reads it at each call: they must not differ for long.
    if (mark !== markOf(CONFIGURATION_FILE)) await configure()
    await agent.pass()
    freeMemory()
  }
  process.on('SIGHUP', () => void configure().then(pass))
  journal.say({ priority: 6, text: 'the agent watches the domains of this host' })
  await pass()
  setInterval(() => void pass(), PASS_PERIOD)
  return new Promise(() => undefined)
}

/** What tells one version of a file from another; empty where there is none. */
function markOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`
}

/** An event comes for each step of a rename, and for each domain. */
function coalesced(work: () => void): () => void {
  let isDue = false
  return () => {
    if (isDue) return
    isDue = true
    setImmediate(() => {
      isDue = false
      work()
    })
  }
}

