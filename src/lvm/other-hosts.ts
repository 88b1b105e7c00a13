import { readFileSync, readlinkSync } from '../system/files.ts'
import { join } from 'node:path'
import { PROC_FOLDER, onHost } from '../system/paths.ts'

/**
 * File systems for which another host, or a process, has to answer. If it does not answer, a look at them never ends.
 */
const OF_OTHERS = /^(?:nfs\d?|cifs|smb\d|smbfs|ceph|glusterfs|lustre|beegfs|afs|9p|virtiofs|fuse(?:\..*)?|autofs)$/
/** How many links of a path are followed, as by the kernel (path_resolution(7)). */
const MOST_LINKS = 40

/** Where such file systems are mounted, from the kernel's own table: to read that never waits. */
function mountPoints(): ReadonlySet<string> {
  let table: string
  try {
    table = readFileSync(join(PROC_FOLDER, '1/mountinfo'), 'utf8')
  } catch {
    return new Set()
  }
  return new Set(
    table.split('\n').flatMap((line) => {
      const [own = '', more = ''] = line.split(' - ')
      const point = own.split(' ')[4]
      if (point === undefined || !OF_OTHERS.test(more.split(' ')[0] ?? '')) return []
      // proc(5): a space is written \040.
      return [point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))]
    }),
  )
}

/**
 * Whether a path leads into a file system that may never answer. Follows links itself, and touches nothing in there.
 */
export function leadsToOthers(path: string): boolean {
  const points = mountPoints()
  let done: string[] = []
  let rest = path.split('/')
  for (let links = 0; rest.length > 0 && links <= MOST_LINKS; ) {
    const name = rest.shift() ?? ''
    if (name === '' || name === '.') continue
    if (name === '..') {
      done.pop()
      continue
    }
    const here = `/${[...done, name].join('/')}`
    if (points.has(here)) return true
    const target = linkAt(here)
    if (target === undefined) {
      done.push(name)
      continue
    }
    links++
    if (target.startsWith('/')) done = []
    rest = [...target.split('/'), ...rest]
  }
  return points.has('/')
}

const linkAt = (path: string): string | undefined => {
  try {
    return readlinkSync(onHost(path))
  } catch {
    return undefined
  }
}
