import { describe, expect, test } from 'vitest'
import { type LeaseBody, LeaseWatch } from '../../../src/agent/lease-watch.ts'
import type { Left } from '../../../src/core/cut-off.ts'
import type { Lockspace } from '../../../src/core/lease.ts'
import type { Mark } from '../../../src/kill/mark.ts'

const mark = (vg: string, changed: Partial<Mark> = {}): Mark => ({
  format: 1,
  vg,
  by: 'sanlock',
  at: 'then',
  killed: [],
  disks: [],
  state: 'clear',
  ...changed,
})

/** What the clock says when a test begins. */
const BOOTED = 10_000

/** A host whose sanlock, VMs and storage a test sets; one step is five seconds. */
class Patient implements LeaseBody {
  time = 0
  readonly users = new Map([['virtVG', ['tintin']]])
  readonly there: Mark[] = []
  readonly lockspaces: Lockspace[] = []
  hasWatchdog: boolean | undefined = false
  watchdogFire = 60
  notUnderstood: string[] = []
  silent = false
  /** When the path of each VG hung. */
  readonly hung = new Map<string, number>()
  config: ReturnType<LeaseBody['configuration']> = { onLostLease: 'kill', killFallback: 'reset' }
  left: Left[] = []
  dropping: string | undefined
  answers = false
  readonly did: string[] = []
  readonly said: string[] = []

  constructor(...vgs: readonly string[]) {
    for (const vg of vgs.length === 0 ? ['virtVG'] : vgs)
      this.lockspaces.push({ vg, list: 'spaces', ioTimeout: 10, renewed: 0, hasFailed: false })
  }

  now = (): number => BOOTED + this.time
  ask: LeaseBody['ask'] = () =>
    Promise.resolve(
      this.silent
        ? { kind: 'silent', why: 'no answer in 4 s' }
        : {
            kind: 'status',
            status: {
              now: this.now(),
              hasWatchdog: this.hasWatchdog,
              watchdogFire: this.watchdogFire,
              notUnderstood: this.notUnderstood,
              lockspaces: this.lockspaces.map((each) => ({
                ...each,
                renewed: BOOTED + Math.min(this.time, this.hung.get(each.vg) ?? this.time),
              })),
            },
          },
    )
  configuration = () => this.config
  usersOf = (vg: string): readonly string[] => this.users.get(vg) ?? []
  vgsOnRecord = (): readonly string[] => [...this.users.keys()]
  /** VGs that lvmlockd lists although sanlock has left them. */
  readonly leftBehind = new Set<string>()
  isLeftBehind = (vg: string): Promise<boolean> => Promise.resolve(this.leftBehind.has(vg))
  marks = (): readonly Mark[] => this.there
  cutOff: LeaseBody['cutOff'] = ({ vg, until }) => {
    this.did.push(`${this.time}: kill ${vg} until ${until - BOOTED}`)
    this.users.delete(vg)
    const own = mark(vg, { state: this.left.length === 0 ? 'clear' : 'left' })
    this.there.splice(0, this.there.length, ...this.there.filter((each) => each.vg !== vg), own)
    return Promise.resolve({ mark: own, left: this.left })
  }
  drop: LeaseBody['drop'] = (vg) => {
    this.did.push(`${this.time}: drop ${vg}`)
    return Promise.resolve(this.dropping)
  }
  recover: LeaseBody['recover'] = ({ vg }) => {
    if (!this.answers) return Promise.resolve({ kind: 'not-yet', why: 'vdb does not answer' })
    this.did.push(`${this.time}: recover ${vg}`)
    this.leftBehind.delete(vg)
    this.there.splice(0, this.there.length, ...this.there.filter((each) => each.vg !== vg))
    return Promise.resolve({ kind: 'recovered', text: `${vg} can be used here again` })
  }
  readonly pid: number = 1
  /** Processes that live, by their number. */
  readonly alive = new Set<number>()
  lives: LeaseBody['lives'] = ({ pid }) => this.alive.has(pid)
  sleep = (seconds: number): Promise<void> => {
    this.slept.push(
      `${this.said.at(-1)}, then ${seconds} s, ${this.did.some((each) => each.includes('reset')) ? 'after' : 'before'} the reset`,
    )
    return Promise.resolve()
  }
  readonly slept: string[] = []
  reset = (why: string): void => void this.did.push(`${this.time}: reset: ${why}`)
  rehearse = (): void => void this.did.push('rehearse')
  say: LeaseBody['say'] = ({ priority, text }) => void this.said.push(`${this.time} <${priority}>${text}`)
}

