import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Call, isCommandPath, isHandled, parseCall } from '../../../src/core/call.ts'
import { hostileName } from '../support/arbitraries.ts'

/** A call in short words: `hook tintin prepare begin -`, or `admin`. */
const short = (call: Call): string =>
  call.kind === 'hook'
    ? ['hook', call.event.name, call.event.operation, call.event.subOperation, call.event.extra].join(' ')
    : 'admin'

describe('a call by libvirt or by a person', () => {
  test.each<[string, string]>([
    ['tintin prepare begin -', 'hook tintin prepare begin -'],
    ['tintin release end destroyed', 'hook tintin release end destroyed'],
    ['tintin migrate begin -', 'hook tintin migrate begin -'],
    ['tintin reconnect begin -', 'hook tintin reconnect begin -'],
    ['tintin newop - -', 'hook tintin newop - -'],
    ['prepare prepare begin -', 'hook prepare prepare begin -'],
    ['reconnect release end -', 'hook reconnect release end -'],
    ['--help prepare begin -', 'hook --help prepare begin -'],
    ['--dry-run prepare begin -', 'hook --dry-run prepare begin -'],
    ['--json release end -', 'hook --json release end -'],
    ['-f prepare begin -', 'hook -f prepare begin -'],
    ['-- prepare begin -', 'hook -- prepare begin -'],
    ['1e3 prepare begin -', 'hook 1e3 prepare begin -'],
    ['tintin prepare begin - more', 'hook tintin prepare begin -'],
    ['agent prepare begin -', 'hook agent prepare begin -'],
    ['promote release end -', 'hook promote release end -'],
    // R5, whatever a reason may look like.
    ['tintin reconnect begin --help', 'hook tintin reconnect begin --help'],
    ['tintin release end --force', 'hook tintin release end --force'],
    ['', 'admin'],
    ['tintin', 'admin'],
    ['tintin prepare begin', 'admin'],
    ['agent', 'admin'],
    ['--dry-run tintin prepare begin -', 'admin'],
    ['--dry-run --json tintin prepare', 'admin'],
    ['--dry-run tintin prepare --json', 'admin'],
    // Options of ours behind the name: they would pass for sub-operations of a future libvirt, with nothing to do.
    ['tintin prepare --dry-run --json', 'admin'],
    ['tintin prepare --xml a.xml --dry-run', 'admin'],
    ['tintin prepare begin - --dry-run', 'admin'],
    ['tintin prepare begin --dry-run', 'admin'],
    ['tintin prepare begin -h', 'admin'],
    ['demote tintin now --help', 'admin'],
  ])('%j', (words, expected) => expect(short(parseCall(words === '' ? [] : words.split(' ')))).toBe(expected))

  test.each<[string, string]>([
    ['holders x y z', 'admin'],
    ['demote tintin now please', 'admin'],
    ['tintin prepare now -', 'admin'],
    ['tintin toString begin -', 'admin'],
    ['tintin prepare begin -', 'hook tintin prepare begin -'],
    ['tintin release end destroyed', 'hook tintin release end destroyed'],
    ['tintin started begin -', 'hook tintin started begin -'],
    ['tintin reconnect - -', 'hook tintin reconnect - -'],
  ])('as the command: %j', (words, expected) => expect(short(parseCall(words.split(' '), true))).toBe(expected))

  test.each<[string, boolean]>([
    ['/usr/sbin/lvguard', true],
    ['lvguard', true],
    ['/etc/libvirt/hooks/qemu', false],
    ['/etc/libvirt/hooks/qemu.d/lvguard', false],
    ['/etc/libvirt/hooks/lvguard', false],
    ['/srv/xlvguard', false],
    ['', false],
  ])('%j is the command: %s', (path, expected) => expect(isCommandPath(path)).toBe(expected))

  test('a reason with a blank in it is one word', () =>
    expect(short(parseCall(['tintin', 'release', 'end', 'from snapshot']))).toBe(
      'hook tintin release end from snapshot',
    ))

  test('whatever a domain is called, four words of libvirt are its call', () => {
    fc.assert(
      fc.property(
        hostileName,
        fc.oneof(fc.constantFrom('prepare', 'release', 'migrate'), hostileName),
        fc.constantFrom('begin', 'end', '-'),
        hostileName,
        (name, operation, subOperation, extra) => {
          expect(parseCall([name, operation, subOperation, extra])).toEqual({
            kind: 'hook',
            event: { name, operation, subOperation, extra },
          })
        },
      ),
    )
  })

  test('nothing else is a call of libvirt', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(hostileName, fc.constantFrom('--dry-run', '--json', '--xml', 'prepare', 'begin')), {
          maxLength: 3,
        }),
        (words) => {
          expect(parseCall(words).kind).not.toBe('hook')
        },
      ),
    )
  })

  // DESIGN 3: anything else, today or in a future libvirt, is nothing and exit 0. `usage` exits 2, which may kill a VM.
  test.each([
    ['tintin', 'newop', 'newsub', '-'],
    ['tintin', 'newop', 'newsub', '-', 'more'],
    ['tintin', 'reconnect', 'middle', '-'],
  ])('a sub-operation that nobody knows yet: %s %s %s', (...words) => {
    expect(parseCall(words).kind).toBe('hook')
  })
})

test.each([
  ['prepare', 'begin'],
  ['release', 'end'],
  ['migrate', 'begin'],
  ['restore', 'begin'],
])('%s %s is handled', (operation, subOperation) => expect(isHandled({ operation, subOperation })).toBe(true))
test.each([
  ['prepare', 'end'],
  ['release', 'begin'],
  ['migrate', '-'],
  ['prepare', ''],
])('%s %s is not', (operation, subOperation) => expect(isHandled({ operation, subOperation })).toBe(false))
test.each(['start', 'started', 'stopped', 'reconnect', 'attach', '', 'toString', '__proto__', 'Prepare'])(
  '%j is not',
  (operation) => expect(isHandled({ operation, subOperation: 'begin' })).toBe(false),
)
