import { closeSync, openSync } from '../system/files.ts'
import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { type Domain, candidatesOf, idlePolicies, nameOf } from '../core/domain.ts'
import { type LockState, NO_VOLUMES, addressOf, lockOf, suffices } from '../core/lock-state.ts'
import { type Problem, problemOfAbsent } from '../core/problem.ts'
import { explain } from '../core/explain.ts'
import type { Change } from '../core/start.ts'
import { isEmpty } from '../core/scope.ts'
import { type Mode, type VolumeName, fullName } from '../core/volume.ts'
import { batchesOf } from '../acts/changes.ts'
import { type Handled, type HookEvent, isHandled } from '../core/call.ts'
import { unreadable } from '../system/file-words.ts'
import { attemptOf, isNamed, otherDomain, unprotectedWords } from '../acts/events.ts'
import { heldProblem } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import { subjectOf, unvouchedOf } from '../acts/host.ts'
import { withPools } from '../acts/logical-pools.ts'
import { decideMigrate } from '../acts/migrate.ts'
import { printable } from '../core/outcome.ts'
import { decidePrepare } from '../acts/decide-prepare.ts'
import { decideRelease } from '../acts/release.ts'
import { stillHere, withoutPromoted } from '../core/release.ts'
import { givenBackAfterTrial } from '../core/migrate.ts'
import { checkSaved } from '../acts/saved.ts'
import { parseDomain } from '../libvirt/domain-xml.ts'
import { activeVolumes } from '../lvm/devices.ts'
import { lvchangeArguments } from '../lvm/lvchange.ts'
import { leaseOf, lockState, volumeTable, volumesByUuid } from '../lvm/lvm.ts'
import { write } from '../system/output.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { LONGEST_XML, readStdin } from '../system/stdin.ts'
import { self } from '../system/self.ts'
import { findingsOn, mayLook } from '../check/findings.ts'

/** One command of a plan, with the reason behind it. */
interface PlannedCommand {
  readonly command: readonly string[]
  readonly reason: string
}

/** What a hook call would do; `--json` prints just this. */
interface Preview {
  readonly domain: string
  readonly uuid: string | undefined
  readonly operation: string
  /**
   * `unknown`: this host could not be looked at, so that the plan is that of the XML alone, or a lease cannot be read.
   */
  readonly outcome: 'proceed' | 'refuse' | 'nothing' | 'unknown'
  readonly lockState: 'known' | 'unknown'
  readonly steps: readonly PlannedCommand[]
  readonly notes: readonly string[]
  /** What the log of the call would warn of. */
  readonly warnings: readonly string[]
  readonly problems: readonly (Problem & { readonly what: string; readonly advice: string })[]
}

const STATUS: Readonly<Record<Preview['outcome'], number>> = { proceed: 0, nothing: 0, refuse: 1, unknown: 3 }

/**
 * Shows what a hook call would do, on standard output. Writes nothing anywhere, and takes no lock.
 * @returns 0 it would be done; 1 it would be refused; 2 the file cannot be read; 3 this host, or a lease, cannot be
 *   looked at: no all-clear
 */
export async function dryRun(
  event: HookEvent,
  { json, xmlFile }: { json: boolean; xmlFile: string | undefined },
): Promise<number> {
  let xml = ''
  try {
    if (isHandled(event)) xml = readXml(xmlFile)
  } catch (error) {
    write(
      2,
      `lvguard: ${printable(unreadable(xmlFile ?? 'standard input', error))}. The XML of a domain comes from: virsh dumpxml ${printable(quoted(event.name))} > FILE\n`,
    )
    return 2
  }
  const preview = await previewOf(
    event,
    xml,
    xmlFile === undefined || xmlFile === '-' ? 'the domain XML on standard input' : `the domain XML in ${xmlFile}`,
  )
  write(1, json ? `${JSON.stringify(preview, undefined, 2)}\n` : textOf(preview))
  return STATUS[preview.outcome]
}

