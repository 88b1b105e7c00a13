import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RUN_FOLDER } from './paths.ts'
import { type ProcessIdentity, lives, processOf } from './processes.ts'
import { makeRunFolder } from './record-store.ts'

/** Names the agent's process, so that a hook sees without a command whether one runs. It may stay when the agent ends. */
const AGENT_FILE = join(RUN_FOLDER, 'agent')

/** The agent that runs on this host. */
export function runningAgent(): ProcessIdentity | undefined {
  try {
    const [pid = '', start = ''] = readFileSync(AGENT_FILE, 'utf8').trim().split(' ')
    const agent = { pid: Number(pid), start }
    return Number.isSafeInteger(agent.pid) && lives(agent) ? agent : undefined
  } catch {
    return undefined
  }
}

/** Says that this process is the agent. @throws what the file system throws */
export function announceAgent(): void {
  makeRunFolder()
  const own = processOf(process.pid)
  writeFileSync(`${AGENT_FILE}.new`, `${process.pid} ${own?.start ?? ''}\n`, { mode: 0o600 })
  renameSync(`${AGENT_FILE}.new`, AGENT_FILE)
}
