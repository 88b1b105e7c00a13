import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { BadConfiguration, readConfiguration } from '../config.ts'
import type { Configuration } from '../core/configuration.ts'
import { type Domain, candidatesOf } from '../core/domain.ts'
import type { LockState, VolumeTable } from '../core/lock-state.ts'
import { type Problem, explain } from '../core/problem.ts'
import { type Change, planUndo } from '../core/start.ts'
import { fullName } from '../core/volume.ts'
import { batchesOf } from '../hook/changes.ts'
import { type HookEvent, isHandled } from '../hook/call.ts'
import { attemptOf } from '../hook/events.ts'
import { heldProblem, messageOf } from '../hook/failures.ts'
import { type Subject, subjectOf } from '../hook/host.ts'
import { decideMigrate } from '../hook/migrate.ts'
import { printable } from '../hook/outcome.ts'
import { decidePrepare } from '../hook/prepare.ts'
import { decideRelease } from '../hook/release.ts'
import { BadXml, LONGEST_XML, parseDomain } from '../libvirt/domain-xml.ts'
import { lvchangeArguments } from '../lvm/lvchange.ts'
import { leaseOf, lockState, volumeTable } from '../lvm/lvm.ts'
import { write } from '../output.ts'
import { readStdin } from '../stdin.ts'

/** One command of a plan, with the reason behind it. */
interface Step {
  readonly command: readonly string[]
  readonly reason: string
}

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
  let preview: Preview
  try {
    preview = await previewOf(event, () => readXml(xmlFile))
  } catch (error) {
    if (!(error instanceof BadXml) && !(error instanceof BadConfiguration) && !(error instanceof Error && 'syscall' in error)) throw error
    const problem: Problem = error instanceof BadConfiguration ? { kind: 'bad-configuration', errors: error.errors } : { kind: 'bad-xml', detail: messageOf(error) }
    const explained = { ...problem, ...explain(problem, event.name, attemptOf(event.operation)) }
    preview = { domain: event.name, uuid: undefined, operation: event.operation, outcome: 'refuse', lockState: 'unknown', steps: [], notes: [], problems: [explained] }
  }
  write(1, json ? `${JSON.stringify(preview, undefined, 2)}\n` : textOf(preview))
  return preview.outcome === 'refuse' ? 1 : 0
}

async function previewOf(event: HookEvent, xml: () => string): Promise<Preview> {
  const { name, operation } = event
  const about = { domain: name, operation, steps: [], problems: [] }
  if (!isHandled(operation)) return { ...about, uuid: undefined, outcome: 'nothing', lockState: 'unknown', notes: [`lvguard does nothing at ${operation}`] }
  const configuration = readConfiguration()
  const domain = parseDomain(xml())
  const locks = await lockState()
  if (locks.kind === 'unknown' && locks.why === 'absent') return withoutLvm(event, domain)
  const { changes, notes, problems } = await PREVIEWS[operation](domain, configuration, locks)
  const conflicts = problems.length > 0 ? [] : await conflictsOf(changes, domain)
  const all = [...problems, ...conflicts].map((problem) => ({ ...problem, ...explain(problem, name, attemptOf(operation)) }))
  return {
    ...about, uuid: domain.uuid, outcome: all.length > 0 ? 'refuse' : changes.length === 0 ? 'nothing' : 'proceed',
    lockState: locks.kind, steps: stepsOf(changes), notes, problems: all,
  }
}

interface Findings {
  readonly changes: readonly Change[]
  readonly notes: readonly string[]
  readonly problems: readonly Problem[]
}

const NO_VOLUMES: Findings = { changes: [], notes: ['the domain uses no volume that lvguard manages'], problems: [] }
const isEmpty = ({ scope }: Subject): boolean => scope.volumes.length === 0 && scope.problems.length === 0

const PREVIEWS: Readonly<Record<'prepare' | 'release' | 'migrate', (domain: Domain, configuration: Configuration, locks: LockState) => Promise<Findings>>> = {
  prepare: async (domain, configuration, locks) => {
    const subject = await subjectOf(domain, configuration, Promise.resolve(locks))
    if (isEmpty(subject)) return NO_VOLUMES
    const { plan, incoming } = await decidePrepare(subject)
    if (plan.kind === 'refuse') return { changes: [], notes: [], problems: plan.problems }
    const settled = plan.changes.length === 0 ? ['every volume is active and locked here already; it stays as it is'] : []
    return { changes: plan.changes, notes: [incoming ? 'the prepare of a migration' : 'a fresh start', ...settled], problems: [] }
  },
  release: async (domain, configuration) => {
    const plan = await decideRelease(domain, configuration)
    if (plan.kind !== 'deactivate') return { changes: [], notes: [plan.reason], problems: [] }
    return { changes: plan.volumes.map(({ vg, lv }) => ({ vg, lv, to: 'inactive', reason: 'the domain has ended' })), notes: [], problems: [] }
  },
  migrate: async (domain, configuration, locks) => {
    const subject = await subjectOf(domain, configuration, Promise.resolve(locks))
    if (isEmpty(subject)) return NO_VOLUMES
    const { plan, facts } = await decideMigrate(subject)
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
async function conflictsOf(changes: readonly Change[], domain: Domain): Promise<Problem[]> {
  const wanted = changes.filter(({ to }) => to === 'exclusive' || to === 'shared')
  const table: VolumeTable | undefined = await volumeTable(wanted.length === 0 ? [] : candidatesOf(domain).volumes)
  const found = await Promise.all(wanted.map(async (change): Promise<Problem[]> => {
    const volume = table?.volumes.get(fullName(change))
    if (volume === undefined) return [{ kind: 'missing-volume', volume: fullName(change), disk: change.reason }]
    const lease = await leaseOf(volume)
    if (lease === undefined) return []
    const held = await heldProblem(fullName(change), table)
    const isInTheWay = held.kind === 'held' && held.holders.some(({ mode }) => mode === 'exclusive' || change.to === 'exclusive')
    return isInTheWay ? [held] : []
  }))
  return found.flat()
}

function withoutLvm({ name, operation }: HookEvent, domain: Domain): Preview {
  const to = operation === 'release' ? 'inactive' : undefined
  const changes = candidatesOf(domain).volumes.map(({ vg, lv, mode, reason }): Change => ({ vg, lv, to: to ?? (operation === 'migrate' ? 'shared' : mode), reason }))
  return {
    domain: name, uuid: domain.uuid, operation, outcome: changes.length === 0 ? 'nothing' : 'proceed', lockState: 'unknown', steps: stepsOf(changes), problems: [],
    notes: ['no lvmlockctl on this machine: the lock state is unknown, and every path of the form of a volume is taken for one'],
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
    if (fstatSync(0).isCharacterDevice() && process.stdin.isTTY) write(2, 'lvguard: reading the domain XML from the terminal; end it with Ctrl-D, or use --xml FILE\n')
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