async function previewOf(event: HookEvent, xml: string, what: string): Promise<Preview> {
  const { name } = event
  const preview = (rest: Partial<Preview>, problems: readonly Problem[] = []): Preview => ({
    domain: name,
    uuid: undefined,
    operation: event.operation,
    outcome: problems.length > 0 ? 'refuse' : 'nothing',
    lockState: 'unknown',
    steps: [],
    notes: [],
    warnings: [],
    problems: problems.map((problem) => ({ ...problem, ...explain(problem, name, attemptOf(event.operation)) })),
    ...rest,
  })
  if (!isHandled(event)) return preview({ notes: [`lvguard does nothing at ${event.operation} ${event.subOperation}`] })
  const { operation } = event
  const parsed = await readConfiguration()
  if ('errors' in parsed && operation !== 'release')
    return preview({}, [{ kind: 'bad-configuration', errors: parsed.errors }])
  const configuration = 'configuration' in parsed ? parsed.configuration : DEFAULTS
  const domain = domainOf(xml, what)
  if ('kind' in domain) return preview({}, [domain])
  if (!isNamed(domain, name) && domain.uuid !== name) return preview({ uuid: domain.uuid }, [otherDomain(domain, name)])
  const warnings = [
    ...('errors' in parsed ? parsed.errors : parsed.mistakes),
    ...(await findingsOn(configuration)),
  ].map((each) => `configuration: ${each}`)
  const { uuid } = domain
  if (!mayLook()) {
    const { changes, notes, problems } = fromXml(
      operation,
      domain,
      configuration,
      'only root can look at the locks of this host',
    )
    const outcome = problems.length > 0 ? 'refuse' : isBare(domain) ? 'nothing' : 'unknown'
    return preview(
      { uuid, outcome, steps: stepsOf(changes), notes, warnings: [...warnings, ...idlePolicies(domain)] },
      problems,
    )
  }
  const locks = await lockState()
  const { changes, notes, problems } = await PREVIEWS[operation](domain, configuration)
  const conflicts = problems.length > 0 ? { problems: [], unread: [] } : await conflictsOf(changes, locks)
  const all = await withPools([...problems, ...conflicts.problems])
  const isTold = conflicts.unread.length === 0
  const outcome = all.length > 0 ? 'refuse' : changes.length === 0 ? 'nothing' : isTold ? 'proceed' : 'unknown'
  const unread = isTold
    ? []
    : [`unknown here whether another host holds ${conflicts.unread.join(', ')}: no lease can be read`]
  const unprotected = operation === 'release' ? [] : await unprotectedWords(await subjectOf(domain, configuration))
  // A plan for another host, on one without LVM.
  const plan = all.some(({ kind }) => kind === 'not-installed')
    ? fromXml(operation, domain, configuration, 'LVM is not installed on this host')
    : { changes, notes: [...unread, ...notes] }
  return preview(
    {
      uuid,
      outcome,
      lockState: locks.kind,
      steps: stepsOf(plan.changes),
      notes: plan.notes,
      warnings: [...warnings, ...new Set(unprotected)],
    },
    all,
  )
}

function domainOf(xml: string, what: string): Domain | Problem {
  try {
    return parseDomain(xml, what)
  } catch (error) {
    return { kind: 'bad-xml', detail: messageOf(error) }
  }
}

/** A domain that has nothing that could be a volume, wherever it is looked at. */
const isBare = ({ disks }: Domain): boolean => disks.every(({ path, pool }) => path === undefined && pool === undefined)

interface Findings {
  readonly changes: readonly Change[]
  readonly notes: readonly string[]
  readonly problems: readonly Problem[]
}

const NOTHING_MANAGED: Findings = {
  changes: [],
  notes: ['the domain uses no volume that lvguard manages'],
  problems: [],
}

