import type { Domain } from '../core/domain.ts'
import { LONGEST_XML } from '../system/stdin.ts'
import { type Node, attribute, child, children, elementsOf, text } from './nodes.ts'
import { policyOf } from './policy-xml.ts'
import { type Written, otherSources, sourcesOfDevices, sourcesOfDisk, sourcesOfFirmware } from './sources-xml.ts'
import { BadXml, parseXml } from './xml.ts'

export { BadXml }

/** The namespace of the element that ties a migration's `prepare` to its `migrate` (DESIGN 4, FACTS 13a). */
export const INCOMING_NAMESPACE = 'urn:lvguard:incoming:1'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether an alias is libvirt's own. One that starts with `ua-` is the user's, and stands in the XML at any time. */
const hasOwnAlias = (alias: Node | undefined): boolean =>
  alias !== undefined && attribute(alias, 'name')?.startsWith('ua-') !== true

/**
 * The id of the `<incoming>` element among the children of `<metadata>`; whatever prefix it has, its namespace counts.
 */
function incomingIdOf(metadata: readonly Node[]): string | undefined {
  const ids = elementsOf(metadata, 'incoming', INCOMING_NAMESPACE).map(({ element }) => attribute(element, 'id'))
  return ids.length === 1 ? ids[0] : undefined
}

/**
 * Reads the domain XML that libvirt gives to a hook.
 * @param what how a message calls it
 * @param written of a live XML: what block jobs write to
 * @throws BadXml if it is too long, cut off, or not well-formed; if it has a DOCTYPE (libvirt writes none); or if it is
 *   not a domain with a name and a UUID
 */
export function parseDomain(xml: string, what = 'the domain XML', written: Written = new Set()): Domain {
  if (xml.length > LONGEST_XML) throw new BadXml(`${what} is longer than ${LONGEST_XML / 1024 / 1024} MiB`)
  const root = child(parseXml(xml, what), 'domain')
  if (root === undefined) throw new BadXml(`${what} is not a <domain>`)
  const name = text(root, 'name')
  const uuid = text(root, 'uuid')?.trim().toLowerCase()
  if (name === undefined || name === '') throw new BadXml(`${what} has no <name>`)
  if (uuid === undefined || !UUID.test(uuid)) throw new BadXml(`${what} has no <uuid>, or not a valid one`)
  const devices = children(root, 'devices')
  const metadata = children(root, 'metadata')
  const known = [
    ...devices.flatMap((each) => children(each, 'disk')).flatMap((disk) => sourcesOfDisk(disk, written)),
    ...children(root, 'os').flatMap(sourcesOfFirmware),
    ...devices.flatMap(sourcesOfDevices),
  ]
  return {
    name,
    uuid,
    disks: [...known, ...otherSources(root, known)],
    incomingId: incomingIdOf(metadata),
    policy: policyOf(metadata, root),
    gotPastPrepare: devices
      .flatMap((each) => Object.keys(each).flatMap((tag) => children(each, tag)))
      .some((device) => hasOwnAlias(child(device, 'alias'))),
  }
}
