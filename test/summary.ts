import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node'

/**
 * The last words of a run: each ring or test that could not run, by name and with its reason, and one plain line of counts.
 * A ring that is skipped must not pass silently.
 */
export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length
    const skipped = tests.filter((test) => test.result().state === 'skipped')
    const broken = modules.filter(
      (module) =>
        module.state() === 'failed' &&
        ![...module.children.allTests()].some((test) => test.result().state === 'failed'),
    ).length
    const reasons = [...new Set(skipped.map(reasonOf))]
    for (const reason of reasons) process.stdout.write(`NOT RUN: ${reason}\n`)
    process.stdout.write(
      `${count('passed')} passed, ${count('failed') + broken + errors.length} failed, ${skipped.length} skipped\n`,
    )
  }
}

/** The outermost suite that is skipped as a whole, else the test itself. */
function reasonOf(test: TestCase): string {
  const suites: TestSuite[] = []
  for (let parent = test.parent; parent.type === 'suite'; parent = parent.parent) suites.unshift(parent)
  const suite = suites.find((candidate) => candidate.options.mode === 'skip')
  return suite?.fullName ?? test.fullName
}
