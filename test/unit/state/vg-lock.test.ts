import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { getPriority, setPriority } from 'node:os'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { VgLocks } from '../../../src/state/vg-lock.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
/** Stands for the clock and for waiting: time passes when a test says so. flock(1) is the real one. */
const time = vi.hoisted(() => ({
  now: 0,
  date: undefined as Date | undefined,
  waits: [] as { readonly end: number; readonly over: () => void }[],
}))
vi.mock('../../../src/system/clock.ts', async (original) => ({
  ...(await original<typeof import('../../../src/system/clock.ts')>()),
  milliseconds: () => time.now,
  date: () => time.date ?? new Date(),
}))
vi.mock('../../../src/system/within.ts', () => ({
  within: (limit: number, work: Promise<unknown>) =>
    Promise.race([work, new Promise<void>((resolve) => time.waits.push({ end: time.now + limit, over: resolve }))]),
}))
const { lockVgs } = await import('../../../src/state/vg-lock.ts')

beforeEach(() => {
  root.clear()
  Object.assign(time, { now: 0, date: undefined, waits: [] })
})
afterAll(() => root.remove())

const lockFile = (vg: string): string => join(root.path, 'run/lvguard', `${vg}.lock`)

/** Whether a process is a flock(1) that sleeps with this file as its descriptor 3: it waits for the lock. */
function isWaiting(pid: string, file: string): boolean {
  try {
    return (
      readFileSync(`/proc/${pid}/stat`, 'utf8').includes(' (flock) S ') && readlinkSync(`/proc/${pid}/fd/3`) === file
    )
  } catch {
    return false
  }
}

/**
 * Resolves when so many wait for the lock of a VG. Not by /proc/locks: in a PID namespace it leaves out a lock, and all
 * who wait for it, once the process that took it has ended (Linux 6.18, `locks_show`), as flock(1) does.
 */
const waiting = async (vg: string, number: number): Promise<void> => {
  const file = realpathSync(lockFile(vg))
  let before: string[] = []
  await expect
    .poll(
      () => {
        const now = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isWaiting(pid, file))
        // Asleep at two looks: not for a moment on its way there.
        const still = now.filter((pid) => before.includes(pid))
        before = now
        return still.length
      },
      { timeout: 20_000, interval: 5 },
    )
    .toBe(number)
}

/** Lets seconds pass, one by one, and those who waited for it look. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    time.now += 1000
    const over = time.waits.filter(({ end }) => end <= time.now)
    time.waits = time.waits.filter(({ end }) => end > time.now)
    for (const wait of over) wait.over()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** A wish that nobody awaits yet. */
function wishFor(
  vgs: readonly string[],
  ...limits: readonly [seconds: number, inAll?: number]
): { readonly locks: Promise<VgLocks> } {
  const locks = lockVgs(vgs, ...limits)
  locks.catch(() => undefined)
  return { locks }
}

const busy = (seconds: number, isQueue: boolean) => ({ name: 'VgBusy', vg: 'vg', seconds, isQueue })

test('the lock of a VG is given in the order in which they came', async () => {
  const first = await lockVgs(['vg'], 30)
  const served: number[] = []
  const wishes = []
  for (let number = 1; number <= 12; number++) {
    wishes.push(
      lockVgs(['vg'], 30).then((locks) => {
        served.push(number)
        locks.release()
      }),
    )
    await waiting('vg', number)
  }
  first.release()
  await Promise.all(wishes)
  expect(served).toEqual(Array.from({ length: 12 }, (_, index) => index + 1))
})

test('a queue is waited in for as long as it moves', async () => {
  let holder = await lockVgs(['vg'], 30)
  const wishes: ReturnType<typeof wishFor>[] = []
  for (let number = 1; number <= 4; number++) {
    wishes.push(wishFor(['vg'], 30))
    await waiting('vg', number)
  }
  for (const { locks } of wishes) {
    await pass(25)
    holder.release()
    holder = await locks
    // Those who still wait see who has it now.
    await pass(2)
  }
  holder.release()
})

