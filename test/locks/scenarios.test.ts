import { playAll } from '../play.ts'
import { SCENARIOS } from '../scenarios/all.ts'
import { LocksRing, available } from './ring.ts'

playAll('real lvm2, lvmlockd and sanlock', await available(), () => LocksRing.create(), SCENARIOS, 'locks')
