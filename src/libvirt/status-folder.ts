import { isErrno, messageOf } from '../system/error-message.ts'
import type { DomainName } from '../core/domain-name.ts'
import { existsSync, readFileSync, readdirSync, statSync } from '../system/files.ts'
import { join } from 'node:path'
import { type StatusFile, isStatusFile, parseDomainStatus } from './domain-status.ts'
import { mayBeStatusOf } from './status.ts'
import type { Sighting } from '../core/reconcile.ts'
import { PROC_FOLDER, STATUS_FOLDER } from '../system/paths.ts'

/** One file, as it was when it was read last. */
interface Known {
  readonly mark: string
  readonly content: StatusFile | Unreadable
}

/** A file that cannot be read or understood. */
interface Unreadable {
  readonly error: string
  /** The part of it that could be read, which may name its domain. */
  readonly text: string | undefined
}

/** What one look at the folder has found. */
export interface Look {
  /** By UUID. */
  readonly active: ReadonlyMap<string, StatusFile>
  /** Domains whose file is new or another since the look before, or that have none any more. */
  readonly changed: readonly string[]
  /** The folder, or files in it, that cannot be read or understood, in words. */
  readonly unreadable: readonly string[]
  /** Those of them that may be a domain's own. */
  readonly mayBeOf: (domain: DomainName) => readonly string[]
}

/** libvirt's status files. A file is parsed again only if its inode, size or time of change is another one. */
export class StatusFolder {
  readonly #files = new Map<string, Known>()
  #active: ReadonlyMap<string, StatusFile> = new Map()
  readonly #missed = new Map<string, number>()

  /** Looks at the folder. Never throws. */
  look(): Look {
    const before = this.#active
    const unreadable: {
      readonly words: string
      readonly mayBeOf: (domain: DomainName) => boolean
    }[] = []
    let names: string[] = []
    try {
      names = readdirSync(STATUS_FOLDER).filter(isStatusFile).sort()
    } catch (error) {
      // libvirt makes it when its daemon starts first.
      if (!isErrno(error, 'ENOENT'))
        unreadable.push({ words: `${STATUS_FOLDER}: ${messageOf(error)}`, mayBeOf: () => true })
    }
    const present = new Set(names)
    for (const name of this.#files.keys()) if (!present.has(name)) this.#files.delete(name)
    const active = new Map<string, StatusFile>()
    for (const name of names) {
      const content = this.#read(name)
      if (content === undefined) continue
      if ('error' in content)
        unreadable.push({
          words: `${join(STATUS_FOLDER, name)}: ${content.error}`,
          mayBeOf: (domain) => mayBeStatusOf(domain, name, content.text),
        })
      else if (!isHidden(content, active.get(content.domain.uuid))) active.set(content.domain.uuid, content)
    }
    this.#active = active
    for (const uuid of active.keys()) this.#missed.delete(uuid)
    const changed = [...new Set([...active.keys(), ...before.keys()])].filter(
      (uuid) => active.get(uuid) !== before.get(uuid),
    )
    return {
      active,
      changed,
      unreadable: unreadable.map(({ words }) => words),
      mayBeOf: (domain) => unreadable.flatMap(({ words, mayBeOf }) => (mayBeOf(domain) ? [words] : [])),
    }
  }

  #read(name: string): Known['content'] | undefined {
    const file = join(STATUS_FOLDER, name)
    try {
      const { ino, size, mtimeMs } = statSync(file)
      const mark = `${ino} ${size} ${mtimeMs}`
      const known = this.#files.get(name)
      if (known?.mark === mark) return known.content
      const content = parsed(
        readFileSync(file, 'utf8'),
        known === undefined || 'error' in known.content ? undefined : known.content,
      )
      this.#files.set(name, { mark, content })
      return content
    } catch (error) {
      this.#files.delete(name)
      return isErrno(error, 'ENOENT') ? undefined : { error: messageOf(error), text: undefined }
    }
  }

  /** Counts a full pass for each domain on record that has no status file. The look is that of this pass. */
  countMissing(uuids: readonly string[], { active }: Look): void {
    for (const uuid of this.#missed.keys()) if (!uuids.includes(uuid)) this.#missed.delete(uuid)
    for (const uuid of uuids) if (!active.has(uuid)) this.#missed.set(uuid, (this.#missed.get(uuid) ?? 0) + 1)
  }

  /**
   * What a look says of one domain.
   * @param name as its record has it
   */
  sightingOf(uuid: string, name: string | undefined, { active, mayBeOf }: Look): Sighting {
    const file = active.get(uuid)
    if (file !== undefined) return isLeftOver(file) ? { kind: 'left-over' } : { kind: 'active', status: file.status }
    const own = mayBeOf({ name: name ?? '', uuid })
    return own.length > 0
      ? { kind: 'unknown', detail: own.join('; ') }
      : { kind: 'gone', passes: this.#missed.get(uuid) ?? 0 }
  }
}

/** Its QEMU is gone: the libvirt daemon that wrote it died first. */
const isLeftOver = ({ status: { pid } }: StatusFile): boolean => pid > 0 && !existsSync(join(PROC_FOLDER, String(pid)))

/** If two files have one UUID, the one of a QEMU that lives counts. */
const isHidden = (file: StatusFile, other: StatusFile | undefined): boolean =>
  other !== undefined && isLeftOver(file) && !isLeftOver(other)

function parsed(text: string, before: StatusFile | undefined): Known['content'] {
  try {
    const { status, domain, digest } = parseDomainStatus(text, before)
    // Copied, because V8 keeps a whole text in memory for a word that was cut out of it.
    return {
      status: structuredClone(status),
      domain: domain === before?.domain ? domain : structuredClone(domain),
      digest,
    }
  } catch (error) {
    return { error: messageOf(error), text }
  }
}
