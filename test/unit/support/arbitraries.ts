import fc from 'fast-check'
import type { VolumeName } from '../../../src/core/volume.ts'

/** Names that LVM takes (lvm(8), VALID NAMES), hyphens in awkward places among them. */
export const validName = fc
  .stringMatching(/^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,12}$/)
  .filter((name) => name !== '.' && name !== '..')

export const volumeName: fc.Arbitrary<VolumeName> = fc.record({ vg: validName, lv: validName })

/** Any text up to U+2FFF, control characters and all. (fast-check's own `binary` takes a second to set up.) */
export const anyText = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.integer({ min: 0, max: 0x2fff }).map((code) => String.fromCharCode(code)), maxLength })

/** What somebody may write where a name belongs. */
export const hostileName = fc.oneof(
  fc.constantFrom(
    '-f',
    '--yes',
    '-',
    '--',
    '.',
    '..',
    '...',
    'a b',
    '$(id)',
    '`id`',
    ';id',
    '|id',
    '&',
    "'",
    '"',
    '\\',
    '*',
    '?',
    '~',
    '#',
    '!',
    'a\nb',
    'a\tb',
    'a\0b',
    '\u001b[2J',
    '\u0085',
    'ä',
    '日本',
    '\u202e',
    '__proto__',
    'constructor',
    'toString',
    '1e3',
    '0x10',
    'null',
    'true',
    '',
    'x'.repeat(128),
    '@tag',
    'a/b',
    '/',
    'virtVG',
  ),
  validName,
  anyText(8),
)

/** A path as a hostile XML may have it: near those that mean something. */
export const hostilePath = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('/dev/', '/dev/mapper/', '/dev//', '/dev/./', '/', '', 'dev/', '//dev/', '/dev/../dev/'),
      fc.array(hostileName, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('/', '-', '--', '//'),
    )
    .map(([start, names, separator]) => start + names.join(separator)),
  hostileName,
)
