import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Failure, classify } from '../../../src/lvm/failures.ts'
import { type Answer, LVM_FILES, answersOf } from '../support/captures.ts'

/** A failure in short words: `held virtVG/b`. */
const short = (failure: Failure): string => Object.values(failure).join(' ')
const classified = (...lines: string[]): string[] => classify(lines.map((line) => `  ${line}\n`).join('')).map(short)
const isLvchange = ({ command }: Answer): boolean => /(^|')lvchange /.test(command)

// The commands of lvm.txt are those of both Debian versions, in one order; what one of them alone says stands behind
// its number.
const SITUATIONS: readonly (readonly [command: string, ...failures: string[]])[] = [
  ['lvchange -aey virtVG/a virtVG/b virtVG/c', 'held virtVG/b'],
  ['lvchange -an virtVG/a virtVG/b virtVG/c'],
  ['lvchange -asy virtVG/b', 'held virtVG/b'],
  ['lvchange -aey virtVG/b', 'held virtVG/b'],
  ['lvchange -asy virtVG/b'],
  ['lvchange -ay virtVG/b', 'held virtVG/b'],
  ['lvchange -an virtVG/b'],
  ['lvchange -an virtVG/a', 'in-use virtVG/a'],
  ['lvchange -an virtVG/a'],
  ['lvchange -aey virtVG/nope', 'missing-volume virtVG/nope'],
  ['lvchange -aey virtVG/a virtVG/nope', 'missing-volume virtVG/nope'],
  ['lvchange -an virtVG/a'],
  ['lvchange -aey nopeVG/x', 'missing-vg nopeVG'],
  ["lvchange -aey 'virtVG/a b'", 'missing-volume virtVG/a b'],
  ['lvchange -aey /dev/virtVG/a'],
  ['lvchange -aey /dev/mapper/virtVG-a'],
  ['lvchange -an /dev/mapper/virtVG-a'],
  ['lvchange -aey -- virtVG/a'],
  ['lvchange -an virtVG/a'],
  ['lvchange -an virtVG/a'],
  ['lvchange -asy virtVG/thin1', 'not-shareable virtVG/pool thin-pool'],
  // Asked without --yes, which lvguard never leaves out.
  [
    'lvchange -asy virtVG/snapa',
    'other Change of snapshot virtVG/snapa will also change its origin virtVG/a. Proceed? [y/n]: [n]',
    'other Logical volume virtVG/snapa not changed.',
  ],
  ['lvchange -asy virtVG/a', '13: not-shareable virtVG/a linear'],
  ['lvchange -an virtVG/thin1'],
  ["ssh node2 'lvchange -aey virtVG/thin1'", 'held virtVG/pool'],
  ["ssh node2 'lvchange -asy virtVG/thin1'", 'not-shareable virtVG/pool thin-pool'],
  ['lvchange -an virtVG/pool', '12: thin_check'],
  ["ssh node2 'lvchange -aey virtVG/thin1'", '12: thin_check'],
  ["ssh node2 'lvchange -an virtVG/thin1'"],
  ["ssh node2 'lvchange -an virtVG/pool'"],
  ['lvchange -aey virtVG/a', 'not-started virtVG'],
  ['lvchange -aey virtVG/a', 'lvmlockd-down'],
  ['lvchange -aey virtVG/a'],
  ['lvchange -an virtVG/a'],
]
// lvm_thin_check is not installed on the captures' nodes; LVM says so twice and goes on, with exit status 0.
const isNote = (failure: string): boolean =>
  failure.startsWith('other /usr/sbin/thin_check: ') || failure.startsWith('other WARNING: Check is skipped')

describe.each([
  ['12', 'debian-12/lvm.txt'],
  ['13', 'debian-13/lvm.txt'],
])('what lvchange said on Debian %s', (version, file) => {
  const answers = answersOf(file).filter(isLvchange)
  const expected = SITUATIONS.map(([command, ...failures]) => {
    const own = failures.flatMap((failure) =>
      /^1\d: /.test(failure) ? (failure.startsWith(version) ? [failure.slice(4)] : []) : [failure],
    )
    return { command, failures: own.filter((failure) => failure !== 'thin_check'), hasNote: own.includes('thin_check') }
  })

  test('there is an expectation for every answer', () =>
    expect(answers.map(({ command }) => command)).toEqual(expected.map(({ command }) => command)))

  test.each(expected.map((row, index) => [`${index} ${row.command}`, row, index] as const))(
    '%s',
    (_, { failures, hasNote }, index) => {
      const said = classify(answers[index]?.stderr ?? '?').map(short)
      expect(said.filter((failure) => !isNote(failure))).toEqual(failures)
      expect(said.some(isNote)).toBe(hasNote)
      expect(answers[index]?.code).toBe(failures.length > 0 ? 5 : 0)
    },
  )
})

describe('while the lockspace is starting', () => {
  const answers = answersOf('debian-12/lvm-lock-starting.txt').filter(isLvchange)
  const starting = answers.filter(({ stderr }) => stderr.includes('in progress'))

  test.each(starting.map((answer, index) => [`${index} ${answer.command}`, answer] as const))(
    '%s',
    (_, { command, code, stderr }) => {
      const said = classify(stderr).map(short)
      const left = [...stderr.matchAll(/LV (\S+) lock failed: error -211/g)].map(([, volume]) => `lock-left ${volume}`)
      expect(said).toEqual(['starting virtVG', ...left])
      // Activating fails; deactivating exits 0 and leaves the lock (FACTS 24).
      expect([code, left.length > 0]).toEqual(command.includes('-an') ? [0, true] : [5, false])
    },
  )

  test('the others say what they say elsewhere', () => {
    expect(
      answers.filter((answer) => !starting.includes(answer)).map(({ stderr }) => classify(stderr).map(short)),
    ).toEqual([['missing-vg nopeVG'], ['not-started virtVG'], ['lvmlockd-down'], [], []])
  })
})

test('every failing lvchange of the captures is understood', () => {
  const unknown = LVM_FILES.flatMap((file) =>
    answersOf(file)
      .filter((answer) => isLvchange(answer) && answer.code !== 0)
      .filter(
        ({ command, stderr }) =>
          !command.includes('snapa') &&
          (classify(stderr).length === 0 || classify(stderr).some(({ kind }) => kind === 'other')),
      ),
  )
  expect(unknown).toEqual([])
})

describe('lines that the captures do not have', () => {
  test.each<[string[], string[]]>([
    [['LV locked by other host: virtVG/b (host_id 2)'], ['held virtVG/b']],
    [['Logical volume virtVG/a contains a filesystem in use.'], ['in-use virtVG/a']],
    [['Cannot access VG virtVG with lock type sanlock that requires lvmlockd.'], ['lvmlockd-off virtVG']],
    // Measured, lvm2 2.03.16: both are said twice.
    [
      [
        'Cannot access VG virtVG with system ID node9 with local system ID node1.',
        'Cannot access VG virtVG with system ID node9 with local system ID node1.',
      ],
      ['vg-refused virtVG Cannot access VG virtVG with system ID node9 with local system ID node1.'],
    ],
    [
      ['Cannot access VG virtVG with system ID node9 with unknown local system ID.'],
      ['vg-refused virtVG Cannot access VG virtVG with system ID node9 with unknown local system ID.'],
    ],
    [
      ['Volume group virtVG is exported', 'Volume group virtVG is exported'],
      ['vg-refused virtVG Volume group virtVG is exported'],
    ],
    [
      ['VG virtVG lock failed: lock start in progress', 'Cannot access VG virtVG due to failed lock.'],
      ['starting virtVG'],
    ],
    [['WARNING: Activation disabled. No device-mapper interaction will be attempted.'], []],
    [
      ['Something new.', 'LV locked by other host: virtVG/b'],
      ['other Something new.', 'held virtVG/b'],
    ],
    [['', '   ', '\t'], []],
  ])('%j', (lines, expected) => expect(classified(...lines)).toEqual(expected))

  // lvm2 2.03.16, lib/locking/lvmlockd.c: other reasons for which the VG's lock cannot be had, all followed by `Cannot
  // access VG`.
  test.each([
    'VG virtVG lock failed: held by other host.',
    'VG virtVG lock skipped: held by other host.',
    'VG virtVG lock failed: error -202',
    'VG virtVG lock failed: storage errors for sanlock leases',
    'VG virtVG lock failed: storage failed for sanlock leases',
    'VG virtVG lock failed: removed',
  ])('%s does not mean that locking is not started', (line) => {
    expect(classified(line, 'Cannot access VG virtVG due to failed lock.')).not.toContain('not-started virtVG')
  })

  test('nothing that LVM may say is lost, and nothing makes it throw', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 40 }), { maxLength: 5 }), (lines) => {
        const said = lines
          .flatMap((line) => line.split('\n'))
          .map((line) => line.trim())
          .filter((line) => line !== '')
        expect(classify(lines.join('\n'))).toHaveLength(said.length)
      }),
    )
  })
})
