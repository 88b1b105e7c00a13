import { playAll } from '../play.ts'
import { SCENARIOS } from '../scenarios/all.ts'
import { SimulatedRing } from './ring.ts'

playAll('simulated tools', undefined, () => SimulatedRing.create(), SCENARIOS, 'simulated')
