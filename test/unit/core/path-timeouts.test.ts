import { describe, expect, test } from 'vitest'
import { type Timeouts, longWaits, queueingOf } from '../../../src/core/path-timeouts.ts'

const QUEUE = ['queue_if_no_path']
test.each<[readonly string[], string | undefined, number | 'unknown']>([
  [[], undefined, 0],
  [['retain_attached_hw_handler'], 'on', 0],
  [QUEUE, 'on', Number.POSITIVE_INFINITY],
  [QUEUE, 'off', 0],
  [QUEUE, '12 chk', 60],
  [QUEUE, '7 sec', 7],
  [QUEUE, '-', 'unknown'],
  [QUEUE, undefined, 'unknown'],
  [['retain_attached_hw_handler', 'queue_if_no_path'], 'on', Number.POSITIVE_INFINITY],
])('features %j, multipathd says %j: %s', (features, said, seconds) => expect(queueingOf(features, said)).toBe(seconds))

describe('what is said of a VG', () => {
  const iscsi = (seconds: number) => ({ disk: 'sda', setting: 'iSCSI replacement_timeout', seconds })
  test.each<[string, Timeouts, RegExp | undefined]>([
    ['nothing is known', { paths: [], maps: [] }, undefined],
    ['a path that fails in time', { paths: [iscsi(5)], maps: [] }, undefined],
    ['just so', { paths: [iscsi(60)], maps: [] }, undefined],
    [
      'the default of open-iscsi',
      { paths: [iscsi(120)], maps: [] },
      /^if the storage of virtVG goes, its I\/O may wait for longer than 60 s .*: sda: iSCSI replacement_timeout, 120 s \(README/,
    ],
    ['no limit', { paths: [iscsi(Number.POSITIVE_INFINITY)], maps: [] }, /sda: iSCSI replacement_timeout, for ever/],
    [
      'a map that queues',
      { paths: [iscsi(5)], maps: [{ map: 'mpatha', seconds: Number.POSITIVE_INFINITY }] },
      /: multipath mpatha: queue_if_no_path, for ever \(/,
    ],
    [
      'a map of which nobody says it',
      { paths: [], maps: [{ map: 'mpatha', seconds: 'unknown' }] },
      /multipathd does not say for how long/,
    ],
    [
      'a map that gives up in time, with its paths',
      { paths: [iscsi(5)], maps: [{ map: 'mpatha', seconds: 30 }] },
      undefined,
    ],
    [
      'both together are too long',
      { paths: [iscsi(40)], maps: [{ map: 'mpatha', seconds: 30 }] },
      /: multipath mpatha: queue_if_no_path, 30 s \(/,
    ],
    [
      'a map that does not queue, on a path that is slow',
      { paths: [iscsi(120)], maps: [{ map: 'mpatha', seconds: 0 }] },
      /60 s before it fails, .*: sda: iSCSI replacement_timeout, 120 s \(/,
    ],
  ])('%s', (_, timeouts, words) => {
    const said = longWaits('virtVG', timeouts)
    if (words === undefined) expect(said).toBeUndefined()
    else expect(said).toMatch(words)
  })
})
