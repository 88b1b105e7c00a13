import { readlinkSync, statSync } from '../system/files.ts'
import type { ProcessFacts } from '../core/cut-off.ts'
import { namesIn, textOf } from '../system/quiet-files.ts'

// Always the real /proc, as in src/system/processes.ts: what is killed is a real process.
const FOLDER = '/proc'

/** The fields of /proc/PID/stat. The name in it may contain anything, also parentheses (proc(5)). */
const statOf = (text: string): { readonly comm: string; readonly rest: readonly string[] } => ({
  comm: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')),
  rest: text.slice(text.lastIndexOf(')') + 2).split(' '),
})

/** What the kernel tells of a process without a look into its memory; undefined if there is none. */
export function processAt(pid: number): ProcessFacts | undefined {
  const text = textOf(`${FOLDER}/${pid}/stat`)
  if (text === undefined) return undefined
  const { comm, rest } = statOf(text)
  const start = rest[19]
  if (start === undefined) return undefined
  // A process has at least one, also when it is a zombie.
  const tasks = namesIn(`${FOLDER}/${pid}/task`)
  const threads =
    tasks.length === 0
      ? undefined
      : tasks.flatMap((thread) => {
          const own = textOf(`${FOLDER}/${pid}/task/${thread}/stat`)
          // Ended between the two looks.
          return own === undefined ? [] : [statOf(own).rest[0] ?? '?']
        })
  return { start, comm, threads }
}

/**
 * The words with which a process was started, and its program; undefined where its memory cannot be read. A zombie has
 * no memory any more.
 */
export function commandOf(
  pid: number,
): { readonly words: readonly string[]; readonly exe: string | undefined } | undefined {
  const text = textOf(`${FOLDER}/${pid}/cmdline`)
  return text === undefined
    ? undefined
    : { words: text.split('\0'), exe: linkOf(`${FOLDER}/${pid}/exe`)?.replace(/ \(deleted\)$/, '') }
}

/**
 * The block devices that a process has open: as `MAJOR:MINOR`, or as `dm-N` where the link tells the name. No disk is
 * touched.
 */
export function openBlockDevices(pid: number): string[] {
  const found = namesIn(`${FOLDER}/${pid}/fd`).flatMap((descriptor): string[] => {
    const file = `${FOLDER}/${pid}/fd/${descriptor}`
    const link = linkOf(file) ?? ''
    const node = /^\/dev\/(dm-\d+)$/.exec(link)?.[1]
    if (node !== undefined) return [node]
    // What is not in /dev may be on storage that does not answer.
    return link.startsWith('/dev/') ? blockNumberOf(file) : []
  })
  return [...new Set(found)]
}

function blockNumberOf(file: string): string[] {
  try {
    const stat = statSync(file)
    // As glibc's gnu_dev_major and gnu_dev_minor.
    const major = Math.floor(stat.rdev / 256) & 0xfff
    const minor = (stat.rdev & 0xff) | ((Math.floor(stat.rdev / 4096) & 0xfff00) >>> 0)
    return stat.isBlockDevice() ? [`${major}:${minor}`] : []
  } catch {
    return []
  }
}

const linkOf = (path: string): string | undefined => {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
