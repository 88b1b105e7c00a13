import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The longest first, so that it does not run alone at the end: what waits for real locks, and of that the races. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => (moduleId.includes('/locks/races') ? 0 : moduleId.includes('/locks/') ? 1 : moduleId.includes('/simulated/') ? 2 : 3)
    return [...files].sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores: the rings start many programs of their own.
    maxWorkers: 2,
    minWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new URL('summary.ts', import.meta.url).pathname],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reportsDirectory: 'coverage', reporter: ['text-summary', 'html'] },
  },
})
