import { join } from 'node:path'
import { type VolumeName, meaningOfMapperName, meaningOfPath } from '../core/volume.ts'
import { DEFINITION_FOLDER, STATUS_FOLDER } from '../system/paths.ts'
import { readFileSync, readdirSync } from '../system/files.ts'
import { isErrno } from '../system/error-message.ts'

/**
 * What a table shows of a domain. Its XML is not parsed: two hundred domains take a few milliseconds this way, and
 * would take most of a second with a parser. For showing only: nothing is decided by it.
 */
export interface Glance {
  readonly name: string
  readonly uuid: string
  /** The names in all its paths that have the form of a volume's. Whether there is such a volume, only LVM tells. */
  readonly volumes: readonly VolumeName[]
}

/** The same of a domain that is active here, with what libvirt says of it (FACTS 13). */
export interface ActiveGlance extends Glance {
  /** `running`, `paused`, … */
  readonly state: string
  readonly reason: string
  readonly pid: number
  /** The job under way: `none`, `migration out`, `migration in`, `save`, … */
  readonly job: string
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
const decoded = (text: string): string =>
  text.replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => ENTITIES[name] ?? '')

/** Reads the XML of a domain. @returns undefined if it has no `<domain>` with a name and a UUID */
export function glanceAt(xml: string): Glance | undefined {
  const domain = xml.slice(/<domain[\s>]/.exec(xml)?.index ?? xml.length)
  const [name, uuid] = ['name', 'uuid'].map((tag) => new RegExp(`<${tag}>([^<]+)</${tag}>`).exec(domain)?.[1])
  if (name === undefined || uuid === undefined) return undefined
  const volumes = [...domain.matchAll(/['">](\/dev\/[^'"<>]+)['"<]/g)].flatMap(([, path = '']) => {
    const mapped = /^\/dev\/disk\/by-id\/dm-name-(.+)$/.exec(path)?.[1]
    const meaning = mapped === undefined ? meaningOfPath(decoded(path)) : meaningOfMapperName(decoded(mapped))
    return meaning.kind === 'volume' ? [{ vg: meaning.vg, lv: meaning.lv }] : []
  })
  const once = new Map(volumes.map((volume) => [`${volume.vg}/${volume.lv}`, volume]))
  return { name: decoded(name), uuid: uuid.toLowerCase(), volumes: [...once.values()] }
}

/** Reads a status file. @returns undefined if it is no status file of libvirt */
export function activeGlanceAt(text: string): ActiveGlance | undefined {
  const glance = glanceAt(text)
  const head = text.slice(0, /<domain[\s>]/.exec(text)?.index ?? 0)
  const root = /<domstatus(\s[^>]*)>/.exec(head)?.[1]
  const attribute = (words: string | undefined, name: string): string | undefined =>
    new RegExp(`\\s${name}=['"]([^'"]*)['"]`).exec(words ?? '')?.[1]
  const state = attribute(root, 'state')
  if (glance === undefined || state === undefined) return undefined
  const job = attribute(/<job(\s[^>]*?)\/?>/.exec(head)?.[1], 'async') ?? 'none'
  return { ...glance, state, reason: attribute(root, 'reason') ?? '', pid: Number(attribute(root, 'pid') ?? 0), job }
}

/** What a folder of libvirt's XML comes to, and the files in it that cannot be read or understood. */
export interface Glances<T> {
  readonly found: readonly T[]
  readonly unreadable: readonly string[]
}

/** The domains that are active here. */
export const activeDomains = (): Glances<ActiveGlance> => glances(STATUS_FOLDER, activeGlanceAt)
/** The domains that are defined here, active or not. */
export const definedDomains = (): Glances<Glance> => glances(DEFINITION_FOLDER, glanceAt)

function glances<T>(folder: string, read: (text: string) => T | undefined): Glances<T> {
  let names: string[]
  try {
    names = readdirSync(folder)
      .filter((name) => name.endsWith('.xml'))
      .sort()
  } catch (error) {
    return { found: [], unreadable: isErrno(error, 'ENOENT') ? [] : [folder] }
  }
  const unreadable: string[] = []
  const found = names.flatMap((name) => {
    const file = join(folder, name)
    try {
      const glance = read(readFileSync(file, 'utf8'))
      if (glance !== undefined) return [glance]
      unreadable.push(file)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) unreadable.push(file)
    }
    return []
  })
  return { found, unreadable }
}
