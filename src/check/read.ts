import { basename, join } from 'node:path'
import { agentState } from '../state/agent-presence.ts'
import { findingsOn } from './findings.ts'
import { PATIENT_WORLD, type StatusWorld, look } from './look.ts'
import { date, uptime } from '../system/clock.ts'
import { type CheckFacts, UNITS } from '../core/check/facts.ts'
import type { SavedImage } from '../core/saved-image.ts'
import { type Known, type ListedDomain, known, unknown } from '../core/status.ts'
import { statusOf } from '../core/status-of.ts'
import { type Domain, candidatesOf } from '../core/domain.ts'
import { type VolumeName, fullName, mapperName } from '../core/volume.ts'
import { messageOf } from '../system/error-message.ts'
import { parseDomainStatus } from '../libvirt/domain-status.ts'
import { POLICY_NAMESPACE } from '../libvirt/policy-xml.ts'
import { type CommandResult, query } from '../system/run.ts'
import { inKnownForm } from '../lvm/words.ts'
import {
  BLOCK_FOLDER,
  DEFINITION_FOLDER,
  POOL_DEFINITION_FOLDER,
  POOL_STATE_FOLDER,
  PROC_FOLDER,
  SAVED_FOLDER,
  STATUS_FOLDER,
  onHost,
} from '../system/paths.ts'
import { processOf } from '../system/processes.ts'
import { namesIn, textOf, trimmedTextOf } from '../system/quiet-files.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { managedSave, readSavedImage } from '../state/saved-images.ts'
import { readlinkSync, statIfAny } from '../system/files.ts'
import { self } from '../system/self.ts'
import { hookFile, putAt } from './hook-file.ts'

// All the effects of `lvguard check`, each a thin look: what it means is decided in src/core/check. None takes a lock,
// each has a time limit.

declare const LVGUARD_VERSION: string
declare const LVGUARD_SOURCES: string
/** What build.mjs writes into the head of the program; of sources that were not built there is none. */
export const OWN_BUILD =
  typeof LVGUARD_SOURCES === 'undefined' ? undefined : `${LVGUARD_VERSION}, sources ${LVGUARD_SOURCES}`

/** On Debian, and where libvirt itself puts it. */
const GUESTS_SCRIPTS = ['/usr/lib/libvirt/libvirt-guests.sh', '/usr/libexec/libvirt-guests.sh'] as const

/** Milliseconds for one answer: nobody waits, and a late answer is better than an unknown one. */
const LIMIT = 30_000

/** Reads all that `lvguard check` looks at on this host. What cannot be read is `unknown`. */
export async function readFacts(world: StatusWorld = PATIENT_WORLD): Promise<CheckFacts> {
  const seen = look(world)
  const others = Promise.all([
    told('lvmconfig', [
      '--typeconfig',
      'full',
      'global/use_lvmlockd',
      'global/lvmlockctl_kill_command',
      'devices/scan_lvs',
      'local/host_id',
    ]),
    told('systemctl', ['show', '-p', 'Id,LoadState,UnitFileState,ActiveState,After', ...UNITS]),
    told('systemctl', ['show', '-p', 'RuntimeWatchdogUSec']),
    told(
      'pvs',
      inKnownForm(['--nolocking', '--reportformat', 'json', '-a', '-o', 'pv_name,vg_name,pv_duplicate,pv_missing']),
    ),
    told(
      'lvs',
      inKnownForm([
        '--nolocking',
        '--reportformat',
        'json',
        '-o',
        'vg_name,lv_name,vg_lock_type,vg_autoactivation,lv_autoactivation,lv_lockargs,lv_layout,lv_role',
      ]),
    ),
    multipath(),
    addresses(),
    unattended(),
    denied(),
    configuration(),
  ])
  const status = await seen
  const [lvmconfig, units, manager, pvs, lvs, maps, leadsTo, apt, kernel, ofConfiguration] = await others
  const resources = status.drbd.kind === 'known' ? [...new Set(status.drbd.value.map(({ resource }) => resource))] : []
  const [renewal, dumps] = await Promise.all([
    each([...status.ownIds.keys()], (vg) => told('sanlock', ['client', 'renewal', '-s', `lvm_${vg}`])),
    each(resources, (resource) => told('drbdadm', ['dump', resource])),
  ])
  const processes = namesIn(PROC_FOLDER).filter((name) => /^\d+$/.test(name))
  return {
    status,
    table: statusOf(status),
    absent: absent(status.defined),
    lvmconfig,
    renewal,
    units,
    manager,
    wdmd: processes.some((pid) => commOf(pid) === 'wdmd'),
    watchdogs: watchdogs(processes),
    pvs,
    lvs,
    pools: pools(),
    multipath: maps,
    paths: paths(),
    drbdDumps: dumps,
    hook: hookFile(OWN_BUILD),
    isAgentOlder: isAgentOlder(),
    configuration: ofConfiguration,
    leftAlone: leftAlone(ofConfiguration.policy),
    definitions: xmlFiles(DEFINITION_FOLDER),
    hostname: self().hostname(),
    addresses: leadsTo,
    libvirtGuests: textOf(onHost('/etc/default/libvirt-guests')) ?? textOf(onHost('/etc/sysconfig/libvirt-guests')),
    libvirtGuestsScript: GUESTS_SCRIPTS.map((file) => textOf(onHost(file))).find((text) => text !== undefined),
    needrestart: needrestart(),
    unattended: apt,
    denied: kernel,
    saved: saved(),
  }
}

