import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { type Node, isNode } from './nodes.ts'

/** A document that cannot be trusted to be whole, or is not what it should be. The message is one sentence. */
export class BadXml extends Error {
  override readonly name = 'BadXml'
}

const JAVASCRIPT: ReadonlySet<string> = new Set(['constructor', 'prototype'])

// FACTS 41: no conversion of values (`<name>1e3</name>`), lists where the schema allows several, no entities of a
// DOCTYPE.
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
  // In a chain of snapshots each `<backingStore>` is inside another: libvirt and QEMU allow 200. The parser's own limit
  // is 100.
  maxNestedTags: 1000,
  // Words that the parser refuses, and that an application may have in its `<metadata>`. `__proto__` nobody has.
  transformTagName: (tag) => (JAVASCRIPT.has(tag) ? `_${tag}` : tag),
  isArray: (tag) => tag === 'disk' || tag === 'devices' || tag === 'metadata',
})

/**
 * Reads one of libvirt's documents.
 * @param what how a message calls it, such as `the domain XML`
 * @throws BadXml if it is cut off, not well-formed, or has a DOCTYPE (libvirt writes none)
 */
export function parseXml(xml: string, what: string): Node {
  try {
    const valid = XMLValidator.validate(xml)
    if (valid !== true) throw new BadXml(formOf(xml, what, valid.err.line))
    if (/<!(?:DOCTYPE|ENTITY)/i.test(xml.replace(/<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>/g, '')))
      throw new BadXml(`${what} has a DOCTYPE, which libvirt never writes`)
    const parsed: unknown = parser.parse(xml)
    return isNode(parsed) ? parsed : {}
  } catch (error) {
    if (error instanceof BadXml) throw error
    // Names that would reach into JavaScript's own objects, and the like: libvirt writes none of them.
    throw new BadXml(`${what} has something in it that cannot be read`)
  }
}

/** What is wrong with the form of a document, in words of a person who did not write the parser. */
function formOf(xml: string, what: string, line: number): string {
  const text = xml.trim()
  if (text === '') return `${what} is empty`
  if (!text.startsWith('<')) return `${what} is no XML`
  const [, root = ''] = /<([A-Za-z_][^\s/>]*)/.exec(text) ?? []
  const isWhole = text.replace(/(?:\s*<!--[\s\S]*?-->)+$/, '').endsWith(`</${root}>`)
  return isWhole || root === ''
    ? `${what} is not well-formed (line ${line})`
    : `${what} is cut off: it does not end with </${root}>`
}
