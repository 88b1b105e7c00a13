import type { DrbdDevice } from '../core/drbd.ts'
import { didYouMean } from '../core/near.ts'
import type { Holding, StatusHost, Locking, Status, VolumeStatus } from '../core/status.ts'
import { printable } from '../core/outcome.ts'
import { type Paint, type Row, columns, list } from './table.ts'

/** How many names of free volumes a screen shows. */
const MOST_FREE = 12

/**
 * The part of a status that a person has asked for: VMs by name or UUID, volumes by `VG/LV` or their path, VGs.
 * @returns a sentence for a word that is none
 */
export function selected(status: Status, words: readonly string[]): Status | { readonly error: string } {
  if (words.length === 0) return status
  const chosen = new Set<string>()
  for (const given of words) {
    const word = given.replace(/^\/dev\//, '')
    const found = status.volumes
      .filter(({ volume, vg, vms }) => volume === word || vg === word || vms.includes(word))
      .map(({ volume }) => volume)
    const vm = status.vms.find(({ name, uuid }) => name === word || uuid === word.toLowerCase())
    if (found.length === 0 && vm === undefined && !status.vgs.some(({ vg }) => vg === word)) {
      const names = [
        ...status.vms.map(({ name }) => name),
        ...status.volumes.flatMap(({ volume, vms }) => [volume, ...vms]),
        ...status.vgs.map(({ vg }) => vg),
      ]
      return {
        error: `there is no VM, volume or volume group ${given} that this host knows of${didYouMean(word, [...new Set(names)])}`,
      }
    }
    for (const volume of [...found, ...(vm?.volumes ?? [])]) chosen.add(volume)
  }
  const volumes = status.volumes.filter(({ volume }) => chosen.has(volume))
  const vgs = new Set([...volumes.map(({ vg }) => vg), ...words])
  return {
    ...status,
    volumes,
    vms: status.vms.filter(
      ({ name, uuid, volumes: own }) =>
        words.includes(name) || words.includes(uuid) || own.some((volume) => chosen.has(volume)),
    ),
    vgs: status.vgs.filter(({ vg }) => vgs.has(vg)),
    hosts: status.hosts.filter(({ vg }) => vgs.has(vg)),
    drbd: [],
    attention: status.attention.filter((words_) => [...chosen, ...vgs].some((name) => words_.includes(name))),
  }
}

/** What a person reads, at most `width` columns wide. */
export function statusText(
  status: Status,
  { width, paint }: { readonly width: number; readonly paint: Paint },
): string {
  const { attention, unknown } = status
  const isWell = attention.length === 0 && unknown.length === 0
  const head = isWell
    ? paint('green', 'nothing to look at')
    : [
        attention.length === 0 ? '' : paint('yellow', `${count(attention.length, 'thing')} to look at`),
        unknown.length === 0 ? '' : paint('red', `${count(unknown.length, 'thing')} unknown`),
      ]
        .filter((words) => words !== '')
        .join(', ')
  return [
    `${paint('bold', ownName(status))}: ${head}`,
    ...status.vgs.map(
      ({ vg, lockManager, locking, hostId, renewed }) =>
        `${vg}: locking ${paint(LOCKING[locking], locking)} (${lockManager}${hostId === undefined ? '' : `, host_id ${hostId}`}${renewed === undefined ? '' : `, lease renewed ${renewed} s ago`})`,
    ),
    ...status.drbd.map((device) => drbdLine(device, paint)),
    ...hostNames(status).flatMap((name) => hostPart(status, name, width, paint)),
    ...lastPart(status, width, paint),
    ...attention.flatMap((words) => list(`${paint('yellow', '!')} `, [words], width)),
    ...unknown.flatMap((words) => list(`${paint('red', '?')} `, [words], width)),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`

const LOCKING: Readonly<Record<Locking, Parameters<Paint>[0]>> = {
  started: 'green',
  starting: 'yellow',
  stopping: 'yellow',
  'not started': 'yellow',
  late: 'red',
  lost: 'red',
  killed: 'red',
  unknown: 'red',
}

function drbdLine({ resource, minor, role, disk, suspended, peers }: DrbdDevice, paint: Paint): string {
  const words = peers.map(
    ({ name, connection, disk: peerDisk }) =>
      `${name ?? 'peer'} ${paint(connection === 'Connected' && peerDisk === 'UpToDate' ? 'green' : 'red', `${connection}, ${peerDisk}`)}`,
  )
  return `DRBD ${resource} (drbd${minor}): ${role}, ${disk}${suspended === 'no' ? '' : `, ${paint('red', `suspended: ${suspended}`)}`}; ${words.join('; ') || 'no peer'}`
}

/** This host by the name that sanlock has for it, because other hosts know it by that name. */
const ownName = ({ host, hosts }: Status): string => hosts.find(({ state }) => state === 'this host')?.host ?? host

/** This host first. */
const hostNames = (status: Status): string[] => {
  const { hosts, volumes } = status
  return [
    ...new Set([
      ownName(status),
      ...hosts.filter(({ state }) => state !== 'left').map(({ host: name }) => name),
      ...volumes.flatMap(({ holders }) => holders.map(({ host: name }) => name)),
    ]),
  ]
}

function hostPart(status: Status, name: string, width: number, paint: Paint): string[] {
  const own = status.hosts.filter(({ host }) => host === name)
  const isHere = own.some(({ state }) => state === 'this host') || name === status.host
  const held = status.volumes.flatMap((volume) =>
    volume.holders.filter(({ host }) => host === name).map((holding) => ({ volume, holding })),
  )
  const rows = isHere
    ? rowsHere(status, held, paint)
    : held.map(({ volume, holding }): Row => [names(volume.vms), '', volume.volume, modeText(holding, paint)])
  const title = `${paint('bold', name)}${isHere ? '' : ` (${[...new Set(own.map((each) => hostText(each, paint)))].join('; ') || 'unknown'})`}`
  if (rows.length === 0) {
    const isUntold = status.volumes.some(({ state }) => state === 'unknown')
    const elsewhere = isUntold ? 'what it holds is not known' : 'holds nothing'
    return ['', ...list('', [`${title}: ${isHere ? 'no VM runs here, and nothing is held' : elsewhere}`], width)]
  }
  return [
    '',
    ...list('', [title], width),
    ...columns(['VM', 'STATE', 'VOLUME', 'MODE'], rows, { width, indent: 2, shrink: [2, 0], paint }),
  ]
}

const names = (vms: readonly string[]): string => vms.join(', ') || '-'

function rowsHere(
  { vms, volumes }: Status,
  held: readonly { readonly volume: VolumeStatus; readonly holding: Holding }[],
  paint: Paint,
): Row[] {
  const shown = new Set<string>()
  const ofVms = vms.flatMap(({ name, state, volumes: own }): Row[] => {
    const painted = state === 'running' ? state : paint('yellow', state)
    if (own.length === 0) return [[name, painted, '-', '-']]
    return own.map((volume, at): Row => {
      shown.add(volume)
      const here = held.find((each) => each.volume.volume === volume)
      const known = volumes.find((each) => each.volume === volume)
      const mode =
        here !== undefined
          ? modeText(here.holding, paint)
          : known?.state === 'unknown'
            ? paint('red', 'unknown')
            : paint(state === 'running' ? 'red' : 'yellow', 'no lock')
      return [at === 0 ? name : '', at === 0 ? painted : '', volume, mode]
    })
  })
  const others = held
    .filter(({ volume }) => !shown.has(volume.volume))
    .map(({ volume, holding }): Row => ['-', '', volume.volume, modeText(holding, paint)])
  return [...ofVms, ...others]
}

function modeText({ mode, isOrphan, state, here }: Holding, paint: Paint): string {
  if (isOrphan === true) return paint('red', `${mode}, orphan`)
  if (!here && state === 'left') return paint('yellow', `${mode}, over`)
  return mode
}

function hostText({ hostId, state, silentFor, freeIn }: StatusHost, paint: Paint): string {
  const seen = silentFor === undefined ? '' : state === 'alive' ? `, seen ${silentFor} s ago` : ` for ${silentFor} s`
  const free =
    freeIn === undefined || state === 'left'
      ? ''
      : freeIn === 0
        ? ', its locks can be taken'
        : `, its locks can be taken in ${freeIn} s`
  const color = state === 'alive' ? 'green' : state === 'this host' ? 'bold' : state === 'left' ? 'yellow' : 'red'
  return `host_id ${hostId}, ${paint(color, state)}${seen}${free}`
}

function lastPart({ volumes, vms }: Status, width: number, paint: Paint): string[] {
  // A volume that a VM here should hold is shown with that VM.
  const free = volumes
    .filter(({ state, volume }) => state === 'free' && !vms.some((vm) => vm.volumes.includes(volume)))
    .map(({ volume }) => volume)
  const untold = volumes
    .filter(({ state, holders }) => state === 'unknown' && holders.length === 0)
    .map(({ volume }) => volume)
  const some = (label: string, found: readonly string[]): string[] =>
    found.length === 0
      ? []
      : list(
          `${label}: `,
          found.length > MOST_FREE ? [`${found.length} volumes (lvguard status --json names them)`] : found,
          width,
        )
  const lines = [...some('free', free), ...some(paint('red', 'unknown who holds'), untold)]
  return lines.length === 0 ? [] : ['', ...lines]
}

/** One line for each holder of a volume, for a script: VOLUME MODE HOST seen=SECONDS takeable=WHEN. */
export function holderLines({ volume, state, holders }: VolumeStatus): string[] {
  const lines = holders.map(({ mode, host, state: hostState, silentFor, freeIn, isOrphan }) => {
    const when =
      freeIn !== undefined
        ? freeIn === 0
          ? 'now'
          : `${freeIn}s`
        : hostState === 'unknown'
          ? 'unknown'
          : 'when-released'
    return `${volume} ${mode} ${printable(host).replaceAll(' ', '_')} seen=${silentFor === undefined ? 'unknown' : `${silentFor}s`} takeable=${when}${isOrphan === true ? ' orphan' : ''}`
  })
  if (state === 'unknown') return [...lines, `${volume} unknown - seen=unknown takeable=unknown`]
  return lines.length > 0 ? lines : [`${volume} free - seen=- takeable=now`]
}
