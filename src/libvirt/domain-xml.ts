import { XMLParser, XMLValidator } from 'fast-xml-parser'
import type { Disk, Domain } from '../core/domain.ts'
import { LONGEST_XML } from '../stdin.ts'

/** The XML on standard input is not a domain that can be trusted to be whole. The message is one sentence. */
export class BadXml extends Error {
  override readonly name = 'BadXml'
}

/** The namespace of the element that ties a migration's `prepare` to its `migrate` (DESIGN 4, FACTS 13a). */
export const INCOMING_NAMESPACE = 'urn:lvguard:incoming:1'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

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

type Node = { readonly [name: string]: unknown }

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)
/** A child element by name. One without attributes and children is the parser's plain string. */
const child = (node: Node, name: string): Node | undefined => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  return isNode(value) ? value : value === undefined ? undefined : {}
}
const children = (node: Node, name: string): readonly Node[] => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  return (Array.isArray(value) ? value : value === undefined ? [] : [value]).map((item) => (isNode(item) ? item : {}))
}
const text = (node: Node, name: string): string | undefined => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  if (isNode(value)) return typeof value['#text'] === 'string' ? value['#text'] : ''
  return typeof value === 'string' ? value : undefined
}
const attribute = (node: Node | undefined, name: string): string | undefined => {
  const value = node?.[`@${name}`]
  return typeof value === 'string' ? value : undefined
}

function diskOf(disk: Node): Disk {
  const source = child(disk, 'source')
  const type = attribute(disk, 'type')
  const path = type === 'block' ? attribute(source, 'dev') : type === 'file' ? attribute(source, 'file') : undefined
  return {
    target: attribute(child(disk, 'target'), 'dev') ?? '?',
    path: path === '' ? undefined : path,
    readonly: child(disk, 'readonly') !== undefined,
    shareable: child(disk, 'shareable') !== undefined,
  }
}

/** libvirt's own alias; one that starts with `ua-` is the user's and stands in the XML at any time. */
const hasOwnAlias = (alias: Node | undefined): boolean => alias !== undefined && attribute(alias, 'name')?.startsWith('ua-') !== true

/** The id of the `<incoming>` element among the children of `<metadata>`; whatever prefix it has, its namespace counts. */
function incomingIdOf(metadata: readonly Node[]): string | undefined {
  const ids = metadata.flatMap((node) => Object.keys(node).flatMap((tag) => children(node, tag).map((element) => ({ tag, element }))))
    .filter(({ tag, element }) => {
      const [prefix, local] = tag.includes(':') ? tag.split(':') : ['', tag]
      return local === 'incoming' && attribute(element, prefix === '' ? 'xmlns' : `xmlns:${prefix}`) === INCOMING_NAMESPACE
    })
    .map(({ element }) => attribute(element, 'id'))
  return ids.length === 1 ? ids[0] : undefined
}

/**
 * Reads the domain XML that libvirt gives to a hook.
 * @throws BadXml if it is too long, cut off, not well-formed, has a DOCTYPE (libvirt writes none), or is not a domain with a
 *   name and a UUID.
 */
export function parseDomain(xml: string): Domain {
  if (xml.length > LONGEST_XML) throw new BadXml(`the domain XML is longer than ${LONGEST_XML / 1024 / 1024} MiB`)
  const root = child(parseWhole(xml), 'domain')
  if (root === undefined) throw new BadXml('the XML on standard input is not a <domain>')
  const name = text(root, 'name')
  const uuid = text(root, 'uuid')?.trim().toLowerCase()
  if (name === undefined || name === '') throw new BadXml('the domain XML has no <name>')
  if (uuid === undefined || !UUID.test(uuid)) throw new BadXml('the domain XML has no <uuid>, or not a valid one')
  const disks = children(root, 'devices').flatMap((devices) => children(devices, 'disk'))
  return {
    name,
    uuid,
    disks: disks.map(diskOf),
    incomingId: incomingIdOf(children(root, 'metadata')),
    gotPastPrepare: children(root, 'devices').flatMap((devices) => Object.keys(devices).flatMap((tag) => children(devices, tag))).some((device) => hasOwnAlias(child(device, 'alias'))),
  }
}

function parseWhole(xml: string): Node {
  try {
    const valid = XMLValidator.validate(xml)
    if (valid !== true) throw new BadXml(`the domain XML is cut off or not well-formed (line ${valid.err.line}: ${valid.err.msg})`)
    if (/<!(?:DOCTYPE|ENTITY)/i.test(xml.replace(/<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>/g, ''))) throw new BadXml('the domain XML has a DOCTYPE, which libvirt never writes')
    const parsed: unknown = parser.parse(xml)
    return isNode(parsed) ? parsed : {}
  } catch (error) {
    if (error instanceof BadXml) throw error
    throw new BadXml(`the domain XML cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}
