import type { Line } from '../core/agent-words.ts'
import type { DomainName } from '../core/domain-name.ts'
import type { SanlockAnswer } from '../core/lease.ts'
import type { InFlight, MapperDevice, ProcessFacts, RunningDomain } from '../core/cut-off.ts'
import type { Records } from '../core/record.ts'
import type { ProcessIdentity } from '../system/processes.ts'
import type { Mark } from './mark.ts'

/** libvirt's status files: the domains that they name, and the files that cannot be read or understood. */
export interface Domains {
  readonly running: readonly RunningDomain[]
  readonly unreadable: readonly string[]
}

/**
 * All that a kill knows of this host, and all that it does to it. Nothing of it waits for a disk, for LVM or for
 * libvirt: /proc, /sys, /run, and device-mapper.
 */
export interface KillWorld {
  /** Seconds of the monotonic clock, which is sanlock's. */
  now(): number
  sleep(seconds: number): Promise<void>
  readonly self: ProcessIdentity
  /** Whether that very process lives. */
  lives(process: ProcessIdentity): boolean
  ask(): Promise<SanlockAnswer>
  records(): Records
  /**
   * @param known domains that may have no status file that can be read: QEMU's own pid file names their processes too
   */
  domains(known: readonly DomainName[]): Domains
  /** Undefined if there is no process of that number. */
  processAt(pid: number): ProcessFacts | undefined
  /**
   * Whether a process is the QEMU of a domain; undefined where that cannot be read. A yes is remembered: to read the
   * command line of a process may mean to wait for its memory.
   */
  isQemu(process: ProcessIdentity, uuid: string): boolean | undefined
  /** The block devices that a process has open, and all that they stand on, by the kernel's names. */
  openDevices(pid: number): readonly string[]
  /** SIGKILL. @throws what the kernel says */
  kill(pid: number): void
  /** All of device-mapper's. */
  devices(): readonly MapperDevice[]
  inFlightOf(disk: string): InFlight | undefined
  /** The live table of each device, by its name; undefined if dmsetup does not answer in time. */
  tables(): Promise<ReadonlyMap<string, readonly string[]> | undefined>
  /**
   * Replaces the table of a device by one that fails all I/O. Ends when the I/O in flight has ended, however long that
   * takes. While it waits, the device is suspended, and no new I/O gets through. If it were ended early, the I/O that
   * waits would go on to the disk.
   * @returns whether it was done
   */
  wipe(name: string): Promise<boolean>
  readMark(vg: string): Mark | undefined
  /** @throws what the file system throws */
  writeMark(mark: Mark): void
  say(line: Line): void
  /** Resets this host, at once: nothing is synced, nobody is asked. Says so on the console first. */
  reset(why: string): void
}

/** What `recover` needs beside that. Its looks may wait: nothing runs on the VG. */
export interface RecoverWorld extends KillWorld {
  /**
   * Whether the kernel has a disk or partition of this name: one that was taken away (iSCSI log-out, dev_loss_tmo) does
   * not come back as itself.
   */
  hasDisk(disk: string): boolean
  /** Whether a disk, or a device of device-mapper, by the kernel's name, lets itself be read. */
  answers(disk: string): Promise<boolean>
  /** How often each device is open, by its UUID; undefined if dmsetup does not answer. */
  openCounts(): Promise<ReadonlyMap<string, number> | undefined>
  /** @returns undefined if it was done, else why not */
  remove(device: string): Promise<string | undefined>
  /**
   * The lock manager with which lvmlockd lists a VG (`sanlock`, `dlm`); undefined if it does not, or does not answer in
   * a few seconds.
   */
  lockManagerOf(vg: string): Promise<string | undefined>
  /** The UUIDs of the LVs that lvmlockd lists as locked here; undefined if it does not answer in a few seconds. */
  locked(): Promise<readonly string[] | undefined>
  /**
   * `lvmlockctl --drop`: lvmlockd gives up its locks of a VG whose lease was lost.
   * @returns undefined if it was done, else why not
   */
  drop(vg: string): Promise<string | undefined>
  /** `vgchange --lock-start`. @returns undefined if the locking is started, else why not */
  startLocking(vg: string): Promise<string | undefined>
  /** Who holds a volume now, in words. */
  holderOf(volume: string): Promise<string>
  removeMark(vg: string): void
}