/** What a command says; unknown where it fails. An lvm command may fail because of one row, and report all others. */
async function told(command: string, words: readonly string[]): Promise<Known<string>> {
  const outcome = await query(command, words, LIMIT)
  return outcome.exitCode === 0 || (outcome.stdout.trimStart().startsWith('{') && !outcome.timedOut)
    ? known(outcome.stdout)
    : unknown(whyNot(command, outcome))
}

const whyNot = (command: string, { isAbsent, timedOut, stderr, exitCode }: CommandResult): string =>
  isAbsent
    ? `${command} was not found`
    : timedOut
      ? `${command} does not answer within ${LIMIT / 1000} s`
      : `${command} says '${stderr.trim().split('\n')[0] || `exit status ${exitCode ?? 'of a signal'}`}'`

const each = async (
  names: readonly string[],
  ask: (name: string) => Promise<Known<string>>,
): Promise<ReadonlyMap<string, Known<string>>> =>
  new Map(await Promise.all(names.map(async (name): Promise<[string, Known<string>]> => [name, await ask(name)])))

const commOf = (pid: string): string => trimmedTextOf(join(PROC_FOLDER, pid, 'comm')) ?? ''

const linkOf = (path: string): string | undefined => {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function watchdogs(processes: readonly string[]): CheckFacts['watchdogs'] {
  const devices = namesIn(onHost('/sys/class/watchdog')).sort()
  if (devices.length === 0) return []
  const users = new Map<string, Set<string>>()
  for (const pid of processes) {
    const folder = join(PROC_FOLDER, pid, 'fd')
    for (const descriptor of namesIn(folder)) {
      const target = /^\/dev\/(watchdog\d*)$/.exec(linkOf(join(folder, descriptor)) ?? '')?.[1]
      // /dev/watchdog is the first one (Documentation/watchdog/watchdog-kernel-api.rst).
      const device = target === 'watchdog' ? 'watchdog0' : target
      if (device !== undefined) users.set(device, (users.get(device) ?? new Set()).add(commOf(pid)))
    }
  }
  return devices.map((device) => ({
    device,
    identity: trimmedTextOf(onHost(`/sys/class/watchdog/${device}/identity`)) ?? '',
    users: [...(users.get(device) ?? [])],
  }))
}

/** The XML files of a folder, by name without its ending. */
export const xmlFiles = (folder: string): { name: string; xml: string }[] =>
  namesIn(folder)
    .filter((name) => name.endsWith('.xml'))
    .sort()
    .flatMap((file) => {
      const xml = textOf(join(folder, file))
      return xml === undefined ? [] : [{ name: basename(file, '.xml'), xml }]
    })

function pools(): CheckFacts['pools'] {
  const started = new Set(namesIn(join(POOL_DEFINITION_FOLDER, 'autostart')))
  const [defined, running] = [xmlFiles(POOL_DEFINITION_FOLDER), xmlFiles(POOL_STATE_FOLDER)]
  const all = [...defined, ...running.filter(({ name }) => !defined.some((other) => other.name === name))]
  return all
    .filter(({ xml }) => /<pool\s[^>]*type=['"]logical['"]/.test(xml))
    .map(({ name, xml }) => ({
      name,
      vg: /<source>[\s\S]*?<name>([^<]+)<\/name>[\s\S]*?<\/source>/.exec(xml)?.[1]?.trim() ?? name,
      isAutostarted: started.has(`${name}.xml`),
      isRunning: running.some((other) => other.name === name),
    }))
}

function absent(defined: readonly ListedDomain[]): CheckFacts['absent'] {
  const isThere = (volume: VolumeName): boolean =>
    [`/dev/${volume.vg}`, `/dev/mapper/${mapperName(volume)}`].some((path) => statIfAny(onHost(path)) !== undefined)
  const vms = new Map<string, string[]>()
  for (const { name, volumes } of defined)
    for (const vg of new Set(volumes.filter((each) => !isThere(each)).map((each) => each.vg)))
      vms.set(vg, [...(vms.get(vg) ?? []), name])
  return vms
}

async function multipath(): Promise<Known<string>> {
  const hasMaps = namesIn(BLOCK_FOLDER).some(
    (node) => trimmedTextOf(join(BLOCK_FOLDER, node, 'dm/uuid'))?.startsWith('mpath-') === true,
  )
  return hasMaps ? told('multipathd', ['show', 'maps', 'raw', 'format', '%n %Q']) : known('')
}

function paths(): CheckFacts['paths'] {
  const numbers = (folder: string, file: string, kind: 'iSCSI' | 'FC'): CheckFacts['paths'] =>
    namesIn(onHost(folder))
      .sort()
      .flatMap((name) => {
        const text = trimmedTextOf(join(onHost(folder), name, file))
        if (text === undefined) return []
        const seconds = Number(text)
        return [{ name, kind, giveUp: Number.isInteger(seconds) && seconds >= 0 ? seconds : undefined }]
      })
  return [
    ...numbers('/sys/class/iscsi_session', 'recovery_tmo', 'iSCSI'),
    ...numbers('/sys/class/fc_remote_ports', 'fast_io_fail_tmo', 'FC'),
  ]
}

/** Clock ticks in a second, as /proc counts (USER_HZ, proc(5)). */
const TICKS = 100
/** Seconds: both clocks are rounded. */
const ROUNDING = 3

function isAgentOlder(): boolean {
  const agent = agentState()
  const put = putAt(OWN_BUILD)
  const start = agent.kind === 'absent' ? undefined : processOf(agent.pid)?.start
  if (put === undefined || start === undefined) return false
  const since = uptime() - Number(start) / TICKS
  return (date().getTime() - put) / 1000 < since - ROUNDING
}

async function addresses(): Promise<Known<readonly string[]>> {
  const outcome = await query('getent', ['ahosts', self().hostname()], LIMIT)
  // 2: it was not found (getent(1)). What does not answer may be there.
  if (outcome.exitCode === 2) return known([])
  if (outcome.exitCode !== 0) return unknown(whyNot('getent', outcome))
  return known([...new Set(outcome.stdout.split('\n').flatMap((line) => line.split(/\s+/)[0] || []))])
}

function needrestart(): string | undefined {
  if (statIfAny(onHost('/usr/sbin/needrestart')) === undefined) return undefined
  const folder = onHost('/etc/needrestart/conf.d')
  return [
    onHost('/etc/needrestart/needrestart.conf'),
    ...namesIn(folder)
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(folder, name)),
  ]
    .map((file) => textOf(file) ?? '')
    .join('\n')
}

async function unattended(): Promise<Known<string> | undefined> {
  if (statIfAny(onHost('/usr/bin/unattended-upgrade')) === undefined) return undefined
  const outcome = await query('apt-config', ['dump'], LIMIT)
  return outcome.exitCode === 0 ? known(outcome.stdout) : unknown(whyNot('apt-config', outcome))
}

async function denied(): Promise<Known<string>> {
  const outcome = await query(
    'journalctl',
    ['-k', '-b', '-o', 'cat', '--no-pager', '-q', '-n', '200', '-g', 'apparmor="DENIED"|avc:.*denied'],
    LIMIT,
  )
  // 1: nothing found.
  return outcome.exitCode === 0 || (outcome.exitCode === 1 && outcome.stderr.trim() === '')
    ? known(outcome.stdout)
    : unknown(whyNot('journalctl', outcome))
}

async function configuration(): Promise<CheckFacts['configuration'] & { readonly policy: readonly string[] }> {
  const parsed = await readConfiguration()
  if ('errors' in parsed) return { errors: parsed.errors, mistakes: [], warnings: [], volumeGroups: [], policy: [] }
  return {
    errors: [],
    mistakes: parsed.mistakes,
    warnings: await findingsOn(parsed.configuration),
    volumeGroups: parsed.configuration.volumeGroups,
    policy: parsed.configuration.policy,
  }
}

/**
 * The volumes that a domain names and that are not locked only because of a policy. If a status file cannot be parsed,
 * nothing is known of its domain; LVG408 tells of it.
 */
function leftAlone(policy: readonly string[]): ReadonlyMap<string, ReadonlySet<string>> {
  const named = (domain: Domain, entries: readonly string[]): string[] =>
    candidatesOf(domain, { volumeGroups: [], policy: entries }).volumes.map(fullName)
  return new Map(
    xmlFiles(STATUS_FOLDER).flatMap(({ xml }): [string, ReadonlySet<string>][] => {
      // Parsing all of them takes most of a second.
      if (policy.length === 0 && !xml.includes(POLICY_NAMESPACE)) return []
      try {
        const { domain } = parseDomainStatus(xml)
        const { policy: _, ...plain } = domain
        const locked = new Set(named(domain, policy))
        return [[domain.uuid, new Set(named(plain, []).filter((volume) => !locked.has(volume)))]]
      } catch {
        return []
      }
    }),
  )
}

function saved(): Known<readonly SavedImage[]> {
  const uuids = namesIn(SAVED_FOLDER).flatMap((name) => /^([0-9a-f-]{36})\.json$/.exec(name)?.[1] ?? [])
  try {
    const images = uuids.flatMap((uuid) => readSavedImage(uuid) ?? [])
    return known(images.filter(({ domain }) => managedSave(domain) === 'noted'))
  } catch (error) {
    return unknown(messageOf(error))
  }
}
