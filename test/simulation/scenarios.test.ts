import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { beforeAll, describe, expect, test } from 'vitest'
import { SCENARIOS } from '../scenarios/all.ts'
import { VERSIONS, keyOf } from './scenarios.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
let results: Readonly<Record<string, string | null>> = {}

beforeAll(async () => {
  const { stdout } = await execa('node', ['test/run.mjs', 'simulation/scenarios.ts'], { cwd: ROOT })
  results = JSON.parse(stdout) as typeof results
})

describe.each(VERSIONS)('the program in a simulated world with lvm2 %s', (lvm) => {
  for (const { name, not } of SCENARIOS)
    test.skipIf(not?.simulated !== undefined)(name, () => {
      expect(results[keyOf(lvm, name)]).toBe(null)
    })
})
