import { expect, test } from 'vitest'
import { lockedLine } from '../../../src/core/locked-line.ts'
import type { DomainRecord, RecordedVolume } from '../../../src/core/record.ts'

const volume = (lv: string, mode: RecordedVolume['mode'] = 'exclusive'): RecordedVolume => ({
  vg: 'virtVG',
  lv,
  role: 'exclusive',
  mode,
  before: 'inactive',
})
const record = (name: string, volumes: readonly RecordedVolume[], more: Partial<DomainRecord> = {}): DomainRecord => ({
  format: 1,
  domain: { name, uuid: name },
  state: 'running',
  volumes,
  ...more,
})

test.each<[string, readonly DomainRecord[], number]>([
  ['0 VMs, 0 volumes exclusive', [], 0],
  ['1 VM, 1 volume exclusive', [record('tintin', [volume('tintin')])], 0],
  [
    '2 VMs, 3 volumes exclusive, 1 shared, 1 migrating',
    [
      record('tintin', [volume('tintin'), volume('data'), volume('iso', 'shared')]),
      record('milou', [volume('milou'), volume('iso', 'shared'), volume('scratch', 'local')]),
    ],
    1,
  ],
  [
    '1 VM, 1 command, 2 volumes exclusive',
    [record('tintin', [volume('tintin')]), record('lvguard with dd', [volume('milou')], { command: 'keeps' })],
    0,
  ],
  [
    '0 VMs, 1 volume exclusive, 1 ended and not given back yet',
    [record('tintin', [volume('tintin')], { state: 'releasing' })],
    0,
  ],
  // It has taken nothing.
  ['0 VMs, 0 volumes exclusive', [record('tintin', [volume('tintin')], { state: 'refused' })], 0],
])('%s', (line, known, migrating) => expect(lockedLine({ known, unreadable: [] }, migrating)).toBe(line))

test('what cannot be read is no all-clear', () =>
  expect(lockedLine({ known: [], unreadable: ['/run/lvguard/x.json'] }, 0)).toBe(
    '0 VMs, 0 volumes exclusive, 1 record unreadable',
  ))
