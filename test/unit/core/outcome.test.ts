import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Problem } from '../../../src/core/problem.ts'
import { type Outcome, exitStatusOf, linesOf, printable } from '../../../src/core/outcome.ts'
import { hostileName } from '../support/arbitraries.ts'

const root = { vg: 'virtVG', lv: 'root' }
const refused = (...problems: Problem[]): Outcome => ({ kind: 'refused', problems, attempt: 'start', volumes: [] })
const missing = (volume: string): Problem => ({ kind: 'missing-volume', volume, disk: 'disk vda' })

describe('what libvirt and its user are told', () => {
  test.each<[string, Outcome, number, string[]]>([
    ['nothing to do', { kind: 'nothing', reason: 'x' }, 0, []],
    ['locked', { kind: 'done', did: 'locked', volumes: [root] }, 0, []],
    ['released', { kind: 'done', did: 'released', volumes: [root] }, 0, []],
    ['let in', { kind: 'done', did: 'let-in', volumes: [root], stdout: '<domain/>' }, 0, []],
    [
      'refused',
      refused(missing('virtVG/root')),
      1,
      [
        'tintin was not started: there is no logical volume virtVG/root (disk vda).',
        "Compare 'virsh domblklist tintin' with 'lvs virtVG'.",
      ],
    ],
    [
      'refused for more than one reason',
      refused(missing('virtVG/root'), missing('virtVG/home'), { kind: 'lvmlockd-down' }),
      1,
      [
        'tintin was not started: there is no logical volume virtVG/root (disk vda). (and 2 more: virtVG/home, lvmlockd-down)',
        "Compare 'virsh domblklist tintin' with 'lvs virtVG'.",
      ],
    ],
    [
      'left',
      { kind: 'left', volumes: [root, { vg: 'virtVG', lv: 'home' }], why: 'something on this host still has it open' },
      1,
      [
        'tintin has ended, but virtVG/root, virtVG/home stays active and locked on this host: something on this host still has it open.',
        'It stays on record. When nothing uses it any more: lvchange --activate n virtVG/root virtVG/home',
      ],
    ],
    [
      'unfinished',
      { kind: 'unfinished', volumes: [root], why: 'LVM is still at work on it', agent: 'hangs' },
      1,
      [
        'tintin has ended, and virtVG/root is not given back yet: LVM is still at work on it.',
        'It stays on record, and no agent works here that would go on with it: systemctl restart lvguard',
      ],
    ],
  ])('%s', (_, outcome, status, lines) => {
    expect(exitStatusOf(outcome)).toBe(status)
    expect(linesOf(outcome, 'tintin')).toEqual(lines)
  })

  test('what refuses says why, in two lines without control characters, whatever a name is', () => {
    fc.assert(
      fc.property(hostileName, hostileName, (domain, path) => {
        const problems: Problem[] = [
          { kind: 'impossible-name', path, disk: `disk ${path}` },
          { kind: 'on-record', volume: 'virtVG/root', domain: path, hasEnded: false },
        ]
        for (const problem of problems) {
          const lines = linesOf(refused(problem), domain)
          expect(lines).toHaveLength(2)
          expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
        }
      }),
    )
  })
})

test.each([
  ['a\u001b[2Jb', 'a?[2Jb'],
  ['a\r\nb', 'a??b'],
  ['\u009b31m', '?31m'],
  ['\u007f', '?'],
  ['ä 日本 "\'$(id)', 'ä 日本 "\'$(id)'],
  ['', ''],
])('printable: %j', (text, expected) => expect(printable(text)).toBe(expected))
