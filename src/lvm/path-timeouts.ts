import { join } from 'node:path'
import { type MapTimeout, type PathTimeout, type Timeouts, queueingOf } from '../core/path-timeouts.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { trimmedTextOf } from '../system/quiet-files.ts'
import { realpathSync } from '../system/files.ts'
import { activeVolumes } from './devices.ts'
import { query } from '../system/run.ts'
import { devicesBelow } from './stacks.ts'

/** Milliseconds for dmsetup, and for multipathd. */
const LIMIT = 5000

/**
 * How long the devices below each of these VGs let I/O wait when the storage has gone. /sys tells what their active
 * volumes stand on: where the locking is started, the LV with the leases is active. dmsetup and multipathd are asked
 * only if there is a multipath map. Reads no disk, and never throws.
 */
export async function timeoutsBelow(vgs: ReadonlySet<string>): Promise<Map<string, Timeouts>> {
  const below = new Map<string, string[]>()
  for (const { vg, node } of activeVolumes())
    if (vgs.has(vg)) below.set(vg, [...new Set([...(below.get(vg) ?? []), ...devicesBelow([node])])])
  const names = new Map(
    [...below.values()].flat().flatMap((node): [string, string][] => {
      const isMap = trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid'))?.startsWith('mpath-') === true
      return isMap ? [[node, trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? node]] : []
    }),
  )
  const queueing = names.size === 0 ? new Map<string, MapTimeout>() : await queueingOfMaps()
  return new Map(
    [...below].map(([vg, nodes]) => [
      vg,
      {
        paths: nodes.flatMap(pathTimeout),
        maps: nodes.flatMap((node) => queueing.get(names.get(node) ?? '') ?? []),
      },
    ]),
  )
}

/** `NAME: START LENGTH multipath COUNT FEATURE…` of `dmsetup table`, and `NAME QUEUEING` of multipathd. */
async function queueingOfMaps(): Promise<Map<string, MapTimeout>> {
  const [tables, said] = await Promise.all([
    query('dmsetup', ['table', '--target', 'multipath'], LIMIT),
    query('multipathd', ['show', 'maps', 'raw', 'format', '%n %Q'], LIMIT),
  ])
  const words = new Map(
    [...(said.exitCode === 0 ? said.stdout : '').matchAll(/^(\S+) +(.*?) *$/gm)].map(([, map = '', queueing = '']) => [
      map,
      queueing,
    ]),
  )
  return new Map(
    [...(tables.exitCode === 0 ? tables.stdout : '').matchAll(/^(\S+): \d+ \d+ multipath (\d+)((?: \S+)*)/gm)].map(
      ([, map = '', count = '0', rest = '']) => {
        const features = rest.trim().split(' ').slice(0, Number(count))
        return [map, { map, seconds: queueingOf(features, words.get(map)) }]
      },
    ),
  )
}

/** A disk's place below /sys/devices names the iSCSI session, or the port of Fibre Channel, that it is reached by. */
function pathTimeout(disk: string): PathTimeout[] {
  let place: string
  try {
    place = realpathSync(join(BLOCK_FOLDER, disk))
  } catch {
    return []
  }
  const session = /\/(session\d+)\//.exec(place)?.[1]
  if (session !== undefined) {
    // scsi_transport_iscsi.c: 0 fails at once; below 0 there is no limit.
    const seconds = Number(trimmedTextOf(onHost(`/sys/class/iscsi_session/${session}/recovery_tmo`)) ?? 'none')
    return Number.isNaN(seconds)
      ? []
      : [{ disk, setting: 'iSCSI replacement_timeout', seconds: seconds < 0 ? Number.POSITIVE_INFINITY : seconds }]
  }
  const port = /\/(rport-\d+:\d+-\d+)\//.exec(place)?.[1]
  if (port === undefined) return []
  // scsi_transport_fc.c: whichever comes first fails it; `off` and -1: this one never does.
  const [fast, loss] = ['fast_io_fail_tmo', 'dev_loss_tmo'].map((name) =>
    secondsOf(trimmedTextOf(onHost(`/sys/class/fc_remote_ports/${port}/${name}`))),
  )
  if (fast === undefined && loss === undefined) return []
  const isFast = (fast ?? Number.POSITIVE_INFINITY) <= (loss ?? Number.POSITIVE_INFINITY)
  return [
    {
      disk,
      setting: isFast ? 'FC fast_io_fail_tmo' : 'FC dev_loss_tmo, with fast_io_fail_tmo off',
      seconds: Math.min(fast ?? Number.POSITIVE_INFINITY, loss ?? Number.POSITIVE_INFINITY),
    },
  ]
}

const secondsOf = (text: string | undefined): number | undefined =>
  text === undefined || text === 'off' || !/^\d+$/.test(text) ? undefined : Number(text)
