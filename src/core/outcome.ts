import type { AgentState } from './agent-state.ts'
import type { Attempt, Problem } from './problem.ts'
import { explain } from './explain.ts'
import { type VolumeName, fullName } from './volume.ts'

/**
 * What came of an event: what is logged, shown and told to libvirt. `warning`: a sentence about something else that is
 * not as it should be.
 */
export type Outcome = { readonly warning?: string } & (
  | { readonly kind: 'nothing'; readonly reason: string }
  | {
      readonly kind: 'done'
      readonly did: 'locked' | 'released' | 'let-in'
      readonly volumes: readonly VolumeName[]
      readonly stdout?: string
    }
  | {
      readonly kind: 'refused'
      readonly problems: readonly Problem[]
      readonly attempt: Attempt
      readonly volumes: readonly VolumeName[]
    }
  /** A release that could not finish: the record keeps these volumes. */
  | { readonly kind: 'left'; readonly volumes: readonly VolumeName[]; readonly why: string }
  /** A release that ran out of time: the record keeps these volumes, and nothing is wrong with them. */
  | {
      readonly kind: 'unfinished'
      readonly volumes: readonly VolumeName[]
      readonly why: string
      readonly agent: AgentState['kind']
    }
)

/** The domain has nothing to do with lvguard. */
export const NOT_CONCERNED: Outcome = { kind: 'nothing', reason: 'no volumes that lvguard manages' }

/** 0 lets libvirt go on. */
export const exitStatusOf = (outcome: Outcome): 0 | 1 =>
  outcome.kind === 'refused' || outcome.kind === 'left' || outcome.kind === 'unfinished' ? 1 : 0

/** The two lines for whoever reads virsh's error, none where nothing went wrong; then one more for a warning. */
export function linesOf(outcome: Outcome, domain: string): string[] {
  return [...resultLines(outcome, domain), ...(outcome.warning === undefined ? [] : [printable(`${outcome.warning}.`)])]
}

function resultLines(outcome: Outcome, domain: string): string[] {
  if (outcome.kind === 'unfinished') {
    const names = outcome.volumes.length === 0 ? 'what it used' : outcome.volumes.map(fullName).join(', ')
    const advice =
      outcome.agent === 'runs'
        ? 'It stays on record, and the agent of this host goes on with it'
        : 'It stays on record, and no agent works here that would go on with it: systemctl restart lvguard'
    return [`${domain} has ended, and ${names} is not given back yet: ${outcome.why}.`, advice].map(printable)
  }
  if (outcome.kind === 'left') {
    const names = outcome.volumes.length === 0 ? ['whatever it used'] : outcome.volumes.map(fullName)
    const advice =
      outcome.volumes.length === 0
        ? "See 'lvs' for what is active here"
        : `It stays on record. When nothing uses it any more: lvchange --activate n ${names.join(' ')}`
    return [
      `${domain} has ended, but ${names.join(', ')} stays active and locked on this host: ${outcome.why}.`,
      advice,
    ].map(printable)
  }
  const [first, ...more] = outcome.kind === 'refused' ? outcome.problems : []
  if (first === undefined || outcome.kind !== 'refused') return []
  const { what, advice } = explain(first, domain, outcome.attempt)
  const others =
    more.length === 0
      ? ''
      : ` (and ${more.length} more: ${more.map((problem) => ('volume' in problem ? problem.volume : problem.kind)).join(', ')})`
  return [what + others, advice].map(printable)
}

/**
 * A text without control characters, also those that turn the direction of writing: a name from the XML must not move
 * the cursor of whoever reads it.
 */
export const printable = (line: string): string =>
  line.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?')
