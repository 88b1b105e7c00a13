import type { HostState } from '../host-state.ts'
import { Lease } from '../lease.ts'
import type { VolumeGroup } from '../volume.ts'
import { LEASE_SIZE } from '../volumes.ts'
import { Answer, type Scene, type Tool } from './answer.ts'

/**
 * `sanlock client …` asks the host's daemon; `sanlock direct …` reads the lvmlock volume, without any lock (FACTS 31).
 */
export const sanlock: Tool = (scene, words) => {
  const [area = '', command = '', ...rest] = words
  const run = COMMANDS[`${area} ${command}`]
  return run === undefined
    ? new Answer().complain(`The model has no sanlock ${area} ${command}.`).fail(1).result()
    : run(scene, rest)
}

const valueAfter = (words: readonly string[], option: string): string => words[words.indexOf(option) + 1] ?? ''

/** The VGs whose lockspace this host's lvmlockd has started: their lvmlock volumes are there. */
const started = ({ cluster, host }: Scene): VolumeGroup[] =>
  cluster.volumes.groups.filter(
    ({ name }) => host.lockspaces.has(name) && host.lockspaces.get(name)?.state !== 'stopped',
  )

/** The VGs whose lockspace this host's sanlock is in. lvmlockd may be down, or know nothing of it. */
const joined = (scene: Scene): VolumeGroup[] => started(scene).filter(({ name }) => !scene.host.left.has(name))

/** The VG whose lvmlock volume a path names, if that device is there. */
function groupAt(scene: Scene, path: string): VolumeGroup | undefined {
  const name = /\/dev\/mapper\/(.+)-lvmlock$/.exec(path)?.[1]?.replaceAll('--', '-')
  return started(scene).find((group) => group.name === name)
}

const readLeader: Tool = (scene, words) => {
  const lockspace = words.includes('-s')
  const [space = '', name = '', path = '', offset = ''] = valueAfter(words, lockspace ? '-s' : '-r').split(':')
  const group = groupAt(scene, path)
  const answer = new Answer()
  if (group === undefined)
    return answer.print('read_leader done -2').print('magic 0xffffffff').print('owner_id 4294967295').fail(1).result()
  return lockspace
    ? hostLease(scene, group, Number(name), answer)
    : volumeLease(scene, group, { space, name, offset: Number(offset) }, answer)
}

function volumeLease(
  scene: Scene,
  group: VolumeGroup,
  wanted: { readonly space: string; readonly name: string; readonly offset: number },
  answer: Answer,
): ReturnType<Tool> {
  const found = scene.cluster.locks.leases(group).find(({ offset }) => offset === wanted.offset)
  const lease = found?.lease ?? new Lease()
  const right = found?.volume.uuid === wanted.name && wanted.space === `lvm_${group.name}`
  const generation = lease.owner === 0 ? 0 : 1
  const lines = [
    `read_leader done ${right ? 0 : -227}`,
    'magic 0x6152010',
    'version 0x60004',
    'flags 0x10',
    'sector_size 512',
    'num_hosts 2000',
    'max_hosts 2000',
    `owner_id ${lease.owner}`,
    `owner_generation ${generation}`,
    `lver ${lease.lver}`,
    `space_name lvm_${group.name}`,
    `resource_name ${found?.volume.uuid ?? '#unused'}`,
    `timestamp ${lease.timestamp}`,
    'checksum 0xdcf8fa',
    'io_timeout 0',
    `write_id ${lease.owner}`,
    `write_generation ${generation}`,
    `write_timestamp ${lease.writeTimestamp}`,
  ]
  for (const line of lines) answer.print(line)
  return answer.fail(right ? 0 : 1).result()
}

function hostLease(scene: Scene, group: VolumeGroup, hostId: number, answer: Answer): ReturnType<Tool> {
  const owner = scene.cluster.hosts.find(({ id }) => id === hostId)
  const lines = [
    'read_leader done 0',
    'magic 0x12212010',
    'version 0x30004',
    'flags 0x10',
    'sector_size 512',
    'num_hosts 0',
    'max_hosts 1',
    `owner_id ${owner?.id ?? 0}`,
    `owner_generation ${owner === undefined ? 0 : 1}`,
    'lver 0',
    `space_name lvm_${group.name}`,
    `resource_name ${owner?.name ?? ''}`,
    `timestamp ${owner === undefined ? 0 : renewed(scene, owner, group.name)}`,
    'checksum 0x7c25c900',
    'io_timeout 10',
    'extra1 0',
    'extra2 0',
    'extra3 0',
  ]
  for (const line of lines) answer.print(line)
  return answer.result()
}

