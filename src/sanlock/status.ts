import { type Lockspace, type SanlockStatus, WATCHDOG_FIRE } from '../core/lease.ts'
import { isValidName } from '../core/volume.ts'

/** The words that ask the daemon for all that it knows. It answers without a look at a disk (FACTS 50). */
export const STATUS_ARGUMENTS = ['client', 'status', '-D'] as const

interface Section {
  readonly head: string
  readonly fields: ReadonlyMap<string, string>
  /** A field stands there twice: then no field of the section is believed. */
  readonly isTwofold: boolean
}

/**
 * Reads `sanlock client status -D` (captures: sanlock 3.8.5; print_state_daemon, print_state_lockspace in its main.c
 * and cmd.c): a head at the beginning of a line (`daemon NAME`, `s NAME:ID:PATH:OFFSET`), and below it indented lines
 * `FIELD=VALUE`. Lockspaces of others than lvmlockd are left out. `watchdog_fire_timeout` is there since sanlock 3.9
 * (its commit 748e832), where it can be set; before that it is 60.
 * @returns undefined if it is not such an answer
 */
export function parseSanlockStatus(stdout: string): SanlockStatus | undefined {
  const sections = sectionsOf(stdout)
  const [daemon, ...others] = sections.filter(({ head }) => head.startsWith('daemon '))
  const now = countIn(daemon, 'monotime')
  if (daemon === undefined || others.length > 0 || now === undefined) return undefined
  const watchdog = daemon.isTwofold ? undefined : daemon.fields.get('use_watchdog')
  const found = sections.flatMap((section) => {
    const vg = /^s lvm_([^:\s]+):\d+:/.exec(section.head)?.[1]
    return vg === undefined || !isValidName(vg) ? [] : [{ vg, lockspace: lockspaceIn(section, vg) }]
  })
  // A lockspace that is left and joined again may be there twice. Then only the one in force counts.
  const names = [...new Set(found.map(({ vg }) => vg))]
  const chosen = names.map((vg) => {
    const own = found.filter((each) => each.vg === vg)
    const inForce = own.filter(({ lockspace }) => lockspace === undefined || lockspace.list === 'spaces')
    const [only, more] = inForce.length > 0 ? inForce : own
    return { vg, lockspace: more === undefined ? only?.lockspace : undefined }
  })
  return {
    now,
    hasWatchdog: watchdog === '1' ? true : watchdog === '0' ? false : undefined,
    watchdogFire: countIn(daemon, 'watchdog_fire_timeout') ?? WATCHDOG_FIRE,
    lockspaces: chosen.flatMap(({ lockspace }) => lockspace ?? []),
    notUnderstood: chosen.flatMap(({ vg, lockspace }) => (lockspace === undefined ? [vg] : [])),
  }
}

function sectionsOf(stdout: string): Section[] {
  const sections: { head: string; fields: Map<string, string>; isTwofold: boolean }[] = []
  for (const line of stdout.split('\n')) {
    if (/^\S/.test(line)) {
      sections.push({ head: line, fields: new Map(), isTwofold: false })
      continue
    }
    const [, name, value] = /^ {4}(\w+)=(.*)$/.exec(line) ?? []
    const last = sections.at(-1)
    if (name === undefined || value === undefined || last === undefined) continue
    if (last.fields.has(name)) last.isTwofold = true
    last.fields.set(name, value)
  }
  return sections
}

const LISTS: readonly Lockspace['list'][] = ['spaces', 'add', 'rem']

function lockspaceIn(section: Section, vg: string): Lockspace | undefined {
  const list = LISTS.find((each) => each === section.fields.get('list'))
  const [ioTimeout, renewed, failed] = ['io_timeout', 'renewal_last_success', 'renew_fail'].map((name) =>
    countIn(section, name),
  )
  if (
    list === undefined ||
    ioTimeout === undefined ||
    ioTimeout < 1 ||
    renewed === undefined ||
    failed === undefined ||
    failed > 1
  )
    return undefined
  const ending = countIn(section, 'killing_pids')
  return {
    vg,
    list,
    ioTimeout,
    renewed,
    hasFailed: failed === 1,
    ...(ending !== undefined && { isEnding: ending !== 0 }),
  }
}

function countIn(section: Section | undefined, name: string): number | undefined {
  const text = section?.isTwofold === false ? (section.fields.get(name) ?? '') : ''
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}
