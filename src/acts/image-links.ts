import type { Configuration } from '../core/configuration.ts'
import {
  type Candidate,
  type Disk,
  type Domain,
  type SourceMeaning,
  type Image,
  candidatesOf,
  dataPartOf,
} from '../core/domain.ts'
import { configuredPolicy } from '../core/policy.ts'
import type { Problem } from '../core/problem.ts'
import type { RecordedVolume } from '../core/record.ts'
import { type VolumeName, fullName, meaningOfPath } from '../core/volume.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { onHost } from '../system/paths.ts'
import { messageOf } from '../system/error-message.ts'
import { LONGEST_CHAIN, findSources } from './sources.ts'

/** An image on an active volume, with the names of all volumes above it. */
export type Link = Image & { readonly above: readonly string[] }

/** Thrown where backing files cannot be locked. */
export class ImageRefused extends Error {
  override readonly name = 'ImageRefused'
  constructor(readonly problems: readonly Problem[]) {
    super('refused')
  }
}

/** A refusal because of one image. @param detail half a sentence */
export const refusal = (image: VolumeName, detail: string): ImageRefused =>
  new ImageRefused([{ kind: 'bad-image', volume: fullName(image), detail }])

/** What is one level below some images: the volumes that are not locked yet, and the images among all of them. */
export interface Level {
  readonly candidates: readonly Candidate[]
  readonly links: readonly Link[]
}

/**
 * Reads the headers of images and finds the volumes that they name.
 * @param taken what is locked for the domain already
 * @throws ImageRefused if a header names no volume, a volume above it, or one in a VG that is not managed; or if the
 *   chain is too long
 */
export async function levelBelow(
  links: readonly Link[],
  domain: Domain,
  configuration: Configuration,
  taken: readonly RecordedVolume[],
): Promise<Level> {
  const candidates = new Map<string, Candidate>()
  const next: Link[] = []
  for (const link of links) {
    if (link.above.length >= LONGEST_CHAIN)
      throw refusal(link, `more than ${LONGEST_CHAIN} images stand on top of each other`)
    for (const { disk, finding } of await foundIn(link)) {
      if (finding.kind === 'problem') throw new ImageRefused([finding.problem])
      if (
        'vg' in finding &&
        configuredPolicy({ vg: finding.vg, lv: 'lv' in finding ? finding.lv : undefined }, configuration.policy) ===
          'ignore'
      )
        continue
      if (finding.kind !== 'volume') throw refusal(link, `its header names '${disk.path}', which is no logical volume`)
      const {
        volumes: [wanted],
        images,
      } = candidatesOf({ ...domain, disks: [disk] }, configuration, new Map([[disk, finding]]))
      if (wanted === undefined) throw outside(link, disk)
      const name = fullName(wanted)
      if (name === fullName(link) || link.above.includes(name))
        throw refusal(link, `its header names ${name}, which is above it`)
      const known = taken.find(({ vg, lv }) => vg === wanted.vg && lv === wanted.lv)
      if (known?.role === 'shared' && wanted.mode === 'exclusive')
        throw refusal(link, `${name} is its data, and another disk reads it`)
      if (known === undefined && candidates.get(name)?.mode !== 'exclusive') candidates.set(name, wanted)
      next.push(...images.map((image) => ({ ...image, above: [...link.above, fullName(link)] })))
    }
  }
  return { candidates: [...candidates.values()], links: next }
}

/** A refusal because an image names something in a VG that is not managed. */
export const outside = (image: VolumeName, { path }: Pick<Disk, 'path'>): ImageRefused =>
  refusal(image, `its header names '${path}', which is in no volume group that lvguard manages`)

/**
 * What a header names. A device that stands on several volumes (md, device-mapper) is named once, and found once for
 * each of them.
 */
async function foundIn(link: Link): Promise<{ readonly disk: Disk; readonly finding: SourceMeaning }[]> {
  const named = await namedIn(link)
  const all = await Promise.all(
    named.map(async (disk) => {
      const { disks, found } = await findSources({ disks: [disk] })
      const path = disk.path ?? ''
      const also = disks.flatMap((other) => {
        const finding = other === disk ? undefined : found.get(other)
        return finding?.kind === 'volume' ? [{ disk: other, finding }] : []
      })
      return [{ disk, finding: found.get(disk) ?? { ...meaningOfPath(path), path } }, ...also]
    }),
  )
  return all.flat()
}

/** The backing file and the data file of an image. */
async function namedIn(link: Link): Promise<Disk[]> {
  const device = activeVolumes().find(({ vg, lv }) => vg === link.vg && lv === link.lv)
  const place = link.stack?.top ?? (device === undefined ? undefined : `/dev/${device.node}`)
  if (place === undefined) throw refusal(link, 'its header cannot be read: it has no device')
  const { pathOfName, readHeader } = await import('./qcow2.ts')
  let header: ReturnType<typeof readHeader>
  try {
    // The kernel's own node: udev's links come a moment later.
    header = readHeader(onHost(place), link.offset)
  } catch (error) {
    throw refusal(link, `its header cannot be read: ${messageOf(error)}`)
  }
  const { backing, dataFile } = header
  const diskOf = (name: string, rest: Omit<Disk, 'target' | 'path' | 'shareable'>): Disk => {
    const path = pathOfName(name, link.path)
    if (path === undefined) throw refusal(link, `its header names '${name}', which is no path`)
    return { target: link.target, path, shareable: false, ...rest }
  }
  // A backing file without a format counts as raw, and its header is not read: a guest may have written it.
  return [
    ...(dataFile === undefined ? [] : [diskOf(dataFile, { part: dataPartOf(link), readonly: link.mode === 'shared' })]),
    ...(backing === undefined
      ? []
      : [diskOf(backing.name, { part: 'backing file', readonly: true, image: backing.format === 'qcow2' })]),
  ]
}
