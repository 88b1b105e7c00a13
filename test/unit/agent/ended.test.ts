import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import type { RecordState } from '../../../src/core/record.ts'
import { recordOf, recorded, uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
/** What the agent acts on, call by call. */
const acts = vi.hoisted((): string[][] => [])
/** What the next acts come to, if to nothing. */
const failure = vi.hoisted((): { error?: Error } => ({}))
vi.mock('../../../src/acts/drive.ts', () => ({
  act: async (uuids: readonly string[]) => {
    acts.push([...uuids].sort())
    if (failure.error !== undefined) throw failure.error
    return []
  },
}))
const { Agent } = await import('../../../src/agent/agent.ts')
const { Aftermath } = await import('../../../src/agent/aftermath.ts')
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { Retries } = await import('../../../src/agent/retries.ts')
const { FolderWatch } = await import('../../../src/agent/watch.ts')
const { readRecords, recordOf: recordOfDomain, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  root.clear()
  acts.length = 0
  delete failure.error
})
afterAll(() => root.remove())

const put = (number: number, state: RecordState): string => {
  const uuid = uuidOf(number)
  replaceRecord(
    uuid,
    recordOfDomain(uuid, readRecords()),
    recordOf(number, state, [recorded({ vg: 'virtVG', lv: `vm${number}` })]),
  )
  return `${uuidOf(number)}.json`
}

/** An agent whose timers go off when the test says so. */
function agentWithTimers() {
  const timers: (() => void)[] = []
  const later = (work: () => void) => {
    timers.push(work)
    return () => undefined
  }
  const host = new AgentHost(DEFAULTS)
  const said: string[] = []
  const agent = new Agent(
    host,
    new Aftermath(host, { say: ({ text }) => void said.push(text) }),
    new Retries(later),
    later,
  )
  const goOff = async (): Promise<void> => {
    for (const work of timers.splice(0)) work()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { agent, goOff, said }
}

test('what is to be released, and still is a moment later, is acted on together and once', async () => {
  const { agent, goOff } = agentWithTimers()
  const names = [put(1, 'releasing'), put(2, 'releasing'), put(3, 'running'), put(4, 'releasing')]
  agent.lookAtRecords(names.slice(0, 2))
  agent.lookAtRecords(names)
  agent.lookAtRecords(['virtVG.lock', 'agent'])
  expect(acts).toEqual([])
  // Its own `release` was quick.
  put(4, 'running')
  await goOff()
  expect(acts).toEqual([[uuidOf(1), uuidOf(2)]])
  // The agent itself has written what is left.
  agent.lookAtRecords([put(1, 'releasing')])
  await goOff()
  expect(acts).toHaveLength(1)
  // Another life of it has ended.
  agent.lookAtRecords([put(1, 'prepared')])
  agent.lookAtRecords([put(1, 'releasing')])
  await goOff()
  expect(acts).toEqual([[uuidOf(1), uuidOf(2)], [uuidOf(1)]])
})

test('where anything may have changed all records are looked at', async () => {
  const { agent, goOff } = agentWithTimers()
  put(1, 'releasing')
  agent.lookAtRecords(undefined)
  await goOff()
  expect(acts).toEqual([[uuidOf(1)]])
})

test.each(['ENOSPC: no space left on device', 'EROFS: read-only file system', 'EDQUOT: disk quota exceeded'])(
  'an act that cannot have its lock’s file says which folder, and is tried again: %s',
  async (message) => {
    const { agent, goOff, said } = agentWithTimers()
    failure.error = Object.assign(new Error(message), { syscall: 'open', code: message.split(':')[0] })
    agent.lookAtRecords([put(1, 'releasing')])
    await goOff()
    expect(said).toEqual([expect.stringMatching(new RegExp(`/run/lvguard .*${message}.*df /run`))])
    await goOff()
    expect(acts).toHaveLength(2)
  },
)

test('a watched folder tells which file has changed, and nothing of one that is not there yet', async () => {
  const folder = join(root.path, 'run/watched')
  mkdirSync(join(root.path, 'run'), { recursive: true })
  const seen: (string | undefined)[] = []
  const watch = new FolderWatch(folder, (name) => seen.push(name))
  mkdirSync(folder)
  await expect.poll(() => seen, { timeout: 20_000 }).toContain(undefined)
  watch.renew()
  seen.length = 0
  writeFileSync(join(folder, 'a.json'), '')
  appendFileSync(join(folder, 'b.json'), '')
  await expect.poll(() => new Set(seen), { timeout: 20_000 }).toEqual(new Set(['a.json', 'b.json']))
  watch.close()
})
