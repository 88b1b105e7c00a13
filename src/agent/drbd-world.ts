import { date } from '../system/clock.ts'
import type { Line } from '../core/agent-words.ts'
import { isOnTheWayOut } from '../core/drive-step.ts'
import { minorsOfVgs } from '../drbd/devices.ts'
import { drbdDevices, inFull, verdictsOf } from '../drbd/drbd.ts'
import { dropConfirmations, readConfirmations, readUnseen, writeUnseen } from '../drbd/notes.ts'
import { readRecords } from '../state/record-store.ts'
import type { HostSaying } from './aftermath.ts'
import type { DrbdWorld, Leaving } from './drbd-watch.ts'
import { type AgentHost, vgsOfView } from '../acts/seen-domains.ts'
import { virsh } from '../libvirt/virsh.ts'

/**
 * This host, for the watch over DRBD. Reads from /sys alone which VG stands on which device: the LV with the leases is
 * active as long as the VG's locking is started. So no LVM command reads the disks every 15 s.
 */
export const drbdWorld = (
  host: AgentHost,
  say: (sayings: readonly HostSaying[]) => void,
  tell: (line: Line) => void,
): DrbdWorld => ({
  minors: () => new Map([...minorsOfVgs()].filter(([vg]) => host.lockspaces.has(vg))),
  devices: drbdDevices,
  verdicts: verdictsOf,
  inFull,
  confirmations: readConfirmations,
  drop: dropConfirmations,
  unseen: readUnseen,
  keep: writeUnseen,
  leaving: () => {
    const [look, records] = [host.look(), readRecords()]
    const views = [...look.active.keys()].map((uuid) => host.viewOf(uuid, look, records))
    return views
      .filter(({ wanted }) => isOnTheWayOut(wanted))
      .map((view): Leaving => ({ ...view.domain, vgs: vgsOfView(view) }))
  },
  abort: (uuid) => virsh('domjobabort', uuid),
  now: date,
  say,
  tell,
})
