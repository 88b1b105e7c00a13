import { type Volume, type VolumeGroup, fullName, mapperName } from '../volume.ts'
import { connect, lockVg, missingVg, missingVolumes, namedBy } from './access.ts'
import { Answer, type Scene, type Tool } from './answer.ts'
import { type Row, fieldName, printReport } from './report.ts'
import { settingsOf } from './settings.ts'
import { COMMON, isWords, parseWords } from './words.ts'

const SYNTAX = {
  flags: { ...COMMON.flags, '-a': 'all', '--all': 'all', '--noheadings': 'noheadings', '--readonly': 'nolocking' },
  values: {
    ...COMMON.values,
    '-S': 'select',
    '--select': 'select',
    '-o': 'fields',
    '--options': 'fields',
    '--reportformat': 'format',
  },
}
const DEFAULT_FIELDS = 'lv_name,vg_name,lv_attr,pool_lv,origin'

/**
 * `lvs`: what it finds, in the order of names, and rc 5 if a name is missing. Volumes that LVM hides are not in the
 * model.
 */
export const lvs: Tool = (scene, words) => {
  const parsed = parseWords('lvs', words, SYNTAX)
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  const locking = !parsed.flags.has('nolocking')
  if (locking) connect(scene, answer)
  const found: { readonly group: VolumeGroup; readonly volume: Volume }[] = []
  const names = parsed.operands.length > 0 ? parsed.operands : scene.cluster.volumes.groups.map(({ name }) => name)
  for (const named of namedBy(names)) {
    const group = scene.cluster.volumes.group(named.vg)
    if (group === undefined) {
      missingVg(named.vg, answer)
      continue
    }
    if (locking) lockVg(scene, group, answer, 'read')
    found.push(
      ...group.volumes.filter(({ lv }) => named.whole || named.lvs.has(lv)).map((volume) => ({ group, volume })),
    )
    if (!named.whole) missingVolumes(group, named, answer)
  }
  const fields = (parsed.values.get('fields') ?? DEFAULT_FIELDS).split(',').map(fieldName)
  const unknown = fields.find((field) => !(field in FIELDS))
  if (unknown !== undefined) return answer.say(`Unrecognised field: ${unknown}`).fail().result()
  const uuids = parsed.values
    .get('select')
    ?.split(' || ')
    .map((term) => /^lv_uuid=([\w-]+)$/.exec(term)?.[1])
  if (uuids?.includes(undefined) === true) return answer.say('The model selects by lv_uuid only.').fail().result()
  const rows = found
    .filter(({ volume }) => uuids === undefined || uuids.includes(volume.uuid))
    .sort(byName)
    .map(
      ({ group, volume }): Row => new Map(fields.map((field) => [field, FIELDS[field]?.(scene, group, volume) ?? ''])),
    )
  printReport(
    {
      kind: 'lv',
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

const byName = (a: { readonly volume: Volume }, b: { readonly volume: Volume }): number =>
  fullName(a.volume) < fullName(b.volume) ? -1 : 1

type Field = (scene: Scene, group: VolumeGroup, volume: Volume) => string

const isActive: (...of: Parameters<Field>) => boolean = ({ cluster, host }, _group, volume) =>
  cluster.devices.isActive(host, volume)
const relative = (scene: Scene, { vg }: Volume, lv: string | undefined): Volume | undefined =>
  lv === undefined ? undefined : scene.cluster.volumes.find(`${vg}/${lv}`)
const poolOf = ({ kind }: Volume): string | undefined => (kind.kind === 'thin' ? kind.pool : undefined)
const originOf = ({ kind }: Volume): string | undefined =>
  kind.kind === 'thin' || kind.kind === 'snapshot' ? kind.origin : undefined

const FIELDS: Readonly<Record<string, Field>> = {
  vg_name: (_scene, group) => group.name,
  vg_uuid: (_scene, group) => group.uuid,
  vg_lock_type: (_scene, group) => (group.lvmlockUuid === undefined ? '' : 'sanlock'),
  lv_name: (_scene, _group, { lv }) => lv,
  lv_full_name: (_scene, _group, volume) => fullName(volume),
  lv_uuid: (_scene, _group, { uuid }) => uuid,
  lv_layout: (_scene, _group, { kind }) => LAYOUTS[kind.kind],
  lv_role: (scene, _group, volume) => roleOf(scene, volume),
  lv_lockargs: (_scene, _group, { leaseOffset }) => (leaseOffset === undefined ? '' : `1.0.0:${leaseOffset}`),
  lv_attr: (scene, group, volume) => attrOf(scene, group, volume),
  pool_lv: (_scene, _group, volume) => poolOf(volume) ?? '',
  pool_lv_uuid: (scene, _group, volume) => relative(scene, volume, poolOf(volume))?.uuid ?? '',
  origin: (_scene, _group, volume) => originOf(volume) ?? '',
  origin_uuid: (scene, _group, volume) => relative(scene, volume, originOf(volume))?.uuid ?? '',
  lv_active: (...of) => (isActive(...of) ? 'active' : ''),
  lv_active_exclusively: (scene, group, volume) =>
    isActive(scene, group, volume) &&
    group.lvmlockUuid !== undefined &&
    scene.cluster.locks.held(scene.host, fullName(volume)) === 'ex'
      ? 'active exclusively'
      : '',
  lv_device_open: (scene, group, volume) =>
    !isActive(scene, group, volume) ? 'unknown' : deviceOpen(scene, group, volume) ? 'open' : '',
  lv_skip_activation: (_scene, _group, { skipActivation }) => (skipActivation ? 'skip activation' : ''),
  lv_autoactivation: () => 'enabled',
  lv_dm_path: (_scene, group, { lv }) => `/dev/mapper/${mapperName(group.name, lv)}`,
  lv_path: (_scene, group, { lv, kind }) => (kind.kind === 'thin-pool' ? '' : `/dev/${group.name}/${lv}`),
  lv_tags: () => '',
}

const LAYOUTS: Readonly<Record<Volume['kind']['kind'], string>> = {
  linear: 'linear',
  striped: 'striped',
  raid1: 'raid,raid1',
  cache: 'cache',
  'thin-pool': 'thin,pool',
  thin: 'thin,sparse',
  snapshot: 'linear',
}

function roleOf({ cluster }: Scene, volume: Volume): string {
  const { kind } = volume
  if (kind.kind === 'thin-pool') return 'private'
  if (kind.kind === 'snapshot') return 'public,snapshot,thicksnapshot'
  if (kind.kind === 'thin') return kind.origin === undefined ? 'public' : 'public,snapshot,thinsnapshot'
  return cluster.volumes.snapshotsOf(volume).length > 0 ? 'public,origin,thickorigin' : 'public'
}

/** lvs(8): type, permissions, allocation, fixed minor, state, open, target, zeroing, health, skip. */
function attrOf(scene: Scene, group: VolumeGroup, volume: Volume): string {
  const hasSnapshots = scene.cluster.volumes.snapshotsOf(volume).length > 0
  const type = hasSnapshots
    ? 'o'
    : { linear: '-', striped: '-', raid1: 'r', cache: 'C', 'thin-pool': 't', thin: 'V', snapshot: 's' }[
        volume.kind.kind
      ]
  const target = hasSnapshots
    ? 's'
    : { linear: '-', striped: '-', raid1: 'r', cache: 'C', 'thin-pool': 't', thin: 't', snapshot: 's' }[
        volume.kind.kind
      ]
  const zeroing = volume.kind.kind.startsWith('thin') ? 'z' : '-'
  const state = isActive(scene, group, volume) ? 'a' : '-'
  return `${type}wi-${state}${deviceOpen(scene, group, volume) ? 'o' : '-'}${target}${zeroing}-${volume.skipActivation ? 'k' : '-'}`
}

/** The device that LVM looks at: of a pool the layer under its thin volumes. */
function deviceOpen({ cluster, host }: Scene, group: VolumeGroup, { lv, kind }: Volume): boolean {
  const name = mapperName(group.name, lv) + (kind.kind === 'thin-pool' ? '-tpool' : '')
  return cluster.devices.list(host).some((device) => device.name === name && device.open > 0)
}
