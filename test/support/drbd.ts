import { readFileSync } from 'node:fs'

const FOLDER = new URL('../captures/debian-13/drbd/', import.meta.url)

/** What a command said, in a capture of DRBD 8.4 (test/captures/README.md). */
export function drbdCapture(file: string, command: string): string {
  const part = readFileSync(new URL(`${file}.txt`, FOLDER), 'utf8')
    .split(/^\$ /m)
    .find((each) => each.startsWith(`${command}\n`))
  if (part === undefined) throw new Error(`no ${command} in ${file}`)
  return part.slice(command.length + 1)
}

/** `drbdsetup events2 --now` of a state and node, such as `split-brain-node1`. */
export const eventsOf = (state: string): string => drbdCapture(state, 'drbdsetup events2 --now r0')

/** The same rows with other states: connection, role of this host, replication, peer's disk, this host's disk. */
export const eventsWith = ({
  connection = 'Connecting',
  role = 'Primary',
  suspended = 'no',
  replication = 'Off',
  peerDisk = 'DUnknown',
  disk = 'UpToDate',
  quorum = '',
} = {}): string =>
  [
    `exists resource name:r0 role:${role} suspended:${suspended}`,
    `exists connection name:r0 peer-node-id:0 conn-name:peer connection:${connection} role:Unknown`,
    `exists device name:r0 volume:0 minor:0 disk:${disk}${quorum === '' ? '' : ` client:no quorum:${quorum}`}`,
    `exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:${replication} peer-disk:${peerDisk} resync-suspended:no`,
    'exists -',
    '',
  ].join('\n')

export const ALL_IS_WELL = eventsWith({ connection: 'Connected', replication: 'Established', peerDisk: 'UpToDate' })
