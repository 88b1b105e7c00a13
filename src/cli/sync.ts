import { join } from 'node:path'
import { type Named, domainsIn } from '../core/evacuate.ts'
import { isHostName } from '../core/host-name.ts'
import { type Known, type Status, known, unknown } from '../core/status.ts'
import { statusOf } from '../core/status-of.ts'
import { differences, linesOfDefinition, newerSide } from '../core/sync.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { query } from '../system/run.ts'
import { write } from '../system/output.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import { makeRunFolder } from '../state/record-store.ts'
import { rmSync, writeFileSync } from '../system/files.ts'
import { self } from '../system/self.ts'
import { readLine } from './confirm-off.ts'
import { mayLook } from '../check/findings.ts'
import { PATIENT_WORLD, look } from '../check/look.ts'

/** All the effects of sync. */
export interface SyncWorld {
  status(): Promise<Status>
  /** The domains that are defined there. @param host undefined: this one */
  defined(host?: string): Promise<Known<readonly Named[]>>
  /** The inactive XML, with its secrets. */
  xml(uuid: string, host?: string): Promise<Known<string>>
  /** @returns undefined if it is defined there now, else why not */
  define(xml: string, host: string): Promise<string | undefined>
  /** A question to a person; no answer is no. */
  ask(question: string): boolean
  say(line: string): void
}

/** What a person has asked for. */
export interface SyncCall {
  readonly to: string
  /** Names or UUIDs; none: all. */
  readonly vms: readonly string[]
  readonly dryRun: boolean
  /** Without a question; but never over a definition that is the newer one. */
  readonly yes: boolean
}

/**
 * `lvguard sync --to HOST`: what is defined here is defined there. Never undefines anything.
 * @returns 0: all are the same now (a dry run: are the same); 1: some are not; 2: `to` is no name of a host
 */
export async function sync({ to, vms, dryRun, yes }: SyncCall, world: SyncWorld = REAL): Promise<number> {
  if (!mayLook()) return refuse(world, 'only root can define VMs: run it with sudo')
  if (!isHostName(to)) return refuse(world, `${to} is no name of a host`, 2)
  const [here, there, status] = await Promise.all([world.defined(), world.defined(to), world.status()])
  for (const side of [here, there]) if (side.kind === 'unknown') return refuse(world, side.why)
  if (here.kind === 'unknown' || there.kind === 'unknown') return 1
  const wanted = here.value.filter(({ name, uuid }) => vms.length === 0 || vms.includes(name) || vms.includes(uuid))
  const strangers = vms.filter((word) => !wanted.some(({ name, uuid }) => name === word || uuid === word))
  for (const word of strangers) world.say(`${word} is not defined here`)
  let left = strangers.length
  let same = 0
  for (const vm of wanted) {
    const became = await syncOne(vm, there.value, status, { to, dryRun, yes }, world)
    if (became === 'same') same++
    else if (became === 'left') left++
  }
  world.say(
    `${same} of ${wanted.length} ${dryRun ? 'are' : 'were'} the same on ${to}${left === 0 ? '' : `; ${left} ${left === 1 ? 'is' : 'are'} not`}`,
  )
  return left === 0 ? 0 : 1
}

function refuse(world: SyncWorld, why: string, status = 1): number {
  world.say(`${why}; nothing was changed`)
  return status
}