const PREVIEWS: Readonly<Record<Handled, (domain: Domain, configuration: Configuration) => Promise<Findings>>> = {
  prepare: async (domain, configuration) => {
    const subject = await subjectOf(domain, configuration)
    const { facts, scope, plan, incoming, warning } = await decidePrepare(subject)
    if (isEmpty(scope)) return NOTHING_MANAGED
    if (plan.kind === 'refuse') return { changes: [], notes: [], problems: plan.problems }
    const lost = await unvouchedOf(plan.recorded, plan.changes, facts.locks)
    if (lost.length > 0) return { changes: [], notes: [], problems: lost }
    const images = subject.candidates.images.filter((image) =>
      scope.volumes.some((volume) => fullName(volume) === fullName(image)),
    )
    const below = images.map(
      (image) => `then the header of ${fullName(image)} is read, and what it names is locked, shared`,
    )
    const unchanged =
      plan.changes.length === 0 ? ['every volume is active and locked here already; it stays as it is'] : []
    return {
      changes: plan.changes,
      notes: [
        incoming ? 'the prepare of a migration' : 'a fresh start',
        ...(warning === undefined ? [] : [warning]),
        ...unchanged,
        ...below,
      ],
      problems: [],
    }
  },
  release: async (domain, configuration) => {
    const decided = await decideRelease(domain, configuration)
    const devices = activeVolumes()
    const plan = withoutPromoted(decided.plan, await lockState(), devices)
    if (plan.kind !== 'deactivate') return { changes: [], notes: [plan.reason], problems: [] }
    return {
      changes: plan.volumes.map((volume) => ({
        vg: volume.vg,
        lv: volume.lv,
        to: 'inactive',
        reason: 'the domain has ended',
        ...addressOf(volume, devices),
      })),
      notes: [],
      problems: [],
    }
  },
  restore: async (domain, { onStaleImage }) => {
    const { problems, warning } = await checkSaved(domain)
    const isLet = onStaleImage === 'alert' && problems.length > 0
    return {
      changes: [],
      notes: [
        ...(warning === undefined ? [] : [warning]),
        ...(isLet ? ['its memory is older than its disk, and on_stale_image lets it be restored'] : []),
      ],
      problems: isLet ? [] : problems,
    }
  },
  migrate: async (domain, configuration) => {
    const { scope, plan, facts, warning } = await decideMigrate(await subjectOf(domain, configuration))
    if (isEmpty(scope)) return NOTHING_MANAGED
    if (plan.kind === 'refuse') return { changes: [], notes: [], problems: plan.problems }
    const isTaken = ({ vg, lv }: VolumeName): boolean =>
      plan.changes.some((change) => change.vg === vg && change.lv === lv)
    const ours = givenBackAfterTrial(plan.recorded, facts, domain.uuid)
    const here = stillHere(ours, facts.locks, facts.devices)
    const undo = ours
      .filter((volume) => isTaken(volume) || here.includes(volume))
      .map(({ vg, lv }): Change => ({ vg, lv, to: 'inactive', reason: '' }))
    const trial = plan.changes.map((change) => ({ ...change, reason: `${change.reason}: on trial` }))
    return {
      // By its names: before the trial it has no device to be known by.
      changes: [
        ...trial,
        ...undo.map((change) => ({
          ...change,
          reason: 'the trial is over; the prepare that follows takes it for good',
        })),
      ],
      notes: [
        ...(warning === undefined ? [] : [warning]),
        `waits up to ${configuration.migrateWait} s until no host holds these volumes exclusively`,
      ],
      problems: [],
    }
  },
}

interface Conflicts {
  readonly problems: readonly Problem[]
  /** Volumes of which nobody here can say who holds them. */
  readonly unread: readonly string[]
}

/**
 * Volumes that another host holds in a way that is in the way of the changes: read from the leases, without a lock. A
 * thin volume's lease is its pool's, a snapshot's its origin's.
 */
async function conflictsOf(changes: readonly Change[], locks: LockState): Promise<Conflicts> {
  const wanted = changes.flatMap((change) =>
    change.to === 'exclusive' || change.to === 'shared' ? [{ change, to: change.to }] : [],
  )
  const table = await volumeTable(wanted.map(({ change }) => change))
  const rows = [...(table?.volumes.values() ?? [])]
  const others = rows.filter(({ uuid, lockUuid }) => uuid !== lockUuid).map(({ lockUuid }) => lockUuid)
  const owners = [...rows, ...((await volumesByUuid(others))?.volumes.values() ?? [])]
  const unread: string[] = []
  const found = await Promise.all(
    wanted.map(async ({ change, to }): Promise<Problem[]> => {
      const name = fullName(change)
      const volume = table?.volumes.get(name)
      if (volume === undefined) return [problemOfAbsent(change, table ?? NO_VOLUMES, change.reason)]
      const isHere = locks.kind === 'known' && suffices(lockOf(locks, volume.lockUuid), to)
      if (volume.lockType === 'none' || isHere) return []
      const owner = owners.find(({ uuid }) => uuid === volume.lockUuid)
      if (owner === undefined || (await leaseOf(owner)) === undefined) {
        unread.push(name)
        return []
      }
      const held = await heldProblem(fullName(owner), { ...NO_VOLUMES, volumes: new Map([[fullName(owner), owner]]) })
      const isInTheWay =
        held.kind === 'held' && held.holders.some(({ mode }) => mode === 'exclusive' || to === 'exclusive')
      return isInTheWay ? [held] : []
    }),
  )
  return { problems: found.flat(), unread }
}