/** Looks every five seconds, from now on until then. */
async function until(time: number, patient: Patient, watch = new LeaseWatch(patient)): Promise<LeaseWatch> {
  for (; patient.time < time; patient.time += 5) {
    await watch.look()
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  }
  return watch
}
const acts = ({ did }: Patient): string[] => did.filter((each) => each !== 'rehearse')
const times = ({ said }: Patient, words: RegExp): number[] =>
  said.filter((line) => words.test(line)).map((line) => Number(line.split(' ')[0]))

describe('a lease that is late', () => {
  test('is said at once, each minute, and once when it is over; nobody is touched', async () => {
    const patient = new Patient()
    patient.hung.set('virtVG', 0)
    const watch = await until(50, patient)
    patient.hung.clear()
    await until(200, patient, watch)
    expect(patient.said.map((line) => line.slice(0, 60))).toEqual([
      '30 <2>virtVG: this host has not renewed its lease for 30 s: ',
      '50 <2>virtVG: this host renews its lease again, after 45 s. ',
    ])
    expect(acts(patient)).toEqual([])
  })

  test('is said again after a minute', async () => {
    const patient = new Patient()
    patient.lockspaces.splice(0, 1, { vg: 'virtVG', list: 'spaces', ioTimeout: 30, renewed: 0, hasFailed: false })
    patient.hung.set('virtVG', 0)
    await until(235, patient)
    expect(times(patient, /has not renewed/)).toEqual([90, 150, 210])
  })

  test('concerns nobody without a VM on it, late or lost', async () => {
    const patient = new Patient()
    patient.users.clear()
    patient.hung.set('virtVG', 0)
    await until(200, patient)
    expect([patient.said, acts(patient)]).toEqual([[], []])
  })
})

