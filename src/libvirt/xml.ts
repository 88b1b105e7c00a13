import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { type Node, isNode } from './nodes.ts'

/** A document that cannot be trusted to be whole, or is not what it should be. The message is one sentence. */
export class BadXml extends Error {
  override readonly name = 'BadXml'
}

// FACTS 41: no conversion of values (`<name>1e3</name>`), lists where the schema allows several, no entities of a DOCTYPE.
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
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
    if (valid !== true) throw new BadXml(`${what} is cut off or not well-formed (line ${valid.err.line}: ${valid.err.msg})`)
    if (/<!(?:DOCTYPE|ENTITY)/i.test(xml.replace(/<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>/g, ''))) throw new BadXml(`${what} has a DOCTYPE, which libvirt never writes`)
    const parsed: unknown = parser.parse(xml)
    return isNode(parsed) ? parsed : {}
  } catch (error) {
    if (error instanceof BadXml) throw error
    throw new BadXml(`${what} cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}
