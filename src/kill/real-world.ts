import { join } from 'node:path'
import { monotonic, pause } from '../system/clock.ts'
import type { Line } from '../core/agent-words.ts'
import { type InFlight, type MapperDevice, isQemuOf } from '../core/cut-off.ts'
import { holdersInWords } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { runningDomains } from '../libvirt/running.ts'
import { openCountArguments, parseOpenCounts } from '../lvm/devices.ts'
import { dropLocks, lockState } from '../lvm/lvm.ts'
import { change, outlive, query, waiting } from '../system/run.ts'
import { devicesBelow } from '../lvm/stacks.ts'
import { BLOCK_FOLDER, onHost } from '../system/paths.ts'
import { type ProcessIdentity, lives, processOf } from '../system/processes.ts'
import { namesIn, trimmedTextOf } from '../system/quiet-files.ts'
import { readRecords } from '../state/record-store.ts'
import { askSanlock } from '../sanlock/ask.ts'
import { TO_WRITE_AT_ONCE, closeSync, existsSync, openSync, writeFileSync, writeSync } from '../system/files.ts'
import { self as thisProcess } from '../system/self.ts'
import { lockVgs } from '../state/vg-lock.ts'
import { within } from '../system/within.ts'
import { readMark, removeMark, writeMark } from './mark.ts'
import { commandOf, openBlockDevices, processAt } from './proc.ts'
import type { RecoverWorld } from './world.ts'

/** Milliseconds for an answer of sanlock, which takes 5, and of dmsetup. */
const ASK_LIMIT = 4000
/** Milliseconds for one sector of a disk. */
const READ_LIMIT = 5000
/** Seconds for sanlock to join a lockspace: 20 s to 3 min (FACTS 28). */
const JOIN_LIMIT = 240
/** Seconds for which `recover` waits for an act of this host that is at work on the VG. */
const LOCK_WAIT = 30

/** This host as it is. @param say where a line of the kill goes */
export function realWorld(say: (line: Line) => void): RecoverWorld {
  const { pid: ownPid, kill } = thisProcess()
  const self = processOf(ownPid) ?? { pid: ownPid, start: '' }
  /** The UUIDs in the command lines of QEMUs that were looked at, by process. They do not change. */
  const qemus = new Map<string, string>()
  const reading = new Set<string>()
  return {
    self,
    lives,
    processAt,
    readMark,
    writeMark,
    removeMark,
    say,
    now: monotonic,
    sleep: (seconds) => pause(seconds * 1000),
    ask: askSanlock,
    records: readRecords,
    domains: runningDomains,
    isQemu: (process: ProcessIdentity, uuid) => {
      const key = `${process.pid} ${process.start}`
      if (qemus.get(key) === uuid) return true
      const command = commandOf(process.pid)
      // The start is read after the words. If another process has the number by now, its start is another one.
      if (command === undefined || processAt(process.pid)?.start !== process.start) return undefined
      const isIt = isQemuOf(uuid, command.words, command.exe)
      if (isIt) qemus.set(key, uuid)
      return isIt
    },
    openDevices: (pid) => withSlaves(openBlockDevices(pid)),
    kill: (pid) => {
      // 0 and below are groups of processes.
      if (pid > 1) kill(pid)
    },
    devices: mapperDevices,
    inFlightOf,
    tables: async () => {
      // A dmsetup that cannot even be killed is not waited for: a kill has to end.
      const answer = await within(ASK_LIMIT, query('dmsetup', ['table'], ASK_LIMIT))
      return answer?.exitCode === 0 ? parseTables(answer.stdout) : undefined
    },
    wipe,
    reset,
    hasDisk: (disk) => existsSync(join(onHost('/sys/class/block'), disk)),
    answers: async (disk) => {
      // The dd of an earlier look still hangs on it.
      if (reading.has(disk)) return false
      reading.add(disk)
      const path = onHost(`/dev/${disk.replaceAll('!', '/')}`)
      const ended = waiting(
        'dd',
        [`if=${path}`, 'of=/dev/null', 'bs=4096', 'count=1', 'iflag=direct'],
        [],
      ).ended.finally(() => reading.delete(disk))
      return (await within(READ_LIMIT, ended))?.exitCode === 0
    },
    openCounts: async () => {
      const { exitCode, stdout } = await query('dmsetup', openCountArguments, ASK_LIMIT)
      return exitCode === 0 ? parseOpenCounts(stdout) : undefined
    },
    remove: async (device) => wordsOf('dmsetup', await query('dmsetup', ['remove', '--', device])),
    lockManagerOf: async (vg) => {
      const state = await lockState(ASK_LIMIT)
      return state.kind === 'known' ? state.lockspaces.get(vg) : undefined
    },
    locked: async () => {
      const state = await lockState(ASK_LIMIT)
      return state.kind === 'known' ? [...state.locks.keys()] : undefined
    },
    drop: dropLocks,
    startLocking,
    holderOf: holdersInWords,
  }
}

