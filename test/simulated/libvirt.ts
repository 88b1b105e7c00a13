import type { DomainStatus } from '../../src/core/reconcile.ts'
import type { Vm } from '../scenarios/vm.ts'
import type { Result } from '../ring.ts'
import type { SimulatedHost } from './host.ts'

const DAEMON = 700
const QEMU = 4711

const DONE: Result = { code: 0, stdout: '', stderr: '' }

/**
 * What libvirt leaves in files on a host: its daemon's PID file, and a status file for each domain that is active
 * (FACTS 13).
 */
export class Libvirt {
  readonly #host: SimulatedHost
  /** What virsh was asked to do, such as `suspend tintin`. */
  readonly asked: string[] = []

  constructor(host: SimulatedHost) {
    this.#host = host
  }

  startDaemon(): void {
    this.#host.root.write('/run/libvirtd.pid', `${DAEMON}\n`)
    this.#host.root.write(`/proc/${DAEMON}/comm`, 'libvirtd\n')
  }

  killDaemon(): void {
    this.#host.root.write(`/proc/${DAEMON}`, undefined)
  }

  /** The domain is active, in this state; QEMU runs unless `pid` is 0. @param inside what stands before the domain */
  put(vm: Vm, changed: Partial<DomainStatus> = {}, inside = ''): void {
    const { state, reason, pid, async, phase, flags } = {
      state: 'running',
      reason: 'booted',
      pid: QEMU,
      async: 'none',
      phase: undefined,
      flags: 0,
      ...changed,
    }
    const job =
      async === 'none'
        ? ''
        : `  <job type='none' async='${async}'${phase === undefined ? '' : ` phase='${phase}'`} flags='0x${(flags ?? 0).toString(16)}'/>\n`
    if (pid !== 0) this.#host.root.write(`/proc/${pid}/comm`, 'qemu-system-x86\n')
    this.#host.root.write(
      `/run/libvirt/qemu/${vm.name}.xml`,
      `<domstatus state='${state}' reason='${reason}' pid='${pid}'>\n${job}${inside}${vm.xml({ aliases: true })}</domstatus>\n`,
    )
  }

  out(vm: Vm, phase: string | undefined, changed: Partial<DomainStatus> = {}): void {
    this.put(vm, { async: 'migration out', phase, flags: phase === undefined ? 0 : 0x109, ...changed })
  }

  remove(vm: Vm): void {
    this.#host.root.write(`/run/libvirt/qemu/${vm.name}.xml`, undefined)
  }

  /** A libvirt that does what virsh asks: pauses and resumes the domain. */
  answerVirsh(vm: Vm): void {
    this.#host.faults.answer('virsh', ({ words }) => {
      const [, , command = ''] = words
      this.asked.push(`${command} ${words[3] === vm.uuid ? vm.name : words[3]}`)
      if (command === 'suspend') this.put(vm, { state: 'paused', reason: 'user' })
      if (command === 'resume') this.put(vm, { reason: 'unpaused' })
      return DONE
    })
  }
}
