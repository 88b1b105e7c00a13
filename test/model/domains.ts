import type { LogicalVolume } from '../../src/core/lock-state.ts'
import type { ManagedVolume } from '../../src/core/scope.ts'
import type { Mode } from '../../src/core/volume.ts'
import { logicalVolume, uuidOf } from '../unit/support/lvm.ts'

export const VG = 'virtVG'

/** A domain that both hosts have defined, and the volumes it needs. */
export interface Domain {
  readonly name: string
  readonly uuid: string
  readonly volumes: readonly ManagedVolume[]
}

const volume = (lv: string, role: Mode = 'exclusive'): ManagedVolume => ({
  vg: VG,
  lv,
  role,
  isLocal: false,
  reason: 'disk',
})
const domain = (number: number, name: string, volumes: readonly ManagedVolume[]): Domain => ({
  name,
  uuid: uuidOf(number),
  volumes,
})

/** Which domains there are, and what they share: each schedule is played on one of these. */
export const LAYOUTS: readonly (readonly Domain[])[] = [
  [domain(1, 'tintin', [volume('root')])],
  [domain(1, 'tintin', [volume('root'), volume('data')])],
  [domain(1, 'tintin', [volume('root')]), domain(2, 'milou', [volume('root')])],
  [domain(1, 'tintin', [volume('root'), volume('data')]), domain(2, 'milou', [volume('data')])],
  [
    domain(1, 'tintin', [volume('root'), volume('iso', 'shared')]),
    domain(2, 'milou', [volume('data'), volume('iso', 'shared')]),
  ],
]

/** What lvs says of the volumes of all layouts. */
export const LOGICAL_VOLUMES: readonly LogicalVolume[] = ['root', 'data', 'iso'].map((lv) =>
  logicalVolume({ vg: VG, lv }),
)
