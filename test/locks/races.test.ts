import { playAll } from '../play.ts'
import { races } from '../scenarios/races.ts'
import { LocksRing, available } from './ring.ts'

// In a file of its own, beside the other scenarios: a hundred races take a minute.
playAll('real lvm2, lvmlockd and sanlock, two at a time', await available(), () => LocksRing.create(), races, 'locks')
