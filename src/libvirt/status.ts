import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { PROC_FOLDER, STATUS_FOLDER } from '../paths.ts'

/**
 * Whether libvirt's status files say that a domain is active on this host (FACTS 13). A file whose QEMU is gone is a leftover of a
 * daemon that died. `unknown`: the folder is there and cannot be read (R9).
 */
export function isActiveHere(uuid: string): boolean | 'unknown' {
  let names: string[]
  try {
    names = readdirSync(STATUS_FOLDER)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? false : 'unknown'
  }
  let isUnknown = false
  for (const name of names.filter((name) => name.endsWith('.xml'))) {
    const text = contentOf(join(STATUS_FOLDER, name))
    if (text === 'unreadable') isUnknown = true
    // The domain's own: others may stand in its metadata.
    if (text === undefined || /<domain\s[\s\S]*?<uuid>([^<]*)<\/uuid>/.exec(text)?.[1] !== uuid) continue
    const pid = /<domstatus\s[^>]*\bpid='(\d+)'/.exec(text)?.[1]
    if (pid === undefined || pid === '0' || existsSync(join(PROC_FOLDER, pid))) return true
  }
  return isUnknown ? 'unknown' : false
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // Removed between the two looks: the domain has just ended.
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? undefined : 'unreadable'
  }
}
