import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type StartWatch, type Watching, watchLeases } from '../../../src/agent/watching.ts'
import { REAL_TIME, useTime } from '../../../src/system/clock.ts'
import { useStart, REAL_START } from '../../../src/system/commands.ts'
import type { ThreadEvents } from '../../../src/system/thread.ts'

const SETTINGS = { onLostLease: 'kill', killFallback: 'reset' } as const
let now = 0
let due: { at: number; work: () => void }[] = []
const said: string[] = []
/** Each thread that was started: what it was given, what it was told, and what it tells. */
let threads: { data: unknown; told: unknown[]; events: ThreadEvents }[] = []
const start: StartWatch = (data, events) => {
  const thread = { data, told: [] as unknown[], events }
  threads.push(thread)
  return { post: (message) => void thread.told.push(message) }
}
const begin = (by: StartWatch = start): Watching =>
  watchLeases(SETTINGS, 30, ({ priority, text }) => void said.push(`<${priority}>${text}`), by)
async function pass(seconds: number): Promise<void> {
  now += seconds
  for (const { at, work } of due) if (at <= now) work()
  due = due.filter(({ at }) => at > now)
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

beforeEach(() => {
  now = 1000
  due = []
  threads = []
  said.length = 0
  useTime({
    ...REAL_TIME,
    monotonic: () => now,
    after: (milliseconds, work) => {
      due.push({ at: now + milliseconds / 1000, work })
      return () => undefined
    },
    every: () => undefined,
  })
  useStart(() => ({
    ended: Promise.resolve({ code: 'ENOENT' }),
    kill: () => undefined,
    killGroup: () => undefined,
    unref: () => undefined,
  }))
})
afterEach(() => {
  useTime(REAL_TIME)
  useStart(REAL_START)
})

describe('the watch in a thread of its own', () => {
  test('is given what it needs, and told what changes', () => {
    const watching = begin()
    expect([watching.isOwnThread, threads[0]?.data]).toEqual([true, { settings: SETTINGS, watchdog: 30 }])
    watching.settings({ onLostLease: 'alert', killFallback: 'none' })
    watching.alive()
    expect(threads[0]?.told).toEqual([
      { kind: 'settings', settings: { onLostLease: 'alert', killFallback: 'none' } },
      { kind: 'alive' },
    ])
  })

  test('one that ends is said, and started again, with the settings of now', async () => {
    const watching = begin()
    watching.settings({ onLostLease: 'alert', killFallback: 'none' })
    threads[0]?.events.ended('x is not a function (exit status 1)')
    expect(said).toEqual([
      '<2>the watch over the leases has ended, and is started again: x is not a function (exit status 1)',
    ])
    expect(threads).toHaveLength(1)
    await pass(1)
    expect(threads[1]?.data).toEqual({ settings: { onLostLease: 'alert', killFallback: 'none' }, watchdog: 30 })
    watching.alive()
    expect(threads[1]?.told).toEqual([{ kind: 'alive' }])
  })

  test('one that cannot be started again is tried again', async () => {
    let fails = false
    begin((data, events) => {
      if (fails) throw new Error('no memory')
      return start(data, events)
    })
    fails = true
    threads[0]?.events.ended('out of memory')
    await pass(1)
    expect(said.at(-1)).toBe('<2>the watch over the leases cannot be started again yet: no memory')
    fails = false
    await pass(10)
    expect(threads).toHaveLength(2)
  })

  test('one that hangs is said, unless this thread was it that hung', async () => {
    const watching = begin()
    await pass(61)
    expect(watching.trouble()).toBeUndefined()
    expect(watching.trouble()).toMatchObject({
      priority: 2,
      text: expect.stringMatching(/has not looked for 61 s: a lost lease is not acted on here/),
    })
    threads[0]?.events.message({ kind: 'looked' })
    expect(watching.trouble()).toBeUndefined()
  })
})

test('without a thread it is in this one, and that is said where one was to be had', () => {
  expect([begin(() => undefined).isOwnThread, said]).toEqual([false, []])
  expect(
    begin(() => {
      throw new Error('no memory')
    }).isOwnThread,
  ).toBe(false)
  expect(said).toEqual([
    '<3>the watch over the leases has no thread of its own, and stands still when the agent does: no memory',
  ])
})
