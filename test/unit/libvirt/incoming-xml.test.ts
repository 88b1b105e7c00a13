import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { withIncomingId } from '../../../src/libvirt/incoming-xml.ts'
import { hookInputs } from '../support/captures.ts'
import { domainXml } from '../support/xml.ts'

const ID = 'b7e6f7a4-3df1-4b63-93fd-5f0a5a4c8f7e'
const OURS = `<lvguard:incoming xmlns:lvguard="urn:lvguard:incoming:1" id="${ID}"/>`

/** An element of ours as an earlier migration left it, in forms that libvirt may give back. */
const OLD = [
  "<lvguard:incoming xmlns:lvguard='urn:lvguard:incoming:1' id='old'/>",
  '<lvguard:incoming xmlns:lvguard="urn:lvguard:incoming:1" id="old"></lvguard:incoming>',
  '<g:incoming id="old" xmlns:g="urn:lvguard:incoming:1">\n  <g:more/>text</g:incoming>',
]
/** What others may keep in <metadata>. */
const OTHERS = [
  '',
  '\n    ',
  '<a:b xmlns:a="urn:a"/>',
  '<a:b xmlns:a="urn:a">x &amp; y</a:b>',
  "<a:incoming xmlns:a='urn:another'/>",
  '<!-- </metadata> -->',
  '<!-- <lvguard:incoming xmlns:lvguard="urn:lvguard:incoming:1" id="x"/> -->',
  '<a:b xmlns:a="urn:a"><![CDATA[</metadata></domain><metadata>]]></a:b>',
  '<?pi </metadata>?>',
  '<a:b xmlns:a="u>/" c=\'">\'/>',
  '<a:metadata xmlns:a="urn:a"></a:metadata>',
  '<a:b xmlns:a="u"><metadata/></a:b>',
  '<a:b xmlns:a="u"><lvguard:incoming xmlns:lvguard="urn:lvguard:incoming:1" id="deeper"/></a:b>',
]
/** What may stand in a domain before <metadata> and look like it. */
const BEFORE = [
  '',
  '<!-- <metadata><x/></metadata> -->',
  '<title>a &lt;metadata&gt; b</title>',
  '<description><![CDATA[<metadata>]]></description>',
  '<os><metadata><x/></metadata></os>',
  "<a b='<!-- x'/>",
  '<a b="<metadata>"/>',
]
const START = [
  '',
  "<?xml version='1.0' encoding='utf-8'?>\n",
  '<!--\nWARNING: <domain> THIS IS AN AUTO-GENERATED FILE\n-->\n\n',
]

const document = (start: string, before: string, metadata: string): string =>
  start + domainXml({ inside: `  ${before}\n  ${metadata}\n` })

