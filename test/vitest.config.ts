import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    // Two cores: the rings start many programs of their own.
    maxWorkers: 2,
    minWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    reporters: ['default', new URL('summary.ts', import.meta.url).pathname],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reportsDirectory: 'coverage', reporter: ['text-summary', 'html'] },
  },
})
