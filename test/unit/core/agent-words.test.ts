import { describe, expect, test } from 'vitest'
import { byWhom, lineOf, transition } from '../../../src/core/agent-words.ts'
import type { Report } from '../../../src/core/domain-view.ts'
import type { Holder } from '../../../src/core/problem.ts'
import type { Unchanged } from '../../../src/core/reconcile.ts'

const because = (why: Unchanged, detail = ''): Report => ({ kind: 'unchanged', why, detail })
describe('a line for the journal', () => {
  test.each<[Report, number, RegExp]>([
    [
      { kind: 'lockspace-lost', vg: 'virtVG' },
      2,
      /tintin runs here, but volume group virtVG has no lockspace here.*Nothing is changed/,
    ],
    [{ kind: 'locks-unknown', detail: 'x' }, 3, /cannot be read \(x\); nothing is changed/],
    [{ kind: 'records-unreadable', files: ['/run/lvguard/x.json'] }, 3, /\/run\/lvguard\/x\.json cannot be read/],
    [{ kind: 'claimed', volume: 'virtVG/a', domain: 'milou' }, 3, /virtVG\/a stays exclusive: milou uses it/],
    [{ kind: 'pool-lock', volume: 'virtVG/a' }, 4, /it is in a pool, is a snapshot or has one/],
    [because('storage-copy'), 4, /--copy-storage/],
    [because('offline'), 4, /--offline/],
    [because('left-paused'), 2, /a person has to decide/],
    [because('not-understood'), 3, /does not know/],
    [because('unknown', 'no permission'), 3, /cannot be told \(no permission\)/],
    [because('daemon-down'), 5, /no libvirt daemon runs/],
    [because('ending'), 6, /nothing is changed/],
  ])('%j', (report, priority, text) => {
    const line = lineOf(report, 'tintin')
    expect(line.priority).toBe(priority)
    expect(line.text).toMatch(text)
    expect(line.text).not.toMatch(/undefined|\n/)
  })

  test('a transition', () =>
    expect(
      transition(
        'tintin',
        { vg: 'virtVG', lv: 'a', to: 'shared', reason: 'the domain is migrating out' },
        'exclusive',
        57.4,
      ),
    ).toBe('tintin: virtVG/a exclusive -> shared: the domain is migrating out (57 ms)'))

  test('holders', () => {
    const node: Holder = {
      name: 'node2',
      hostId: 2,
      mode: 'shared',
      silentFor: 3.4,
      expiresAfter: 140,
      isThisHost: false,
    }
    expect(byWhom([node, { ...node, name: 'node3', silentFor: undefined }])).toBe(
      'node2 (shared, last alive 3 s ago) and node3 (shared)',
    )
    expect(byWhom([])).toBe('another host')
  })
})
