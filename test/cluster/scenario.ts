import type { Storage, Suite, Way } from './nodes.ts'
import type { ClusterRing } from './ring.ts'

/** A story on two nodes, clean, with lvguard installed. */
export interface ClusterScenario {
  readonly name: string
  readonly play: (cluster: ClusterRing) => Promise<void>
  /** It plays with `cluster.standing()`, and leaves that VM running, exclusive on one host. */
  readonly standing?: boolean
  /** It leaves more behind than `reset` takes away: the next one begins on nodes fresh from the kept state. */
  readonly spoils?: boolean
  /** false: its hooks are called by itself, beside no agent. */
  readonly agents?: false
  /** After this time on a usual machine it has failed (pace.ts). Default 240 s. */
  readonly seconds?: number
  /** Suites, storages and ways of installing with which it makes no sense, with the reason. */
  readonly not?: Partial<Record<Suite | Storage | Way, string>>
}
