import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import type { Domain } from '../core/domain.ts'
import type { Attempt, Problem } from '../core/problem.ts'
import { fullName } from '../core/volume.ts'
import { BadXml, parseDomain } from '../libvirt/domain-xml.ts'
import type { LogEntry } from '../log.ts'
import { readConfiguration } from '../read-configuration.ts'
import { type Handled, type HookEvent, isHandled } from './call.ts'
import { messageOf } from './failures.ts'
import { type Asked, subjectOf } from './host.ts'
import { withPools } from './logical-pools.ts'
import { migrate } from './migrate.ts'
import type { Outcome } from './outcome.ts'
import { prepare } from './prepare.ts'
import { release } from './release.ts'
import { restore } from './saved.ts'

/** One event, handled: what came of it and what the log needs. */
export interface Handling {
  readonly outcome: Outcome
  readonly domain: Domain | undefined
  readonly configuration: Configuration
  /** Of a `release` that went on with the defaults because the configuration is wrong. */
  readonly warning: string | undefined
}

/** Which attempt a refusal of this operation ends. */
export const attemptOf = (operation: string): Attempt => ({ prepare: 'start', restore: 'start', migrate: 'migration', release: 'end' } as const)[operation as Handled] ?? 'start'

/** The configuration for an operation: wrong means refused, but a `release` goes on with the defaults. */
async function configurationFor(operation: string): Promise<{ configuration: Configuration; warning: string | undefined; problem: Problem | undefined }> {
  const parsed = await readConfiguration()
  if ('configuration' in parsed) return { configuration: parsed.configuration, warning: undefined, problem: undefined }
  const isFatal = operation === 'prepare' || operation === 'migrate'
  return {
    configuration: DEFAULTS, warning: `configuration: ${parsed.errors.join('; ')}`,
    problem: isFatal ? { kind: 'bad-configuration', errors: parsed.errors } : undefined,
  }
}

/**
 * Handles one call by libvirt. Never throws: whatever goes wrong is an outcome, and refuses.
 * @param readXml gives the domain XML
 * @param asked a question to lvmlockctl that is under way already
 * @param onConfiguration learns it as soon as it is known
 */
export async function handle(event: HookEvent, readXml: () => string, asked?: Asked, onConfiguration: (configuration: Configuration) => void = () => undefined): Promise<Handling> {
  const { configuration, warning, problem } = await configurationFor(event.operation)
  onConfiguration(configuration)
  if (!isHandled(event)) return { outcome: { kind: 'nothing', reason: '' }, domain: undefined, configuration, warning: `unknown operation ${event.operation} ${event.subOperation}` }
  const { operation } = event
  const refuse = (problems: readonly Problem[], domain?: Domain): Handling => ({
    outcome: { kind: 'refused', problems, attempt: attemptOf(operation), volumes: [] }, domain, configuration, warning,
  })
  let domain: Domain | undefined
  try {
    const xml = readXml()
    domain = parseDomain(xml)
    if (problem !== undefined) return refuse([problem], domain)
    // A dry run whose NAME was forgotten has four words too.
    if (event.name.startsWith('-') && event.name !== domain.name) {
      return refuse([{ kind: 'bad-xml', detail: `the XML is that of ${domain.name}, not of a domain called ${event.name}` }], domain)
    }
    const outcome = await HANDLERS[operation](domain, configuration, { xml, isKnown: warning === undefined, asked, reason: event.extra })
    const said = [warning, outcome.warning].filter((each) => each !== undefined).join('; ')
    return { outcome: outcome.kind === 'refused' ? { ...outcome, problems: await withPools(outcome.problems) } : outcome, domain, configuration, warning: said === '' ? undefined : said }
  } catch (error) {
    if (error instanceof BadXml) return refuse(problem === undefined ? [{ kind: 'bad-xml', detail: error.message }] : [problem])
    return refuse([{ kind: 'other', detail: `lvguard failed: ${messageOf(error)}` }], domain)
  }
}

/** What a call has beside its domain. */
interface Circumstances {
  readonly xml: string
  /** The configuration is not wrong. */
  readonly isKnown: boolean
  readonly asked: Asked | undefined
  /** libvirt's fourth word: of a `release` why the domain has ended (FACTS 11). */
  readonly reason: string
}

const HANDLERS: Readonly<Record<Handled, (domain: Domain, configuration: Configuration, call: Circumstances) => Promise<Outcome>>> = {
  prepare: async (domain, configuration, { asked }) => prepare(await subjectOf(domain, configuration), asked),
  release: (domain, configuration, { isKnown, reason }) => release(domain, isKnown ? configuration : undefined, reason),
  migrate: async (domain, configuration, { xml }) => migrate(await subjectOf(domain, configuration), xml),
  restore,
}

/** What the log keeps of an event. */
export function logEntryOf({ name, operation }: HookEvent, { outcome, domain, warning }: Handling, lines: readonly string[]): Omit<LogEntry, 'milliseconds'> {
  const about = { domain: name, ...(domain && { uuid: domain.uuid }), operation }
  const volumes = 'volumes' in outcome ? outcome.volumes.map(fullName) : []
  const also = warning === undefined ? '' : `; ${warning}`
  switch (outcome.kind) {
    case 'nothing':
      return { ...about, volumes, outcome: 'nothing', level: warning === undefined ? 'debug' : 'warn', message: warning ?? outcome.reason }
    case 'done':
      return { ...about, volumes, outcome: outcome.did, level: warning === undefined ? 'info' : 'warn', message: outcome.did + also }
    case 'left':
      return { ...about, volumes, outcome: 'left', level: 'error', message: outcome.warning === undefined ? lines.join(' ') + also : lines.join(' ') }
    case 'refused':
      return { ...about, volumes, outcome: 'refused', level: 'warn', message: lines.join(' ') }
  }
}
