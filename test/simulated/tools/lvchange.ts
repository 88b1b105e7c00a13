import { type Volume, type VolumeGroup, fullName } from '../volume.ts'
import { connect, lockVg, missingVg, missingVolumes, namedBy } from './access.ts'
import { Answer, type Scene, type Tool } from './answer.ts'
import { lockVolume, unlockVolume } from './lockd.ts'
import { COMMON, isWords, parseWords } from './words.ts'

const SYNTAX = {
  flags: { ...COMMON.flags, '-K': 'skip', '--ignoreactivationskip': 'skip', '--noudevsync': 'noudevsync' },
  values: { ...COMMON.values, '-S': 'select', '--select': 'select', '-a': 'activate', '--activate': 'activate' },
}

type Wish = 'ex' | 'sh' | 'inactive'
/** On a shared VG every activation that does not say shared is exclusive (FACTS 18). */
const WISHES: Readonly<Record<string, Wish>> = {
  y: 'ex',
  ey: 'ex',
  ly: 'ex',
  ay: 'ex',
  sy: 'sh',
  n: 'inactive',
  ln: 'inactive',
  en: 'inactive',
}

interface Call extends Scene {
  readonly wish: Wish
  readonly yes: boolean
  readonly ignoreSkip: boolean
  readonly answer: Answer
}

/** `lvchange --activate`: volume after volume, not atomic, goes on after a failure (FACTS 23). */
export const lvchange: Tool = (scene, words) => {
  const parsed = parseWords('lvchange', words, SYNTAX)
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  const value = parsed.values.get('activate') ?? ''
  const wish = WISHES[value]
  if (wish === undefined)
    return answer
      .say(`Invalid argument for --activate: ${value}`)
      .say('Error during parsing of command line.')
      .fail(3)
      .result()
  if (parsed.operands.length === 0)
    return answer
      .say("No command with matching syntax recognised.  Run 'lvchange --help' for more information.")
      .fail(3)
      .result()
  const uuids = parsed.values
    .get('select')
    ?.split(' || ')
    .map((term) => /^lv_uuid=([\w-]+)$/.exec(term)?.[1])
  if (uuids?.includes(undefined) === true) return answer.say('The model selects by lv_uuid only.').fail().result()
  const isSelected = ({ uuid }: Volume): boolean => uuids === undefined || uuids.includes(uuid)
  const call: Call = { ...scene, wish, answer, yes: parsed.flags.has('yes'), ignoreSkip: parsed.flags.has('skip') }
  connect(scene, answer)
  for (const named of namedBy(parsed.operands)) {
    const group = scene.cluster.volumes.group(named.vg)
    if (group === undefined) missingVg(named.vg, answer)
    else if (lockVg(scene, group, answer, wish === 'inactive' ? 'read' : 'write') || wish === 'inactive') {
      for (const volume of [...group.volumes])
        if ((named.whole || named.lvs.has(volume.lv)) && isSelected(volume)) change(call, group, volume)
      missingVolumes(group, named, answer)
    } else answer.fail()
  }
  return answer.result()
}

function change(call: Call, group: VolumeGroup, named: Volume): void {
  if (call.wish !== 'inactive' && named.skipActivation && !call.ignoreSkip) return
  const volume = call.cluster.volumes.originOf(named)
  if (volume !== named && !call.yes) {
    // Without a terminal the answer is no (FACTS 26).
    call.answer.complain(
      `Change of snapshot ${fullName(named)} will also change its origin ${fullName(volume)}. Proceed? [y/n]: [n]`,
    )
    call.answer.say(`Logical volume ${fullName(named)} not changed.`).fail()
  } else if (call.wish === 'inactive') deactivate(call, group, volume)
  else activate(call, group, volume, call.wish)
}

function activate(call: Call, group: VolumeGroup, volume: Volume, mode: 'ex' | 'sh'): void {
  if (group.lvmlockUuid !== undefined && !lockVolume(call, volume, mode, call.answer)) {
    call.answer.say(`Failed to lock logical volume ${fullName(volume)}.`).fail()
  } else call.cluster.devices.activate(call.host, volume)
}

function deactivate(call: Call, group: VolumeGroup, volume: Volume): void {
  const { cluster, host, answer } = call
  const inUse = [volume, ...cluster.volumes.snapshotsOf(volume)].find((each) => cluster.devices.isOpen(host, each))
  if (inUse !== undefined) {
    answer.say(`Logical volume ${fullName(inUse)} in use.`).fail()
    return
  }
  cluster.devices.deactivate(host, volume)
  // Only said, not failed: lvchange exits 0 and the lock stays (FACTS 24).
  if (group.lvmlockUuid !== undefined && !unlockVolume(call, volume, answer))
    answer.say(`Failed to unlock logical volume ${fullName(volume)}.`)
}
