import { playAll } from '../play.ts'
import { SCENARIOS } from '../scenarios/all.ts'
import { SimulatedRing } from './ring.ts'

// With other versions of lvm2: test/simulation/scenarios.test.ts.
playAll(
  'simulated tools of lvm2 2.03.31',
  undefined,
  () => SimulatedRing.create({ lvm: '2.03.31' }),
  SCENARIOS,
  'simulated',
)
