import { connect, lockVg, missingVg, namedBy } from './access.ts'
import { Answer, type Tool } from './answer.ts'
import { type Row, printReport } from './report.ts'
import { settingsOf } from './settings.ts'
import { COMMON, isWords, parseWords } from './words.ts'

/** `vgs`: enough of it to see which VGs there are and which have a lock manager. */
export const vgs: Tool = (scene, words) => {
  const parsed = parseWords('vgs', words, {
    flags: { ...COMMON.flags, '--noheadings': 'noheadings' },
    values: { ...COMMON.values, '-o': 'fields', '--options': 'fields', '--reportformat': 'format' },
  })
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  const locking = !parsed.flags.has('nolocking')
  if (locking) connect(scene, answer)
  const fields = (parsed.values.get('fields') ?? 'vg_name').split(',')
  const rows: Row[] = []
  const names = parsed.operands.length > 0 ? parsed.operands : scene.cluster.volumes.groups.map(({ name }) => name)
  for (const { vg } of namedBy(names)) {
    const group = scene.cluster.volumes.group(vg)
    if (group === undefined) {
      missingVg(vg, answer)
      continue
    }
    if (locking) lockVg(scene, group, answer, 'read')
    const shared = group.lvmlockUuid !== undefined
    rows.push(
      new Map([
        ['vg_name', vg],
        ['vg_uuid', group.uuid],
        ['vg_lock_type', shared ? 'sanlock' : ''],
        ['vg_lock_args', shared ? '1.0.0:lvmlock' : ''],
        ['vg_shared', shared ? 'shared' : ''],
      ]),
    )
  }
  printReport(
    {
      kind: 'vg',
      fields,
      format: parsed.values.get('format'),
      settings: settingsOf(scene, words),
      headings: !parsed.flags.has('noheadings'),
    },
    rows,
    scene.cluster.lvm,
    answer,
  )
  return answer.result()
}

/**
 * `pvs`: the one PV of each VG. On DRBD, that of the shared one is not to be seen where the device is Secondary: LVM
 * cannot open it.
 */
export const pvs: Tool = (scene, words) => {
  const parsed = parseWords('pvs', words, {
    flags: COMMON.flags,
    values: { ...COMMON.values, '-o': 'fields', '--reportformat': 'format' },
  })
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  const { drbd } = scene.host
  const isHidden = drbd !== undefined && / role:Secondary suspended:/.test(drbd.events)
  const rows = scene.cluster.volumes.groups
    .filter(({ lvmlockUuid }) => lvmlockUuid === undefined || !isHidden)
    .map(
      ({ name, lvmlockUuid }): Row =>
        new Map([
          ['pv_name', lvmlockUuid === undefined ? '/dev/vda' : drbd === undefined ? '/dev/vdb' : '/dev/drbd0'],
          ['vg_name', name],
        ]),
    )
  printReport(
    {
      kind: 'pv',
      fields: (parsed.values.get('fields') ?? '').split(','),
      format: parsed.values.get('format'),
      settings: settingsOf(scene, words),
      headings: true,
    },
    rows,
    scene.cluster.lvm,
    answer,
  )
  return answer.result()
}

/** `vgchange --lock-start` (done at once: a slow start is `setLockspace(…, 'starting')`) and `--lock-stop`. */
export const vgchange: Tool = ({ cluster, host }, words) => {
  const parsed = parseWords('vgchange', words, {
    flags: { ...COMMON.flags, '--lock-start': 'start', '--lock-stop': 'stop' },
    values: COMMON.values,
  })
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  for (const vg of parsed.operands) {
    const lockspace = host.lockspaces.get(vg)
    if (lockspace === undefined) missingVg(vg, answer)
    else if (parsed.flags.has('stop') && [...lockspace.locks.values()].some((lock) => lock !== 'un')) {
      answer.say(`VG ${vg} stop failed: LVs must first be deactivated`).fail()
    } else if (parsed.flags.has('stop')) {
      lockspace.locks.clear()
      cluster.locks.setLockspace(host, vg, 'stopped')
    } else {
      cluster.locks.setLockspace(host, vg, 'started')
      const wait = cluster.lvm === '2.03.16' ? '20 sec' : 'a few seconds'
      answer
        .print(`  VG ${vg} starting sanlock lockspace`)
        .print(`  Starting locking.  Waiting for sanlock may take ${wait} to 3 min...`)
      if (cluster.lvm === '2.03.16') answer.say('Skipping global lock: lockspace not found or started')
    }
  }
  return answer.result()
}
