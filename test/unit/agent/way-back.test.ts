import { describe, expect, test } from 'vitest'
import { type LeaseBody, LeaseWatch } from '../../../src/agent/lease-watch.ts'
import type { Lockspace } from '../../../src/core/lease.ts'
import { cutOff } from '../../../src/kill/kill.ts'
import type { Mark } from '../../../src/kill/mark.ts'
import { recover } from '../../../src/kill/recover.ts'
import { KillDouble } from '../support/kill-world.ts'

const mark = (changed: Partial<Mark> = {}): Mark => ({
  format: 1,
  vg: 'virtVG',
  by: 'sanlock',
  at: 'then',
  killed: [],
  disks: [],
  state: 'started',
  ...changed,
})
const FINE: Lockspace = { vg: 'virtVG', list: 'spaces', ioTimeout: 10, renewed: 1, hasFailed: false }

/** The watch over a host whose kill and recovery are the real ones (KillDouble). */
class Patient implements LeaseBody {
  lockspaces: Lockspace[] = []
  notUnderstood: string[] = []
  readonly did: string[] = []
  readonly said: string[] = []
  constructor(readonly world: KillDouble) {}
  get pid(): number {
    return this.world.self.pid
  }
  now = (): number => this.world.now()
  /** How a lease looks at that moment. */
  leaseAt: (lockspace: Lockspace) => Lockspace = (lockspace) => ({ ...lockspace, renewed: this.now() - 1 })
  ask: LeaseBody['ask'] = () =>
    Promise.resolve({
      kind: 'status',
      status: {
        now: this.now(),
        hasWatchdog: false,
        watchdogFire: 60,
        notUnderstood: this.notUnderstood,
        lockspaces: this.lockspaces.map(this.leaseAt),
      },
    })
  configuration = () => ({ onLostLease: 'kill' as const, killFallback: 'none' as const })
  usersOf = (): readonly string[] =>
    [...this.world.status.values()].filter(({ pid }) => this.world.processes.has(pid)).map(({ name }) => name)
  vgsOnRecord = () => ['virtVG']
  isLeftBehind = () => Promise.resolve(false)
  marks = () => [...this.world.marks.values()]
  cutOff: LeaseBody['cutOff'] = async (order) => {
    this.did.push('kill')
    return await cutOff(order, this.world)
  }
  drop: LeaseBody['drop'] = () => {
    this.did.push('drop')
    this.lockspaces = []
    return Promise.resolve(undefined)
  }
  recover: LeaseBody['recover'] = async (one) => {
    this.did.push('recover')
    this.world.asked = await this.ask()
    return await recover(one, this.world)
  }
  reset = (why: string) => void this.did.push(`reset ${why}`)
  lives: LeaseBody['lives'] = (process) => this.world.lives(process)
  sleep = () => Promise.resolve()
  rehearse = () => undefined
  say: LeaseBody['say'] = ({ text }) => void this.said.push(text)
}

async function looks(count: number, patient: Patient, watch = new LeaseWatch(patient)): Promise<LeaseWatch> {
  for (let at = 0; at < count; at++) {
    await watch.look()
    for (let turn = 0; turn < 200; turn++) await Promise.resolve()
    patient.world.time += 5
  }
  return watch
}