const renewed = ({ cluster }: Scene, host: HostState, vg: string): number =>
  cluster.time.monotonic(cluster.locks.renewalAge(host, vg))

const pad = (number: number, length = 4): string => String(number).padStart(length, '0')

const dump: Tool = (scene, words) => {
  const [path = '', from = '0', size = String(LEASE_SIZE)] = (words[0] ?? '').split(':')
  const group = groupAt(scene, path)
  const answer = new Answer()
  if (group === undefined) return answer.print(`Device ${path} not found.`).fail(1).result()
  answer.print(
    '  offset                            lockspace                                         resource  timestamp  own  gen lver',
  )
  for (const { volume, lease, offset } of scene.cluster.locks.leases(group)) {
    if (offset < Number(from) || offset >= Number(from) + Number(size)) continue
    const start = `${pad(offset, 8)} ${`lvm_${group.name}`.padStart(36)} ${volume.uuid.padStart(48)} ${pad(lease.timestamp, 10)} `
    answer.print(`${start}${pad(lease.owner)} ${pad(lease.owner === 0 ? 0 : 1)} ${lease.lver}`)
    for (const sharer of [...lease.sharers].sort()) answer.print(`${' '.repeat(start.length)}${pad(sharer)} 0001 SH`)
  }
  return answer.result()
}

const hostStatus: Tool = (scene, words) => {
  const answer = new Answer()
  const { cluster } = scene
  const vg = joined(scene).find(({ name }) => `lvm_${name}` === valueAfter(words, '-s'))?.name
  if (vg === undefined) return answer.fail(1).result()
  for (const host of cluster.hosts) {
    answer.print(`${host.id} timestamp ${renewed(scene, host, vg)}`)
    if (!words.includes('-D')) continue
    const details = {
      last_check: cluster.time.monotonic(),
      last_live: renewed(scene, host, vg),
      last_req: 0,
      owner_id: host.id,
      owner_generation: 1,
      timestamp: renewed(scene, host, vg),
      io_timeout: 10,
      owner_name: host.name,
    }
    for (const [name, value] of Object.entries(details)) answer.print(`    ${name}=${value}`)
  }
  return answer.result()
}

const gets: Tool = (scene, words) => {
  const answer = new Answer()
  for (const { name } of joined(scene)) {
    answer.print(`s lvm_${name}:${scene.host.id}:/dev/mapper/${name.replaceAll('-', '--')}-lvmlock:0 `)
    if (valueAfter(words, '-h') !== '1') continue
    for (const host of scene.cluster.hosts)
      answer.print(
        `h ${host.id} gen 1 timestamp ${renewed(scene, host, name)} ${scene.cluster.locks.liveness(host, name)}`,
      )
  }
  return answer.result()
}

const status: Tool = (scene) => {
  const answer = new Answer()
  const section = (head: string, fields: Readonly<Record<string, string | number>>): void => {
    answer.print(head)
    for (const [name, value] of Object.entries(fields)) answer.print(`    ${name}=${value}`)
  }
  section(`daemon ${scene.host.name}`, {
    our_host_name: scene.host.name,
    use_watchdog: 0,
    monotime: scene.cluster.time.monotonic(),
  })
  for (const { name } of joined(scene)) {
    section(`s lvm_${name}:${scene.host.id}:/dev/mapper/${name.replaceAll('-', '--')}-lvmlock:0`, {
      list: 'spaces',
      io_timeout: 10,
      renew_fail: 0,
      space_dead: 0,
      killing_pids: 0,
      renewal_last_success: renewed(scene, scene.host, name),
    })
  }
  return answer.result()
}

const COMMANDS: Readonly<Record<string, Tool>> = {
  'direct read_leader': readLeader,
  'direct dump': dump,
  'client host_status': hostStatus,
  'client gets': gets,
  'client status': status,
}