describe('a lease that is lost', () => {
  test('its VMs are killed at 80 s, with time until 125, and lvmlockd gives its locks up; the VMs of another VG live on', async () => {
    const patient = new Patient('virtVG', 'otherVG')
    patient.users.set('otherVG', ['milou'])
    patient.hung.set('virtVG', 0)
    await until(120, patient)
    expect(acts(patient)).toEqual(['80: kill virtVG until 125', '80: drop virtVG'])
    expect(patient.users.get('otherVG')).toEqual(['milou'])
  })

  test('as soon as sanlock gives it up', async () => {
    const patient = new Patient()
    patient.lockspaces.splice(0, 1, { vg: 'virtVG', list: 'spaces', ioTimeout: 10, renewed: 0, hasFailed: true })
    await until(5, patient)
    expect(acts(patient)[0]).toBe('0: kill virtVG until 125')
  })

  test.each([
    [20, 60, '160: kill virtVG until 205'],
    [10, 20, '80: kill virtVG until 95'],
  ])(
    'io_timeout %i, watchdog_fire_timeout %i: in time for what others wait',
    async (ioTimeout, watchdogFire, expected) => {
      const patient = Object.assign(new Patient(), { watchdogFire })
      patient.lockspaces.splice(0, 1, { vg: 'virtVG', list: 'spaces', ioTimeout, renewed: 0, hasFailed: false })
      patient.hung.set('virtVG', 0)
      await until(165, patient)
      expect(acts(patient)[0]).toBe(expected)
    },
  )

  test('with "alert" it is said each minute, with what may happen, and nothing is done', async () => {
    const patient = new Patient()
    patient.config = { onLostLease: 'alert', killFallback: 'reset' }
    patient.hung.set('virtVG', 0)
    await until(205, patient)
    expect(
      times(
        patient,
        /the lease of this host is lost, and in 60 s another host may take its locks and start these VMs, which run here still: tintin/,
      ),
    ).toEqual([80])
    expect(times(patient, /another host may have taken its locks/)).toEqual([140, 200])
    expect(acts(patient)).toEqual([])
  })

  test('with "alert" the kill that lvmlockctl has begun is carried to its end', async () => {
    const patient = new Patient()
    patient.config = { onLostLease: 'alert', killFallback: 'none' }
    patient.there.push(mark('virtVG', { state: 'started' }))
    patient.hung.set('virtVG', 0)
    await until(90, patient)
    expect(acts(patient)).toEqual(['80: kill virtVG until 125', '80: drop virtVG'])
  })

  const WRITES: Left = { kind: 'device', text: 'virtVG-tintin is not wiped (0 reads and 3 writes in flight)' }
  const PROCESS: Left = {
    kind: 'process',
    text: 'tintin (process 899) was killed, and is not gone: a thread waits for I/O',
  }
  const UNKNOWN: Left = { kind: 'unknown', text: 'dmsetup does not tell the tables of the devices' }
  test.each<[string, Partial<Patient>, RegExp | undefined]>([
    [
      'reset, without a watchdog',
      { left: [WRITES] },
      /^80: reset: virtVG could not be cut off within 125 s of its last renewal: virtVG-tintin is not wiped \(0 reads and 3 writes in flight\)$/,
    ],
    ['not with a watchdog', { left: [WRITES], hasWatchdog: true }, undefined],
    ['not where nobody says whether there is one', { left: [WRITES], hasWatchdog: undefined }, undefined],
    [
      'not with kill_fallback = "none"',
      { left: [WRITES], config: { onLostLease: 'kill', killFallback: 'none' } },
      undefined,
    ],
    ['not for what cannot be told', { left: [UNKNOWN] }, undefined],
    ['not for a process alone: the devices are proven to fail', { left: [PROCESS] }, undefined],
    [
      'reset for a process while the devices are not proven to fail',
      { left: [PROCESS, UNKNOWN] },
      /^80: reset: virtVG could not be cut off .*: tintin .*; dmsetup does not tell/,
    ],
  ])('what is left after a kill: the host is %s', async (_, spoil, reset) => {
    const patient = Object.assign(new Patient(), spoil)
    patient.hung.set('virtVG', 0)
    await until(85, patient)
    expect(acts(patient).filter((each) => each.includes('reset'))).toEqual(
      reset === undefined ? [] : [expect.stringMatching(reset)],
    )
    expect(acts(patient).some((each) => each.includes('drop'))).toBe(false)
    if (reset === undefined)
      expect(patient.said.at(-1)).toMatch(/virtVG is not cut off, and other hosts may take its locks: /)
  })

  test('why the host is reset is said to the journal before, which has a moment to keep it', async () => {
    const patient = Object.assign(new Patient(), { left: [WRITES] })
    patient.hung.set('virtVG', 0)
    await until(81, patient)
    expect(patient.slept).toEqual([
      expect.stringMatching(
        /^80 <2>this host is reset: virtVG could not be cut off within 125 s .*, then 0.2 s, before the reset$/,
      ),
    ])
    expect(acts(patient).at(-1)).toMatch(/^80: reset/)
  })

  test('what is left is looked at again, and dropped when it is gone', async () => {
    const patient = Object.assign(new Patient(), {
      left: [WRITES],
      config: { onLostLease: 'kill' as const, killFallback: 'none' as const },
    })
    patient.hung.set('virtVG', 0)
    const watch = await until(160, patient)
    patient.left = []
    await until(170, patient, watch)
    expect(acts(patient).at(-1)).toBe('160: drop virtVG')
  })
})