describe('the way back of a kill that did not come to its end', () => {
  // `clear` could not be written, for /run was full at that moment. The agent, which has done it, lives on.
  test('is taken where the agent could not write down that it was done', async () => {
    const world = new KillDouble()
    world.vm(1)
    const patient = new Patient(world)
    patient.lockspaces = [FINE]
    patient.leaseAt = (lockspace) => ({ ...lockspace, renewed: 1, hasFailed: true })
    const { tables } = world
    // From the last question of the kill on.
    world.tables = () => {
      world.isFull = true
      return tables()
    }
    const watch = await looks(1, patient)
    expect([patient.did, world.marks.get('virtVG')?.state]).toEqual([['kill', 'drop'], 'started'])
    world.isFull = false
    await looks(60, patient, watch)
    expect(patient.did).toContain('recover')
  })

  // Or the agent was ended between `--lock-start` and the end of recovery, or somebody has started it by hand.
  test.each(['started', 'left', 'clear'] as const)(
    'is taken where sanlock has joined later than a recovery waits: %s',
    async (state) => {
      const world = new KillDouble()
      world.marks.set('virtVG', mark({ state, worker: { pid: 7, start: '1' } }))
      world.locking = 'sanlock has not joined it within 240 s'
      const patient = new Patient(world)
      const watch = await looks(1, patient)
      expect(patient.did).toEqual(['recover'])
      // It has joined by now.
      patient.lockspaces = [FINE]
      world.locking = undefined
      await looks(60, patient, watch)
      expect(world.marks.has('virtVG')).toBe(false)
    },
  )

  test.each(['started', 'left', 'clear'] as const)(
    'is not begun while what sanlock says is not understood (R9): %s',
    async (state) => {
      const world = new KillDouble()
      world.device('virtVG', 'vm1', [])
      world.marks.set('virtVG', mark({ state, worker: { pid: 7, start: '1' } }))
      const patient = new Patient(world)
      patient.notUnderstood = ['virtVG']
      await looks(10, patient)
      expect([patient.did, world.did]).toEqual([[], []])
    },
  )

  test('a kill that has the number of a dead worker puts its own name into the mark', async () => {
    const world = new KillDouble()
    world.vm(1)
    world.marks.set('virtVG', mark({ worker: { pid: world.self.pid, start: '0' } }))
    let seen: Mark['worker']
    const { tables } = world
    world.tables = () => {
      seen = world.marks.get('virtVG')?.worker
      return tables()
    }
    await cutOff({ vg: 'virtVG', by: 'sanlock', until: 125 }, world)
    expect(seen).toEqual(world.self)
  })

  // What the worker had killed, and had no time to write down: its thread waits for I/O (D).
  test('a QEMU in D state that is not in the mark keeps its device, and the locks stay', async () => {
    const world = new KillDouble()
    const { device } = world.vm(1, 'virtVG', { killed: 'waits', threads: ['Z', 'D'] })
    world.marks.set('virtVG', mark({ worker: { pid: 7, start: '1' } }))
    world.managers.set('virtVG', 'sanlock')
    const patient = new Patient(world)
    await looks(10, patient)
    expect(patient.did.length).toBeGreaterThan(0)
    expect([device.opened, world.did]).toEqual([1, []])
  })

  // A kill that begins while recovery waits for sanlock to join (up to 240 s).
  test.each(['started', 'left', 'clear'] as const)(
    'a kill that begins during the recovery keeps its mark: %s',
    async (state) => {
      const world = new KillDouble()
      world.marks.set('virtVG', mark({ state, worker: { pid: 7, start: '1' } }))
      world.startLocking = () => {
        world.marks.set(
          'virtVG',
          mark({
            worker: { pid: 8, start: '1' },
            killed: [{ name: 'vm', uuid: 'u', pid: 9, start: '1', volumes: [] }],
          }),
        )
        return Promise.resolve(undefined)
      }
      world.alive.add('8 1')
      await looks(1, new Patient(world))
      expect(world.marks.has('virtVG')).toBe(true)
    },
  )

  // sanlock was restarted: nobody goes on with the kill that it had called for.
  test('a VM that a kill has not come to is named where sanlock has no lockspace any more', async () => {
    const world = new KillDouble()
    world.vm(1)
    const patient = new Patient(world)
    patient.lockspaces = [FINE]
    const watch = await looks(1, patient)
    world.marks.set('virtVG', mark({ worker: { pid: 7, start: '1' } }))
    patient.lockspaces = []
    await looks(2, patient, watch)
    expect(patient.said.join('\n')).toMatch(/sanlock has no lease of this host any more.*: vm1\. .*lvguard kill virtVG/)
  })

  test('waits for the other one that cuts off the same', async () => {
    const world = new KillDouble()
    world.marks.set('virtVG', mark({ state: 'clear', worker: { pid: 8, start: '1' } }))
    world.alive.add('8 1')
    const patient = new Patient(world)
    const watch = await looks(10, patient)
    expect(patient.did).toEqual([])
    world.alive.clear()
    await looks(10, patient, watch)
    expect([patient.did, world.marks.size]).toEqual([['recover'], 0])
  })

  // The simulation found this: lvmlockctl's command was slow, and the agent had taken the VG back.
  test('a VM that was started after it is not killed by one that is at work still', async () => {
    const world = new KillDouble()
    world.vm(1, 'virtVG', { killed: 'waits', threads: ['Z', 'D'] })
    const { sleep } = world
    let times = 0
    world.sleep = (seconds) => {
      times++
      if (times === 2) {
        world.marks.clear()
        world.vm(2)
      }
      return sleep(seconds)
    }
    const { left } = await cutOff({ vg: 'virtVG', by: 'sanlock', until: 125 }, world)
    expect(world.did.filter((each) => each.startsWith('kill'))).toHaveLength(1)
    // Not done: lvmlockctl would give up the locks.
    expect(left).toHaveLength(1)
  })
})
