import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { Lockspace } from '../../../src/core/lease.ts'
import { KillDouble } from '../support/kill-world.ts'

let world = new KillDouble()
let caller = 'lvmlockctl'
const said: string[] = []
vi.mock('../../../src/kill/real-world.ts', () => ({ realWorld: () => world, sayInto: () => undefined }))
vi.mock('../../../src/system/files.ts', async (original) => {
  const files = await original<typeof import('../../../src/system/files.ts')>()
  return {
    ...files,
    readFileSync: (path: string, encoding: 'utf8') =>
      path.endsWith('/comm') ? `${caller}\n` : files.readFileSync(path, encoding),
  }
})
vi.mock('../../../src/system/output.ts', async (original) => ({
  ...(await original<typeof import('../../../src/system/output.ts')>()),
  write: (_: number, text: string) => void said.push(text),
}))
const { killVg } = await import('../../../src/cli/kill.ts')
const { REAL_SELF, useSelf } = await import('../../../src/system/self.ts')

const AGAIN: Partial<Lockspace> = { renewed: 195, isEnding: false }
const says = (changed: Partial<Lockspace>): void => {
  world.asked = {
    kind: 'status',
    status: {
      now: 200,
      hasWatchdog: false,
      watchdogFire: 60,
      notUnderstood: [],
      lockspaces: [{ vg: 'virtVG', list: 'spaces', ioTimeout: 10, renewed: 110, hasFailed: false, ...changed }],
    },
  }
}
const killed = () => world.did.filter((each) => each.startsWith('kill '))
const kill = () => killVg('virtVG', { yes: false, drop: false })

beforeEach(() => {
  world = new KillDouble()
  world.time = 200
  world.vm(1)
  caller = 'lvmlockctl'
  said.length = 0
  useSelf({ ...REAL_SELF, uid: () => 0, isTerminal: () => false })
})

// The agent was quicker, and has taken the VG back: what runs on it now has its locks (R13).
describe("lvmlockctl's command begins late", () => {
  test('the lease holds again, and sanlock ends nothing: nobody is killed, and lvmlockctl gives up nothing', async () => {
    says(AGAIN)
    expect([await kill(), world.did, world.marks.size]).toEqual([1, [], 0])
    expect(said.join('')).toContain('virtVG is used here again, and was left alone')
  })
  test.each<[string, Partial<Lockspace>]>([
    ['the lease is lost', {}],
    ['sanlock has given it up', { hasFailed: true }],
    // sanlock client rem_lockspace: the lease is renewed until the last user is gone.
    ['sanlock ends what uses it', { ...AGAIN, isEnding: true }],
    ['sanlock does not say whether it does', { renewed: 195 }],
    ['it is being left', { ...AGAIN, list: 'rem' }],
    ['it has not joined yet', { ...AGAIN, renewed: 0 }],
  ])('%s: killed', async (_, lockspace) => {
    says(lockspace)
    expect([await kill(), killed()]).toEqual([0, ['kill 101']])
  })
  test('sanlock is silent: killed', async () => {
    expect([await kill(), killed()]).toEqual([0, ['kill 101']])
  })
  test('a person asks: killed, whatever the lease is', async () => {
    caller = 'bash'
    says(AGAIN)
    expect([await kill(), killed()]).toEqual([0, ['kill 101']])
  })
  test('it is taken back while the command is at work: lvmlockctl gives up nothing', async () => {
    says({})
    const { wipe } = world
    world.wipe = async (name) => {
      const isDone = await wipe(name)
      says(AGAIN)
      return isDone
    }
    expect([await kill(), killed()]).toEqual([1, ['kill 101']])
  })
})
