import type { Line } from '../core/agent-words.ts'
import { drbdMinors, minorsBelow } from '../drbd/devices.ts'
import { drbdDevices, inFull, verdictsOf } from '../drbd/drbd.ts'
import { dropConfirmations, readConfirmations, readUnseen, writeUnseen } from '../drbd/notes.ts'
import { activeVolumes } from '../lvm/devices.ts'
import type { HostSaying } from './aftermath.ts'
import type { DrbdWorld } from './drbd-watch.ts'

/**
 * This host, for the watch over DRBD. Which VG stands on what it takes from /sys alone: the LV with the leases is active as long as the VG's
 * locking is started, and no LVM command reads the disks every 15 s.
 */
export const drbdWorld = (lockspaces: () => ReadonlySet<string>, say: (sayings: readonly HostSaying[]) => void, tell: (line: Line) => void): DrbdWorld => ({
  minors: () => {
    if (drbdMinors().length === 0) return []
    const vgs = lockspaces()
    return [...new Set(activeVolumes().filter(({ vg }) => vgs.has(vg)).flatMap(({ node }) => minorsBelow(node)))]
  },
  devices: drbdDevices, verdicts: verdictsOf, inFull, confirmations: readConfirmations, drop: dropConfirmations, unseen: readUnseen, keep: writeUnseen,
  now: () => new Date(), say, tell,
})
