import type { Lvmlockd } from '../host-state.ts'
import { Answer, type Tool } from './answer.ts'

const REFUSALS: Readonly<Record<Exclude<Lvmlockd, 'running'>, string>> = {
  absent: 'No such file or directory',
  killed: 'Connection refused',
}

/** `lvmlockctl --info` (FACTS 29): no lock is taken for it. */
export const lvmlockctl: Tool = ({ cluster, host }, words) => {
  const answer = new Answer()
  if (!words.some((word) => word === '-i' || word === '--info')) return answer.print('lvmlockctl options').result()
  if (host.lvmlockd !== 'running') {
    return answer
      .print('Cannot connect to lvmlockd.')
      .complain(`/run/lvm/lvmlockd.socket: connect failed: ${REFUSALS[host.lvmlockd]}`)
      .fail(255)
      .result()
  }
  for (const [vg, { state, locks }] of host.lockspaces) {
    if (state === 'stopped') continue
    answer.print(`VG ${vg} lock_type=sanlock ${cluster.volumes.group(vg)?.uuid}`).print(`LS sanlock lvm_${vg}`)
    if (state === 'starting') answer.print('OP close pid 0 ()')
    answer.print('LK VG un ver 0')
    if (state === 'started') answer.print('LK GL un ver 0')
    // 2.03.31 forgets a lock that is given back.
    for (const [uuid, lock] of locks)
      if (state === 'started' && (lock !== 'un' || cluster.lvm === '2.03.16')) answer.print(`LK LV ${lock} ${uuid}`)
  }
  return answer.result()
}
