import { describe, expect, test } from 'vitest'
import { openCountArguments, parseOpenCounts } from '../../../src/lvm/devices.ts'
import { LVM_FILES, answersOf } from '../support/captures.ts'

const A = 'LVM-z1lQbs4rgSgZ6fCh0JnLjppO8SW0AcDc1x2VbNV0cjdDGr9HzoH8tqjFTAVGGKvx'

describe('how many have a device open', () => {
  test.each<[string, string, [string, number][]]>([
    ['one', `${A}:1\n`, [[A, 1]]],
    ['nobody', `${A}:0\n`, [[A, 0]]],
    ['with blanks, as dmsetup pads its columns', `  ${A}:12 \n`, [[A, 12]]],
    [
      'a layer',
      `${A}-real:2\n${A}:1\n`,
      [
        [`${A}-real`, 2],
        [A, 1],
      ],
    ],
    ['a UUID with a colon', 'CRYPT-LUKS2:x:1:3\n', [['CRYPT-LUKS2:x:1', 3]]],
    ['a device without a UUID', ':1\n', []],
    ['a count that is none', `${A}:\n${A}:x\n`, []],
    ['no devices', 'No devices found\n', []],
    ['nothing', '', []],
  ])('%s', (_, stdout, expected) => expect([...parseOpenCounts(stdout)]).toEqual(expected))

  test('in the captures, where dmsetup was asked for more columns', () => {
    for (const file of LVM_FILES) {
      const { stdout } = answersOf(file).find(({ command }) => command.startsWith('dmsetup')) ?? { stdout: '' }
      const asked = stdout.replace(/^[^:]+:([^:]+:\d+):.*$/gm, '$1')
      expect([...parseOpenCounts(asked).values()].every((count) => count === 1)).toBe(true)
      expect(parseOpenCounts(asked).size).toBe(file.includes('starting') ? 1 : 2)
    }
  })

  test('that is what dmsetup is asked for', () =>
    expect(openCountArguments.join(' ')).toBe('info -c --noheadings --separator : -o uuid,open'))
})
