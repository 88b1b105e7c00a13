import type { Problem } from '../core/problem.ts'
import { parseXml } from '../libvirt/xml.ts'

/**
 * Names the logical storage pool that may be what holds a volume: such a pool takes every volume of its VG,
 * exclusively, on the host where it starts (FACTS 18). If this host holds the volume, the pool must run here. If
 * another host holds it, that host may have the pool that is defined here.
 */
export async function withPools(problems: readonly Problem[]): Promise<readonly Problem[]> {
  if (!problems.some(({ kind }) => kind === 'held' || kind === 'locked-here')) return problems
  const { logicalPoolOn } = await import('../libvirt/storage-pools.ts')
  return problems.map((problem) => {
    if (problem.kind !== 'held' && problem.kind !== 'locked-here') return problem
    const pool = logicalPoolOn(problem.volume.split('/')[0] ?? '', problem.kind === 'locked-here', parseXml)
    return pool === undefined ? problem : { ...problem, pool }
  })
}
