import type { Disk, Domain, SourceMeaning } from '../core/domain.ts'
import { dataPartOf, nameOf } from '../core/domain.ts'
import type { Problem } from '../core/problem.ts'
import { dashed } from '../core/volume.ts'
import { parseXml } from '../libvirt/xml.ts'
import { noAnswerOfLvs } from '../lvm/installed.ts'
import { volumesByUuid } from '../lvm/lvm.ts'
import type { Found } from '../lvm/paths.ts'
import { clarityOf } from '../lvm/plain-path.ts'
import { onHost } from '../system/paths.ts'

/** A domain's sources, and the meanings of those whose path alone does not tell. */
export interface Sources {
  /** With the images that the headers of qcow2 files name. */
  readonly disks: readonly Disk[]
  readonly found: ReadonlyMap<Disk, SourceMeaning>
}

/** How many images may stand on each other: far more than anybody has. It ends a ring of files. */
export const LONGEST_CHAIN = 200

/**
 * Looks at all that is not plain: volumes of storage pools, links, device numbers, qcow2 files, devices that stand on a
 * volume. The code for it is loaded only then: a VM with disks like /dev/VG/LV and raw files needs none of it.
 * @param mayWait false: leaves out what is in a file system of another host, which may never answer
 */
export async function findSources(domain: Pick<Domain, 'disks'>, mayWait = true): Promise<Sources> {
  const hidden = mayWait ? undefined : await hiddenAmong(domain.disks)
  const disks = hidden === undefined ? domain.disks : domain.disks.filter((disk) => !hidden(disk.path))
  const clarities = new Map(
    disks.map(
      (disk) =>
        [disk, disk.pool !== undefined ? 'unclear' : disk.path === undefined ? 'plain' : clarityOf(disk.path)] as const,
    ),
  )
  const images = disks.filter((disk) => disk.image === true && clarities.get(disk) === 'file')
  const below = (await Promise.all(images.map((disk) => imagesBelow(disk, disk.path, hidden)))).flat()
  const unclear = [...disks.filter((disk) => clarities.get(disk) === 'unclear'), ...below]
  if (unclear.length === 0) return { disks, found: new Map() }
  const { found, also } = await findAll(unclear, hidden)
  return { disks: [...disks, ...below, ...also], found }
}

type Hidden = (path: string | undefined) => boolean

/** Which paths lead into a file system of another host; undefined if none can, because only devices are named. */
async function hiddenAmong(disks: readonly Disk[]): Promise<Hidden | undefined> {
  if (
    disks.every(
      ({ path, pool, image }) =>
        pool === undefined && image !== true && (path === undefined || path.startsWith('/dev/')),
    )
  )
    return undefined
  const { leadsToOthers } = await import('../lvm/other-hosts.ts')
  return (path = '') => path.startsWith('/') && leadsToOthers(path)
}

const ELSEWHERE: SourceMeaning = { kind: 'other', path: '' }

/**
 * Looks the sources up.
 * @returns `found`: what they are. `also`: further images and volumes that they stand on
 */
