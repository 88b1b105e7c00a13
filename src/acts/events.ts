import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { type Domain, idlePolicies } from '../core/domain.ts'
import { leftOutWords } from '../core/findings.ts'
import type { Attempt, Problem } from '../core/problem.ts'
import { BadXml, parseDomain } from '../libvirt/domain-xml.ts'
import { lockState } from '../lvm/lvm.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { type Handled, type HookEvent, isHandled } from '../core/call.ts'
import { messageOf } from '../system/error-message.ts'
import { type LocksQuestion, type Subject, subjectOf } from './host.ts'
import { withPools } from './logical-pools.ts'
import { migrate } from './migrate.ts'
import type { Outcome } from '../core/outcome.ts'
import { prepare } from './prepare.ts'
import { release } from './release.ts'
import { restore } from './saved.ts'

/** One event, handled: what came of it and what the log needs. */
export interface Handling {
  readonly outcome: Outcome
  readonly domain: Domain | undefined
  readonly configuration: Configuration
  /** What the log has to say beside the outcome: of a configuration that is wrong, of volumes that nobody locks. */
  readonly warning: string | undefined
}

/** What was attempted, where this operation is refused. */
export const attemptOf = (operation: string): Attempt =>
  (({ prepare: 'start', restore: 'start', migrate: 'migration', release: 'end' }) as const)[operation as Handled] ??
  'start'

interface Read {
  readonly configuration: Configuration
  /** The file is usable: what it says of managed VGs counts. */
  readonly isKnown: boolean
  readonly warning: string | undefined
  readonly problem: Problem | undefined
}

/**
 * The configuration for an operation. Where it is unusable the operation is refused, but a `release` goes on with the
 * defaults.
 */
async function configurationFor(operation: string): Promise<Read> {
  const parsed = await readConfiguration()
  const warningOf = (errors: readonly string[]): string | undefined =>
    errors.length === 0 ? undefined : `configuration: ${errors.join('; ')}`
  if ('configuration' in parsed)
    return {
      configuration: parsed.configuration,
      isKnown: true,
      warning: warningOf(parsed.mistakes),
      problem: undefined,
    }
  const isFatal = operation === 'prepare' || operation === 'migrate'
  return {
    configuration: DEFAULTS,
    isKnown: false,
    warning: warningOf(parsed.errors),
    problem: isFatal ? { kind: 'bad-configuration', errors: parsed.errors } : undefined,
  }
}

/**
 * Handles one call by libvirt. Never throws: if anything goes wrong, that is an outcome, and the call is refused.
 * @param readXml gives the domain XML
 * @param asked a question to lvmlockctl that is under way already
 * @param onConfiguration learns it as soon as it is known
 */
export async function handle(
  event: HookEvent,
  readXml: () => string,
  asked?: LocksQuestion,
  onConfiguration: (configuration: Configuration) => void = () => undefined,
): Promise<Handling> {
  const { configuration, isKnown, warning, problem } = await configurationFor(event.operation)
  onConfiguration(configuration)
  if (!isHandled(event))
    return {
      outcome: { kind: 'nothing', reason: '' },
      domain: undefined,
      configuration,
      warning: `unknown operation ${event.operation} ${event.subOperation}`,
    }
  const { operation } = event
  const refuse = (problems: readonly Problem[], domain?: Domain): Handling => ({
    outcome: { kind: 'refused', problems, attempt: attemptOf(operation), volumes: [] },
    domain,
    configuration,
    warning,
  })
  let domain: Domain | undefined
  try {
    const xml = readXml()
    domain = parseDomain(xml)
    if (problem !== undefined) return refuse([problem], domain)
    // libvirt gives the name and the XML of one domain. A person may mix up two domains. And a dry run without its
    // NAME may have four words too. For a `release` the name does not matter: it gives back the volumes on record for
    // the domain of the XML.
    if (
      !isNamed(domain, event.name) &&
      (operation === 'prepare' || operation === 'migrate' || event.name.startsWith('-'))
    )
      return refuse([otherDomain(domain, event.name)], domain)
    const subject =
      operation === 'prepare' || operation === 'migrate' ? await subjectOf(domain, configuration) : undefined
    const outcome = await outcomeOf(operation, domain, configuration, {
      subject,
      xml,
      isKnown,
      asked,
      reason: event.extra,
    })
    // If this fails, the volumes stay locked all the same.
    const unprotected =
      subject === undefined || outcome.kind === 'refused' ? [] : await unprotectedWords(subject).catch(() => [])
    const said = [warning, outcome.warning, ...unprotected].filter((each) => each !== undefined).join('; ')
    return {
      outcome: outcome.kind === 'refused' ? { ...outcome, problems: await withPools(outcome.problems) } : outcome,
      domain,
      configuration,
      warning: said === '' ? undefined : said,
    }
  } catch (error) {
    if (error instanceof BadXml)
      return refuse(problem === undefined ? [{ kind: 'bad-xml', detail: error.message }] : [problem])
    return refuse([{ kind: 'other', detail: `lvguard failed: ${messageOf(error)}` }], domain)
  }
}

/** What a call has beside its domain. */
interface Circumstances {
  /** Of a `prepare` and a `migrate`. */
  readonly subject: Subject | undefined
  readonly xml: string
  /** The configuration is not wrong. */
  readonly isKnown: boolean
  readonly asked: LocksQuestion | undefined
  /** libvirt's fourth word: of a `release` why the domain has ended (FACTS 11). */
  readonly reason: string
}

async function outcomeOf(
  operation: Handled,
  domain: Domain,
  configuration: Configuration,
  { subject, xml, isKnown, asked, reason }: Circumstances,
): Promise<Outcome> {
  if (operation === 'release') return release(domain, isKnown ? configuration : undefined, reason)
  if (operation === 'restore') return restore(domain, configuration)
  const about = subject ?? (await subjectOf(domain, configuration))
  return operation === 'prepare' ? prepare(about, asked) : migrate(about, xml)
}

/** Whether a domain has this name. libvirt's own names have no blanks around them, but XML may. */
export const isNamed = ({ name }: Pick<Domain, 'name'>, word: string): boolean => name.trim() === word.trim()

/** The problem of an XML that is that of another domain than the one that was named. */
export const otherDomain = ({ name }: Pick<Domain, 'name'>, word: string): Problem => ({
  kind: 'bad-xml',
  detail: `the XML is that of ${name}, not of a domain called ${word}`,
})

/**
 * Sentences about volumes of a domain that nobody locks, although a person may think so. Asks nothing where
 * `volume_groups` leaves out none of them.
 */
export async function unprotectedWords({
  candidates: { leftOut = [] },
  domain,
}: Pick<Subject, 'candidates' | 'domain'>): Promise<string[]> {
  const locks = leftOut.length === 0 ? undefined : await lockState()
  const vgs = [...new Set(leftOut.map(({ vg }) => vg))].filter(
    (vg) => locks?.kind === 'known' && locks.lockspaces.has(vg),
  )
  return [...vgs.map(leftOutWords), ...idlePolicies(domain)]
}
