import { readFileSync, renameSync, writeFileSync } from '../system/files.ts'
import { join } from 'node:path'
import { monotonic } from '../system/clock.ts'
import { type AgentState, agentStateOf } from '../core/agent-state.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import { lives, processOf } from '../system/processes.ts'
import { makeRunFolder } from './record-store.ts'
import { self } from '../system/self.ts'

/**
 * The file that names the agent's process, and when it last gave a sign of life. So a hook sees, without a command,
 * whether an agent works here. Its form is `PID START SECONDS`. SECONDS are those of the monotonic clock, which all
 * processes of a host share. The file may stay when the agent ends.
 */
const AGENT_FILE = join(RUN_FOLDER, 'agent')

/** The agent of this host. Never throws: what cannot be read is no agent. */
export function agentState(): AgentState {
  try {
    const [pid = '', start = '', beat] = readFileSync(AGENT_FILE, 'utf8').trim().split(' ')
    const agent = { pid: Number(pid), start }
    if (!Number.isSafeInteger(agent.pid) || !lives(agent)) return { kind: 'absent' }
    return agentStateOf(agent.pid, beat === undefined ? undefined : Number(beat), monotonic())
  } catch {
    return { kind: 'absent' }
  }
}

/** Says that this process is the agent, and lives. @throws what the file system throws */
export function announceAgent(): void {
  makeRunFolder()
  const own = processOf(self().pid)
  writeFileSync(`${AGENT_FILE}.new`, `${self().pid} ${own?.start ?? ''} ${monotonic().toFixed(1)}\n`, { mode: 0o600 })
  renameSync(`${AGENT_FILE}.new`, AGENT_FILE)
}
