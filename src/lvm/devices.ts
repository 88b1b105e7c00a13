import { readdirSync, readlinkSync } from '../system/files.ts'
import { join } from 'node:path'
import type { Dead, Device } from '../core/lock-state.ts'
import { type VolumeName, mapperName, meaningOfMapperName } from '../core/volume.ts'
import { BLOCK_FOLDER, PROC_FOLDER } from '../system/paths.ts'
import { namesIn, textOf, trimmedTextOf } from '../system/quiet-files.ts'

/**
 * The LVs that are active on this host, from /sys (FACTS 30): no command, no lock. Layers that LVM keeps for itself are
 * left out.
 */
export function activeVolumes(): Device[] {
  const nodes = namesIn(BLOCK_FOLDER)
    .filter((node) => node.startsWith('dm-'))
    // Both at once: the kernel gives the number of a device that is gone to the next one.
    .map((node) => ({
      node,
      dmUuid: trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid')) ?? '',
      name: trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/name')) ?? '',
    }))
  const layers = new Set(nodes.map(({ dmUuid }) => dmUuid).filter((dmUuid) => dmUuid.endsWith('-real')))
  return nodes.flatMap(({ node, dmUuid, name }) => {
    const meaning = meaningOfMapperName(name)
    if (!dmUuid.startsWith('LVM-') || meaning.kind !== 'volume') return []
    const dead = deadOf(node)
    const hasSnapshot = layers.has(`${dmUuid}-real`)
    return [
      {
        vg: meaning.vg,
        lv: meaning.lv,
        node,
        dmUuid,
        ...(dead && { dead }),
        ...(hasSnapshot && { hasSnapshot: true as const }),
      },
    ]
  })
}

/**
 * Whether a device's live table leads to storage, by /sys alone; undefined: it does. The kernel lists below `slaves`
 * what the tables of a device stand on: of an LV at least its physical volume. A table of targets `error` (or `zero`)
 * stands on nothing.
 */
export function deadOf(node: string): Dead | undefined {
  if (trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/suspended')) === '1') return 'suspended'
  try {
    return readdirSync(join(BLOCK_FOLDER, node, 'slaves')).length === 0 ? 'error' : undefined
  } catch {
    // Removed between two looks. A caller that needs the device looks for it again.
    return undefined
  }
}

/**
 * Whether any device stands on a thin or VDO pool: another of its volumes is active, or the pool by its own name. LVM
 * puts all of them on one layer, VG-POOL-tpool or VG-POOL-vpool, with that end of its UUID too.
 */
export function isPoolInUse(pool: VolumeName & { readonly dmUuid: string }): boolean {
  const layers = [mapperName(pool), pool.dmUuid].flatMap((start) => [`${start}-tpool`, `${start}-vpool`])
  return namesIn(BLOCK_FOLDER)
    .filter((node) => node.startsWith('dm-'))
    .some(
      (node) =>
        ['dm/name', 'dm/uuid'].some((what) => layers.includes(trimmedTextOf(join(BLOCK_FOLDER, node, what)) ?? '')) &&
        namesIn(join(BLOCK_FOLDER, node, 'holders')).length > 0,
    )
}

/** The words of dmsetup that ask how often each device is open (FACTS 30). */
export const openCountArguments = ['info', '-c', '--noheadings', '--separator', ':', '-o', 'uuid,open'] as const

/** How many openers each device has, by its UUID, from `dmsetup info`. */
export const parseOpenCounts = (stdout: string): Map<string, number> =>
  new Map([...stdout.matchAll(/^\s*(\S+?):(\d+)\s*$/gm)].map(([, uuid = '', open]) => [uuid, Number(open)]))

/**
 * Who has a device open, in words for a message: mounts, devices stacked on it (kpartx), swap, processes. Only what can
 * be found out without a command; at least the fact that it is open.
 * @param openCount how many openers device-mapper counts; undefined: not known, and the answer may be empty
 * @param except a device on it that does not count
 */
export function usersOf({ node }: Pick<Device, 'node'>, openCount: number | undefined, except?: string): string[] {
  const number = trimmedTextOf(join(BLOCK_FOLDER, node, 'dev'))
  const mounts = (textOf(join(PROC_FOLDER, '1/mountinfo')) ?? '')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , device]) => device !== undefined && device === number)
    .map(([, , , , mountPoint = '?']) => `mounted on ${mountPoint}`)
  const stacked = namesIn(join(BLOCK_FOLDER, node, 'holders'))
    .filter((holder) => holder !== except)
    .map((holder) => `used by the device ${trimmedTextOf(join(BLOCK_FOLDER, holder, 'dm/name')) ?? holder}`)
  const found = [...mounts, ...stacked]
  if (found.length === 0) found.push(...processesWith(`/dev/${node}`))
  return found.length > 0 || openCount === undefined
    ? found
    : [`opened ${openCount === 1 ? 'once' : `${openCount} times`}`]
}

/** The name under /sys/block of the device at a path, and device-mapper's UUID of it, if it is one of its own. */
export function nodeAt(path: string): { readonly node: string; readonly dmUuid: string | undefined } {
  const node = path.slice(path.lastIndexOf('/') + 1)
  return { node, dmUuid: trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid')) }
}

function processesWith(device: string): string[] {
  return namesIn(PROC_FOLDER)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const folder = join(PROC_FOLDER, pid, 'fd')
      if (!namesIn(folder).some((descriptor) => linkOf(join(folder, descriptor)) === device)) return []
      const words = (textOf(join(PROC_FOLDER, pid, 'cmdline')) ?? '').split('\0')
      const guest = /(?:^|,)guest=([^,]+)/.exec(words[words.indexOf('-name') + 1] ?? '')?.[1]
      return [
        guest === undefined
          ? `opened by ${trimmedTextOf(join(PROC_FOLDER, pid, 'comm')) ?? '?'} (process ${pid})`
          : `used by the VM ${guest} (process ${pid})`,
      ]
    })
}

const linkOf = (path: string): string | undefined => {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
