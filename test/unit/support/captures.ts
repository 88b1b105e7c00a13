import { readFileSync, readdirSync } from 'node:fs'

const CAPTURES = new URL('../../captures/', import.meta.url)

/** One domain XML that libvirt really gave to a hook (test/captures/README.md). */
export interface HookInput {
  readonly file: string
  readonly pool: boolean
  readonly operation: string
  readonly xml: string
}

const FOLDERS = ['debian-12/hook-stdin', 'debian-12/hook-stdin-pool', 'debian-13/hook-stdin']

export const hookInputs: readonly HookInput[] = FOLDERS.flatMap((folder) =>
  readdirSync(new URL(folder, CAPTURES)).flatMap((name) => {
    const operation = /^node\d-\d\d-([a-z]+)-/.exec(name)?.[1]
    if (operation === undefined) return []
    return [
      {
        file: `${folder}/${name}`,
        pool: folder.endsWith('-pool'),
        operation,
        xml: readFileSync(new URL(`${folder}/${name}`, CAPTURES), 'utf8'),
      },
    ]
  }),
)

/** One capture by its operation, from Debian 12. */
export function hookInput(operation: string): HookInput {
  const found = hookInputs.find((input) => input.operation === operation)
  if (found === undefined) throw new Error(`no capture of ${operation}`)
  return found
}

/** One command of a lvm*.txt, with what it answered. */
export interface Answer {
  readonly command: string
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The commands of a lvm*.txt in their order, without what the shell's `time` adds. */
export function answersOf(file: string): Answer[] {
  const text = readFileSync(new URL(file, CAPTURES), 'utf8')
  return text
    .split(/^\$ /m)
    .slice(1)
    .flatMap((part) => {
      const [command = '', ...lines] = part.split('\n')
      const code = /^rc=(\d+)$/m.exec(part)?.[1]
      const told = (stream: string): string =>
        lines
          .filter((line) => line.startsWith(`${stream}: `))
          .map((line) => `${line.slice(stream.length + 2)}\n`)
          .join('')
      const stderr = told('stderr').replace(/\nreal\t.*\nuser\t.*\nsys\t.*\n/, '')
      return code === undefined
        ? []
        : [{ command: command.replace(/^time /, ''), code: Number(code), stdout: told('stdout'), stderr }]
    })
}

export const LVM_FILES = ['debian-12/lvm.txt', 'debian-12/lvm-lock-starting.txt', 'debian-13/lvm.txt'] as const
