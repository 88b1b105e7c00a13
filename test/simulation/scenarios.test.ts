import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { beforeAll, describe, expect, test } from 'vitest'
import { SCENARIOS } from '../scenarios/all.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

describe('the program in a simulated world', () => {
  let results: Readonly<Record<string, string | null>> = {}
  beforeAll(async () => {
    const { stdout } = await execa('node', ['test/run.mjs', 'simulation/scenarios.ts'], { cwd: ROOT })
    results = JSON.parse(stdout) as typeof results
  })

  for (const { name, not } of SCENARIOS)
    test.skipIf(not?.simulated !== undefined)(name, () => {
      expect(results[name]).toBe(null)
    })
})
