import { XMLParser, XMLValidator } from 'fast-xml-parser'

/** Documents that are kept. More than a schedule has. */
const LIMIT = 2000

/** As the product calls it. */
type Parse = (this: XMLParser, xml: string) => unknown

/** Nobody may change what others get as well. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) frozen(inner)
  return Object.freeze(value)
}

/**
 * The parser remembers what it has read: agents and hooks read the same few documents again and again, and a sixth of a
 * simulation's time would go into that. To be called once, before anything is played.
 */
export function rememberXml(): void {
  // Of several simulations in one process (mutations.ts) the first has done it for all.
  if (XMLParser.prototype.parse.name === 'remembered') return
  const parsed = new Map<string, unknown>()
  const { parse } = XMLParser.prototype as { readonly parse: Parse }
  const remembered: Parse = function (xml) {
    if (parsed.size > LIMIT) parsed.clear()
    if (!parsed.has(xml)) parsed.set(xml, frozen(parse.call(this, xml)))
    return parsed.get(xml)
  }
  XMLParser.prototype.parse = remembered as typeof XMLParser.prototype.parse
  const valid = new Map<string, ReturnType<typeof XMLValidator.validate>>()
  const { validate } = XMLValidator
  XMLValidator.validate = (xml, options) => {
    if (options !== undefined) return validate(xml, options)
    if (valid.size > LIMIT) valid.clear()
    const answer = valid.get(xml) ?? validate(xml)
    valid.set(xml, answer)
    return answer
  }
}
