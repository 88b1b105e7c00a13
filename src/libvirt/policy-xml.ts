import { type DomainPolicy, type Policy, isPolicy } from '../core/policy.ts'
import { type Node, attribute, children, elementsOf } from './nodes.ts'

/** The namespace of the element in `<metadata>` that says how disks are to be locked. */
export const POLICY_NAMESPACE = 'urn:lvguard:policy:1'

/**
 * The policy in a domain's `<metadata>`: `<policy><disk target='vdb' mode='shared'/></policy>` in our namespace. `virsh
 * metadata --set` puts the prefix on every element inside (virXMLInjectNamespace). An element without a prefix counts,
 * too. One with another prefix does not.
 */
export function policyOf(metadata: readonly Node[], root: Node): DomainPolicy {
  const modes = new Map<string, Policy>()
  const errors: string[] = []
  for (const { prefix, element } of elementsOf(metadata, 'policy', POLICY_NAMESPACE, root)) {
    const tags = Object.keys(element).filter((tag) => tag === 'disk' || (prefix !== '' && tag === `${prefix}:disk`))
    for (const disk of tags.flatMap((tag) => children(element, tag))) {
      const [target, mode] = [attribute(disk, 'target'), attribute(disk, 'mode')]
      if (target === undefined || target === '') errors.push('a disk has no target')
      else if (mode === undefined || !isPolicy(mode)) errors.push(`disk ${target} has mode '${mode ?? ''}'`)
      else if ((modes.get(target) ?? mode) !== mode) errors.push(`disk ${target} has two modes`)
      else modes.set(target, mode)
    }
  }
  return { modes, errors }
}