async function findAll(
  disks: readonly Disk[],
  hidden: Hidden | undefined,
  depth = 0,
): Promise<{ readonly found: Map<Disk, SourceMeaning>; readonly also: readonly Disk[] }> {
  const { findPath } = await import('../lvm/paths.ts')
  const places = (await Promise.all(disks.map(pathOf))).map((place) => {
    if ('kind' in place) return place
    if (hidden?.(place.path) === true) return ELSEWHERE
    const found = findPath(place.path)
    return found.kind === 'volume' && place.partition !== undefined ? { ...found, partition: place.partition } : found
  })
  const uuids = places.flatMap((place) => (place.kind === 'uuid' ? [dashed(place.lvUuid)] : []))
  const byUuid = await volumesByUuid(uuids)
  const rows = [...(byUuid?.volumes.values() ?? [])]
  const findingsOf = (place: Found | SourceMeaning, disk: Disk): readonly SourceMeaning[] => {
    if (place.kind === 'absent')
      return [
        unknownSource(
          `there is no ${place.path} on this host (${nameOf(disk)})${/\/dm-\d+$/.test(place.path) ? ', and device numbers change; use /dev/VG/LV' : ''}`,
        ),
      ]
    if (place.kind === 'stack') {
      const { itself, path } = place
      const vg = itself?.kind === 'volume' ? { vg: itself.vg } : {}
      const below = place.below.map(
        ({ meaning, holder, partition }): SourceMeaning => ({
          ...meaning,
          path,
          stack: { holder, top: path, ...vg },
          ...(partition !== undefined && { partition }),
        }),
      )
      return itself === undefined ? below : [{ ...itself, path }, ...below]
    }
    if (place.kind !== 'uuid') return [place]
    const row = rows.find(({ uuid }) => uuid === dashed(place.lvUuid))
    if (row !== undefined) return [{ kind: 'volume', vg: row.vg, lv: row.lv, path: place.path }]
    return [
      byUuid === undefined
        ? { kind: 'problem', problem: noAnswerOfLvs() }
        : unknownSource(`no logical volume has the UUID of ${place.path} (${nameOf(disk)})`),
    ]
  }
  const found = new Map<Disk, SourceMeaning>()
  const also: Disk[] = []
  for (const [index, disk] of disks.entries()) {
    const [first = ELSEWHERE, ...more] = findingsOf(places[index] ?? ELSEWHERE, disk)
    found.set(disk, dispensable(disk, first))
    for (const finding of more) {
      const other = { ...disk }
      also.push(other)
      found.set(other, finding)
    }
    if (disk.image === true && first.kind === 'other' && first.path !== '' && depth < LONGEST_CHAIN)
      also.push(...(await imagesBelow(disk, disk.path ?? first.path, hidden)))
  }
  // What the images name that have just been read.
  const unclear = also.filter((disk) => !found.has(disk))
  if (unclear.length === 0) return { found, also }
  const below = await findAll(unclear, hidden, depth + 1)
  return { found: new Map([...found, ...below.found]), also: [...also, ...below.also] }
}

/** A source that libvirt drops if it is not there is no reason to refuse. */
const dispensable = (disk: Disk, finding: SourceMeaning): SourceMeaning =>
  disk.optional === true && finding.kind === 'problem' && finding.problem.kind === 'unknown-source'
    ? ELSEWHERE
    : finding

const unknownSource = (detail: string): Extract<SourceMeaning, { kind: 'problem' }> => ({
  kind: 'problem',
  problem: { kind: 'unknown-source', detail } satisfies Problem,
})

async function pathOf(disk: Disk): Promise<{ readonly path: string; readonly partition?: string } | SourceMeaning> {
  if (disk.pool === undefined) return { path: disk.path ?? '' }
  const { findVolume } = await import('../libvirt/storage-pools.ts')
  const volume = findVolume(disk.pool.name, disk.pool.volume, parseXml)
  if (volume.kind === 'path') return { path: volume.path, ...(volume.partition && { partition: disk.pool.volume }) }
  return volume.kind === 'elsewhere' ? ELSEWHERE : unknownSource(`${volume.detail} (${nameOf(disk)})`)
}

/**
 * The images that a qcow2 image names, as far as they are files, and the first one that is not: that may be an LV.
 * Mistakes in a file are left to QEMU.
 * @param start where the image is; it, or what a header names, may be on a block device that is no LV
 */
async function imagesBelow(disk: Disk, start: string | undefined, hidden: Hidden | undefined): Promise<Disk[]> {
  const { readHeader, pathOfName } = await import('./qcow2.ts')
  const below: Disk[] = []
  let path = start === undefined || start === '' ? undefined : start
  for (let depth = 0; path !== undefined && depth < LONGEST_CHAIN; depth++) {
    let header: ReturnType<typeof readHeader>
    try {
      header = readHeader(onHost(path), depth === 0 ? disk.offset : 0)
    } catch {
      break
    }
    const dataFile = header.dataFile === undefined ? undefined : pathOfName(header.dataFile, path)
    if (dataFile !== undefined)
      below.push({
        target: disk.target,
        part: depth > 0 ? 'backing file' : dataPartOf(disk),
        path: dataFile,
        readonly: depth > 0 || disk.readonly,
        shareable: disk.shareable,
      })
    const { backing } = header
    const next = backing === undefined ? undefined : pathOfName(backing.name, path)
    if (next === undefined || hidden?.(next) === true) break
    const isImage = backing?.format === 'qcow2'
    const isFile = clarityOf(next) === 'file'
    if (!isFile)
      below.push({
        target: disk.target,
        part: 'backing file',
        path: next,
        readonly: true,
        shareable: false,
        image: isImage,
      })
    path = isFile && isImage ? next : undefined
  }
  return below
}
