import type { DrbdDevice, DrbdPeer } from '../core/drbd.ts'
import type { HostSection } from '../core/fence.ts'

/**
 * The words that ask for the state of all resources, once. The rows have the same form with the 8.4 module and with 9
 * (FACTS 53).
 */
export const EVENTS_ARGUMENTS = ['events2', '--now'] as const

type Fields = ReadonlyMap<string, string>

/**
 * Reads `drbdsetup events2 --now`: rows `exists KIND KEY:VALUE…` (captures: the 8.4 module with drbd-utils 9.22;
 * drbd-utils' own tests for 9), the last one `exists -`. Rows of another kind (path, helper) are left out.
 * @throws SyntaxError if a row, or a field of a row, is missing that the state of a device needs (R9)
 */
export function parseEvents(stdout: string): DrbdDevice[] {
  const rows = new Map<string, Fields[]>([
    ['resource', []],
    ['connection', []],
    ['device', []],
    ['peer-device', []],
  ])
  let isWhole = false
  for (const line of stdout.split('\n')) {
    const [word, kind = '', ...fields] = line.trim().split(' ')
    if (word !== 'exists') continue
    if (kind === '-') isWhole = true
    rows
      .get(kind)
      ?.push(new Map(fields.map((field) => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 1)])))
  }
  if (!isWhole) throw new SyntaxError('drbdsetup has not said all')
  const of = (kind: string): Fields[] => rows.get(kind) ?? []
  return of('device').map((device): DrbdDevice => {
    const name = field(device, 'name')
    const volume = field(device, 'volume')
    const resource = of('resource').find((row) => row.get('name') === name)
    if (resource === undefined) throw new SyntaxError(`drbdsetup says nothing of the resource ${name}`)
    const peers = of('connection')
      .filter((row) => row.get('name') === name)
      .map((connection): DrbdPeer => {
        const id = field(connection, 'peer-node-id')
        const own = of('peer-device').find(
          (row) => row.get('name') === name && row.get('peer-node-id') === id && row.get('volume') === volume,
        )
        if (own === undefined) throw new SyntaxError(`drbdsetup says nothing of what the peer of ${name} has`)
        const called = connection.get('conn-name')
        return {
          id,
          name: called === 'peer' ? undefined : called,
          connection: field(connection, 'connection'),
          replication: field(own, 'replication'),
          disk: field(own, 'peer-disk'),
        }
      })
    const minor = Number(field(device, 'minor'))
    if (!Number.isSafeInteger(minor)) throw new SyntaxError(`drbdsetup names no minor of ${name}`)
    const quorum = device.get('quorum')
    return {
      minor,
      resource: name,
      role: field(resource, 'role'),
      suspended: field(resource, 'suspended'),
      disk: field(device, 'disk'),
      quorum: quorum === undefined ? undefined : quorum === 'yes',
      peers,
    }
  })
}

/** A peer of a resource. */
export interface SeenPeer {
  readonly resource: string
  /** DrbdPeer.id */
  readonly peer: string
}

/**
 * The words that ask for the state of all resources, and then for each change. It ends by a signal. Each row is written
 * at once (fflush in print_notifications).
 */
export const FOLLOW_ARGUMENTS = ['events2'] as const

/**
 * The peers that were connected, or in a split brain, at any moment of `drbdsetup events2`. Reads its rows of
 * connections; a row `change` has only the fields that have changed.
 */
export const parseSeen = (stdout: string): SeenPeer[] =>
  stdout.split('\n').flatMap((line) => {
    const [, kind, ...fields] = line.trim().split(' ')
    const row = new Map(fields.map((each) => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 1)]))
    const [resource, peer] = [row.get('name'), row.get('peer-node-id')]
    const isSeen = row.get('connection') === 'Connected' || row.get('connection') === 'StandAlone'
    return kind === 'connection' && isSeen && resource !== undefined && peer !== undefined ? [{ resource, peer }] : []
  })

function field(row: Fields, name: string): string {
  const value = row.get(name)
  if (value === undefined || value === '') throw new SyntaxError(`drbdsetup leaves out ${name}`)
  return value
}

/**
 * The quorum policy in `drbdsetup show RES` (DRBD 9, section `options`). It prints only what differs from the default:
 * undefined is the default.
 */
export const parseQuorum = (stdout: string): string | undefined => /^\s*quorum\s+(\S+?)\s*;/m.exec(stdout)?.[1]

/**
 * The hosts of a resource in `drbdadm dump RES`: its sections `on NAME [NAME…] {`, with the node-id that DRBD 9 writes
 * first into each (dump_host_info in drbdadm_dump.c). None for one without such sections (floating).
 */
export const parseSections = (stdout: string): HostSection[] =>
  stdout
    .split(/^\s*on (?=[^{\n]+\{)/m)
    .slice(1)
    .map((section) => ({
      names: section
        .slice(0, section.indexOf('{'))
        .trim()
        .split(/\s+/)
        .map((name) => name.replace(/^"(.*)"$/, '$1')),
      nodeId: /^\s*node-id\s+(\d+)\s*;/m.exec(section)?.[1],
    }))

/** All names in those sections. */
export const parseHosts = (stdout: string): string[] => parseSections(stdout).flatMap(({ names }) => names)
