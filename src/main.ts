import './no-standard-streams.ts'
import { writeSync } from 'node:fs'
import { isHandled, parseCall } from './hook/call.ts'

/** Which mode is this call? */
async function main(words: readonly string[]): Promise<number> {
  const call = parseCall(words)
  switch (call.kind) {
    case 'hook': {
      // Whatever ends this program early must not look like a lock.
      process.exitCode = isHandled(call.event) ? 1 : 0
      const { runHook } = await import('./hook/run-hook.ts')
      return runHook(call.event)
    }
    case 'agent': {
      const { runAgent } = await import('./agent/main.ts')
      return runAgent()
    }
    case 'step': {
      const { runStep } = await import('./agent/main.ts')
      return runStep(call)
    }
    case 'dry-run': {
      const { dryRun } = await import('./cli/dry-run.ts')
      return dryRun(call.event, call)
    }
    case 'help':
    case 'version':
    case 'usage': {
      const { usage } = await import('./cli/usage.ts')
      return usage(call)
    }
  }
}

main(process.argv.slice(2)).then(
  // Not by itself: an lvchange that outlives a `release` would hold the program up.
  (status) => process.exit(status),
  (error: unknown) => {
    writeSync(2, `lvguard: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(1)
  },
)
