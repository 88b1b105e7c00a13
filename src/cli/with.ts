import { basename } from 'node:path'
import type { DomainName } from '../core/domain-name.ts'
import { meaningOfPath, isValidName } from '../core/volume.ts'
import { actAsOwnCaller } from '../acts/daemon.ts'
import { handle } from '../acts/events.ts'
import { messageOf } from '../system/error-message.ts'
import { exitStatusOf, linesOf, printable } from '../core/outcome.ts'
import { noteWritten } from '../acts/saved.ts'
import { write } from '../system/output.ts'
import { readRecords, recordOf, replaceRecord } from '../state/record-store.ts'
import { type Running, start } from '../system/commands.ts'
import { self } from '../system/self.ts'
import { outlastSignals } from '../system/signals.ts'
import { lockVgs } from '../state/vg-lock.ts'
import { mayLook } from '../check/findings.ts'

/** What is asked for. */
export interface WithCall {
  /** `VG/LV`, or paths. */
  readonly volumes: readonly string[]
  readonly command: readonly string[]
  readonly shared: boolean
  readonly handOver: boolean
}

const complain = (status: number, ...lines: readonly string[]): number => {
  write(2, lines.map((line) => `lvguard: ${printable(line)}\n`).join(''))
  return status
}

/** Commands that make a VM on a volume and start it. */
const STARTS_A_VM = new Set(['virt-install'])
/** As with a shell: 127 where there is no such command. 126: it was ended by a signal, or never run because of one. */
const BY_A_SIGNAL = 126
const NO_COMMAND = 127
/** Seconds for the VG's lock. */
const LOCK_WAIT = 30

/**
 * `lvguard with VG/LV... -- COMMAND`: takes the volumes as a VM takes them, by the same `prepare` and `release`, with a
 * record of their own. The record names this process in the place of libvirt's daemon. As long as it lives the agent
 * leaves the volumes alone, and when it is gone the agent gives them back.
 * @returns the exit status of the command; otherwise see verbs.ts
 */
