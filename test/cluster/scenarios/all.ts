import type { ClusterScenario } from '../scenario.ts'
import { drbd } from './drbd.ts'
import { faults } from './faults.ts'
import { life } from './life.ts'
import { migration } from './migration.ts'
import { migrationFaults } from './migration-faults.ts'
import { storage } from './storage.ts'
import { packages } from './packages.ts'
import { verbs } from './verbs.ts'
import { volumes } from './volumes.ts'

/**
 * The stories that need libvirt, in the order in which they are told: those about one VM that stands follow each other.
 */
export const clusterScenarios: readonly ClusterScenario[] = [
  ...life,
  ...migration,
  ...migrationFaults,
  ...faults,
  ...volumes,
  ...storage.filter((scenario) => !isLong(scenario)),
]

/**
 * Those that wait for leases to run out, and need nodes of their own: they come last, so that a run with little time
 * has played all else. What a person types comes after them.
 */
export const longScenarios: readonly ClusterScenario[] = [...storage.filter(isLong), ...drbd, ...packages, ...verbs]

function isLong({ spoils }: ClusterScenario): boolean {
  return spoils === true
}
