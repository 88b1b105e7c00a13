import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The longest first, so that it does not run alone at the end: what waits for real locks, and of that the races. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number =>
      moduleId.includes('/locks/races')
        ? 0
        : moduleId.includes('/locks/')
          ? 1
          : moduleId.includes('/simulated/')
            ? 2
            : 3
    return [...files].sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  // Vite looks its host up at its start, though it serves nothing here: a root by debootstrap has no /etc/hosts.
  server: { host: '127.0.0.1' },
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores: the rings start many programs of their own.
    maxWorkers: 2,
    minWorkers: 1,
    // What hangs ends some day. How long a test takes is the machine's matter.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new URL('summary.ts', import.meta.url).pathname],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reportsDirectory: 'coverage',
      reporter: ['text-summary', 'html', 'json'],
    },
  },
})
