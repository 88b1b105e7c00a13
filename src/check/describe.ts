import { join } from 'node:path'
import { PATIENT_WORLD, look } from './look.ts'
import { date } from '../system/clock.ts'
import type { ComparedVg, ComparedVm, HostDescription } from '../core/check/compare.ts'
import { settingsIn } from '../core/check/facts.ts'
import type { Configuration } from '../core/configuration.ts'
import type { StatusFacts } from '../core/status.ts'
import { statusOf } from '../core/status-of.ts'
import { linesOfDefinition } from '../core/sync.ts'
import { meaningOfPath } from '../core/volume.ts'
import { query } from '../system/run.ts'
import { DEFINITION_FOLDER, POOL_DEFINITION_FOLDER, POOL_STATE_FOLDER, PROC_FOLDER, onHost } from '../system/paths.ts'
import { namesIn, textOf } from '../system/quiet-files.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { OWN_BUILD, xmlFiles } from './read.ts'

declare const LVGUARD_VERSION: string

/** Milliseconds for one answer. */
const LIMIT = 60_000

/** Settings of lvm.conf that should be the same on all hosts of a shared volume group. */
const LVM_SETTINGS = [
  'global/use_lvmlockd',
  'global/lvmlockctl_kill_command',
  'global/lvmlockd_lock_retries',
  'global/sanlock_lv_extend',
  'devices/scan_lvs',
] as const

/** Settings of lvguard.conf that belong to one host alone. */
const OF_ONE_HOST: readonly (keyof Configuration)[] = ['fenceCommand', 'fenceDelay', 'mute', 'logLevel', 'logFile']

/** What this host says of itself to another one. Takes no lock; each question has a time limit. */
export async function describeHost(): Promise<HostDescription> {
  const [facts, versions, lvm, configuration] = await Promise.all([
    look(PATIENT_WORLD),
    versionsHere(),
    said('lvmconfig', ['--typeconfig', 'full', ...LVM_SETTINGS]),
    configurationHere(),
  ])
  const vgs = vgsOf(facts)
  return {
    format: 1,
    host: facts.host,
    versions,
    configuration,
    lvm: lvm === null ? null : Object.fromEntries(settingsIn(lvm)),
    hasWatchdog: facts.sanlock.kind === 'known' ? (facts.sanlock.value.hasWatchdog ?? null) : null,
    vgs,
    vms: await vmsOf(new Set(vgs.map(({ vg }) => vg))),
    links: namesIn(onHost('/sys/class/net')).sort(),
    networks: xmlFiles(onHost('/run/libvirt/network')).map(({ name }) => name),
    pools: Object.fromEntries(
      [...xmlFiles(POOL_STATE_FOLDER), ...xmlFiles(POOL_DEFINITION_FOLDER)].map(({ name, xml }) => [name, poolIn(xml)]),
    ),
    cpu: processor(),
    // The clock is read last, because it is compared with the moment at which the answer comes.
    time: date().getTime() / 1000,
  }
}

async function said(command: string, words: readonly string[]): Promise<string | null> {
  const { exitCode, stdout } = await query(command, words, LIMIT)
  return exitCode === 0 ? stdout : null
}

async function versionsHere(): Promise<HostDescription['versions']> {
  const [virsh, lvm, sanlock] = await Promise.all([
    said('virsh', ['--connect', 'qemu:///system', 'version', '--daemon']),
    said('lvm', ['version']),
    said('sanlock', ['version']),
  ])
  const first = (text: string | null, pattern: RegExp): string | null => pattern.exec(text ?? '')?.[1] ?? null
  return {
    lvguard: OWN_BUILD ?? LVGUARD_VERSION,
    libvirt: first(virsh, /^Running against daemon: (\S+)/m),
    QEMU: first(virsh, /^Running hypervisor: QEMU (\S+)/m),
    lvm2: first(lvm, /^\s*LVM version:\s+(\S+)/m),
    sanlock: first(sanlock, /^(?:.*\s)?(\d+\.\S+)/),
  }
}

