import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BadXml, parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { LONGEST_XML } from '../../../src/system/stdin.ts'
import { hookInput, hookInputs } from '../support/captures.ts'
import { UUID, domainXml } from '../support/xml.ts'

const XML = domainXml({ disks: [{ type: 'block', target: 'vda', path: '/dev/virtVG/root' }] })
/** The message of the refusal, or what was wrongly accepted. */
function refusal(xml: string): string {
  try {
    return `accepted: ${JSON.stringify(parseDomain(xml))}`
  } catch (error) {
    return error instanceof BadXml ? error.message : `not BadXml: ${String(error)}`
  }
}
const REFUSED = /^the (domain )?XML /

describe('XML that is cut off', () => {
  const isWhole = (xml: string, length: number): boolean => xml.slice(length).trim() === ''

  test('at every length of a prepare', () => {
    const { xml } = hookInput('prepare')
    const wrong = Array.from({ length: xml.length }, (_, length) => length).filter(
      (length) => !isWhole(xml, length) && !REFUSED.test(refusal(xml.slice(0, length))),
    )
    expect(wrong).toEqual([])
  })

  test('anywhere in any capture', () => {
    fc.assert(
      fc.property(fc.constantFrom(...hookInputs), fc.double({ min: 0, max: 1, noNaN: true }), ({ xml }, part) => {
        const length = Math.floor(xml.length * part)
        fc.pre(!isWhole(xml, length))
        expect(refusal(xml.slice(0, length))).toMatch(REFUSED)
      }),
      { numRuns: 150 },
    )
  })

  test('a piece missing in the middle is refused or still a domain, nothing else', () => {
    fc.assert(
      fc.property(fc.nat(XML.length), fc.nat(40), (start, length) => {
        expect(refusal(XML.slice(0, start) + XML.slice(start + length))).toMatch(/^(the (domain )?XML |accepted: )/)
      }),
      { numRuns: 300 },
    )
  })
})