async function syncOne(
  vm: Named,
  there: readonly Named[],
  status: Status,
  { to, dryRun, yes }: Pick<SyncCall, 'to' | 'dryRun' | 'yes'>,
  world: SyncWorld,
): Promise<'same' | 'defined' | 'left'> {
  const left = (why: string): 'left' => {
    world.say(`${vm.name}: ${why}`)
    return 'left'
  }
  const [byName, byUuid] = [there.find(({ name }) => name === vm.name), there.find(({ uuid }) => uuid === vm.uuid)]
  if (byName !== undefined && byName.uuid !== vm.uuid)
    return left(`${to} has another VM of that name (${byName.uuid}): rename one of them`)
  if (byUuid !== undefined && byUuid.name !== vm.name) return left(`${to} calls it ${byUuid.name}: virsh domrename`)
  const own = await world.xml(vm.uuid)
  if (own.kind === 'unknown') return left(own.why)
  if (byUuid === undefined) {
    world.say(`${vm.name}: not defined on ${to}`)
    if (dryRun) return 'left'
    if (!yes && !world.ask(`Define ${vm.name} on ${to}? [y/N] `)) return left('left as it is')
  } else {
    const other = await world.xml(vm.uuid, to)
    if (other.kind === 'unknown') return left(other.why)
    const changed = differences(linesOfDefinition(other.value), linesOfDefinition(own.value))
    if (changed.length === 0) return 'same'
    const newer = newerSide(status, vm.name, to)
    const words = {
      here: 'this host holds its volumes, so that its definition here is the newer one',
      there: `${to} holds its volumes, so that its definition there is the newer one`,
      unknown: 'neither host holds its volumes: which definition is the newer one is for you to say',
    }[newer]
    world.say(`${vm.name}: ${words}. On ${to} this would change:`)
    for (const line of changed) world.say(line)
    if (dryRun) return 'left'
    if (yes && newer === 'there') return left(`left as it is; to take over what ${to} has, type lvguard sync there`)
    if (!yes && !world.ask(`Define ${vm.name} on ${to} as it is here? [y/N] `)) return left('left as it is')
  }
  const why = await world.define(own.value, to)
  if (why !== undefined) return left(`was not defined on ${to}: ${why}`)
  world.say(`${vm.name}: defined on ${to}`)
  return 'defined'
}

/** Milliseconds for an answer of another host. */
const ANSWER = 60_000
const connect = (host: string | undefined): string[] => [
  '--connect',
  host === undefined ? 'qemu:///system' : `qemu+ssh://${host}/system`,
]
const lastLine = (text: string): string => (text.trim().split('\n').at(-1) ?? '').replace(/^error: /, '')

const REAL: SyncWorld = {
  status: async () => statusOf(await look(PATIENT_WORLD)),
  defined: async (host) => {
    const { exitCode, stdout, stderr, isAbsent } = await query(
      'virsh',
      [...connect(host), 'list', '--all', '--persistent', '--uuid', '--name'],
      ANSWER,
    )
    if (exitCode === 0) return known(domainsIn(stdout))
    return unknown(
      isAbsent
        ? 'virsh was not found: apt install libvirt-clients'
        : `libvirt${host === undefined ? '' : ` on ${host}`} does not answer (${lastLine(stderr)})`,
    )
  },
  xml: async (uuid, host) => {
    const { exitCode, stdout, stderr } = await query(
      'virsh',
      [...connect(host), 'dumpxml', '--inactive', '--security-info', uuid],
      ANSWER,
    )
    return exitCode === 0
      ? known(stdout)
      : unknown(`its definition${host === undefined ? '' : ` on ${host}`} cannot be read (${lastLine(stderr)})`)
  },
  define: async (xml, host) => {
    // For root alone: it has secrets.
    const file = join(RUN_FOLDER, `.sync-${self().pid}.xml`)
    try {
      makeRunFolder()
      writeFileSync(file, xml, { mode: 0o600 })
      const { exitCode, stderr } = await query('virsh', [...connect(host), 'define', '--file', file], ANSWER)
      return exitCode === 0 ? undefined : lastLine(stderr) || `virsh exited with ${exitCode ?? 'a signal'}`
    } catch (error) {
      return messageOf(error)
    } finally {
      rmSync(file, { force: true })
    }
  },
  ask: (question) => {
    write(2, printable(question))
    return /^y(?:es)?$/i.test(readLine())
  },
  say: (line) => write(1, `${printable(line)}\n`),
}