async function configurationHere(): Promise<HostDescription['configuration']> {
  const parsed = await readConfiguration()
  if ('errors' in parsed) return null
  return Object.fromEntries(
    Object.entries(parsed.configuration)
      .filter(([field]) => !OF_ONE_HOST.some((each) => each === field))
      // By the name of its key in the file.
      .map(([field, value]) => [
        field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        JSON.stringify(value),
      ]),
  )
}

function vgsOf(facts: StatusFacts): ComparedVg[] {
  const rows = facts.table.kind === 'known' ? facts.table.value : []
  const lockspaces = facts.sanlock.kind === 'known' ? facts.sanlock.value.lockspaces : []
  return statusOf(facts).vgs.map(({ vg, locking, hostId }) => ({
    vg,
    uuid: rows.find((row) => row.vg === vg)?.vgUuid ?? '',
    locking,
    hostId: hostId ?? null,
    ioTimeout: lockspaces.find((each) => each.vg === vg)?.ioTimeout ?? null,
  }))
}

/** Of VMs that name a volume of a shared VG: others do not go to another host. */
async function vmsOf(shared: ReadonlySet<string>): Promise<ComparedVm[]> {
  const { createHash } = await import('node:crypto')
  const isShared = (path: string): boolean => {
    const meaning = meaningOfPath(path)
    return meaning.kind === 'volume' && shared.has(meaning.vg)
  }
  return xmlFiles(DEFINITION_FOLDER)
    .filter(({ xml }) => all(xml, /['">](\/dev\/[^'"<>]+)['"<]/g).some(isShared))
    .map(({ name, xml }) => ({
      name,
      uuid: /<uuid>([^<]+)<\/uuid>/.exec(xml)?.[1]?.trim() ?? '',
      digest: createHash('sha256').update(linesOfDefinition(xml).join('\n')).digest('hex'),
      links: interfaces(xml, /\s(?:bridge|dev)=['"]([^'"]+)['"]/),
      networks: interfaces(xml, /\snetwork=['"]([^'"]+)['"]/),
      pools: all(xml, /<source\s[^>]*pool=['"]([^'"]+)['"]/g),
      cpu: /<cpu\s[^>]*mode=['"](host-passthrough|host-model|maximum)['"]/.exec(xml)?.[1] ?? '',
    }))
}

const all = (text: string, pattern: RegExp): string[] => [
  ...new Set([...text.matchAll(pattern)].map(([, word = '']) => word)),
]

/** What the sources of its interfaces name. */
const interfaces = (xml: string, pattern: RegExp): string[] => [
  ...new Set(
    [...xml.matchAll(/<interface\s[\s\S]*?<\/interface>/g)].flatMap(
      ([element]) => pattern.exec(/<source\s[^>]*>/.exec(element)?.[0] ?? '')?.[1] ?? [],
    ),
  ),
]

/** `dir /var/lib/libvirt/images`: its type, what it is made of, and where it is seen. */
function poolIn(xml: string): string {
  const source = /<source>([\s\S]*?)<\/source>/.exec(xml)?.[1] ?? ''
  const words = [
    /<pool\s[^>]*type=['"]([^'"]+)['"]/.exec(xml)?.[1],
    /<host\s[^>]*name=['"]([^'"]+)['"]/.exec(source)?.[1],
    /<dir\s[^>]*path=['"]([^'"]+)['"]/.exec(source)?.[1],
    /<name>([^<]+)<\/name>/.exec(source)?.[1],
    /<target>[\s\S]*?<path>([^<]+)<\/path>/.exec(xml)?.[1],
  ]
  return words.filter((word) => word !== undefined).join(' ')
}

/** The model of the processor and its flags: `flags` on x86, `Features` on Arm (proc(5)). */
function processor(): HostDescription['cpu'] {
  const text = textOf(join(PROC_FOLDER, 'cpuinfo')) ?? ''
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]
  if (flags === undefined) return null
  return {
    model: /^(?:model name|CPU part)\s*:\s*(.*)$/m.exec(text)?.[1]?.trim() ?? 'a processor without a name',
    flags: flags.split(/\s+/).filter((flag) => flag !== ''),
  }
}
