import { describe, expect, test } from 'vitest'
import { holderLines, selected, statusText } from '../../../src/cli/status-text.ts'
import { colored, columns, paintFor, plain, shortened } from '../../../src/cli/table.ts'
import type { Holding, Status, VolumeStatus } from '../../../src/core/status.ts'

const holding = (host: string, mode: Holding['mode'], more: Partial<Holding> = {}): Holding => ({
  host,
  hostId: host === 'node1' ? 1 : 2,
  here: host === 'node1',
  mode,
  state: host === 'node1' ? 'this host' : 'alive',
  silentFor: 5,
  ...more,
})
const volume = (
  lv: string,
  vms: readonly string[],
  holders: readonly Holding[],
  more: Partial<VolumeStatus> = {},
): VolumeStatus => ({
  volume: `virtVG/${lv}`,
  vg: 'virtVG',
  lv,
  uuid: lv,
  vms,
  holders,
  state: holders.length > 0 ? 'held' : 'free',
  active: false,
  ...more,
})

const STATUS: Status = {
  format: 1,
  host: 'node1',
  at: '2026-11-27T22:31:00.000Z',
  agent: 'runs',
  vgs: [{ vg: 'virtVG', lockManager: 'sanlock', locking: 'started', hostId: 1, renewed: 5 }],
  hosts: [
    { vg: 'virtVG', host: 'node1', hostId: 1, state: 'this host', silentFor: 5 },
    { vg: 'virtVG', host: 'node2', hostId: 2, state: 'alive', silentFor: 5 },
    { vg: 'virtVG', host: 'node3', hostId: 3, state: 'silent', silentFor: 95, freeIn: 45 },
  ],
  drbd: [],
  vms: [
    {
      name: 'tintin',
      uuid: '1f5d7a0c-0000-4000-8000-000000000001',
      state: 'running',
      volumes: ['virtVG/tintin', 'virtVG/tintin-data'],
    },
    { name: 'milou', uuid: '1f5d7a0c-0000-4000-8000-000000000002', state: 'migrating out', volumes: ['virtVG/milou'] },
  ],
  volumes: [
    volume('tintin', ['tintin'], [holding('node1', 'exclusive')]),
    volume('tintin-data', ['tintin'], []),
    volume('milou', ['milou'], [holding('node1', 'shared'), holding('node2', 'shared')]),
    volume('haddock', ['haddock'], [holding('node2', 'exclusive')]),
    volume('old', [], [holding('node3', 'exclusive', { hostId: 3, state: 'silent', silentFor: 95, freeIn: 45 })]),
    volume('spare', [], []),
    volume('odd', [], [], { state: 'unknown' }),
  ],
  attention: ['tintin runs here without a lock on virtVG/tintin-data'],
  unknown: ['the leases of otherVG: /dev/mapper/otherVG-lvmlock does not answer within 5 s'],
}

