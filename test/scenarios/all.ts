import type { Scenario } from '../ring.ts'
import { life } from './life.ts'
import { lvmConf } from './lvm-conf.ts'
import { migrations } from './migration.ts'
import { savedMemory } from './saved.ts'
import { races } from './races.ts'
import { volumes } from './volumes.ts'

/** Every scenario that needs no libvirt, in the order in which a reader would tell them. */
export const SCENARIOS: readonly Scenario[] = [...life, ...volumes, ...lvmConf, ...migrations, ...savedMemory, ...races]
