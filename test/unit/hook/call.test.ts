import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Call, isHandled, parseCall } from '../../../src/hook/call.ts'
import { hostileName } from '../support/arbitraries.ts'

/** A call in short words: `hook tintin prepare begin -`, `dry-run tintin prepare begin - json`, `usage`. */
function short(call: Call): string {
  if (call.kind === 'step') return [call.step, call.domain, ...(call.force ? ['force'] : [])].join(' ')
  if (call.kind !== 'hook' && call.kind !== 'dry-run') return call.kind
  const { name, operation, subOperation, extra } = call.event
  const options = call.kind === 'hook' ? [] : [...(call.json ? ['json'] : []), ...(call.xmlFile === undefined ? [] : [call.xmlFile])]
  return [call.kind, name, operation, subOperation, extra, ...options].join(' ')
}

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
    ['--help', 'help'],
    ['-h', 'help'],
    ['--version', 'version'],
    ['--dry-run --help', 'help'],
    ['', 'usage'],
    ['tintin', 'usage'],
    ['tintin prepare', 'usage'],
    ['tintin prepare begin', 'usage'],
    ['agent', 'agent'],
    ['agent now', 'usage'],
    ['agent prepare begin -', 'hook agent prepare begin -'],
    ['demote tintin', 'demote tintin'],
    ['demote --force tintin', 'demote tintin force'],
    ['demote tintin --force', 'demote tintin force'],
    ['demote', 'usage'],
    ['demote a b', 'usage'],
    ['demote --what', 'usage'],
    ['promote tintin', 'promote tintin'],
    ['promote --force tintin', 'usage'],
    ['promote release end -', 'hook promote release end -'],
    ['--what', 'usage'],
    ['--dry-run', 'usage'],
    ['--dry-run tintin', 'usage'],
    ['--dry-run --xml', 'usage'],
    ['--json tintin prepare', 'usage'],
    ['--dry-run tintin prepare', 'dry-run tintin prepare begin -'],
    ['--dry-run tintin release', 'dry-run tintin release end -'],
    ['--dry-run tintin prepare begin', 'dry-run tintin prepare begin -'],
    ['--dry-run tintin prepare begin -', 'dry-run tintin prepare begin -'],
    ['--dry-run tintin prepare begin - more', 'usage'],
    ['--dry-run --json tintin prepare', 'dry-run tintin prepare begin - json'],
    ['--json --dry-run --xml a.xml tintin migrate', 'dry-run tintin migrate begin - json a.xml'],
    ['--dry-run -- --help prepare', 'dry-run --help prepare begin -'],
    ['--dry-run --xml --help tintin prepare', 'dry-run tintin prepare begin - --help'],
  ])('%j', (words, expected) => expect(short(parseCall(words === '' ? [] : words.split(' ')))).toBe(expected))

  test('a reason with a blank in it is one word', () => expect(short(parseCall(['tintin', 'release', 'end', 'from snapshot']))).toBe('hook tintin release end from snapshot'))

  test('whatever a domain is called, four words of libvirt are its call', () => {
    fc.assert(fc.property(hostileName, fc.oneof(fc.constantFrom('prepare', 'release', 'migrate'), hostileName), fc.constantFrom('begin', 'end', '-'), hostileName, (name, operation, subOperation, extra) => {
      expect(parseCall([name, operation, subOperation, extra])).toEqual({ kind: 'hook', event: { name, operation, subOperation, extra } })
    }))
  })

  test('nothing else carries anything out: without --dry-run it is usage, help or version', () => {
    fc.assert(fc.property(fc.array(fc.oneof(hostileName, fc.constantFrom('--dry-run', '--json', '--xml', 'prepare', 'begin')), { maxLength: 3 }), (words) => {
      expect(parseCall(words).kind).not.toBe('hook')
    }))
  })

  // DESIGN 3: anything else, today or in a future libvirt, is nothing and exit 0. `usage` exits 2, which may kill a VM.
  test.each([['tintin', 'newop', 'newsub', '-'], ['tintin', 'newop', 'newsub', '-', 'more'], ['tintin', 'reconnect', 'middle', '-']])('a sub-operation that nobody knows yet: %s %s %s', (...words) => {
    expect(parseCall(words).kind).toBe('hook')
  })
})

test.each([['prepare', 'begin'], ['release', 'end'], ['migrate', 'begin'], ['restore', 'begin']])('%s %s is handled', (operation, subOperation) => expect(isHandled({ operation, subOperation })).toBe(true))
test.each([['prepare', 'end'], ['release', 'begin'], ['migrate', '-'], ['prepare', '']])('%s %s is not', (operation, subOperation) => expect(isHandled({ operation, subOperation })).toBe(false))
test.each(['start', 'started', 'stopped', 'reconnect', 'attach', '', 'toString', '__proto__', 'Prepare'])('%j is not', (operation) => expect(isHandled({ operation, subOperation: 'begin' })).toBe(false))
