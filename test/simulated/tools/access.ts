import type { Lvmlockd } from '../host-state.ts'
import type { VolumeGroup } from '../volume.ts'
import { parseName } from '../volume.ts'
import type { Answer, Scene } from './answer.ts'

/** What lvm commands say as they start, if they look for lvmlockd and do not find it. */
const NO_LVMLOCKD: Readonly<Record<Lvmlockd, readonly string[]>> = {
  running: [],
  absent: ['WARNING: lvmlockd process is not running.'],
  killed: ['/run/lvm/lvmlockd.socket: connect failed: Connection refused', 'WARNING: lvmlockd connect failed.'],
}

/** Looks for lvmlockd, as every lvm command does that is not told `--nolocking`. */
export function connect({ host }: Scene, answer: Answer): void {
  for (const line of NO_LVMLOCKD[host.lvmlockd]) answer.say(line)
}

/** Whether the lock of a VG can be had, with what LVM says if not (FACTS 28). A local VG needs none. */
export function lockVg({ host }: Scene, group: VolumeGroup, answer: Answer, access: 'write' | 'read'): boolean {
  if (group.lvmlockUuid === undefined) return true
  const { state } = host.lockspace(group.name)
  if (host.lvmlockd === 'running' && state === 'started') return true
  if (host.lvmlockd === 'running' && state === 'starting')
    answer.say(`VG ${group.name} lock skipped: lock start in progress`)
  answer.say(
    access === 'write'
      ? `Cannot access VG ${group.name} due to failed lock.`
      : `Reading VG ${group.name} without a lock.`,
  )
  return false
}

/** The names on a command line, by VG in the order of their first mention. */
export interface Named {
  readonly vg: string
  /** The VG itself is named: all its volumes. */
  readonly whole: boolean
  readonly lvs: ReadonlySet<string>
}

export function namedBy(operands: readonly string[]): Named[] {
  const groups = new Map<string, { whole: boolean; readonly lvs: Set<string> }>()
  for (const { vg, lv } of operands.map(parseName)) {
    const group = groups.get(vg) ?? { whole: false, lvs: new Set() }
    if (lv === undefined) group.whole = true
    else group.lvs.add(lv)
    groups.set(vg, group)
  }
  return [...groups].map(([vg, group]) => ({ vg, ...group }))
}

export function missingVg(vg: string, answer: Answer): void {
  answer.say(`Volume group "${vg}" not found`).say(`Cannot process volume group ${vg}`).fail()
}

/** LVM comes to the names that it has not found after all that it has. */
export function missingVolumes(group: VolumeGroup, { lvs }: Named, answer: Answer): void {
  for (const lv of lvs) {
    if (!group.volumes.some((volume) => volume.lv === lv))
      answer.say(`Failed to find logical volume "${group.name}/${lv}"`).fail()
  }
}
