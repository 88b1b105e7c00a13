import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { startThread, threadOf } from '../../../src/system/thread.ts'

const folder = mkdtempSync(join(tmpdir(), 'lvguard-thread-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('goes on while the first one stands still', async () => {
  const heard: unknown[] = []
  const file = join(folder, 'done')
  const code = `const { parentPort, workerData } = require('node:worker_threads'); const fs = require('node:fs'); let held = false
    parentPort.on('message', (text) => { if (text === 'hold') setTimeout(() => fs.writeFileSync(workerData, ''), 100); else parentPort.postMessage(text) })`
  const thread = threadOf(code, file, { message: (message) => void heard.push(message), ended: () => undefined })
  thread.post('there?')
  await vi.waitUntil(() => heard.length > 0, { timeout: 20_000 })
  thread.post('hold')
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const end = Date.now() + 20_000
  while (!existsSync(file) && Date.now() < end) Atomics.wait(cell, 0, 0, 50)
  expect(existsSync(file)).toBe(true)
})

test('why one has ended', async () => {
  const ends: string[] = []
  threadOf('throw new Error("x is not a function")', undefined, {
    message: () => undefined,
    ended: (why) => void ends.push(why),
  })
  await vi.waitUntil(() => ends.length > 0, { timeout: 20_000 })
  expect(ends).toEqual(['x is not a function (exit status 1)'])
})

test('there are no parts where the sources run as they are', () =>
  expect(startThread('watch', {}, { message: () => undefined, ended: () => undefined })).toBeUndefined())
