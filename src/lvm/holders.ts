import { byWhom } from '../core/agent-words.ts'
import type { VolumeTable } from '../core/lock-state.ts'
import type { Problem } from '../core/problem.ts'
import { monotonic } from '../system/clock.ts'
import { activeVolumes } from './devices.ts'
import { holdersOf, openVolumes, volumeTable } from './lvm.ts'

/** Who has a volume of this host open at this moment, in words; at least that LVM says so. */
export async function usersNow(name: string): Promise<readonly string[]> {
  const [vg = '', lv = ''] = name.split('/')
  return (await openVolumes([{ vg, lv }], activeVolumes())).get(name) ?? ['LVM says that it is in use']
}

/**
 * A volume that is locked elsewhere, with its holders. LVM may name the pool of a thin volume: then that is looked up.
 */
export async function heldProblem(name: string, table: VolumeTable | undefined): Promise<Problem> {
  const [vg = '', lv = ''] = name.split('/')
  const volume = table?.volumes.get(name) ?? (await volumeTable([{ vg, lv }]))?.volumes.get(name)
  return { kind: 'held', volume: name, holders: volume === undefined ? [] : await holdersOf(volume, monotonic) }
}

/** Who holds a volume, for the end of a sentence: `node1 (shared)`. Asks the lease; takes no lock. */
export async function holdersInWords(name: string): Promise<string> {
  const problem = await heldProblem(name, undefined)
  return problem.kind === 'held' ? byWhom(problem.holders) : 'another host'
}
