import type { Disk, Domain, Finding } from '../core/domain.ts'
import { nameOf } from '../core/domain.ts'
import type { Problem } from '../core/problem.ts'
import { parseXml } from '../libvirt/xml.ts'
import { volumesByUuid } from '../lvm/lvm.ts'
import type { Found } from '../lvm/paths.ts'
import { clarityOf } from '../lvm/plain-path.ts'
import { onHost } from '../paths.ts'

/** A domain's sources, and what those are of which the path alone does not tell. */
export interface Sources {
  /** With the images that the headers of qcow2 files name. */
  readonly disks: readonly Disk[]
  readonly found: ReadonlyMap<Disk, Finding>
}

/** Images that one header after another may name: far more than anybody has, and an end to a ring of files. */
export const LONGEST_CHAIN = 200

/**
 * Looks at whatever is not plain: volumes of storage pools, links, device numbers, qcow2 files. What that takes is loaded only then; a VM
 * with disks like /dev/VG/LV and raw files needs none of it.
 */
export async function findSources({ disks }: Pick<Domain, 'disks'>): Promise<Sources> {
  const clarities = new Map(disks.map((disk) => [disk, disk.pool !== undefined ? 'unclear' : disk.path === undefined ? 'plain' : clarityOf(disk.path)] as const))
  const below = (await Promise.all(disks.filter((disk) => disk.image === true && clarities.get(disk) === 'file').map(imagesBelowFile))).flat()
  const unclear = [...disks.filter((disk) => clarities.get(disk) === 'unclear'), ...below]
  if (unclear.length === 0) return { disks, found: new Map() }
  return { disks: [...disks, ...below], found: await findAll(unclear) }
}

const ELSEWHERE: Finding = { kind: 'other', path: '' }

async function findAll(disks: readonly Disk[]): Promise<Map<Disk, Finding>> {
  const { findPath } = await import('../lvm/paths.ts')
  const found = await Promise.all(disks.map(pathOf))
  const places = found.map((place) => ('kind' in place ? place : { ...findPath(place.path), ...(place.partition === true && { partition: true as const }) }))
  const uuids = places.flatMap((place) => (place.kind === 'uuid' ? [dashed(place.lvUuid)] : []))
  const byUuid = await volumesByUuid(uuids)
  const rows = [...(byUuid?.volumes.values() ?? [])]
  const findingOf = (place: Found | Finding, disk: Disk): Finding => {
    if (place.kind === 'absent') return unknownSource(`there is no ${place.path} on this host (${nameOf(disk)}), and device numbers change; use /dev/VG/LV`)
    if (place.kind !== 'uuid') return place
    const row = rows.find(({ uuid }) => uuid === dashed(place.lvUuid))
    if (row !== undefined) return { kind: 'volume', vg: row.vg, lv: row.lv, path: place.path }
    return byUuid === undefined ? { kind: 'problem', problem: { kind: 'locks-unknown', detail: 'lvs does not answer' } } : unknownSource(`no logical volume has the UUID of ${place.path} (${nameOf(disk)})`)
  }
  return new Map(disks.map((disk, index) => [disk, dispensable(disk, findingOf(places[index] ?? ELSEWHERE, disk))]))
}

/** What libvirt drops if it is not there is no reason to refuse. */
const dispensable = (disk: Disk, finding: Finding): Finding => (disk.optional === true && finding.kind === 'problem' && finding.problem.kind === 'unknown-source' ? ELSEWHERE : finding)

const unknownSource = (detail: string): Extract<Finding, { kind: 'problem' }> => ({ kind: 'problem', problem: { kind: 'unknown-source', detail } satisfies Problem })

async function pathOf(disk: Disk): Promise<{ readonly path: string; readonly partition?: true } | Finding> {
  if (disk.pool === undefined) return { path: disk.path ?? '' }
  const { findVolume } = await import('../libvirt/storage-pools.ts')
  const volume = findVolume(disk.pool.name, disk.pool.volume, parseXml)
  if (volume.kind === 'path') return { path: volume.path, ...(volume.partition && { partition: true }) }
  return volume.kind === 'elsewhere' ? ELSEWHERE : unknownSource(`${volume.detail} (${nameOf(disk)})`)
}

/** An LV's UUID with the dashes that LVM shows: 6-4-4-4-4-4-6. */
const dashed = (uuid: string): string => uuid.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7')

/**
 * The images that a qcow2 file names, as far as they are files, and the first that is not: that may be an LV. What is wrong with a file is
 * QEMU's matter, not ours.
 */
async function imagesBelowFile(disk: Disk): Promise<Disk[]> {
  const { readHeader, pathOfName } = await import('../qcow2.ts')
  const below: Disk[] = []
  let path = disk.path
  for (let depth = 0; path !== undefined && depth < LONGEST_CHAIN; depth++) {
    let header: ReturnType<typeof readHeader>
    try {
      header = readHeader(onHost(path))
    } catch {
      break
    }
    const dataFile = header.dataFile === undefined ? undefined : pathOfName(header.dataFile, path)
    if (dataFile !== undefined) below.push({ target: disk.target, part: 'data file', path: dataFile, readonly: depth > 0 || disk.readonly, shareable: disk.shareable })
    const { backing } = header
    const next = backing === undefined ? undefined : pathOfName(backing.name, path)
    if (next === undefined) break
    const isImage = backing?.format === 'qcow2'
    const isFile = clarityOf(next) === 'file'
    if (!isFile) below.push({ target: disk.target, part: 'backing file', path: next, readonly: true, shareable: false, image: isImage })
    path = isFile && isImage ? next : undefined
  }
  return below
}
