import type { HostState } from './host-state.ts'
import { type Volume, type VolumeGroup, mapperName } from './volume.ts'
import type { Volumes } from './volumes.ts'

/** A device-mapper device, as LVM names it and its layers (FACTS 30). */
export interface Layer {
  readonly name: string
  readonly uuid: string
  /** Names of the devices it stands on. */
  readonly below: readonly string[]
  /** How often something other than these layers has it open. */
  readonly openers: number
  /** The volume whose device it is; undefined for what LVM keeps to itself, such as a pool. */
  readonly volume: Volume | undefined
}

/** The layers that are there because of what is active on the host, in no particular order. */
export function layersOf(volumes: Volumes, host: HostState): Layer[] {
  return volumes.groups
    .flatMap((group) => [
      ...lvmlock(group, host),
      ...group.volumes.flatMap((volume) => LAYERS[volume.kind.kind](volumes, host, group, volume)),
    ])
    .concat(foreignLayers(volumes, host))
}

function lvmlock(group: VolumeGroup, host: HostState): Layer[] {
  const lockspace = host.lockspaces.get(group.name)
  if (group.lvmlockUuid === undefined || lockspace === undefined || lockspace.state === 'stopped') return []
  return [
    {
      name: mapperName(group.name, 'lvmlock'),
      uuid: dmUuid(group, group.lvmlockUuid),
      below: [],
      openers: 1,
      volume: undefined,
    },
  ]
}

const dmUuid = (group: VolumeGroup, lvUuid: string): string => `LVM-${`${group.uuid}${lvUuid}`.replaceAll('-', '')}`

/** What is there of one volume alone. */
export const layersOfOne = (volumes: Volumes, host: HostState, volume: Volume): Layer[] => {
  const group = volumes.group(volume.vg)
  return group === undefined ? [] : LAYERS[volume.kind.kind](volumes, host, group, volume)
}

type LayersOf = (volumes: Volumes, host: HostState, group: VolumeGroup, volume: Volume) => Layer[]

const top = (host: HostState, group: VolumeGroup, volume: Volume, below: readonly string[], suffix = ''): Layer => ({
  name: mapperName(group.name, volume.lv),
  uuid: dmUuid(group, volume.uuid) + suffix,
  below,
  openers: host.opens.get(volume.uuid) ?? 0,
  volume,
})

const layer = (
  group: VolumeGroup,
  volume: Volume,
  nameSuffix: string,
  uuidSuffix: string,
  below: readonly string[] = [],
): Layer => ({
  name: mapperName(group.name, volume.lv) + nameSuffix,
  uuid: dmUuid(group, volume.uuid) + uuidSuffix,
  below,
  openers: 0,
  volume: undefined,
})

const plain: LayersOf = (volumes, host, group, volume) => {
  if (!host.active.has(volume.uuid)) return []
  const snapshots = volumes.snapshotsOf(volume)
  if (snapshots.length === 0) return [top(host, group, volume, [])]
  const real = layer(group, volume, '-real', '-real')
  return [
    real,
    top(host, group, volume, [real.name]),
    ...snapshots.flatMap((snapshot) => {
      const cow = layer(group, snapshot, '-cow', '-cow')
      return [cow, top(host, group, snapshot, [real.name, cow.name])]
    }),
  ]
}

const pool: LayersOf = (volumes, host, group, volume) => {
  const named = host.active.has(volume.uuid)
  if (!named && !volumes.thinVolumesOf(volume).some(({ uuid }) => host.active.has(uuid))) return []
  const [data, meta] = [layer(group, volume, '_tdata', '-tdata'), layer(group, volume, '_tmeta', '-tmeta')]
  const tpool = layer(group, volume, '-tpool', '-tpool', [data.name, meta.name])
  return [
    data,
    meta,
    tpool,
    ...(named ? [{ ...top(host, group, volume, [tpool.name], '-pool'), volume: undefined }] : []),
  ]
}

const thin: LayersOf = (_volumes, host, group, volume) =>
  volume.kind.kind === 'thin' && host.active.has(volume.uuid)
    ? [top(host, group, volume, [`${mapperName(group.name, volume.kind.pool)}-tpool`])]
    : []

const LAYERS: Readonly<Record<Volume['kind']['kind'], LayersOf>> = {
  linear: plain,
  striped: plain,
  raid1: plain,
  cache: plain,
  'thin-pool': pool,
  thin,
  snapshot: () => [],
}

const foreignLayers = (volumes: Volumes, host: HostState): Layer[] =>
  host.foreign.flatMap(({ name, uuid, over, openers = 0 }) => {
    const below = over.flatMap((each) => volumes.byUuid(each) ?? [])
    return below.length === 0
      ? []
      : [{ name, uuid, below: below.map(({ vg, lv }) => mapperName(vg, lv)), openers, volume: undefined }]
  })
