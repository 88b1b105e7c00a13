import type { CheckFacts } from './facts.ts'
import { domainFindings } from './domains.ts'
import { drbdFindings } from './drbd.ts'
import type { Finding } from './finding.ts'
import { lockFindings } from './locks.ts'
import { ownFindings } from './own.ts'
import { storageFindings } from './storage.ts'

/** All that is not as it should be on a host, or that cannot be told. */
export const findingsOfHost = (facts: CheckFacts): Finding[] => [
  ...lockFindings(facts),
  ...storageFindings(facts),
  ...drbdFindings(facts),
  ...ownFindings(facts),
  ...domainFindings(facts),
]
