import type { Scenario } from '../ring.ts'
import { life } from './life.ts'
import { lvmConf } from './lvm-conf.ts'
import { migrations } from './migration.ts'
import { savedMemory } from './saved.ts'
import { races } from './races.ts'
import { volumes } from './volumes.ts'

/** Every scenario that needs no libvirt, in the order in which a reader would tell them. */
export const SCENARIOS: readonly Scenario[] = [
  ...life, ...volumes, ...lvmConf.map(notYetOnNodes), ...migrations, ...savedMemory.map(notYetOnNodes), ...races,
]

/** Those that have never passed on two nodes. What libvirt does with saved memory is played there with libvirt itself (test/cluster/scenarios/life.ts). */
function notYetOnNodes(scenario: Scenario): Scenario {
  return { ...scenario, not: { cluster: 'NOT RUN, it has not been played on nodes yet', ...scenario.not } }
}
