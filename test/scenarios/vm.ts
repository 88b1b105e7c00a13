import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { processOf } from '../../src/system/processes.ts'
import type { Host, Lock, Result } from '../ring.ts'

/**
 * A disk of a VM in a scenario: of type block with a path, or a volume of a storage pool, with what stands inside
 * `<disk>` beside it.
 */
export type ScenarioDisk = ({ readonly path: string } | { readonly pool: string; readonly volume: string }) & {
  readonly inside?: string
}

/** A VM whose life a scenario plays, as libvirt would call the hook for it. */
export class Vm {
  readonly uuid: string

  constructor(
    readonly name: string,
    readonly disks: readonly ScenarioDisk[],
  ) {
    const hash = createHash('sha256').update(name).digest('hex')
    this.uuid = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`
  }

  /**
   * The XML of `prepare` and `migrate`; with `aliases` that of `release`, as of a domain that got past its `prepare`.
   */
  xml({ aliases = false, metadata = '' }: { aliases?: boolean; metadata?: string } = {}): string {
    const sourceOf = (disk: ScenarioDisk): string =>
      'path' in disk ? `dev='${disk.path}'` : `pool='${disk.pool}' volume='${disk.volume}'`
    const disk = (each: ScenarioDisk, index: number): string =>
      `    <disk type='${'path' in each ? 'block' : 'volume'}' device='disk'>\n      <source ${sourceOf(each)}/>\n      <target dev='vd${String.fromCharCode(97 + index)}' bus='virtio'/>${each.inside ?? ''}${
        aliases ? `\n      <alias name='virtio-disk${index}'/>` : ''
      }\n    </disk>\n`
    return `<domain type='qemu'>\n  <name>${this.name}</name>\n  <uuid>${this.uuid}</uuid>\n${metadata}  <devices>\n${this.disks.map(disk).join('')}  </devices>\n</domain>\n`
  }

  prepare(host: Host, xml = this.xml()): Promise<Result> {
    return host.hook({ name: this.name, operation: 'prepare', xml })
  }

  /** @param reason why it has ended, in libvirt's word (FACTS 11) */
  release(host: Host, reason = '-'): Promise<Result> {
    return host.hook({ name: this.name, operation: 'release', extra: reason, xml: this.xml({ aliases: true }) })
  }

  /** What libvirt calls before the `prepare` of a saved memory. */
  restore(host: Host): Promise<Result> {
    return host.hook({ name: this.name, operation: 'restore', xml: this.xml() })
  }

  /** What libvirt calls after a `prepare` that failed: the XML has no aliases yet. */
  releaseRefused(host: Host): Promise<Result> {
    return host.hook({ name: this.name, operation: 'release', xml: this.xml() })
  }

  /** On a host where an agent runs, or seems to. */
  async migrate(host: Host, xml = this.xml()): Promise<Result> {
    await announceAgent(host)
    return host.hook({ name: this.name, operation: 'migrate', xml })
  }
}

/**
 * What an agent leaves on its host, in the name of this very process: a scenario in which none has to act needs none.
 */
export async function announceAgent(host: Host): Promise<void> {
  if ((await host.read('/run/lvguard/agent')) === undefined)
    await host.write('/run/lvguard/agent', `${process.pid} ${processOf(process.pid)?.start}\n`)
}

/** A VM with one disk on the volume of the same name. */
export const vmOn = (volumeGroup: string, name: string): Vm => new Vm(name, [{ path: `/dev/${volumeGroup}/${name}` }])

/** The hook let libvirt go on, and said nothing that would land in virsh's error. */
export function assertPassed({ code, stdout, stderr }: Result): void {
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout)
}

/** The hook refused, in two lines that match these. */
export function assertRefused({ code, stderr }: Result, what: RegExp, advice: RegExp = /./): void {
  assert.equal(code, 1, stderr)
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines.length, 2, stderr)
  assert.match(lines[0] ?? '', what)
  assert.match(lines[1] ?? '', advice)
}

/** What lvmlockd of both hosts holds on a volume. */
export async function assertLocks(
  hosts: readonly [Host, Host],
  volume: string,
  expected: readonly [Lock, Lock],
): Promise<void> {
  assert.deepEqual([await hosts[0].lock(volume), await hosts[1].lock(volume)], expected, `locks of ${volume}`)
}