function mapperDevices(): MapperDevice[] {
  return namesIn(BLOCK_FOLDER)
    .filter((node) => node.startsWith('dm-'))
    .flatMap((node): MapperDevice[] => {
      const folder = join(BLOCK_FOLDER, node)
      const [name, uuid] = [trimmedTextOf(join(folder, 'dm/name')), trimmedTextOf(join(folder, 'dm/uuid'))]
      if (name === undefined || uuid === undefined) return []
      return [
        {
          node,
          name,
          uuid,
          slaves: namesIn(join(folder, 'slaves')),
          isSuspended: trimmedTextOf(join(folder, 'dm/suspended')) === '1',
          inFlight: inFlightOf(node),
        },
      ]
    })
}

/** /sys/block/N/inflight: reads and writes. A partition, too, which a physical volume may be, has such a file. */
function inFlightOf(disk: string): InFlight | undefined {
  const text =
    trimmedTextOf(join(BLOCK_FOLDER, disk, 'inflight')) ??
    trimmedTextOf(join(onHost('/sys/class/block'), disk, 'inflight'))
  const [reads, writes] = (text ?? '').split(/\s+/).map((word) => (/^\d+$/.test(word) ? Number(word) : undefined))
  return reads === undefined || writes === undefined ? undefined : { reads, writes }
}

/** Devices of device-mapper among these, by name or number, with all that they stand on. */
const withSlaves = (devices: readonly string[]): string[] =>
  devicesBelow(devices.flatMap((device) => (device.includes(':') ? (nodeOfNumber(device) ?? []) : device)))

const nodeOfNumber = (number: string): string | undefined =>
  namesIn(BLOCK_FOLDER).find(
    (node) => node.startsWith('dm-') && trimmedTextOf(join(BLOCK_FOLDER, node, 'dev')) === number,
  )

/** `NAME: START LENGTH TARGET …`, a line for each target. */
export function parseTables(stdout: string): Map<string, string[]> {
  const tables = new Map<string, string[]>()
  for (const [, name = '', line = ''] of stdout.matchAll(/^(\S+): (.+)$/gm))
    tables.set(name, [...(tables.get(name) ?? []), line])
  return tables
}

/**
 * `dmsetup wipe_table`. It goes on when this program ends.
 * - --noflush: what waits in a thin pool or a mirror fails, and is not waited for;
 * - --nolockfs: no file system is frozen, because that would write;
 * - --noudevsync: it does not wait for udev, which may hang.
 */
const wipe = (name: string): Promise<boolean> =>
  outlive('dmsetup', ['wipe_table', '--force', '--noflush', '--nolockfs', '--noudevsync', '--', name])

/** Writes a text to a device, if it exists and takes it at once. Never throws. */
export function sayInto(device: string, text: string): void {
  try {
    const descriptor = openSync(onHost(device), TO_WRITE_AT_ONCE)
    try {
      writeSync(descriptor, text)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // Nobody reads there.
  }
}

/** Resets this host by sysrq `b`: the kernel obeys root's own write there, whatever kernel.sysrq says. */
function reset(why: string): void {
  const text = printable(`lvguard resets this host: ${why}`)
  sayInto('/dev/console', `\r\n${text}\r\n`)
  sayInto('/dev/kmsg', `<2>${text}\n`)
  writeFileSync(onHost('/proc/sysrq-trigger'), 'b', { mode: 0o200 })
}

const wordsOf = (
  command: string,
  { exitCode, stderr, isAbsent, timedOut }: Awaited<ReturnType<typeof query>>,
): string | undefined => {
  if (exitCode === 0) return undefined
  if (isAbsent) return `${command} was not found`
  return timedOut
    ? `${command} did not end within its time`
    : (stderr.trim().split('\n')[0] ?? '') || `${command} exited with ${exitCode ?? 'a signal'}`
}

/**
 * `vgchange --lock-start`, and sanlock's word that this host has its lease. Under the VG's lock: an lvchange from
 * before may have hung until now.
 */
async function startLocking(vg: string): Promise<string | undefined> {
  try {
    const locks = await lockVgs([vg], LOCK_WAIT)
    try {
      const descriptor = locks.descriptors.get(vg)
      if (descriptor === undefined) return 'its lock is not held'
      const why = wordsOf(
        'vgchange',
        await change('vgchange', ['--lock-start', '--lock-opt', 'nowait', vg], descriptor),
      )
      if (why !== undefined) return why
    } finally {
      locks.release()
    }
  } catch (error) {
    return messageOf(error)
  }
  for (const end = monotonic() + JOIN_LIMIT; monotonic() < end; ) {
    const asked = await askSanlock()
    const own = asked.kind === 'status' ? asked.status.lockspaces.find((each) => each.vg === vg) : undefined
    if (own?.list === 'spaces' && !own.hasFailed && own.renewed > 0) return undefined
    await pause(1000)
  }
  return `sanlock has not joined it within ${JOIN_LIMIT} s`
}
