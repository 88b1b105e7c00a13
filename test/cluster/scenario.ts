import type { Suite } from './nodes.ts'
import type { ClusterRing } from './ring.ts'

/** A story on two nodes, each told on nodes fresh from the same kept state, with lvguard installed. */
export interface ClusterScenario {
  readonly name: string
  readonly play: (cluster: ClusterRing) => Promise<void>
  /** After this time it has failed. Default 240 s. */
  readonly seconds?: number
  /** Suites on which it makes no sense, with the reason. */
  readonly not?: Partial<Record<Suite, string>>
}
