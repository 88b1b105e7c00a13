import { POLICY_NAMESPACE } from '../../src/libvirt/policy-xml.ts'
import { hashOf } from './chance.ts'
import { Actor } from './engine.ts'
import type { Host } from './host.ts'

export interface VmDisk {
  /** `VG/LV`. */
  readonly volume: string
  readonly use: 'exclusive' | 'readonly' | 'shareable'
  /** Not what is in `<disk>` says so, but a policy: in the domain's metadata, or in lvguard.conf on all hosts. */
  readonly byPolicy?: 'metadata' | 'configuration'
  /** What a block copy of the first disk writes to (virsh blockcopy). */
  readonly isMirror?: true
  /** A backup job writes to it. No XML of a domain names it: the status file does (libvirt 9.0, 11.3). */
  readonly isBackup?: true
  /** A backing file of the first disk; in their order, from the top down. */
  readonly isBelow?: true
  /** A block job writes to that backing file: from the disk itself, or from the backing file above it. */
  readonly commit?: 'active' | 'middle'
}

/** The first disk, with its backing files. */
export const chainOf = (disks: readonly VmDisk[]): VmDisk[] =>
  disks.filter(({ isBelow }, index) => index === 0 || isBelow)

/** What a disk is where no block job writes to it. */
export const atRest = ({ commit: _, ...disk }: VmDisk): VmDisk =>
  disk.isBelow === true ? { ...disk, use: 'readonly' } : disk

/** A domain as persons define it. */
export class Vm {
  readonly uuid: string
  /** Its definition names its backing files; else only the headers of its images do (FACTS 17). */
  namesBelow = true

  constructor(
    public name: string,
    public disks: readonly VmDisk[],
  ) {
    const hex = [1, 2, 3, 4].map((part) => hashOf(`${name} ${part}`).toString(16).padStart(8, '0')).join('')
    this.uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  /** As libvirt gives it to hooks. @param aliases libvirt has got past `prepare` */
  xml({
    aliases = false,
    metadata = '',
    disks = this.disks,
    namesBelow = this.namesBelow,
  }: {
    readonly aliases?: boolean
    readonly metadata?: string
    readonly disks?: readonly VmDisk[]
    readonly namesBelow?: boolean
  } = {}): string {
    const words = { exclusive: '', readonly: '<readonly/>', shareable: '<shareable/>' } as const
    const others = { exclusive: '<readonly/>', readonly: '', shareable: '' } as const
    const own = disks.filter(({ isMirror, isBelow, isBackup }) => !isMirror && !isBelow && !isBackup)
    const chain = chainOf(disks)
    const below = chain.length > 1
    const copy = disks.find(({ isMirror, commit }) => isMirror || commit === 'active')
    const mirror =
      copy === undefined
        ? ''
        : `      <mirror type='block' job='${copy.isMirror ? 'copy' : 'active-commit'}' ready='yes'>\n        <format type='raw'/>\n        <source dev='/dev/${copy.volume}'/>\n      </mirror>\n`
    const lines = own.map(
      ({ volume, use, byPolicy }, index) =>
        `    <disk type='block' device='disk'>\n${index === 0 && below ? DRIVER : ''}      <source dev='/dev/${volume}'${index === 0 && below ? " index='1'" : ''}/>\n${index === 0 && below && namesBelow ? storesOf(chain) : ''}${index === 0 ? mirror : ''}      <target dev='${targetOf(index)}' bus='virtio'/>${(byPolicy ? others : words)[use]}${aliases ? `\n      <alias name='virtio-disk${index}'/>` : ''}\n    </disk>\n`,
    )
    return `<domain type='kvm'>\n  <name>${this.name}</name>\n  <uuid>${this.uuid}</uuid>\n${withPolicy(metadata, own)}  <devices>\n${lines.join('')}  </devices>\n</domain>\n`
  }
}

const DRIVER = "      <driver name='qemu' type='qcow2'/>\n"

/** `<backingStore>`, one inside the other; the last one is raw, with nothing below. */
const storesOf = (chain: readonly VmDisk[]): string =>
  chain
    .slice(1)
    .reduceRight(
      (inner, disk) =>
        `      <backingStore type='block' index='${chain.indexOf(disk) + 1}'>\n        <format type='${disk === chain.at(-1) ? 'raw' : 'qcow2'}'/>\n        <source dev='/dev/${disk.volume}'/>\n${inner}      </backingStore>\n`,
      '      <backingStore/>\n',
    )

const targetOf = (index: number): string => `vd${String.fromCharCode(97 + index)}`

/** The metadata of a domain, with a policy for those disks that call for one. The live XML carries it along. */
function withPolicy(metadata: string, disks: readonly VmDisk[]): string {
  const lines = disks.flatMap(({ use, byPolicy }, index) =>
    byPolicy !== 'metadata'
      ? []
      : [`<p:disk target='${targetOf(index)}' mode='${use === 'exclusive' ? use : 'shared'}'/>`],
  )
  if (lines.length === 0 || metadata.includes(POLICY_NAMESPACE)) return metadata
  const policy = `<p:policy xmlns:p='${POLICY_NAMESPACE}'>${lines.join('')}</p:policy>`
  return metadata === ''
    ? `  <metadata>${policy}</metadata>\n`
    : metadata.replace('<metadata>', () => `<metadata>${policy}`)
}

/**
 * A QEMU: the memory of a VM, and its CPUs. What it remembers of its disks is how often each had been written when it
 * looked last.
 */
export class Qemu extends Actor {
  cpus: 'running' | 'paused' = 'paused'
  /** By `VG/LV`. */
  memory: Map<string, number>
  /** What it has open. */
  disks: readonly VmDisk[]
  /** Unplugged, and open still. */
  readonly closing = new Set<string>()
  /** What it only reads, and this host held for itself when it began. */
  readonly foundExclusive = new Set<string>()
  /** Of its live XML. */
  metadata = ''
  /** libvirt has killed it: it ends as soon as its I/O does, and nobody has a say in that any more. */
  isKilled = false
  /** Its memory was restored, and its CPUs have not run since: whether lvguard has let it pass without a word. */
  restored: 'without a word' | 'with a warning' | undefined
  /** The XML of its hooks names its backing files: its definition does, or it was restored, or given an overlay. */
  namesBelow: boolean
  /** When. */
  readonly launched: number

  constructor(
    readonly vm: Vm,
    readonly host: Host,
    readonly pid: number,
    memory: Map<string, number>,
  ) {
    super(`QEMU of ${vm.name} on ${host.name}`)
    this.launched = host.engine.now
    this.memory = memory
    this.disks = vm.disks
    this.namesBelow = vm.namesBelow
  }
}
