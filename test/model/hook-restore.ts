import { countedVolumes } from '../../src/core/saved-image.ts'
import type { RecordedVolume } from '../../src/core/record.ts'
import type { Decisions } from './decisions.ts'
import type { Domain } from './domains.ts'
import { type Here, leaseCounts } from './looks.ts'
import type { Steps } from './process.ts'

/** restore of src/acts/saved.ts. @returns whether it exits with 0 */
export function* restore(here: Here, decisions: Decisions, domain: Domain): Steps<boolean> {
  yield
  return isAsSaved(here, decisions, domain)
}

/** checkSaved of src/acts/saved.ts. @param taken UUIDs of the volumes that this very `prepare` has locked */
export function isAsSaved(
  here: Here,
  decisions: Pick<Decisions, 'compare'>,
  { uuid }: Domain,
  taken: ReadonlySet<string> = new Set(),
): boolean {
  const note = here.host.notes.get(uuid)
  return (
    note === undefined ||
    decisions.compare(note, leaseCounts(here), { taken, held: new Set(), ownIds: new Map() }).newer.length === 0
  )
}

/** noteSaved of src/acts/saved.ts. */
export function noteSaved(here: Here, { name, uuid }: Domain, volumes: readonly RecordedVolume[]): void {
  const { host } = here
  const counts = leaseCounts(here)
  const saved = countedVolumes(volumes).map(({ vg, lv, ids }) => ({
    vg,
    lv,
    uuid: ids.lv,
    lver: counts.get(ids.lv)?.lver ?? 0,
  }))
  const image = host.images.get(name)
  if (saved.length === 0 || image === undefined) return
  host.notes.set(uuid, { format: 1, domain: { name, uuid }, at: '', volumes: saved })
  host.images.set(name, { ...image, isNoted: true })
}