describe('the screen', () => {
  test('a host of which nobody can say what it holds is not said to hold nothing', () => {
    const without = (state: 'unknown' | 'free') => ({
      ...STATUS,
      volumes: STATUS.volumes.map((volume) => ({ ...volume, state, holders: [] })),
    })
    const lineOf = (state: 'unknown' | 'free') =>
      /^node2 .*$/m.exec(statusText(without(state), { width: 80, paint: plain }))?.[0]
    expect(lineOf('unknown')).toMatch(/: what it holds is not known$/)
    expect(lineOf('free')).toMatch(/: holds nothing$/)
  })

  test('what runs where', () => {
    expect(statusText(STATUS, { width: 80, paint: plain })).toBe(`\
node1: 1 thing to look at, 1 thing unknown
virtVG: locking started (sanlock, host_id 1, lease renewed 5 s ago)

node1
  VM      STATE          VOLUME              MODE
  tintin  running        virtVG/tintin       exclusive
                         virtVG/tintin-data  no lock
  milou   migrating out  virtVG/milou        shared

node2 (host_id 2, alive, seen 5 s ago)
  VM       VOLUME          MODE
  milou    virtVG/milou    shared
  haddock  virtVG/haddock  exclusive

node3 (host_id 3, silent for 95 s, its locks can be taken in 45 s)
  VM  VOLUME      MODE
  -   virtVG/old  exclusive

free: virtVG/spare
unknown who holds: virtVG/odd
! tintin runs here without a lock on virtVG/tintin-data
? the leases of otherVG: /dev/mapper/otherVG-lvmlock does not answer within 5 s
`)
  })

  test('colours change nothing but the colours', () => {
    const text = statusText(STATUS, { width: 80, paint: colored })
    expect(text).toContain('\u001b[31mno lock\u001b[0m')
    expect(text.replaceAll(/\u001b\[\d+m/g, '')).toBe(statusText(STATUS, { width: 80, paint: plain }))
  })

  test('long names give way in their middle: 80 columns are never exceeded', () => {
    const [name, lv] = [
      'a-virtual-machine-with-quite-a-long-name-indeed-1',
      'a-virtual-machine-with-quite-a-long-name-indeed-1-data',
    ]
    const long: Status = {
      ...STATUS,
      vms: [{ name, uuid: 'u', state: 'migrating out', volumes: [`virtVG/${lv}`] }],
      volumes: [volume(lv, [name], [holding('node1', 'exclusive')])],
    }
    const lines = statusText(long, { width: 80, paint: colored })
      .split('\n')
      .map((line) => line.replaceAll(/\u001b\[\d+m/g, ''))
    expect(lines.filter((line) => line.length > 80)).toEqual([])
    expect(lines.join('\n')).toMatch(
      /^ {2}a-vir\S+\.\.\S+-1 {2}migrating out {2}virtVG\/a\S+\.\.\S+-data {2}exclusive$/m,
    )
  })

  test('many free volumes are counted', () => {
    const volumes = Array.from({ length: 200 }, (_, at) => volume(`vm${at}`, [], []))
    expect(statusText({ ...STATUS, volumes }, { width: 80, paint: plain })).toContain(
      'free: 200 volumes (lvguard status --json names them)',
    )
  })

  test('a name that would move the cursor does not', () => {
    expect(columns(['VM'], [['a\u001b[2Jb']], { width: 80, indent: 0, shrink: [0], paint: plain })).toEqual([
      'VM',
      'a?[2Jb',
    ])
    expect(shortened('abcdefghij', 6)).toBe('ab..ij')
  })

  test.each<[Record<string, string>, boolean, boolean]>([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ TERM: 'dumb' }, true, false],
  ])('%j on a terminal (%s): colours %s', (environment, onTerminal, expected) =>
    expect(paintFor(environment, onTerminal) === colored).toBe(expected),
  )
})

describe('a part of it', () => {
  const chosen = (...words: string[]) => {
    const part = selected(STATUS, words)
    return 'error' in part ? part.error : part.volumes.map(({ lv }) => lv).join(' ')
  }
  test.each<[string, string]>([
    ['tintin', 'tintin tintin-data'],
    ['haddock', 'haddock'],
    ['virtVG/old', 'old'],
    ['/dev/virtVG/old', 'old'],
    ['1f5d7a0c-0000-4000-8000-000000000002', 'milou'],
    ['virtVG', 'tintin tintin-data milou haddock old spare odd'],
    ['tintn', 'there is no VM, volume or volume group tintn that this host knows of; did you mean tintin?'],
  ])('%s', (word, expected) => expect(chosen(word)).toBe(expected))
})

test('holders, for scripts', () => {
  expect(STATUS.volumes.flatMap(holderLines)).toEqual([
    'virtVG/tintin exclusive node1 seen=5s takeable=when-released',
    'virtVG/tintin-data free - seen=- takeable=now',
    'virtVG/milou shared node1 seen=5s takeable=when-released',
    'virtVG/milou shared node2 seen=5s takeable=when-released',
    'virtVG/haddock exclusive node2 seen=5s takeable=when-released',
    'virtVG/old exclusive node3 seen=95s takeable=45s',
    'virtVG/spare free - seen=- takeable=now',
    'virtVG/odd unknown - seen=unknown takeable=unknown',
  ])
})