describe('what is not sanlock’s clear word kills nobody (R9)', () => {
  test('silence: said when a lease is known, and again each minute', async () => {
    const patient = new Patient()
    const watch = await until(5, patient)
    patient.silent = true
    await until(200, patient, watch)
    expect(
      times(
        patient,
        /<2>sanlock does not answer \(no answer in 4 s\), since \d+ s: whether this host still has its lease on virtVG cannot be told, and nothing is done/,
      ),
    ).toEqual([5, 65, 125, 185])
    expect(acts(patient)).toEqual([])
  })

  test('silence from the start of the agent on: said for the VMs that are on record', async () => {
    const patient = Object.assign(new Patient(), { silent: true })
    await until(65, patient)
    expect(
      times(patient, /<2>sanlock does not answer .* whether this host still has its lease on virtVG cannot be told/),
    ).toEqual([0, 60])
    patient.silent = false
    patient.users.clear()
    await until(75, patient)
    expect(acts(patient)).toEqual([])
  })

  test('silence on a host that has no lease is no news', async () => {
    const patient = Object.assign(new Patient(), { silent: true })
    patient.users.clear()
    await until(200, patient)
    expect([patient.said, acts(patient)]).toEqual([[], []])
  })

  test('a lease that sanlock has no more, without a word that it is lost: said while a VM runs', async () => {
    const patient = new Patient()
    const watch = await until(5, patient)
    patient.lockspaces.length = 0
    await until(70, patient, watch)
    expect(
      times(
        patient,
        /<2>virtVG: sanlock has no lease of this host any more, .* which run here still: tintin\. Nothing is done/,
      ),
    ).toEqual([5, 65])
    expect(patient.said[0]).toContain('within 140 s')
    patient.users.clear()
    await until(140, patient, watch)
    expect([patient.said.length, acts(patient)]).toEqual([2, []])
  })

  test('an entry that is not understood is said', async () => {
    const patient = Object.assign(new Patient(), { notUnderstood: ['virtVG'] })
    patient.lockspaces.length = 0
    await until(65, patient)
    expect([
      times(patient, /what sanlock says of its lease on virtVG is not understood, and nothing is done/),
      acts(patient),
    ]).toEqual([[0, 60], []])
  })

  test('a lockspace that is stopped in order', async () => {
    const patient = new Patient()
    patient.lockspaces.splice(0, 1, { vg: 'virtVG', list: 'rem', ioTimeout: 10, renewed: 0, hasFailed: false })
    patient.hung.set('virtVG', 0)
    await until(200, patient)
    expect([patient.said, acts(patient)]).toEqual([[], []])
  })

  test('a mark alone', async () => {
    const patient = new Patient()
    patient.there.push(mark('virtVG', { by: 'unknown', state: 'started' }))
    await until(100, patient)
    expect(acts(patient)).toEqual([])
    expect(patient.said).toEqual([
      expect.stringMatching(/^0 <3>nothing starts on virtVG here: .* lvguard recover virtVG$/),
      expect.stringMatching(/^60 /),
    ])
  })
})

