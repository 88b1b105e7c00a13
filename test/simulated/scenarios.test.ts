import { playAll } from '../play.ts'
import { SCENARIOS } from '../scenarios/all.ts'
import { SimulatedRing } from './ring.ts'

for (const lvm of ['2.03.16', '2.03.31'] as const)
  playAll(`simulated tools of lvm2 ${lvm}`, undefined, () => SimulatedRing.create({ lvm }), SCENARIOS, 'simulated')
