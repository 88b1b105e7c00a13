import fc from 'fast-check'
import type { ManagedVolume } from '../../../src/core/scope.ts'
import { Host, type State } from './host.ts'
import { logicalVolume, lvmUuid } from './lvm.ts'

/** A host on which every lock belongs to an active volume, and the volumes that a domain wants of it. */
export interface Situation {
  readonly host: Host
  readonly wanted: readonly ManagedVolume[]
}

const lock = fc.constantFrom('none', 'exclusive', 'shared')
const anyVolume = fc.record({
  vg: fc.constantFrom('vg1', 'vg2'),
  here: lock,
  elsewhere: lock,
  role: fc.constantFrom('exclusive', 'shared'),
  type: fc.constantFrom('linear', 'linear', 'thin', 'raid'),
})

/** No host shares what another holds exclusively, and nothing but a linear volume is shared. */
export const situation: fc.Arbitrary<Situation> = fc.array(anyVolume, { minLength: 1, maxLength: 6 }).map((drawn) => {
  const pools = new Map<string, string>()
  const volumes = drawn.map(({ vg, here, elsewhere, role, type }, index) => {
    const isThin = type === 'thin'
    const shareable = type === 'linear'
    const lockUuid = isThin ? lvmUuid(`${vg}/pool`) : undefined
    // The first thin volume of a pool decides for its lock.
    const decided = isThin
      ? (pools.get(vg) ?? (elsewhere === 'exclusive' ? 'elsewhere' : 'here'))
      : elsewhere === 'exclusive'
        ? 'elsewhere'
        : 'here'
    if (isThin) pools.set(vg, decided)
    const isHere = decided === 'here' && here !== 'none'
    const mode = !shareable || (here === 'exclusive' && elsewhere === 'none') ? 'exclusive' : 'shared'
    const volume = logicalVolume(
      { vg, lv: `lv${index}` },
      { shareable, layout: type, ...(lockUuid === undefined ? {} : { lockUuid }) },
    )
    const other =
      decided === 'elsewhere'
        ? 'exclusive'
        : shareable && !(isHere && mode === 'exclusive') && elsewhere === 'shared'
          ? 'shared'
          : 'none'
    const state: State = { volume, active: isHere, elsewhere: other }
    const wanted: ManagedVolume = { vg, lv: volume.lv, role, isLocal: false, reason: `disk vd${index}` }
    return { state, wanted, lock: [volume.lockUuid, isHere ? mode : 'none'] as const }
  })
  const locks = volumes.filter(({ state }) => state.active).map(({ lock: held }) => held)
  return {
    host: new Host(
      volumes.map(({ state }) => state),
      locks,
    ),
    wanted: volumes.map(({ wanted }) => wanted),
  }
})
