import { isLeases } from '../core/cut-off.ts'
import type { SanlockAnswer } from '../core/lease.ts'
import type { RecoverWorld } from './world.ts'

/**
 * Why a person's `lvguard kill` does not touch a VG: nothing here shows that sanlock keeps its locks. It prevents that
 * - a mistyped name is reported as cut off;
 * - a local VG, such as that of the host itself, is wiped;
 * - a VG of another lock manager is cut off, and cannot be taken back.
 * @param asked what sanlock has answered. If it is silent, the device of the VG's leases is enough
 * @returns undefined if it may be cut off, else what is wrong, and what to do
 */
export async function refusalOf(
  vg: string,
  asked: SanlockAnswer,
  world: Pick<RecoverWorld, 'devices' | 'readMark' | 'lockManagerOf'>,
): Promise<readonly [string, string] | undefined> {
  const isIn =
    asked.kind === 'status' &&
    (asked.status.lockspaces.some((each) => each.vg === vg) || asked.status.notUnderstood.includes(vg))
  if (isIn || world.devices().some((device) => isLeases(device, vg))) return undefined
  const manager = await world.lockManagerOf(vg)
  if (manager !== undefined && manager !== 'sanlock')
    return [
      `${vg} has lock type ${manager}, and lvguard kill is for sanlock; nothing was changed.`,
      "Its lock manager fences this host. VMs are stopped with 'virsh destroy'.",
    ]
  if (manager === 'sanlock' || world.readMark(vg) !== undefined) return undefined
  return [
    `there is nothing of a shared volume group ${vg} on this host; nothing was changed.`,
    'Those whose locking is started here: lvmlockctl -i',
  ]
}
