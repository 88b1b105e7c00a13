import { playAll } from '../play.ts'
import { life } from '../scenarios/life.ts'
import { lvmConf } from '../scenarios/lvm-conf.ts'
import { migrations } from '../scenarios/migration.ts'
import { savedMemory } from '../scenarios/saved.ts'
import { volumes } from '../scenarios/volumes.ts'
import { LocksRing, available } from './ring.ts'

playAll(
  'real lvm2, lvmlockd and sanlock',
  await available(),
  () => LocksRing.create(),
  [...life, ...volumes, ...lvmConf, ...migrations, ...savedMemory],
  'locks',
)
