import { closeSync, openSync, readSync } from 'node:fs'
import { isatty } from 'node:tty'
import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { type Domain, candidatesOf } from '../core/domain.ts'
import { NO_VOLUMES } from '../core/lock-state.ts'
import { type Problem, explain, problemOfAbsent } from '../core/problem.ts'
import { type Change, planUndo } from '../core/start.ts'
import { isEmpty } from '../core/scope.ts'
import { type Mode, fullName } from '../core/volume.ts'
import { batchesOf } from '../hook/changes.ts'
import { type Handled, type HookEvent, isHandled } from '../hook/call.ts'
import { attemptOf } from '../hook/events.ts'
import { heldProblem, messageOf } from '../hook/failures.ts'
import { subjectOf } from '../hook/host.ts'
import { withPools } from '../hook/logical-pools.ts'
import { decideMigrate } from '../hook/migrate.ts'
import { printable } from '../hook/outcome.ts'
import { decidePrepare } from '../hook/prepare.ts'
import { decideRelease } from '../hook/release.ts'
import { checkSaved } from '../hook/saved.ts'
import { parseDomain } from '../libvirt/domain-xml.ts'
import { lvchangeArguments } from '../lvm/lvchange.ts'
import { leaseOf, lockState, volumeTable } from '../lvm/lvm.ts'
import { write } from '../output.ts'
import { onHost } from '../paths.ts'
import { readConfiguration } from '../read-configuration.ts'
import { LONGEST_XML, readStdin } from '../stdin.ts'

/** One command of a plan, with the reason behind it. */
interface Step {
  readonly command: readonly string[]
  readonly reason: string
}

/** Records, leases and device-mapper are root's; below LVGUARD_ROOT they are the test's. */
const MAY_LOOK = process.getuid?.() === 0 || onHost('') !== ''

/** What a hook call would do; `--json` prints just this. */
interface Preview {
  readonly domain: string
  readonly uuid: string | undefined
  readonly operation: string
  readonly outcome: 'proceed' | 'refuse' | 'nothing'
  /** `unknown` on a machine without lvmlockd: then the plan is made from the XML alone. */
  readonly lockState: 'known' | 'unknown'
  readonly steps: readonly Step[]
  readonly notes: readonly string[]
  readonly problems: readonly (Problem & { readonly what: string; readonly advice: string })[]
}

/** Shows what a hook call would do, on standard output. Writes nothing anywhere, and takes no lock. */
export async function dryRun(event: HookEvent, { json, xmlFile }: { json: boolean; xmlFile: string | undefined }): Promise<number> {
  const preview = await previewOf(event, () => readXml(xmlFile))
  write(1, json ? `${JSON.stringify(preview, undefined, 2)}\n` : textOf(preview))
  return preview.outcome === 'refuse' ? 1 : 0
}

async function previewOf(event: HookEvent, readXml: () => string): Promise<Preview> {
  const { name } = event
  const preview = (rest: Partial<Preview>, problems: readonly Problem[] = []): Preview => ({
    domain: name, uuid: undefined, operation: event.operation, outcome: problems.length > 0 ? 'refuse' : 'nothing', lockState: 'unknown', steps: [], notes: [],
    problems: problems.map((problem) => ({ ...problem, ...explain(problem, name, attemptOf(event.operation)) })), ...rest,
  })
  if (!isHandled(event)) return preview({ notes: [`lvguard does nothing at ${event.operation} ${event.subOperation}`] })
  const { operation } = event
  const parsed = await readConfiguration()
  if ('errors' in parsed && operation !== 'release') return preview({}, [{ kind: 'bad-configuration', errors: parsed.errors }])
  const domain = domainOf(readXml)
  if ('kind' in domain) return preview({}, [domain])
  if (!MAY_LOOK) return preview(fromXml(operation, domain, 'only root can read the lock state of this host'))
  const locks = await lockState()
  if (locks.kind === 'unknown' && locks.why === 'absent') return preview(fromXml(operation, domain, 'no lvmlockctl on this machine'))
  const { changes, notes, problems } = await PREVIEWS[operation](domain, 'configuration' in parsed ? parsed.configuration : DEFAULTS)
  const conflicts = problems.length > 0 ? [] : await conflictsOf(changes)
  const all = await withPools([...problems, ...conflicts])
  const outcome = all.length > 0 ? 'refuse' : changes.length === 0 ? 'nothing' : 'proceed'
  return preview({ uuid: domain.uuid, outcome, lockState: locks.kind, steps: stepsOf(changes), notes }, all)
}

function domainOf(readXml: () => string): Domain | Problem {
  try {
    return parseDomain(readXml())
  } catch (error) {
    return { kind: 'bad-xml', detail: messageOf(error) }
  }
}

interface Findings {
  readonly changes: readonly Change[]
  readonly notes: readonly string[]
  readonly problems: readonly Problem[]
}

const NOTHING_MANAGED: Findings = { changes: [], notes: ['the domain uses no volume that lvguard manages'], problems: [] }

