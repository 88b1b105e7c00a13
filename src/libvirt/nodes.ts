/** An element as the parser gives it: attributes behind `@`, children by their names, text as `#text`. */
export type Node = { readonly [name: string]: unknown }

/** Whether a value of the parser is an element. */
export const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A child element by name. One without attributes and children is the parser's plain string. */
export const child = (node: Node, name: string): Node | undefined => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  return isNode(value) ? value : value === undefined ? undefined : {}
}

/** All child elements of a name; none if there is none. One without attributes and children is empty. */
export const children = (node: Node, name: string): readonly Node[] => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  return (Array.isArray(value) ? value : value === undefined ? [] : [value]).map((item) => (isNode(item) ? item : {}))
}

/** The text of a child element; undefined if there is no such element. */
export const text = (node: Node, name: string): string | undefined => {
  const value = Object.hasOwn(node, name) ? node[name] : undefined
  if (isNode(value)) return typeof value['#text'] === 'string' ? value['#text'] : ''
  return typeof value === 'string' ? value : undefined
}

/** An attribute of an element; undefined if it has none of that name, or there is no element. */
export const attribute = (node: Node | undefined, name: string): string | undefined => {
  const value = node?.[`@${name}`]
  return typeof value === 'string' ? value : undefined
}

/**
 * All child elements of nodes that have this local name in this namespace, whatever their prefix.
 * @param root where the namespace may be declared too, as on the parent: libvirt moves a declaration from `<domain>` to
 *   `<metadata>` (measured on libvirt 9.0 and 11.3). Without it, the element itself declares it
 */
export function elementsOf(
  nodes: readonly Node[],
  localName: string,
  namespace: string,
  root?: Node,
): { readonly prefix: string; readonly element: Node }[] {
  return nodes
    .flatMap((node) =>
      Object.keys(node).flatMap((tag) =>
        children(node, tag).map((element) => {
          const [prefix = '', local] = tag.includes(':') ? tag.split(':') : ['', tag]
          const declaration = prefix === '' ? 'xmlns' : `xmlns:${prefix}`
          const scopes = root === undefined ? [element] : [element, node, root]
          const [declared] = scopes.flatMap((each) => attribute(each, declaration) ?? [])
          return { prefix, local, element, declared }
        }),
      ),
    )
    .filter(({ local, declared }) => local === localName && declared === namespace)
}