test('two acts within one millisecond leave two marks', async () => {
  time.date = new Date()
  const marks: bigint[] = []
  for (let number = 0; number < 3; number++) {
    const locks = await lockVgs(['vg'], 30)
    marks.push(statSync(lockFile('vg'), { bigint: true }).mtimeNs)
    locks.release()
  }
  expect(marks[1]).not.toBe(marks[0])
  expect(marks[2]).not.toBe(marks[1])
})

test('one act that keeps it is not waited for, and who gives up leaves the queue to the others', async () => {
  const holder = await lockVgs(['vg'], 30)
  const impatient = wishFor(['vg'], 30)
  await waiting('vg', 1)
  const patient = wishFor(['vg'], 60)
  await waiting('vg', 2)
  await pass(31)
  await expect(impatient.locks).rejects.toMatchObject({
    ...busy(30, false),
    message: 'another act on vg has been at work for 30 s',
  })
  await waiting('vg', 1)
  holder.release()
  ;(await patient.locks).release()
})

test('time in which this process itself got no turn does not count: the host has too much to do', async () => {
  const holder = await lockVgs(['vg'], 30)
  const starved = wishFor(['vg'], 30)
  await waiting('vg', 1)
  for (let turn = 0; turn < 5; turn++) {
    time.now += 20_000
    await pass(1)
  }
  holder.release()
  ;(await starved.locks).release()
})

test('nor is a queue waited in for longer than in all', async () => {
  const first = await lockVgs(['vg'], 30)
  const second = wishFor(['vg'], 30)
  await waiting('vg', 1)
  const hurried = wishFor(['vg'], 30, 3)
  await waiting('vg', 2)
  await pass(1)
  first.release()
  const holder = await second.locks
  await pass(1)
  await expect(hurried.locks).rejects.toMatchObject({
    ...busy(3, true),
    message: 'the acts on vg that came first took longer than 3 s',
  })
  holder.release()
})

test('a program that is killed while it waits keeps nobody else from it', async () => {
  const holder = await lockVgs(['vg'], 30)
  // What a killed program leaves: its flock(1), in the middle of the queue.
  const program = spawn('sh', ['-c', 'exec 3>> "$1"; flock -w 600 3; sleep 600', 'sh', lockFile('vg')], {
    stdio: 'ignore',
  })
  await waiting('vg', 1)
  const next = wishFor(['vg'], 30)
  await waiting('vg', 2)
  program.kill('SIGKILL')
  await once(program, 'exit')
  holder.release()
  ;(await next.locks).release()
})

test('who holds one VG and waits for another whose queue moves is not taken for stuck', async () => {
  const first = await lockVgs(['b'], 30)
  const second = wishFor(['b'], 30)
  await waiting('b', 1)
  const both = wishFor(['a', 'b'], 30)
  await waiting('b', 2)
  const behind = wishFor(['a'], 30)
  await waiting('a', 1)
  await pass(20)
  first.release()
  const holder = await second.locks
  await pass(20)
  holder.release()
  const locks = await both.locks
  locks.release()
  ;(await behind.locks).release()
})

// Only root may come back from where it was.
test.runIf(process.getuid?.() === 0)('whoever has the lock comes first at the processors, and no longer', async () => {
  const before = getPriority()
  try {
    setPriority(0)
    const locks = await lockVgs(['virtVG'], 1)
    expect(getPriority()).toBe(-10)
    locks.release()
    expect(getPriority()).toBe(0)
    // The agent's unit has it so all the time.
    setPriority(-12)
    const again = await lockVgs(['virtVG'], 1)
    expect(getPriority()).toBe(-12)
    again.release()
    expect(getPriority()).toBe(-12)
  } finally {
    setPriority(before)
  }
})
