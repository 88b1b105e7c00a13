import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/**
 * What may touch the world by itself: the seam, and what is above it. `main` and `run-hook` are one process from its
 * start to its exit; the log is written by a child that outlives it; standard streams may be non-blocking pipes, which
 * are waited for in the kernel; `paths` reads one variable before anything else.
 */
const ABOVE = [
  'main.ts',
  'hook/run-hook.ts',
  ...['clock', 'commands', 'files', 'log', 'memory', 'no-standard-streams', 'paths', 'self', 'signals', 'thread'].map(
    (name) => `system/${name}.ts`,
  ),
]

const OF_THE_WORLD: readonly (readonly [what: string, pattern: RegExp])[] = [
  [
    'files, processes, time or chance of Node itself',
    /(?:from|import\() ?'(?:node:)?(?:fs|fs\/promises|child_process|os|timers|timers\/promises|tty|v8|vm|net|dgram|worker_threads|perf_hooks|readline|process)'/,
  ],
  ['a package that starts processes', /(?:from|import\() ?'execa'/],
  ['the calendar', /\bDate\.now\(|\bnew Date\(\)/],
  ['a timer', /\bset(?:Timeout|Interval|Immediate)\(/],
  ['a thread that stands still', /\bAtomics\./],
  ['chance', /\bMath\.random\(|\brandomUUID\(/],
  [
    'this process',
    /(?<!\.)\bprocess\.(?:pid|ppid|env|exit|exitCode|kill|on|once|getuid|hrtime|uptime|memoryUsage|stdin|stdout|stderr|argv|cwd)\b/,
  ],
]

const sources = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts') && !ABOVE.includes(name))

/** A class that is given a process as data has it in a variable of this name (src/kill). */
const OWN_VARIABLE = /const process = |\(process: ProcessIdentity/

describe('below the seam', () => {
  it('is most of the program', () => expect(sources.length).toBeGreaterThan(100))

  it.each(sources)('%s touches the world through src/system only', (name) => {
    const text = readFileSync(join(SRC, name), 'utf8')
    const found = OF_THE_WORLD.filter(
      ([what, pattern]) => pattern.test(text) && !(what === 'this process' && OWN_VARIABLE.test(text)),
    ).map(([what]) => what)
    expect(found).toEqual([])
  })
})
