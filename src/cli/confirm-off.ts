import { readSync } from 'node:fs'
import { type Confirmation, type DrbdDevice, countsAsOff, troubleInWords } from '../core/drbd.ts'
import { drbdMinors } from '../drbd/devices.ts'
import { drbdDevices, peerHosts, verdictsOf } from '../drbd/drbd.ts'
import { writeConfirmation } from '../drbd/notes.ts'
import { messageOf } from '../hook/failures.ts'
import { printable } from '../hook/outcome.ts'
import { write } from '../output.ts'
import { onHost } from '../paths.ts'

const complain = (...lines: readonly string[]): 1 => {
  write(2, lines.map((line) => `lvguard: ${printable(line)}\n`).join(''))
  return 1
}

/** A peer that is not seen, and the names that its host may have; none: DRBD's configuration does not tell. */
interface Away {
  readonly resource: string
  readonly peer: string
  readonly names: readonly string[]
}

/**
 * `lvguard confirm-off NAME`: a person's word that a host is off, for the DRBD resources of this host that do not see it. The name is compared with
 * DRBD's own (conn-name of DRBD 9; the sections `on NAME` of the configuration for 8.4, which knows its one peer by no name), so that the word for one
 * host is never taken for another one's. Where neither tells it, the person's word counts for that resource, and that is said.
 * @param isSure the name need not be typed once more
 */
export async function confirmOff(name: string, isSure: boolean): Promise<number> {
  if (process.getuid?.() !== 0 && onHost('') === '') return complain('only root can confirm that a host is off; nothing was changed.', 'Run it with sudo.')
  const minors = drbdMinors()
  if (minors.length === 0) return complain('there is no DRBD device on this host, so nothing has to be confirmed.')
  const found = await drbdDevices()
  if (found.kind === 'unknown') return complain(`what DRBD knows of other hosts cannot be told: ${found.detail}.`)
  const verdicts = await verdictsOf(minors, found, [])
  const split = [...verdicts.values()].find(({ kind }) => kind === 'split-brain')
  const away = await awayOf(found.devices.filter(({ minor }) => verdicts.get(minor)?.kind === 'peer-unseen'))
  const own = away.filter(({ names }) => names.length === 0 || names.includes(name))
  if (own.length === 0) {
    if (away.length === 0 && split !== undefined && split.kind !== 'fine') {
      const { what, advice } = troubleInWords(split)
      return complain(`${what}. That cannot be confirmed.`, `${advice}.`)
    }
    if (away.length === 0) return complain('each DRBD resource of this host sees its peers, or does not go by them: nothing has to be confirmed.', "See 'drbdadm status'.")
    return complain(`no DRBD resource of this host waits for ${name}.`, `These wait: ${away.map(({ resource, names }) => `${resource} for ${names.join(' or ')}`).join(', ')}.`)
  }
  const resources = [...new Set(own.map(({ resource }) => resource))].join(', ')
  if (!isSure) {
    write(2, [
      `If ${name} runs, or comes back without its link, two hosts may write one volume, and what one of them writes is lost.\n`,
      `Is it certainly off: no power, or reset and kept from booting? Then VMs on DRBD resource ${resources} start here until it is seen again.\n`,
      `Type its name: `,
    ].map(printableLine).join(''))
    if (readLine() !== name) return complain(`that is not ${name}; nothing was changed.`)
  }
  const at = new Date().toISOString()
  try {
    for (const { resource, peer, names } of own) {
      const confirmation: Confirmation = { format: 1, resource, peer, host: name, at }
      writeConfirmation(confirmation)
      write(1, printableLine(`${countsAsOff(confirmation)}.${names.length === 0 ? ' (Its configuration names no host; your word counts.)' : ''}\n`))
    }
  } catch (error) {
    return complain(`it cannot be put down in /var/lib/lvguard/confirm-off (${messageOf(error)}).`)
  }
  return 0
}

const awayOf = async (devices: readonly DrbdDevice[]): Promise<Away[]> => {
  const peers = devices.flatMap(({ resource, peers: each }) => each.map((peer) => ({ resource, ...peer })))
  const open = peers.filter(({ connection, disk }) => connection !== 'Connected' && disk !== 'Outdated')
  const once = new Map(open.map((peer) => [`${peer.resource} ${peer.id}`, peer]))
  return Promise.all([...once.values()].map(async ({ resource, id, name }) => ({ resource, peer: id, names: name === undefined ? await peerHosts(resource) : [name] })))
}

const printableLine = (text: string): string => (text.endsWith('\n') ? `${printable(text.slice(0, -1))}\n` : printable(text))

/** One line of standard input. */
function readLine(): string {
  const bytes = Buffer.alloc(1)
  let line = ''
  while (line.length < 256) {
    let count: number
    try {
      count = readSync(0, bytes)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
        continue
      }
      break
    }
    const character = bytes.toString('latin1')
    if (count === 0 || character === '\n') break
    line += character
  }
  return line.trim()
}