describe('the way back', () => {
  test('is tried every 15 s, and taken when the storage answers', async () => {
    const patient = new Patient()
    patient.hung.set('virtVG', 0)
    const watch = await until(300, patient)
    expect(times(patient, /<4>virtVG cannot be used here again yet: vdb does not answer/).length).toBeGreaterThan(0)
    patient.answers = true
    patient.lockspaces.length = 0
    await until(320, patient, watch)
    expect(acts(patient).filter((each) => each.includes('recover'))).toHaveLength(1)
    expect(patient.said.at(-1)).toMatch(/<2>virtVG can be used here again$/)
  })

  /** A VG that no VM used when its lease was lost; sanlock has left it by itself. */
  async function lostUnused() {
    const patient = Object.assign(new Patient(), { answers: true })
    patient.users.clear()
    patient.hung.set('virtVG', 0)
    const watch = await until(100, patient)
    expect(acts(patient)).toEqual([])
    patient.leftBehind.add('virtVG')
    patient.lockspaces.length = 0
    return { patient, watch }
  }

  // The simulation found this: lvmlockctl's command was ended after sanlock had left, and the mark stayed as it was.
  test.each<[string, Partial<Mark>, string[], string[]]>([
    [
      'is taken where the kill was ended',
      { worker: { pid: 7, start: '1' } },
      ['0: recover virtVG'],
      ['0: recover virtVG'],
    ],
    ['not while the kill is at work', { worker: { pid: 8, start: '1' } }, [], ['40: recover virtVG']],
    ['nor where nobody can tell whether it is', {}, [], []],
    ['nor after one of a person', { worker: { pid: 7, start: '1' }, by: 'person' }, [], []],
  ])('%s, and sanlock has left', async (_, changed, expected, later) => {
    const patient = new Patient()
    patient.users.clear()
    patient.lockspaces.length = 0
    patient.alive.add(8)
    patient.answers = true
    patient.there.push(mark('virtVG', { state: 'started', ...changed }))
    const watch = await until(40, patient)
    expect(acts(patient)).toEqual(expected)
    // That kill ends too.
    patient.alive.clear()
    await until(60, patient, watch)
    expect(acts(patient)).toEqual(later)
  })

  test('is taken too where no VM used the VG, and there is no mark', async () => {
    const { patient, watch } = await lostUnused()
    patient.answers = false
    await until(140, patient, watch)
    expect(times(patient, /<4>virtVG cannot be used here again yet: vdb does not answer/)).toEqual([100])
    patient.answers = true
    await until(200, patient, watch)
    expect(acts(patient)).toEqual(['145: recover virtVG'])
    expect(patient.said.at(-1)).toMatch(/<4>virtVG can be used here again: this host had lost its lease$/)
  })

  // The simulation found this: once lvmlockd has dropped it, it is listed nowhere any more.
  test('is not given up where it fails after lvmlockd has dropped it', async () => {
    const { patient, watch } = await lostUnused()
    const { recover } = patient
    patient.answers = true
    patient.recover = ({ vg }) => {
      patient.leftBehind.delete(vg)
      return Promise.resolve({ kind: 'not-yet', why: 'another act has been at work for 30 s' })
    }
    await until(160, patient, watch)
    expect(acts(patient)).toEqual([])
    patient.recover = recover
    await until(220, patient, watch)
    expect(acts(patient)).toEqual(['160: recover virtVG'])
  })

  test('but not of one that somebody has stopped meanwhile, nor of one that is marked, nor of one that was never lost', async () => {
    for (const spoil of [
      (patient: Patient) => patient.leftBehind.clear(),
      (patient: Patient) => void patient.there.push(mark('virtVG', { by: 'person' })),
    ]) {
      const { patient, watch } = await lostUnused()
      spoil(patient)
      await until(200, patient, watch)
      expect(acts(patient)).toEqual([])
    }
    const fine = Object.assign(new Patient(), { answers: true })
    fine.users.clear()
    const watch = await until(10, fine)
    fine.leftBehind.add('virtVG')
    fine.lockspaces.length = 0
    await until(100, fine, watch)
    expect(acts(fine)).toEqual([])
  })

  test.each<[string, Partial<Mark>]>([
    ['a person has cut off', { by: 'person' }],
    ['is not cut off yet', { state: 'started' }],
  ])('is not taken where the VG %s', async (_, changed) => {
    const patient = Object.assign(new Patient(), { answers: true })
    patient.there.push(mark('virtVG', changed))
    await until(60, patient)
    expect(acts(patient)).toEqual([])
  })
})

test('what a kill needs is used once a minute', async () => {
  const patient = new Patient()
  await until(120, patient)
  expect(patient.did).toEqual(['rehearse', 'rehearse'])
})

test('a look that hangs is not joined by others', async () => {
  const patient = new Patient()
  let asked = 0
  patient.ask = () => {
    asked++
    return new Promise(() => undefined)
  }
  const watch = new LeaseWatch(patient)
  void watch.look()
  void watch.look()
  // Nor does anybody take it for a look: it is no sign of life.
  expect(await watch.look()).toBe(false)
  expect(asked).toBe(1)
})
