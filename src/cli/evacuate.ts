import { join } from 'node:path'
import { date, monotonic, pause } from '../system/clock.ts'
import {
  type Destination,
  type Evacuated,
  type Named,
  domainsIn,
  hostsToGoTo,
  planEvacuation,
  progressIn,
} from '../core/evacuate.ts'
import { isHostName } from '../core/host-name.ts'
import { type Known, type Status, type StatusFacts, known, unknown } from '../core/status.ts'
import { statusOf } from '../core/status-of.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { query } from '../system/run.ts'
import { write } from '../system/output.ts'
import { STATUS_FOLDER, onHost } from '../system/paths.ts'
import { textOf } from '../system/quiet-files.ts'
import { mkdirSync, renameSync, writeFileSync } from '../system/files.ts'
import { mayLook } from '../check/findings.ts'
import { PATIENT_WORLD, look } from '../check/look.ts'

/** All the effects of evacuate and return. */
export interface EvacuateWorld {
  status(): Promise<StatusFacts>
  /** The live XML of a VM of this host. */
  xml(name: string): string | undefined
  /** What another host says of itself. */
  destination(host: string): Promise<Known<Destination>>
  /** The VMs that run on another host. */
  running(host: string): Promise<Known<readonly Named[]>>
  /**
   * Migrates a VM live.
   * @param from,to undefined: this host
   * @returns undefined if it is there now, else why not
   */
  migrate(uuid: string, from: string | undefined, to: string | undefined): Promise<string | undefined>
  /** Per cent; undefined while it is not known. */
  progress(uuid: string, from: string | undefined): Promise<number | undefined>
  remembered(): readonly Evacuated[]
  /** @throws what the file system throws */
  remember(all: readonly Evacuated[]): void
  /** Seconds. */
  now(): number
  /** ISO 8601. */
  at(): string
  pause(milliseconds: number): Promise<void>
  say(line: string): void
}

/** What a person has asked for. */
export interface EvacuateCall {
  /** Names or UUIDs; none: all. */
  readonly vms: readonly string[]
  readonly to: string | undefined
  /** How many migrate at once. */
  readonly parallel: number
  readonly dryRun: boolean
}

/** Milliseconds between two looks at the progress. */
const LOOK = 2000
/** Per cent from one line to the next. */
const STEP = 25

/**
 * `lvguard evacuate`: looks at every VM first, says what stays and why, migrates the others live, and remembers them.
 * @returns 0: all have gone; 1: some have not, which the list at the end names, or nothing was migrated; 2: `to`
 *   is no name of a host; 3: this host cannot be looked at
 */
export async function evacuate(
  { vms, to, parallel, dryRun }: EvacuateCall,
  world: EvacuateWorld = REAL,
): Promise<number> {
  if (!mayLook()) return refuse(world, 'only root can migrate VMs: run it with sudo')
  const facts = await world.status()
  const status = statusOf(facts)
  if (facts.table.kind === 'unknown') return refuse(world, `the volumes cannot be told: ${facts.table.why}`, 3)
  if (status.vms.length === 0 && facts.active.unreadable.length === 0) {
    world.say('no VM runs here')
    return 0
  }
  const hosts = hostsToGoTo(status)
  const host = to ?? (hosts.length === 1 ? hosts[0] : undefined)
  if (host === undefined)
    return refuse(
      world,
      hosts.length === 0
        ? 'no other host is seen alive on the volume groups of these VMs: lvguard status'
        : `several hosts are alive: --to ${hosts.join(', or --to ')}`,
    )
  if (!isHostName(host)) return refuse(world, `${host} is no name of a host`, 2)
  const xml = new Map(
    status.vms.flatMap(({ name, uuid }) => {
      const text = world.xml(name)
      return text === undefined ? [] : [[uuid, text] as const]
    }),
  )
  const { goes, stays } = planEvacuation(
    { status, rows: facts.table.value, xml, destination: await world.destination(host) },
    vms,
  )
  for (const { name, why } of stays) world.say(`${name} stays: ${why}`)
  for (const file of facts.active.unreadable) world.say(`a VM may stay: ${file} cannot be read`)
  if (dryRun) {
    for (const { name } of goes) world.say(`${name} would migrate to ${host}`)
    return stays.length + facts.active.unreadable.length === 0 ? 0 : 1
  }
  const failed = await moveAll(
    goes,
    parallel,
    world,
    (vm) => move(vm, undefined, host, world),
    (vm) => {
      world.remember([
        ...world.remembered().filter(({ uuid }) => uuid !== vm.uuid),
        { ...vm, to: host, at: world.at() },
      ])
    },
  )
  return tellEnd(world, goes.length - failed.length, host, [...stays, ...failed], facts.active.unreadable.length)
}