describe('XML that is no domain', () => {
  test.each<[string, string, RegExp]>([
    ['nothing', '', REFUSED],
    ['blanks', ' \n ', REFUSED],
    ['text', 'milou', REFUSED],
    ['something else', '<pool><name>a</name></pool>', /not a <domain>/],
    ['an empty domain', '<domain/>', /no <name>/],
    ['no name', XML.replace(/<name>.*<\/name>/, ''), /no <name>/],
    ['an empty name', XML.replace('tintin', ''), /no <name>/],
    ['two names', XML.replace('<name>', '<name>a</name><name>'), /no <name>/],
    ['a name with a child', XML.replace('tintin', '<b/>'), /no <name>/],
    ['no UUID', XML.replace(/<uuid>.*<\/uuid>/, ''), /<uuid>/],
    ['a UUID that is none', XML.replace(UUID, 'x'), /<uuid>/],
    ['a UUID that is a path', XML.replace(UUID, `../../${UUID}`), /<uuid>/],
    ['a UUID with a line break inside', XML.replace(UUID, `${UUID.slice(0, 8)}\n${UUID.slice(8)}`), /<uuid>/],
    ['two domains', XML + XML, REFUSED],
    ['text behind it', `${XML}x`, REFUSED],
    ['an end tag too many', `${XML}</domain>`, REFUSED],
    ['crossed tags', XML.replace('</name>', '</uuid>'), REFUSED],
    ['an attribute without quotes', XML.replace("dev='vda'", 'dev=vda'), REFUSED],
    ['an attribute twice', XML.replace("dev='vda'", "dev='vda' dev='vdb'"), REFUSED],
  ])('%s', (_, xml, expected) => expect(refusal(xml)).toMatch(expected))

  test('whatever it is, BadXml says so in one sentence, and nothing else is thrown', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 40 }),
          fc.string({
            unit: fc.constantFrom(
              '<',
              '>',
              '/',
              '"',
              "'",
              '=',
              ' ',
              'domain',
              'a',
              '!',
              '--',
              '[CDATA[',
              ']]>',
              '?',
              '&',
              ';',
            ),
          }),
        ),
        (xml) => {
          expect(refusal(xml)).toMatch(REFUSED)
          expect(refusal(`<domain>${xml}`)).toMatch(REFUSED)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('XML that means harm', () => {
  test.each<[string, string]>([
    ['a DOCTYPE', `<!DOCTYPE domain>${XML}`],
    ['an entity bomb', `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>${XML.replace('tintin', '&b;')}`],
    ['a file as an entity', `<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/shadow">]>${XML.replace('tintin', '&a;')}`],
    ['a DOCTYPE in small letters', `<!doctype d>${XML}`],
    ['a DOCTYPE behind the XML', `${XML}<!DOCTYPE d>`],
    ['50 MB', domainXml({ inside: `<description>${'x'.repeat(50 * 1024 * 1024)}</description>` })],
    ['one character too many', XML.padEnd(LONGEST_XML + 1, ' ')],
    ['nested ten thousand deep', domainXml({ inside: '<a>'.repeat(10_000) + '</a>'.repeat(10_000) })],
    ['nested as deep and cut off', domainXml({ inside: '<a>'.repeat(10_000) })],
  ])('%s', (_, xml) => {
    expect(refusal(xml)).toMatch(REFUSED)
  })

  test.each<[string, string]>([
    ['an element __proto__', '<metadata><x:__proto__ xmlns:x="u"><disk type="block"/></x:__proto__></metadata>'],
    ['an attribute __proto__', '<metadata><x:a xmlns:x="u" __proto__="1" constructor="2"/></metadata>'],
    [
      'elements like methods of an object',
      '<metadata><x:constructor xmlns:x="u"/><x:toString xmlns:x="u"/><x:hasOwnProperty xmlns:x="u"/></metadata>',
    ],
    [
      'elements like those of JavaScript’s own objects, which an application may use',
      '<metadata><a:x xmlns:a="u"><constructor>x<disk type="block"/></constructor><prototype/></a:x></metadata>',
    ],
    ['a DOCTYPE in a processing instruction', '<metadata><a:x xmlns:a="u"><?php <!DOCTYPE html> ?></a:x></metadata>'],
    ['an entity that nobody declared', '<description>&bomb;&bomb;</description>'],
    [
      'a disk that is only a comment',
      "<!-- <devices><disk type='block'><source dev='/dev/virtVG/other'/></disk></devices> -->\n",
    ],
    [
      'a disk that is only text',
      "<description><![CDATA[<devices><disk type='block'><source dev='/dev/virtVG/other'/></disk></devices>]]></description>",
    ],
    [
      'a disk that is only metadata',
      "<metadata><x:devices xmlns:x='u'><disk type='block'><source dev='/dev/virtVG/other'/></disk></x:devices></metadata>",
    ],
    ['five thousand entities', `<description>${'&amp;&#10;'.repeat(5000)}</description>`],
  ])('%s changes nothing about the domain', (_, inside) => {
    const { name, disks, incomingId } = parseDomain(XML.replace('  <devices>', () => `${inside}  <devices>`))
    expect([name, disks.map(({ path }) => path), incomingId]).toEqual(['tintin', ['/dev/virtVG/root'], undefined])
    expect(({} as Readonly<Record<string, unknown>>)['disk']).toBeUndefined()
  })

  // libvirt keeps what other programs put into <metadata>, comments and CDATA too: there it is text.
  test.each([
    '<x:note xmlns:x="u"><![CDATA[<!DOCTYPE html><p>]]></x:note>',
    '<x:note xmlns:x="u"><!-- <!DOCTYPE html> --></x:note>',
  ])('a DOCTYPE that is only text is none: %s', (note) => {
    expect(refusal(domainXml({ inside: `<metadata>${note}</metadata>` }))).toMatch(/^accepted: /)
  })

  test('control characters in a name stay one name, and never become a path', () => {
    const { name, disks } = parseDomain(
      domainXml({ name: 'a\u001b[2J\u0007b', disks: [{ type: 'block', target: 'vda', path: '/dev/virtVG/a\u0000b' }] }),
    )
    expect([name, disks[0]?.path]).toEqual(['a\u001b[2J\u0007b', '/dev/virtVG/a\u0000b'])
  })
})
