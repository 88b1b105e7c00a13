import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LockTable } from '../../../src/core/lock-state.ts'
import { parseInfo } from '../../../src/lvm/lvmlockctl.ts'
import { anyText } from '../support/arbitraries.ts'
import { LVM_FILES, answersOf } from '../support/captures.ts'

const known = (stdout: string): LockTable => {
  const state = parseInfo(stdout)
  if (state.kind === 'unknown') throw new Error(state.detail)
  return state
}

/** The locks of every `lvmlockctl -i` of a capture, by their first letters. */
const locksIn = (file: string): string[] =>
  answersOf(file)
    .filter(({ command, code }) => /(^|')lvmlockctl -i/.test(command) && code === 0)
    .map(({ stdout }) => {
      const { lockspaces, locks } = known(stdout)
      return [
        ...[...lockspaces].map(([vg, manager]) => `${vg} ${manager}`),
        ...[...locks].map(([uuid, mode]) => `${uuid.slice(0, 6)} ${mode}`),
      ].join(', ')
    })

describe('lvmlockctl --info', () => {
  test('Debian 12: the pool exclusive, then a shared too, then on the other host, then nothing', () => {
    expect(locksIn('debian-12/lvm.txt')).toEqual([
      'virtVG sanlock, 4SzsMn exclusive',
      'virtVG sanlock, 1x2VbN shared, 4SzsMn exclusive',
      'virtVG sanlock, 4SzsMn exclusive',
      'virtVG sanlock',
      '',
    ])
  })

  test('a lockspace that is starting is listed, one that is being removed is not', () => {
    expect(locksIn('debian-12/lvm-lock-starting.txt')).toEqual([
      'virtVG sanlock',
      'virtVG sanlock',
      'virtVG sanlock',
      'virtVG sanlock',
      '',
    ])
  })

  test('every lock of every capture has a whole UUID', () => {
    const tables = LVM_FILES.flatMap((file) =>
      answersOf(file)
        .filter(({ command }) => command.includes('lvmlockctl'))
        .map(({ stdout }) => known(stdout)),
    )
    const uuids = tables.flatMap(({ locks }) => [...locks.keys()])
    expect(uuids.length).toBeGreaterThan(5)
    expect(uuids.filter((uuid) => !/^\w{6}(-\w{4}){5}-\w{6}$/.test(uuid))).toEqual([])
  })

  test.each<[string, string, [string, string][], [string, string][]]>([
    ['a dlm lockspace', 'LS dlm lvm_vg-1\n', [['vg-1', 'dlm']], []],
    ['a lockspace of somebody else', 'LS sanlock libvirt\n', [], []],
    ['the locks of VG and GL are none of an LV', 'LK VG ex ver 1\nLK GL sh ver 2\n', [], []],
    ['an unlocked LV', 'LK LV un 1x2VbN-V0cj-dDGr-9Hzo-H8tq-jFTA-VGGKvx\n', [], []],
    ['nothing', '', [], []],
  ])('%s', (_, stdout, lockspaces, locks) => {
    const table = known(stdout)
    expect([[...table.lockspaces], [...table.locks]]).toEqual([lockspaces, locks])
  })

  // R15: what may be a lock is not overlooked.
  test.each([
    'LK LV constructor 1x2VbN-V0cj-dDGr-9Hzo-H8tq-jFTA-VGGKvx',
    'LK LV ex x',
    'LK LV ex',
    'LK LV 1x2VbN-V0cj-dDGr-9Hzo-H8tq-jFTA-VGGKvx ex',
    'LK LV',
    'LS',
    'LS lvm_virtVG',
  ])('%s is not understood, and nothing is known then', (line) => {
    expect(parseInfo(`LS sanlock lvm_virtVG\n${line}\n`)).toMatchObject({
      kind: 'unknown',
      why: 'failed',
      detail: expect.stringContaining(line),
    })
  })

  test('nothing makes it throw', () => {
    fc.assert(
      fc.property(anyText(60), (text) => {
        parseInfo(text)
      }),
    )
  })
})
