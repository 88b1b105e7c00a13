import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { LockState } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { GONE_PASSES } from '../../../src/core/reconcile.ts'
import { CONFIGURATION, HostDouble } from '../support/host-double.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { AgentHost } = await import('../../../src/acts/seen-domains.ts')
const { Agent } = await import('../../../src/agent/agent.ts')
const { Aftermath } = await import('../../../src/agent/aftermath.ts')
const { Retries } = await import('../../../src/agent/retries.ts')
const { readRecords, recordOf, replaceRecord } = await import('../../../src/state/record-store.ts')

const domain = { name: 'tintin', uuid: UUID }
const bare = (state: DomainRecord['state']): DomainRecord => ({ format: 1, domain, state, volumes: [] })
const onRecord = (): DomainRecord | undefined => recordOf(UUID, readRecords())
const put = (record: DomainRecord): string => replaceRecord(UUID, onRecord(), record)
const silent: LockState = { kind: 'unknown', why: 'down', detail: 'lvmlockd does not answer' }
const started = (...vgs: string[]): LockState => ({
  kind: 'known',
  lockspaces: new Map(vgs.map((vg) => [vg, 'sanlock'])),
  locks: new Map(),
})

beforeEach(() => {
  host = new HostDouble()
  root.clear()
})
afterAll(() => root.remove())

/** An agent with timers of the test. */
function agentOf() {
  let waiting: (() => void)[] = []
  const timers = (work: () => void) => {
    waiting.push(work)
    return () => {
      waiting = waiting.filter((each) => each !== work)
    }
  }
  const agentHost = new AgentHost(CONFIGURATION)
  const agent = new Agent(
    agentHost,
    new Aftermath(agentHost, { say: () => undefined } as never),
    new Retries(timers),
    timers,
  )
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
  }
  const next = async () => {
    const [work] = waiting
    waiting = waiting.slice(1)
    work?.()
    await settle()
  }
  return { agent, agentHost, settle, next, waits: () => waiting.length }
}

describe('a record without volumes of a domain that is gone', () => {
  test('waits for lvmlockctl without the lock of a VG, and goes when it answers', async () => {
    put(bare('refused'))
    host.lockState = () => Promise.resolve(started('virtVG'))
    const { agent, settle, next, waits } = agentOf()
    await agent.pass()
    host.lockState = () => Promise.resolve(silent)
    const { lockVgs } = host
    let locked = 0
    host.lockVgs = (vgs) => {
      locked++
      return lockVgs(vgs)
    }
    for (let pass = 0; pass < GONE_PASSES + 2; pass++) await agent.pass()
    await settle()
    while (waits() > 0) await next()
    expect([locked, onRecord()?.state]).toEqual([0, 'refused'])
    host.lockState = () => Promise.resolve(started('virtVG'))
    await agent.pass()
    await settle()
    expect([locked, onRecord()]).toEqual([1, undefined])
  })

  test('whose act learns of a further VG is taken away by the next one, under its lock', async () => {
    put(bare('refused'))
    host.lockState = () => Promise.resolve(started())
    const { agent, agentHost, settle, next } = agentOf()
    for (let pass = 0; pass < GONE_PASSES - 1; pass++) await agent.pass()
    const asked: string[][] = []
    const { lockVgs } = host
    host.lockVgs = (vgs) => {
      asked.push([...vgs])
      host.lockState = () => Promise.resolve(started('virtVG'))
      return lockVgs(vgs)
    }
    await agent.pass()
    await settle()
    expect([asked, onRecord()?.state, [...agentHost.lockspaces]]).toEqual([[[]], 'refused', ['virtVG']])
    await next()
    expect([asked, onRecord()]).toEqual([[[], ['virtVG']], undefined])
  })
})
