import type { LockTable } from '../core/lock-state.ts'
import type { Mode } from '../core/volume.ts'

export const INFO_ARGUMENTS = ['--info'] as const

const MODES: ReadonlyMap<string, Mode> = new Map([['ex', 'exclusive'], ['sh', 'shared']])
const UUID = /^[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}$/

/**
 * Reads `lvmlockctl --info` (FACTS 29; captures: lvm2 2.03.16 and 2.03.31). A lockspace that is being removed is listed as
 * `REM:lvm_VG` and counts as not started.
 */
export function parseInfo(stdout: string): LockTable {
  const lockspaces = new Map<string, string>()
  const locks = new Map<string, Mode>()
  for (const line of stdout.split('\n')) {
    const [kind, a = '', b = '', c = ''] = line.trim().split(/\s+/)
    if (kind === 'LS' && b.startsWith('lvm_')) lockspaces.set(b.slice('lvm_'.length), a)
    const mode = MODES.get(b)
    if (kind === 'LK' && a === 'LV' && mode !== undefined && UUID.test(c)) locks.set(c, mode)
  }
  return { kind: 'known', lockspaces, locks }
}