/** The plan of a machine whose state is not known: what the XML and the configuration tell by themselves. */
function fromXml(operation: Handled, domain: Domain, configuration: Configuration, why: string): Findings {
  const to = ({ mode }: { mode: Mode }): Change['to'] =>
    operation === 'release' ? 'inactive' : operation === 'migrate' ? 'shared' : mode
  const { volumes, impossible, problems } = candidatesOf(domain, configuration)
  const isManaged = (vg: string): boolean =>
    configuration.volumeGroups.includes(vg) || volumes.some((volume) => volume.vg === vg)
  const names = impossible
    .filter(({ vg }) => isManaged(vg))
    .map(({ path, disk }): Problem => ({ kind: 'impossible-name', path, disk }))
  const others = impossible
    .filter(({ vg }) => !isManaged(vg))
    .map(
      ({ vg, path, disk }) =>
        `if ${vg} is a volume group it would be refused: no logical volume can have the path '${path}' (${disk})`,
    )
  const unseen = domain.disks
    .filter(({ pool }) => pool !== undefined)
    .map((disk) => `what ${nameOf(disk)} is, in the storage pool ${disk.pool?.name}, is unknown here`)
  return {
    changes: volumes.map((volume): Change => ({ ...volume, to: to(volume) })),
    problems: operation === 'release' ? [] : [...problems, ...names],
    notes: [
      `unknown here whether it would be done: ${why}`,
      'every path of the form of a volume is taken for one; who holds it is not known',
      ...others,
      ...unseen,
    ],
  }
}

const stepsOf = (changes: readonly Change[]): PlannedCommand[] =>
  batchesOf(changes).map(({ to, changes: batch, addresses }) => ({
    command: ['lvchange', ...lvchangeArguments(to, addresses)],
    reason: [...new Set(batch.map(({ reason }) => reason))].join('; '),
  }))

/** Lines that can be pasted into a shell: commands as they are, everything else behind `#`. */
function textOf({ domain, operation, steps, notes, warnings, problems, lockState: known }: Preview): string {
  const lines = [
    `# ${domain}: ${operation}`,
    ...notes.map((note) => `# ${note}`),
    ...warnings.map((warning) => `# warning: ${warning}`),
  ]
  if (known === 'unknown' && problems.length === 0 && notes.length === 0)
    lines.push('# the lock state of this host is unknown')
  lines.push(...steps.map(({ command, reason }) => `${command.map(quoted).join(' ')}    # ${reason}`))
  for (const { what, advice, ...problem } of problems)
    lines.push(
      `# would be refused: ${shortOf(problem) ?? what}`,
      ...(shortOf(problem) === undefined ? [] : [`#   ${what}`]),
      `#   ${advice}`,
    )
  return lines.map((line) => `${printable(line)}\n`).join('')
}

const shortOf = (problem: Problem): string | undefined =>
  problem.kind === 'held' && problem.holders.length > 0
    ? `held by ${problem.holders.map(({ name }) => name).join(', ')}`
    : undefined

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

function readXml(file: string | undefined): string {
  if (file === undefined || file === '-') {
    if (self().isTerminal(0))
      write(2, 'lvguard: reading the domain XML from the terminal; end it with Ctrl-D, or use --xml FILE\n')
    return readStdin(LONGEST_XML)
  }
  const descriptor = openSync(file, 'r')
  try {
    // It may be a pipe: --xml <(virsh dumpxml tintin).
    return readStdin(LONGEST_XML, descriptor)
  } finally {
    closeSync(descriptor)
  }
}
