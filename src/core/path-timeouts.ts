/**
 * Seconds that a path may keep I/O waiting before it fails it. A kill begins 80 s after the last renewal and has to end
 * by 125 (DESIGN 8). I/O that fails within 60 s after the storage has gone has failed by then (FACTS 47).
 */
const LONGEST = 60

/** How long one path of a disk lets I/O wait when the storage has gone; Infinity: for ever. */
export interface PathTimeout {
  /** By the kernel's name. */
  readonly disk: string
  /** The setting that decides, in the words of whoever sets it. */
  readonly setting: string
  readonly seconds: number
}

/**
 * How long a multipath map lets I/O wait when it has no path left; Infinity: for ever. `unknown`: queue_if_no_path is
 * set, and multipathd does not say for how long.
 */
export interface MapTimeout {
  readonly map: string
  readonly seconds: number | 'unknown'
}

/** What stands below a VG. */
export interface Timeouts {
  readonly paths: readonly PathTimeout[]
  readonly maps: readonly MapTimeout[]
}

/**
 * Seconds between two looks of multipathd at a path: its polling_interval, which it does not tell. This is the default.
 */
const POLLING_INTERVAL = 5

/**
 * What a multipath map does without a path.
 * @param features those of its table: `queue_if_no_path` is there while it has a path, also where multipathd ends it
 *   after some checks
 * @param queueing what multipathd says of it (`%Q`: `on`, `off`, `-`, `N chk`, `N sec`; snprint_queueing in its
 *   print.c); undefined: nothing
 */
export function queueingOf(features: readonly string[], queueing: string | undefined): number | 'unknown' {
  if (!features.includes('queue_if_no_path')) return 0
  const [, count, unit] = /^(\d+) (chk|sec)$/.exec(queueing ?? '') ?? []
  if (count !== undefined) return Number(count) * (unit === 'chk' ? POLLING_INTERVAL : 1)
  return queueing === 'on' ? Number.POSITIVE_INFINITY : queueing === 'off' ? 0 : 'unknown'
}

const inWords = (seconds: number): string => (seconds === Number.POSITIVE_INFINITY ? 'for ever' : `${seconds} s`)

/**
 * What below a VG lets I/O wait for longer than a kill can, in one sentence without its full stop; undefined: nothing
 * does. I/O waits for the path first, and then for the map on it.
 */
export function longWaits(vg: string, { paths, maps }: Timeouts): string | undefined {
  const longest = Math.max(0, ...paths.map(({ seconds }) => seconds))
  const parts = [
    ...maps
      .filter(({ seconds }) => seconds === 'unknown' || seconds + longest > LONGEST)
      .filter(({ seconds }) => seconds !== 0)
      .map(
        ({ map, seconds }) =>
          `multipath ${map}: queue_if_no_path, ${seconds === 'unknown' ? 'and multipathd does not say for how long' : inWords(seconds)}`,
      ),
    ...paths
      .filter(({ seconds }) => seconds > LONGEST)
      .map(({ disk, setting, seconds }) => `${disk}: ${setting}, ${inWords(seconds)}`),
  ]
  if (parts.length === 0) return undefined
  return `if the storage of ${vg} goes, its I/O may wait for longer than ${LONGEST} s before it fails, so that VMs that are killed then do not end in time: ${parts.join('; ')} (README, The storage hangs)`
}
