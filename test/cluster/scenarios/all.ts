import type { ClusterScenario } from '../scenario.ts'
import { drbd } from './drbd.ts'
import { faults } from './faults.ts'
import { life } from './life.ts'
import { migration } from './migration.ts'
import { migrationFaults } from './migration-faults.ts'
import { storage } from './storage.ts'
import { volumes } from './volumes.ts'

/** The stories that need libvirt, in the order in which they are told: those about one VM that stands follow each other. */
export const clusterScenarios: readonly ClusterScenario[] = [...life, ...migration, ...migrationFaults, ...faults, ...volumes, ...storage, ...drbd]