/**
 * `lvguard return`: fetches what evacuate has sent away, from wherever evacuate has sent it.
 * @returns 0: all of them are here; 1: some are not, or nothing was migrated
 */
export async function returnVms(
  { vms, parallel, dryRun }: Omit<EvacuateCall, 'to'>,
  world: EvacuateWorld = REAL,
): Promise<number> {
  if (!mayLook()) return refuse(world, 'only root can migrate VMs: run it with sudo')
  const all = world.remembered()
  const wanted = all.filter(({ name, uuid }) => vms.length === 0 || vms.includes(name) || vms.includes(uuid))
  const strangers = vms.filter((word) => !all.some(({ name, uuid }) => name === word || uuid === word))
  for (const word of strangers) world.say(`${word} was not evacuated from here`)
  if (wanted.length === 0) {
    if (strangers.length === 0) world.say('nothing was evacuated from here')
    return strangers.length === 0 ? 0 : 1
  }
  const facts = await world.status()
  const status = statusOf(facts)
  if (status.agent !== 'runs')
    return refuse(world, 'no agent runs on this host, so that no VM is let in: systemctl start lvguard')
  const off = status.vgs.filter(({ locking }) => locking !== 'started')
  if (off.length > 0)
    return refuse(world, `the locking of ${off.map(({ vg }) => vg).join(', ')} is not started here yet`)
  const running = new Map(
    await Promise.all(
      [...new Set(wanted.map(({ to }) => to))].map(async (host) => [host, await world.running(host)] as const),
    ),
  )
  const isHere = (uuid: string): boolean => facts.active.found.some((each) => each.uuid === uuid)
  const forget = (uuid: string): void => world.remember(world.remembered().filter((each) => each.uuid !== uuid))
  const goes: Evacuated[] = []
  const stays: { name: string; why: string }[] = []
  for (const vm of wanted) {
    const there = running.get(vm.to)
    if (isHere(vm.uuid)) {
      world.say(`${vm.name} runs here already`)
      if (!dryRun) forget(vm.uuid)
    } else if (there?.kind !== 'known') stays.push({ name: vm.name, why: there?.why ?? `${vm.to} does not answer` })
    else if (!there.value.some(({ uuid }) => uuid === vm.uuid))
      stays.push({ name: vm.name, why: `it does not run on ${vm.to} any more` })
    else goes.push(vm)
  }
  for (const { name, why } of stays) world.say(`${name} stays away: ${why}`)
  if (dryRun) {
    for (const { name, to } of goes) world.say(`${name} would come back from ${to}`)
    return stays.length + strangers.length === 0 ? 0 : 1
  }
  const failed = await moveAll(
    goes,
    parallel,
    world,
    (vm) => move(vm, vm.to, undefined, world),
    ({ uuid }) => forget(uuid),
  )
  return tellEnd(world, goes.length - failed.length, undefined, [...stays, ...failed], strangers.length)
}

function refuse(world: EvacuateWorld, why: string, status = 1): number {
  world.say(`${why}; nothing was migrated`)
  return status
}

function tellEnd(
  world: EvacuateWorld,
  moved: number,
  host: string | undefined,
  left: readonly { readonly name: string; readonly why: string }[],
  others: number,
): number {
  const where = host === undefined ? 'back here' : `on ${host}`
  world.say(
    `${moved} ${moved === 1 ? 'VM is' : 'VMs are'} ${where}${left.length === 0 ? '' : `, ${left.length} ${left.length === 1 ? 'is' : 'are'} not:`}`,
  )
  for (const { name, why } of left) world.say(`  ${name}: ${why}`)
  return left.length + others === 0 ? 0 : 1
}

type Failed = Named & { readonly why: string }

/** Migrates `parallel` VMs at a time. If one fails, the others go on. @returns those that have failed */
async function moveAll<T extends Named>(
  vms: readonly T[],
  parallel: number,
  world: EvacuateWorld,
  act: (vm: T) => Promise<string | undefined>,
  done: (vm: T) => void,
): Promise<Failed[]> {
  const waiting = [...vms]
  const failed: Failed[] = []
  const worker = async (): Promise<void> => {
    for (let vm = waiting.shift(); vm !== undefined; vm = waiting.shift()) {
      const why = await act(vm)
      if (why !== undefined) {
        failed.push({ name: vm.name, uuid: vm.uuid, why })
        continue
      }
      try {
        done(vm)
      } catch (error) {
        world.say(`${vm.name} has gone, and that cannot be remembered (${messageOf(error)})`)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, parallel) }, worker))
  return failed
}