const PREVIEWS: Readonly<Record<Handled, (domain: Domain, configuration: Configuration) => Promise<Findings>>> = {
  prepare: async (domain, configuration) => {
    const subject = await subjectOf(domain, configuration)
    const { scope, plan, incoming } = await decidePrepare(subject)
    if (isEmpty(scope)) return NOTHING_MANAGED
    if (plan.kind === 'refuse') return { changes: [], notes: [], problems: plan.problems }
    const images = subject.candidates.images.filter((image) => scope.volumes.some((volume) => fullName(volume) === fullName(image)))
    const below = images.map((image) => `then the header of ${fullName(image)} is read, and what it names is locked, shared`)
    const settled = plan.changes.length === 0 ? ['every volume is active and locked here already; it stays as it is'] : []
    return { changes: plan.changes, notes: [incoming ? 'the prepare of a migration' : 'a fresh start', ...settled, ...below], problems: [] }
  },
  release: async (domain, configuration) => {
    const plan = await decideRelease(domain, configuration)
    if (plan.kind !== 'deactivate') return { changes: [], notes: [plan.reason], problems: [] }
    return { changes: plan.volumes.map(({ vg, lv }) => ({ vg, lv, to: 'inactive', reason: 'the domain has ended' })), notes: [], problems: [] }
  },
  restore: async (domain, { onStaleImage }) => {
    const { problems, warning } = await checkSaved(domain)
    const isLet = onStaleImage === 'alert' && problems.length > 0
    return { changes: [], notes: [...(warning === undefined ? [] : [warning]), ...(isLet ? ['its memory is older than its disk, and on_stale_image lets it be restored'] : [])], problems: isLet ? [] : problems }
  },
  migrate: async (domain, configuration) => {
    const { scope, plan, facts } = await decideMigrate(await subjectOf(domain, configuration))
    if (isEmpty(scope)) return NOTHING_MANAGED
    if (plan.kind === 'refuse') return { changes: [], notes: [], problems: plan.problems }
    const undo = planUndo(plan.changes, (name) => facts.table.volumes.get(fullName(name)), facts, { ...facts, locks: { kind: 'unknown', why: 'failed', detail: '' } })
    const trial = plan.changes.map((change) => ({ ...change, reason: `${change.reason}: on trial` }))
    return {
      changes: [...trial, ...undo.map((change) => ({ ...change, reason: 'the trial is over; the prepare that follows takes it for good' }))],
      notes: [`waits up to ${configuration.migrateWait} s until no host holds these volumes exclusively`], problems: [],
    }
  },
}

/** Volumes that another host holds in a way that is in the way of the changes: read from the leases, without a lock. */
async function conflictsOf(changes: readonly Change[]): Promise<Problem[]> {
  const wanted = changes.filter(({ to }) => to === 'exclusive' || to === 'shared')
  const table = await volumeTable(wanted)
  const found = await Promise.all(wanted.map(async (change): Promise<Problem[]> => {
    const volume = table?.volumes.get(fullName(change))
    if (volume === undefined) return [problemOfAbsent(change, table ?? NO_VOLUMES, change.reason)]
    const lease = await leaseOf(volume)
    if (lease === undefined) return []
    const held = await heldProblem(fullName(change), table)
    const isInTheWay = held.kind === 'held' && held.holders.some(({ mode }) => mode === 'exclusive' || change.to === 'exclusive')
    return isInTheWay ? [held] : []
  }))
  return found.flat()
}

/** The plan of a machine whose state is not known. */
function fromXml(operation: Handled, domain: Domain, why: string): Partial<Preview> {
  const to = ({ mode }: { mode: Mode }): Change['to'] => (operation === 'release' ? 'inactive' : operation === 'migrate' ? 'shared' : mode)
  const changes = candidatesOf(domain, DEFAULTS).volumes.map((volume): Change => ({ ...volume, to: to(volume) }))
  return {
    uuid: domain.uuid, outcome: changes.length === 0 ? 'nothing' : 'proceed', steps: stepsOf(changes),
    notes: [`${why}: the lock state is unknown, and every path of the form of a volume is taken for one`],
  }
}

const stepsOf = (changes: readonly Change[]): Step[] => batchesOf(changes).map(({ to, changes: batch }) => ({
  command: ['lvchange', ...lvchangeArguments(to, batch)],
  reason: [...new Set(batch.map(({ reason }) => reason))].join('; '),
}))

/** Lines that can be pasted into a shell: commands as they are, everything else behind `#`. */
function textOf({ domain, operation, steps, notes, problems, lockState: known }: Preview): string {
  const lines = [`# ${domain}: ${operation}`, ...notes.map((note) => `# ${note}`)]
  if (known === 'unknown' && problems.length === 0 && notes.length === 0) lines.push('# the lock state of this host is unknown')
  lines.push(...steps.map(({ command, reason }) => `${command.map(quoted).join(' ')}    # ${reason}`))
  for (const { what, advice, ...problem } of problems) lines.push(`# would be refused: ${shortOf(problem) ?? what}`, ...(shortOf(problem) === undefined ? [] : [`#   ${what}`]), `#   ${advice}`)
  return lines.map((line) => `${printable(line)}\n`).join('')
}

const shortOf = (problem: Problem): string | undefined =>
  problem.kind === 'held' && problem.holders.length > 0 ? `held by ${problem.holders.map(({ name }) => name).join(', ')}` : undefined

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

function readXml(file: string | undefined): string {
  if (file === undefined) {
    if (isatty(0)) write(2, 'lvguard: reading the domain XML from the terminal; end it with Ctrl-D, or use --xml FILE\n')
    return readStdin(LONGEST_XML)
  }
  const descriptor = openSync(file, 'r')
  try {
    const buffer = Buffer.alloc(LONGEST_XML + 1)
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, buffer.length, 0))
  } finally {
    closeSync(descriptor)
  }
}
