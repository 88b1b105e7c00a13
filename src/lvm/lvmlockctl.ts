import type { LockState } from '../core/lock-state.ts'
import type { Mode } from '../core/volume.ts'

/** The words that ask lvmlockd what it holds, without a lock (FACTS 29). */
export const INFO_ARGUMENTS = ['--info'] as const

const MODES: ReadonlyMap<string, Mode> = new Map([
  ['ex', 'exclusive'],
  ['sh', 'shared'],
])
const UUID = /^[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}$/

/** Words for an LV that is not locked (lvmlockd-core.c, mode_str). From 2.03.31 on there is no such line. */
const NO_LOCK = new Set(['un', 'nl', 'iv'])

/**
 * Reads `lvmlockctl --info` (FACTS 29; captures: lvm2 2.03.16 and 2.03.31). A lockspace that is being removed is listed
 * as `REM:lvm_VG` and counts as not started. If a line about a lockspace, or about an LV's lock, has another form, the
 * whole answer is unknown: that line may be of a lock that is held (R9).
 */
export function parseInfo(stdout: string): LockState {
  const lockspaces = new Map<string, string>()
  const locks = new Map<string, Mode>()
  for (const line of stdout.split('\n')) {
    const [kind, a = '', b = '', c = ''] = line.trim().split(/\s+/)
    if (kind === 'LS') {
      if (b === '') return notUnderstood(line)
      if (b.startsWith('lvm_')) lockspaces.set(b.slice('lvm_'.length), a)
    } else if (kind === 'LK' && a === 'LV') {
      const mode = MODES.get(b)
      if (!UUID.test(c) || (mode === undefined && !NO_LOCK.has(b))) return notUnderstood(line)
      if (mode !== undefined) locks.set(c, mode)
    }
  }
  return { kind: 'known', lockspaces, locks }
}

const notUnderstood = (line: string): LockState => ({
  kind: 'unknown',
  why: 'failed',
  detail: `lvmlockctl says '${line.trim()}', which is not understood`,
})
