import { pause } from '../system/clock.ts'
import type { Status } from '../core/status.ts'
import { statusOf } from '../core/status-of.ts'
import { printable } from '../core/outcome.ts'
import { write } from '../system/output.ts'
import { self } from '../system/self.ts'
import { mayLook } from '../check/findings.ts'
import { STATUS_WORLD, type StatusWorld, look } from '../check/look.ts'
import { holderLines, selected, statusText } from './status-text.ts'
import { isTerminal, paintFor, terminalWidth } from './table.ts'

const complain = (status: number, ...lines: readonly string[]): number => {
  write(2, lines.map((line) => `lvguard: ${printable(line)}\n`).join(''))
  return status
}

const NOT_ROOT = ['only root can look at the locks of this host.', 'Run it with sudo.'] as const

/** What a person has asked for. */
export interface StatusCall {
  /** VMs, volumes, VGs; none: all. */
  readonly words: readonly string[]
  readonly json: boolean
  /** Seconds between two looks. */
  readonly watch: number | undefined
}

/**
 * `lvguard status`: what runs where, seen from this host, without a lock.
 * @returns 0; 1: no such VM, volume or VG; 3: something could not be read, which the screen names
 */
export async function showStatus(
  { words, json, watch }: StatusCall,
  world: StatusWorld = STATUS_WORLD,
): Promise<number> {
  if (!mayLook()) return complain(1, ...NOT_ROOT)
  for (;;) {
    const width = terminalWidth()
    const status = selected(statusOf(await look(world)), words)
    if ('error' in status) return complain(1, `${status.error}.`)
    const text = json
      ? `${JSON.stringify(status, undefined, watch === undefined ? 2 : undefined)}\n`
      : statusText(status, { width: await width, paint: paintFor(self().environment, isTerminal()) })
    // Cursor to the top left, then clear what is left of the screen before: so it does not flicker.
    const isScreen = watch !== undefined && !json && isTerminal()
    write(1, isScreen ? `\u001b[H${text.replaceAll('\n', '\u001b[K\n')}\u001b[J` : text)
    if (watch === undefined) return statusOfExit(status)
    await pause(watch * 1000)
  }
}

const statusOfExit = ({ unknown }: Status): 0 | 3 => (unknown.length === 0 ? 0 : 3)

/**
 * `lvguard holders VG/LV...`: one line for each holder of each volume, for scripts.
 * @returns 0; 1: there is no such volume; 3: of one of them nobody here can say who holds it
 */
export async function showHolders(
  volumes: readonly string[],
  json: boolean,
  world: StatusWorld = STATUS_WORLD,
): Promise<number> {
  if (!mayLook()) return complain(1, ...NOT_ROOT)
  const facts = await look(world)
  const status = statusOf(facts)
  const wanted = volumes.map((word) => word.replace(/^\/dev\//, ''))
  const missing = wanted.filter((word) => !status.volumes.some(({ volume }) => volume === word))
  const found = status.volumes.filter(({ volume }) => wanted.includes(volume))
  write(
    1,
    json
      ? `${JSON.stringify({ format: 1, volumes: found }, undefined, 2)}\n`
      : found
          .flatMap(holderLines)
          .map((line) => `${line}\n`)
          .join(''),
  )
  // If LVM has not answered, nothing is said of the volume: that does not mean that it does not exist.
  if (missing.length > 0 && facts.table.kind === 'unknown')
    return complain(3, `the volumes cannot be told: ${facts.table.why}.`)
  if (missing.length > 0)
    return complain(1, ...missing.map((volume) => `there is no volume ${volume} in a volume group with locks.`))
  return found.some(({ state }) => state === 'unknown') ? 3 : 0
}
