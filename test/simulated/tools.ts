import type { Lock, Result } from '../ring.ts'
import type { Scene, Tool } from './tools/answer.ts'
import { dmsetup } from './tools/dmsetup.ts'
import { drbdadm, drbdsetup } from './tools/drbd.ts'
import { lvchange } from './tools/lvchange.ts'
import { lvmlockctl } from './tools/lvmlockctl.ts'
import { lvrename } from './tools/lvrename.ts'
import { lvs } from './tools/lvs.ts'
import { sanlock } from './tools/sanlock.ts'
import { lvmTool } from './tools/settings.ts'
import { pvs, vgchange, vgs } from './tools/vg-commands.ts'

/** No libvirt runs on a simulated host; tests give virsh its answers. */
const virsh: Tool = () => ({ code: 1, stdout: '', stderr: 'error: failed to connect to the hypervisor\n' })

export const TOOLS: Readonly<Record<string, Tool>> = {
  lvchange: lvmTool('lvchange', lvchange),
  lvrename: lvmTool('lvrename', lvrename),
  lvs: lvmTool('lvs', lvs),
  vgs: lvmTool('vgs', vgs),
  pvs: lvmTool('pvs', pvs),
  vgchange: lvmTool('vgchange', vgchange),
  lvmlockctl,
  dmsetup,
  sanlock,
  virsh,
  drbdsetup,
  drbdadm,
}

/** What a command answers on a host, and does to the cluster. */
export const runTool = (scene: Scene, tool: string, words: readonly string[]): Result =>
  TOOLS[tool]?.(scene, words) ?? { code: 127, stdout: '', stderr: `${tool}: command not found\n` }

/**
 * The lock on a volume that the lvmlockd of a host lists.
 * @param volume `VG/LV`, or an LV of the cluster's VG
 * @throws Error if it does not answer
 */
export function lockListed(scene: Scene, volume: string): Lock {
  const { code, stdout } = runTool(scene, 'lvmlockctl', ['--info'])
  if (code !== 0) throw new Error(`lvmlockd of ${scene.host.name} does not answer`)
  const { volumes, volumeGroup } = scene.cluster
  const named = volumes.find(volume) ?? volumes.get(`${volumeGroup}/${volume}`)
  const lock = new RegExp(`^LK LV (\\w+) ${volumes.lockVolume(named)?.uuid}$`, 'm').exec(stdout)?.[1]
  return lock === 'ex' || lock === 'sh' ? lock : 'none'
}