async function move(
  vm: Named,
  from: string | undefined,
  to: string | undefined,
  world: EvacuateWorld,
): Promise<string | undefined> {
  const where = to === undefined ? `from ${from}` : `to ${to}`
  world.say(`${vm.name}: migrates ${where}`)
  const begin = world.now()
  let isOver = false
  const migration = world.migrate(vm.uuid, from, to).finally(() => {
    isOver = true
  })
  const watch = async (): Promise<void> => {
    for (let said = 0; !isOver; ) {
      await Promise.race([migration.catch(() => undefined), world.pause(LOOK)])
      const now = isOver ? undefined : await world.progress(vm.uuid, from)
      if (now === undefined || now < said + STEP) continue
      said = now - (now % STEP)
      if (!isOver) world.say(`${vm.name}: ${now} %`)
    }
  }
  const [why] = await Promise.all([migration.catch(messageOf), watch()])
  const seconds = Math.round(world.now() - begin)
  world.say(
    why === undefined
      ? `${vm.name}: runs ${to === undefined ? 'here' : `on ${to}`} (${seconds} s)`
      : `${vm.name}: failed after ${seconds} s: ${why}`,
  )
  return why
}

/** Milliseconds: libvirt itself sets a migration no end. */
const LONGEST = 24 * 3600 * 1000
/** Milliseconds for an answer of another host. */
const ANSWER = 30_000
const MEMORY_FOLDER = onHost('/var/lib/lvguard')
const MEMORY = join(MEMORY_FOLDER, 'evacuated.json')

const uriOf = (host: string | undefined): string =>
  host === undefined ? 'qemu:///system' : `qemu+ssh://${host}/system`
/** Never a question on the terminal. */
const SSH = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10'] as const

const lastLine = (text: string): string => (text.trim().split('\n').at(-1) ?? '').replace(/^error: /, '')

/** The commands of root on both hosts: virsh and ssh, as in README, The hosts know each other. */
const REAL: EvacuateWorld = {
  status: () => look(PATIENT_WORLD),
  xml: (name) => (name.includes('/') ? undefined : textOf(join(STATUS_FOLDER, `${name}.xml`))),
  destination: async (host) => {
    const [said, list] = await Promise.all([
      query('ssh', [...SSH, '--', host, 'lvguard', 'status', '--json'], ANSWER),
      query('virsh', ['--connect', uriOf(host), 'list', '--all', '--uuid', '--name'], ANSWER),
    ])
    if (list.exitCode !== 0) return unknown(`libvirt on ${host} does not answer (${lastLine(list.stderr)})`)
    try {
      const { format, agent, vgs } = JSON.parse(said.stdout) as Status
      if (format !== 1 || !Array.isArray(vgs)) return unknown(`lvguard on ${host} is of another version`)
      return known({
        host,
        agent,
        locking: new Map(vgs.map(({ vg, locking }) => [vg, locking])),
        domains: domainsIn(list.stdout),
      })
    } catch {
      return unknown(`lvguard on ${host} does not answer (${lastLine(said.stderr)})`)
    }
  },
  running: async (host) => {
    const { exitCode, stdout, stderr } = await query(
      'virsh',
      ['--connect', uriOf(host), 'list', '--uuid', '--name'],
      ANSWER,
    )
    return exitCode === 0
      ? known(domainsIn(stdout))
      : unknown(`libvirt on ${host} does not answer (${lastLine(stderr)})`)
  },
  migrate: async (uuid, from, to) => {
    const { exitCode, stderr, timedOut } = await query(
      'virsh',
      ['--connect', uriOf(from), 'migrate', '--live', '--persistent', uuid, uriOf(to)],
      LONGEST,
    )
    return exitCode === 0
      ? undefined
      : timedOut
        ? 'it did not end within a day'
        : lastLine(stderr) || `virsh exited with ${exitCode ?? 'a signal'}`
  },
  progress: async (uuid, from) =>
    progressIn((await query('virsh', ['--connect', uriOf(from), 'domjobinfo', uuid], ANSWER)).stdout),
  remembered: () => {
    try {
      const { format, vms } = JSON.parse(textOf(MEMORY) ?? '') as { format: number; vms: readonly Evacuated[] }
      return format === 1 && Array.isArray(vms)
        ? vms.filter(
            ({ name, uuid, to }) => [name, uuid, to].every((word) => typeof word === 'string') && isHostName(to),
          )
        : []
    } catch {
      return []
    }
  },
  remember: (vms) => {
    mkdirSync(MEMORY_FOLDER, { recursive: true, mode: 0o700 })
    writeFileSync(`${MEMORY}.new`, `${JSON.stringify({ format: 1, vms })}\n`, { mode: 0o600 })
    renameSync(`${MEMORY}.new`, MEMORY)
  },
  now: monotonic,
  at: () => date().toISOString(),
  pause,
  say: (line) => write(1, `${printable(line)}\n`),
}
