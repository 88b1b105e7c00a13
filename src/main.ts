import './system/no-standard-streams.ts'
import { writeSync } from 'node:fs'
import { isCommandPath, isHandled, parseCall } from './core/call.ts'

/** Which mode is this call? */
async function main(words: readonly string[]): Promise<number> {
  const call = parseCall(words, isCommandPath(process.argv[1] ?? ''))
  if (call.kind === 'hook') {
    // Whatever ends this program early must not look like a lock.
    process.exitCode = isHandled(call.event) ? 1 : 0
    const { runHook } = await import('./hook/run-hook.ts')
    return runHook(call.event)
  }
  const { runCommand } = await import('./cli/admin.ts')
  return runCommand(call.words)
}

main(process.argv.slice(2)).then(
  // At once: an lvchange that outlives a `release` would keep Node from ending.
  (status) => process.exit(status),
  (error: unknown) => {
    writeSync(2, `lvguard: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(1)
  },
)
