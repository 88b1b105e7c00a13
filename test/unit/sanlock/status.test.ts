import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { leaseState } from '../../../src/core/lease.ts'
import { parseSanlockStatus } from '../../../src/sanlock/status.ts'

const capture = (name: string): string =>
  readFileSync(new URL(`../../captures/debian-12/sanlock-status-${name}.txt`, import.meta.url), 'utf8')
const FINE = capture('fine')
const changed = (from: string | RegExp, to: string, text = FINE): string => {
  expect(text).toMatch(from)
  return text.replace(from, to)
}

describe('sanlock client status -D', () => {
  // With an io_timeout of 1 s; `stopping`: in the middle of vgchange --lock-stop.
  test.each([
    ['fine', 'fine', false],
    ['late', 'late', false],
    ['lost', 'lost', true],
    ['stopping', 'fine', false],
  ] as const)('as captured: %s', (name, expected, hasFailed) => {
    const status = parseSanlockStatus(capture(name))
    const [lockspace, ...others] = status?.lockspaces ?? []
    expect(lockspace).toMatchObject({ vg: 'virtVG', list: 'spaces', ioTimeout: 1, hasFailed })
    expect([others, status?.notUnderstood, status?.hasWatchdog]).toEqual([[], [], false])
    expect(lockspace && leaseState(lockspace, status?.now ?? 0).kind).toBe(expected)
  })

  test.each([
    ['', 60],
    ['    watchdog_fire_timeout=20\n', 20],
    ['    watchdog_fire_timeout=soon\n', 60],
  ])('when a watchdog has fired, where sanlock says it: %j', (line, expected) =>
    expect(parseSanlockStatus(changed(/^ +use_watchdog=/m, `${line}    use_watchdog=`))?.watchdogFire).toBe(expected),
  )

  test('a lockspace that is left in order is none that is lost, though its killing_pids is 1', () => {
    expect(capture('stopping')).toMatch(/space_dead=1\n +killing_pids=1/)
    expect(capture('lost')).toMatch(/renew_fail=1\n +space_dead=1\n +killing_pids=1/)
    const isEnding = (text: string) => parseSanlockStatus(text)?.lockspaces.map((each) => each.isEnding)
    expect([capture('stopping'), capture('lost'), FINE, changed(/ +killing_pids=0\n/, '')].map(isEnding)).toEqual([
      [true],
      [true],
      [false],
      [undefined],
    ])
  })

  test.each([
    ['nothing', ''],
    ['another answer', 'usage: sanlock client\n'],
    ['no clock', changed(/ +monotime=\d+\n/, '')],
    ['a clock that is none', changed(/monotime=\d+/, 'monotime=soon')],
    ['two clocks', changed(/( +monotime=\d+\n)/, '$1    monotime=99999\n')],
    ['two daemons', FINE + FINE],
    ['no daemon', changed(/^daemon .*$/m, 'demon host1')],
  ])('%s is no answer', (_, text) => expect(parseSanlockStatus(text)).toBeUndefined())

  test.each([
    ['no renewal', / +renewal_last_success=\d+\n/, ''],
    ['no io_timeout', / +io_timeout=\d+\n/, ''],
    ['io_timeout 0', / io_timeout=\d+/, ' io_timeout=0'],
    ['a negative io_timeout', / io_timeout=\d+/, ' io_timeout=-10'],
    ['no renew_fail', / +renew_fail=\d\n/, ''],
    ['another renew_fail', /renew_fail=0/, 'renew_fail=2'],
    ['another list', /list=spaces/, 'list=limbo'],
    ['a field twice', /( +renew_fail=0\n)/, '$1    renew_fail=1\n'],
    ['a renewal beyond all numbers', /renewal_last_success=\d+/, 'renewal_last_success=99999999999999999999'],
  ])('%s: nothing is decided about that VG', (_, from, to) => {
    expect(parseSanlockStatus(changed(from, to))).toMatchObject({ lockspaces: [], notUnderstood: ['virtVG'] })
  })

  test('twice the same lockspace in force is not understood; one that is being left beside it does not count', () => {
    const own = /^s lvm_virtVG[\s\S]*$/m.exec(FINE)?.[0] ?? ''
    expect(parseSanlockStatus(FINE + own)).toMatchObject({ lockspaces: [], notUnderstood: ['virtVG'] })
    expect(
      parseSanlockStatus(FINE + own.replace('list=spaces', 'list=rem').replace('renew_fail=0', 'renew_fail=1'))
        ?.lockspaces,
    ).toMatchObject([{ list: 'spaces', hasFailed: false }])
  })

  test('the watchdog, and that nobody says', () => {
    expect(
      [
        FINE,
        changed('use_watchdog=0', 'use_watchdog=1'),
        changed(/ +use_watchdog=0\n/, ''),
        changed('use_watchdog=0', 'use_watchdog=2'),
      ].map((text) => parseSanlockStatus(text)?.hasWatchdog),
    ).toEqual([false, true, undefined, undefined])
  })

  test('lockspaces of others than lvmlockd do not count, nor what stands in a name', () => {
    expect(parseSanlockStatus(changed('s lvm_virtVG:', 's __LIBVIRT__DISKS__:'))).toMatchObject({
      lockspaces: [],
      notUnderstood: [],
    })
    expect(
      parseSanlockStatus(changed('our_host_name=host1', 'our_host_name=a\n    use_watchdog=1'))?.hasWatchdog,
    ).toBeUndefined()
  })
})
