import { block, date } from '../system/clock.ts'
import { readSync } from '../system/files.ts'
import {
  type Confirmation,
  type DrbdDevice,
  type DrbdTrouble,
  type DrbdVerdict,
  countsAsOff,
  onceUsable,
  troubleInWords,
} from '../core/drbd.ts'
import { drbdMinors } from '../drbd/devices.ts'
import { drbdDevices, inFull, peerHosts, verdictsOf } from '../drbd/drbd.ts'
import { writeConfirmation } from '../drbd/notes.ts'
import { isErrno, messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { write } from '../system/output.ts'
import { onHost } from '../system/paths.ts'
import { self } from '../system/self.ts'

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
 * `lvguard confirm-off NAME`: a person's word that a host is off, for the DRBD resources of this host that do not see
 * it. The name is compared with DRBD's own: the conn-name of DRBD 9, or for 8.4, which does not know its peer's name,
 * the sections `on NAME` of the configuration. So the word for one host is never taken for another one's. If neither
 * has a name, the person's word counts for that resource, and that is said.
 *
 * The word can be given before a resource is usable here (Secondary, its I/O waits, no good copy). Then it decides
 * about the peer alone (onceUsable), and what else is to be done is said.
 * @param isSure the name need not be typed once more
 * @returns 0 if it was put down, else 1
 */
export async function confirmOff(name: string, isSure: boolean): Promise<number> {
  if (self().uid() !== 0 && onHost('') === '')
    return complain('only root can confirm that a host is off; nothing was changed.', 'Run it with sudo.')
  const minors = drbdMinors()
  if (minors.length === 0)
    return complain(
      'there is no DRBD device on this host, so nothing can be confirmed.',
      'If it has a DRBD resource that is down: drbdadm up all.',
    )
  const found = await drbdDevices()
  if (found.kind === 'unknown') return complain(`what DRBD knows of other hosts cannot be told: ${found.detail}.`)
  const [verdicts, ofPeers] = await Promise.all([
    verdictsOf(minors, found, []),
    verdictsOf(minors, { ...found, devices: found.devices.map(onceUsable) }, []),
  ])
  const away = await awayOf(found.devices.filter(({ minor }) => ofPeers.get(minor)?.kind === 'peer-unseen'))
  const own = away.filter(({ names }) => names.length === 0 || names.includes(name))
  if (own.length === 0) {
    if (away.length > 0)
      return complain(
        `no DRBD resource of this host waits for ${name}.`,
        `These wait: ${away.map(({ resource, names }) => `${resource} for ${names.join(' or ')}`).join(', ')}.`,
      )
    const troubles = [...troublesOf(verdicts), ...troublesOf(ofPeers)]
    const trouble = troubles.find(({ kind }) => kind === 'split-brain') ?? troubles[0]
    if (trouble === undefined)
      return complain(
        'each DRBD resource of this host sees its peers, or does not go by them: nothing has to be confirmed.',
        "See 'drbdadm status'.",
      )
    if (trouble.kind === 'peer-unseen') {
      return complain(
        `DRBD resource ${trouble.resource} is connected to ${(await inFull(trouble)).host ?? 'its peer'}, which does not get each write of this host. One that talks is not off: that cannot be confirmed.`,
        `See 'drbdadm status ${trouble.resource}'.`,
      )
    }
    const { what, advice } = troubleInWords(trouble)
    return complain(`${what}. That cannot be confirmed.`, `${advice}.`)
  }
  const resources = [...new Set(own.map(({ resource }) => resource))]
  if (!isSure) {
    write(
      2,
      [
        `If ${name} runs, or comes back without its link, two hosts may write one volume, and what one of them writes is lost.\n`,
        `Is it certainly off: no power, or reset and kept from booting? Then VMs on DRBD resource ${resources.join(', ')} start here until it is seen again or this host boots.\n`,
        `Type its name: `,
      ]
        .map(printableLine)
        .join(''),
    )
    if (readLine() !== name) return complain(`that is not ${name}; nothing was changed.`)
  }
  const at = date().toISOString()
  try {
    for (const { resource, peer, names } of own) {
      const confirmation: Confirmation = { format: 1, resource, peer, host: name, at }
      writeConfirmation(confirmation)
      write(
        1,
        printableLine(
          `${countsAsOff(confirmation)}.${names.length === 0 ? ' (Its configuration names no host; your word counts.)' : ''}\n`,
        ),
      )
    }
    // What the word does not decide: this host may be Secondary, after a power cut for instance.
    const others = troublesOf(verdicts)
      .filter(
        (trouble) => trouble.kind !== 'peer-unseen' && 'resource' in trouble && resources.includes(trouble.resource),
      )
      .map((trouble) => troubleInWords(trouble))
    for (const line of new Set(
      others.map(({ what, advice }) => `Before a VM on it starts here: ${what}. ${advice}.\n`),
    ))
      write(1, printableLine(line))
  } catch (error) {
    return complain(`it cannot be put down in /var/lib/lvguard/confirm-off (${messageOf(error)}).`)
  }
  return 0
}

const troublesOf = (verdicts: ReadonlyMap<number, DrbdVerdict>): DrbdTrouble[] =>
  [...verdicts.values()].flatMap((verdict) => (verdict.kind === 'fine' ? [] : [verdict]))

const awayOf = async (devices: readonly DrbdDevice[]): Promise<Away[]> => {
  const peers = devices.flatMap(({ resource, peers: each }) => each.map((peer) => ({ resource, ...peer })))
  const open = peers.filter(({ connection, disk }) => connection !== 'Connected' && disk !== 'Outdated')
  const once = new Map(open.map((peer) => [`${peer.resource} ${peer.id}`, peer]))
  return Promise.all(
    [...once.values()].map(async ({ resource, id, name }) => ({
      resource,
      peer: id,
      names: name === undefined ? await peerHosts(resource) : [name],
    })),
  )
}

const printableLine = (text: string): string =>
  text.endsWith('\n') ? `${printable(text.slice(0, -1))}\n` : printable(text)

/** One line of standard input, without blanks around it; what was read until then, if it cannot be read further. */
export function readLine(): string {
  const bytes = Buffer.alloc(1)
  let line = ''
  while (line.length < 256) {
    let count: number
    try {
      count = readSync(0, bytes)
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) {
        block(20)
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
