import { describe, expect, test } from 'vitest'
import { type Body, Heart } from '../../../src/agent/heart.ts'
import { watchdogPeriod } from '../../../src/agent/systemd.ts'
import { type AgentState, LONGEST_PASS } from '../../../src/core/agent-state.ts'

/** A heart whose clock and surroundings a test sets. */
class Patient implements Body {
  readonly pid = 1
  time = 1000
  pass = 1000
  found: AgentState = { kind: 'absent' }
  full = false
  readonly did: string[] = []
  readonly watchdog = { period: 20, tell: () => this.did.push('systemd') }
  readonly now = (): number => this.time
  readonly lastPass = (): number => this.pass
  readonly state = (): AgentState => this.found
  readonly announce = (): void => {
    if (this.full) throw new Error('ENOSPC: no space left on device')
    this.did.push('file')
  }
  readonly say: Body['say'] = (line) => line !== undefined && this.did.push(`<${line.priority}>${line.text}`)
  readonly end: Body['end'] = ({ text }) => this.did.push(`ends: ${text}`)
}

/** What came of one beat after another, each so many seconds after the one before. */
function beats(patient: Patient, ...pauses: readonly number[]): string[] {
  const heart = new Heart(patient)
  return pauses.map((pause) => {
    patient.time += pause
    patient.did.length = 0
    heart.beat()
    return patient.did.join()
  })
}

describe('the agent’s signs of life', () => {
  test('one for hooks at each beat, one for systemd in each of its periods', () => {
    const patient = new Patient()
    expect(beats(patient, 0, 5, 5, 5, 5, 5, 5)).toEqual([
      'systemd,file',
      'file',
      'file',
      'file',
      'systemd,file',
      'file',
      'file',
    ])
  })

  test('none while no pass ends, and why; again when one has ended', () => {
    const patient = new Patient()
    const [last, none] = beats(patient, LONGEST_PASS, 1)
    expect(last).toBe('systemd,file')
    expect(none).toMatch(/^<3>no pass has ended for 181 s: .* systemd starts it anew$/)
    patient.pass = patient.time
    expect(beats(patient, 5)).toEqual(['systemd,file'])
  })

  test('a full /run is said, and systemd told all the same', () => {
    const patient = new Patient()
    patient.full = true
    expect(beats(patient, 0)[0]).toMatch(
      /^systemd,<3>\/run\/lvguard\/agent cannot be written \(ENOSPC.*\): no migration is let in here$/,
    )
  })

  test.each<[string, AgentState, RegExp]>([
    [
      'that works has taken its place',
      { kind: 'runs', pid: 2 },
      /^ends: this agent hung, and another one \(process 2\)/,
    ],
    ['that hangs, it takes the place of', { kind: 'hangs', pid: 2, seconds: 31 }, /^systemd,file$/],
    ['is this very one', { kind: 'runs', pid: 1 }, /^systemd,file$/],
    ['is this very one, which hung', { kind: 'hangs', pid: 1, seconds: 99 }, /^systemd,file$/],
  ])('an agent %s', (_, found, expected) => {
    const patient = new Patient()
    patient.found = found
    expect(beats(patient, 0)[0]).toMatch(expected)
  })

  test('systemd hears thrice within its limit, and nothing where it does not listen', () => {
    expect(
      [
        { NOTIFY_SOCKET: '/run/systemd/notify', WATCHDOG_USEC: '60000000' },
        { WATCHDOG_USEC: '60000000' },
        { NOTIFY_SOCKET: 'x' },
        {},
      ].map((each) => watchdogPeriod(each)),
    ).toEqual([20, undefined, undefined, undefined])
  })
})
