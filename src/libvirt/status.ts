import { existsSync, readFileSync, readdirSync } from '../system/files.ts'
import { join } from 'node:path'
import { PROC_FOLDER, STATUS_FOLDER } from '../system/paths.ts'
import { isErrno } from '../system/error-message.ts'

/** What a domain is known by. */
interface Named {
  readonly name: string
  readonly uuid: string
}

/**
 * Whether a status file that cannot be read or understood may be that of a domain. libvirt calls it NAME.xml, and the
 * domain's UUID is in it, as far as it is whole. Every other file belongs to another domain.
 * @param text undefined where it cannot be read
 */
export const mayBeStatusOf = ({ name, uuid }: Named, file: string, text: string | undefined): boolean =>
  file === `${name}.xml` || text?.toLowerCase().includes(uuid) === true

/**
 * Whether libvirt's status files say that a domain is active on this host (FACTS 13). A file whose QEMU is gone is a
 * leftover of a daemon that died. `unknown`: the folder, or a file that may be its own, is there and cannot be read or
 * understood (R9).
 */
export const isActiveHere = (domain: Named): boolean | 'unknown' => activeHere()(domain)

/** The same for many, in one look at the folder. */
export function activeHere(): (domain: Named) => boolean | 'unknown' {
  let names: string[]
  try {
    names = readdirSync(STATUS_FOLDER)
  } catch (error) {
    const isAbsent = isErrno(error, 'ENOENT')
    return () => (isAbsent ? false : 'unknown')
  }
  const files = names
    .filter((name) => name.endsWith('.xml'))
    .flatMap((name) => {
      const text = contentOf(join(STATUS_FOLDER, name))
      if (text === undefined) return []
      const content = text === 'unreadable' ? undefined : text
      // The domain's own: others may stand in its metadata.
      return [{ name, content, uuid: /<domain\s[\s\S]*?<uuid>([^<]*)<\/uuid>/.exec(content ?? '')?.[1] }]
    })
  return (domain) => {
    let isUnknown = false
    for (const { name, content, uuid } of files) {
      if (uuid === undefined && mayBeStatusOf(domain, name, content)) isUnknown = true
      if (content === undefined || uuid !== domain.uuid) continue
      const pid = /<domstatus\s[^>]*\bpid='(\d+)'/.exec(content)?.[1]
      if (pid === undefined || pid === '0' || existsSync(join(PROC_FOLDER, pid))) return true
    }
    return isUnknown ? 'unknown' : false
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // Removed between the two looks: the domain has just ended.
    return isErrno(error, 'ENOENT') ? undefined : 'unreadable'
  }
}