describe('the id of a migration in the XML that migrate prints', () => {
  test('into every capture, and read back from it', () => {
    for (const { xml } of hookInputs) {
      const made = withIncomingId(xml, ID)
      expect(parseDomain(made)).toEqual({ ...parseDomain(xml), incomingId: ID })
      expect(made.replace(`<metadata>${OURS}</metadata>`, '')).toBe(xml)
    }
  })

  test('every other byte stays as it is, whatever else is in the XML', () => {
    const old = fc.option(fc.constantFrom(...OLD), { nil: '' })
    const parts = fc.array(fc.constantFrom(...OTHERS), { maxLength: 4 })
    fc.assert(
      fc.property(
        fc.constantFrom(...START),
        fc.constantFrom(...BEFORE),
        parts,
        old,
        parts,
        old,
        parts,
        (start, before, first, oldOne, second, oldTwo, third) => {
          const [one, two, three] = [first, second, third].map((part) => part.join(''))
          const xml = document(start, before, `<metadata>${one}${oldOne}${two}${oldTwo}${three}</metadata>`)
          const made = withIncomingId(xml, ID)
          expect(made).toBe(document(start, before, `<metadata>${OURS}${one}${two}${three}</metadata>`))
          expect(parseDomain(made).incomingId).toBe(ID)
        },
      ),
      { numRuns: 500 },
    )
  })

  test.each(['<metadata/>', '<metadata />', '<metadata></metadata>', '<metadata>\n  </metadata>'])(
    'into an empty %s',
    (metadata) => {
      const inner = /<metadata>([^<]*)</.exec(metadata)?.[1] ?? ''
      expect(withIncomingId(document('', '', metadata), ID)).toBe(
        document('', '', `<metadata>${OURS}${inner}</metadata>`),
      )
    },
  )

  test.each(BEFORE)('without metadata, behind the start tag of the domain: %s', (before) => {
    const xml = document('', before, '')
    const made = withIncomingId(xml, ID)
    expect(made).toBe(xml.replace("<domain type='kvm'>", `<domain type='kvm'><metadata>${OURS}</metadata>`))
    expect(parseDomain(made).incomingId).toBe(ID)
  })

  test('once more in the place of the first', () => {
    const xml = document('', '', '<metadata><a:b xmlns:a="u"/></metadata>')
    expect(withIncomingId(withIncomingId(xml, 'another'), ID)).toBe(withIncomingId(xml, ID))
  })

  // What goes with the square of the length would not end in the time that a test has.
  test('two megabytes of quotes, brackets and tags take no time', () => {
    for (const filling of ['"', "'", '>', '<!--x-->', '<a/>', '<a b="c"/>']) {
      const xml = domainXml({
        inside: `<description>${filling.repeat(Math.floor(2_000_000 / filling.length))}</description>`,
      })
      expect(withIncomingId(xml, ID)).toContain(OURS)
    }
  })
})

describe('which element is ours', () => {
  const idIn = (metadata: string): string | undefined =>
    parseDomain(document('', '', `<metadata>${metadata}</metadata>`)).incomingId
  test.each<[string, string, string | undefined]>([
    ['with our prefix', OURS, ID],
    ['with another prefix', '<x:incoming xmlns:x="urn:lvguard:incoming:1" id="a"/>', 'a'],
    ['without a prefix', '<incoming xmlns="urn:lvguard:incoming:1" id="a"/>', 'a'],
    ['another namespace', '<lvguard:incoming xmlns:lvguard="urn:other" id="a"/>', undefined],
    ['no namespace', '<lvguard:incoming id="a"/>', undefined],
    ['the namespace of another prefix', '<x:incoming xmlns:y="urn:lvguard:incoming:1" id="a"/>', undefined],
    ['another name', '<x:outgoing xmlns:x="urn:lvguard:incoming:1" id="a"/>', undefined],
    ['no id', '<x:incoming xmlns:x="urn:lvguard:incoming:1"/>', undefined],
    ['deeper', '<y:a xmlns:y="u"><x:incoming xmlns:x="urn:lvguard:incoming:1" id="a"/></y:a>', undefined],
    [
      'two of them',
      '<x:incoming xmlns:x="urn:lvguard:incoming:1" id="a"/><y:incoming xmlns:y="urn:lvguard:incoming:1" id="b"/>',
      undefined,
    ],
    ['twice the same', `${OURS}${OURS}`, undefined],
    ['in a comment', `<!--${OURS}-->`, undefined],
    ['as text', `<a:b xmlns:a="u"><![CDATA[${OURS}]]></a:b>`, undefined],
  ])('%s', (_, metadata, expected) => expect(idIn(metadata)).toBe(expected))

  // withIncomingId would not find such a one, and leave it beside the new one.
  test('not one whose namespace is declared elsewhere', () => {
    const xml = document('', '', '<metadata xmlns:x="urn:lvguard:incoming:1"><x:incoming id="a"/></metadata>')
    expect([parseDomain(xml).incomingId, parseDomain(withIncomingId(xml, ID)).incomingId]).toEqual([undefined, ID])
  })

  test('not outside <metadata>', () => expect(parseDomain(document('', OURS, '')).incomingId).toBeUndefined())
})
