import { connect, missingVg } from './access.ts'
import { Answer, type Tool } from './answer.ts'
import { COMMON, isWords, parseWords } from './words.ts'

/**
 * `lvrename VG LV NEW`: needs no lock on the volume, and works while it is active, here or elsewhere (measured, lvm2
 * 2.03.16).
 */
export const lvrename: Tool = (scene, words) => {
  const parsed = parseWords('lvrename', words, COMMON)
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  connect(scene, answer)
  const [vg = '', lv = '', renamed = ''] = parsed.operands
  const { volumes } = scene.cluster
  if (volumes.group(vg) === undefined) {
    missingVg(vg, answer)
    return answer.result()
  }
  if (volumes.find(`${vg}/${lv}`) === undefined)
    return answer.say(`Existing logical volume "${lv}" not found in volume group "${vg}"`).fail().result()
  if (volumes.find(`${vg}/${renamed}`) !== undefined)
    return answer.say(`Logical Volume "${renamed}" already exists in volume group "${vg}"`).fail().result()
  scene.cluster.rename(`${vg}/${lv}`, renamed)
  return answer.print(`  Renamed "${lv}" to "${renamed}" in volume group "${vg}"`).result()
}
