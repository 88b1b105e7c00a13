import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { MUTANTS, placeOf } from './mutants.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const SCHEDULES = '2000'
/** What so many come through. */
const EVERYWHERE = [
  'backup',
  'backup ended',
  'commit done',
  'committed',
  'copied',
  'daemon back in backup',
  'daemon back in migration in finish3',
  'daemon back in migration in prepare',
  'daemon back in migration out begin3',
  'daemon back in migration out confirm3_cancelled',
  'daemon back in migration out perform3',
  'daemon back in migration out perform3_done',
  'daemon back in save',
  'incomplete image dropped',
  'left paused',
  'let in',
  'migrated',
  'migration of what is under one lock refused',
  'migration failed after the CPUs stopped',
  'migration failed before the CPUs stopped',
  'offline migration',
  'offline migration refused by libvirt',
  'older memory runs',
  'pivoted',
  'plugged',
  'prepare of a migration',
  'released along',
  'released by the agent',
  'renamed',
  'reply of Finish lost',
  'restore refused',
  'restored',
  'restored paused',
  'resumed after a restore',
  'saved',
  'saved to a file',
  'served while it waited',
  'snapshot',
  'snapshot of LVM made',
  'snapshot of LVM removed',
  'snapshot plugged',
  'snapshot plugged to be read',
  'started',
  'suspended by the agent',
  'taken away after a backup',
  'took its volumes itself',
  'unplugged',
  'upgraded',
  'upgraded in the middle of a hook',
  'volume renamed',
]

/**
 * The simulation in a program of its own: only there is it certain that nothing else has a say in the order of things.
 */
const simulate = async (
  ...words: string[]
): Promise<{ readonly status: number | undefined; readonly text: string }> => {
  const { exitCode, all } = await execa('node', ['test/run.mjs', 'simulation/cli.ts', ...words], {
    cwd: ROOT,
    all: true,
    reject: false,
  })
  return { status: exitCode, text: all }
}

describe('the code that ships, in simulated worlds', () => {
  test(`${SCHEDULES} of them break no rule, and have been everywhere`, async () => {
    const { status, text } = await simulate('--seeds', SCHEDULES, '--jobs', '2')
    expect(status, text).toBe(0)
    const reached = text.matchAll(/(?:^|, )([a-z][^:,\n]*): \d+/gm)
    expect([...reached].map(([, what]) => what)).toEqual(expect.arrayContaining(EVERYWHERE))
  })

  test('the same seed tells the same story, to the letter', async () => {
    const [one, other] = await Promise.all([
      simulate('--seeds', '25', '--digest'),
      simulate('--seeds', '25', '--digest'),
    ])
    expect(one.text).toMatch(/^25 stories [0-9a-f]{64}$/m)
    expect(other.text).toBe(one.text)
  })

  test('a seed alone tells what it tells among others', async () => {
    const [{ text: alone }, { text: among }] = await Promise.all([
      simulate('--from', '7', '--seeds', '1', '--digests'),
      simulate('--from', '5', '--seeds', '4', '--digests'),
    ])
    expect(alone).toMatch(/^7 [0-9a-f]{64}$/m)
    expect(among).toContain(alone.trim())
  })
})

// `npm run test:mutations` takes too long for each day.
test.each(MUTANTS)('what is to be taken out stands in the program, once: $name', (mutant) => {
  expect(readFileSync(join(ROOT, 'src', mutant.file), 'utf8').match(placeOf(mutant))).toHaveLength(1)
})
