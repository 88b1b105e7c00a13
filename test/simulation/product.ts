import { runAgent } from '../../src/agent/run-agent.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { noteCaller } from '../../src/acts/daemon.ts'
import { handle } from '../../src/acts/events.ts'
import { askLocks } from '../../src/acts/host.ts'
import { exitStatusOf, linesOf } from '../../src/core/outcome.ts'
import { write } from '../../src/system/output.ts'
import type { Product } from './land.ts'
import { rememberXml } from './xml-memory.ts'

rememberXml()

/**
 * The product: the code that ships. A hook is what src/hook/run-hook.ts does, without the log, whose loss changes
 * nothing (R10).
 */
export const PRODUCT: Product = {
  hook: async (event, xml) => {
    noteCaller()
    const asked = event.operation === 'prepare' && xml.includes('/dev/') ? askLocks() : undefined
    const { outcome } = await handle(event, () => xml, asked)
    const lines = linesOf(outcome, event.name)
    if (outcome.kind === 'done' && outcome.stdout !== undefined) write(1, outcome.stdout)
    if (lines.length > 0) write(2, lines.map((line) => `lvguard: ${line}\n`).join(''))
    return exitStatusOf(outcome)
  },
  command: (words) => runCommand(words),
  agent: () => runAgent(() => () => undefined),
}