export async function runWith({ volumes, command, shared, handOver }: WithCall): Promise<number> {
  const [program] = command
  if (program === undefined || volumes.length === 0)
    return complain(2, 'with needs volumes, as VG/LV, then -- and a command. See lvguard with --help')
  if (!mayLook()) return complain(1, 'only root can lock volumes; nothing was changed.', 'Run it with sudo.')
  const names = volumes.map((word) => volumeAt(word))
  const wrong = volumes.filter((_, at) => names[at] === undefined)
  if (wrong.length > 0) return complain(2, `${wrong.join(', ')} is no volume, as VG/LV.`)
  const domain = {
    name: `lvguard with ${basename(program).replaceAll(/[^\w.+-]/g, '_')} (process ${self().pid})`,
    uuid: newUuid(),
  }
  const xml = (hasRun: boolean): string =>
    xmlOf(
      domain,
      names.flatMap((name) => name ?? []),
      shared,
      hasRun,
    )
  actAsOwnCaller()
  let running: Running | undefined
  let isAskedToEnd = false
  // Set by the program's head (stub.sh): Node itself forgets at its start that SIGHUP is ignored.
  const isHangupIgnored = self().environment['LVGUARD_NOHUP'] === '1'
  // This holds from before anything is locked until all is given back.
  outlastSignals((alone) => {
    isAskedToEnd = true
    if (alone) running?.kill()
  }, isHangupIgnored)
  const { outcome } = await handle({ name: domain.name, operation: 'prepare', subOperation: 'begin', extra: '-' }, () =>
    xml(false),
  )
  const [what, ...advice] = linesOf(outcome, domain.name)
  if (what !== undefined) complain(0, what)
  if (outcome.kind !== 'done') {
    // As libvirt does after a refusal.
    await handle({ name: domain.name, operation: 'release', subOperation: 'end', extra: '-' }, () => xml(false))
    return complain(
      1,
      outcome.kind === 'nothing'
        ? `${volumes.join(', ')}: in no volume group that lvguard locks; nothing was run.`
        : 'Nothing was run. Who holds what: lvguard status',
    )
  }
  for (const line of advice) complain(0, line)
  let status = 1
  try {
    await markAsCommand(
      domain.uuid,
      handOver || STARTS_A_VM.has(basename(program)) ? 'hands-over' : 'keeps',
      names.flatMap((name) => name?.vg ?? []),
    )
    // `prepare` says nothing of a volume that volume_groups leaves out, if another volume counts. This command does.
    const bare = volumes.filter(
      (_, at) =>
        !('volumes' in outcome && outcome.volumes.some(({ vg, lv }) => vg === names[at]?.vg && lv === names[at]?.lv)),
    )
    if (bare.length > 0) complain(0, `${bare.join(', ')}: in no volume group that lvguard locks; nothing was run.`)
    else if (isAskedToEnd) status = complain(BY_A_SIGNAL, `a signal came before ${program} was run; nothing was run.`)
    else {
      // Node starts each program with the defaults for all signals, so `env` has to ignore SIGHUP again.
      const [first = program, ...words] = isHangupIgnored ? ['env', '--ignore-signal=HUP', '--', ...command] : command
      running = start(first, words, { stdio: [0, 1, 2], env: {} })
      const { exitCode, code } = await running.ended
      if (code === 'ENOENT' || code === 'EACCES') status = complain(NO_COMMAND, `${program} cannot be run (${code}).`)
      else status = exitCode ?? BY_A_SIGNAL
    }
  } catch (error) {
    complain(1, messageOf(error))
  }
  const given = await handle({ name: domain.name, operation: 'release', subOperation: 'end', extra: '-' }, () =>
    xml(true),
  )
  for (const line of linesOf(given.outcome, domain.name)) complain(0, line)
  return status === 0 ? exitStatusOf(given.outcome) : status
}

/** `VG/LV`, or a path that names it. */
function volumeAt(word: string): { vg: string; lv: string } | undefined {
  const meaning = meaningOfPath(word.startsWith('/') ? word : `/dev/${word}`)
  return meaning.kind === 'volume' && isValidName(meaning.vg) && isValidName(meaning.lv)
    ? { vg: meaning.vg, lv: meaning.lv }
    : undefined
}

/**
 * The XML of a domain with these volumes. LVM's names have no character that XML would have to escape.
 * @param hasRun as in libvirt's own XML of a domain that got past its `prepare`
 */
const xmlOf = (
  { name, uuid }: DomainName,
  volumes: readonly { readonly vg: string; readonly lv: string }[],
  shared: boolean,
  hasRun: boolean,
): string => {
  const disks = volumes.map(
    ({ vg, lv }, at) =>
      `<disk type='block' device='disk'><source dev='/dev/${vg}/${lv}'/><target dev='vd${at}'/>${shared ? '<shareable/>' : ''}${hasRun ? `<alias name='disk${at}'/>` : ''}</disk>`,
  )
  return `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><devices>${disks.join('')}</devices></domain>`
}

/** A random one (RFC 9562, version 4). */
function newUuid(): string {
  const digits = Array.from({ length: 32 }, () => Math.floor(self().random() * 16).toString(16))
  digits[12] = '4'
  digits[16] = '8'
  return digits.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

async function markAsCommand(uuid: string, command: 'keeps' | 'hands-over', vgs: readonly string[]): Promise<void> {
  const locks = await lockVgs([...new Set(vgs)], LOCK_WAIT, LOCK_WAIT)
  try {
    const record = recordOf(uuid, readRecords())
    if (record === undefined) return
    replaceRecord(uuid, record, { ...record, command })
    // With --shared it only reads.
    noteWritten(
      uuid,
      record.volumes.filter(({ role }) => role === 'exclusive'),
    )
  } finally {
    locks.release()
  }
}
