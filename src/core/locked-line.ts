import { IN_USE, type Records } from './record.ts'
import { fullName } from './volume.ts'

const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`

/**
 * What is locked on this host, in one line, for `systemctl status lvguard`: `2 VMs, 3 volumes exclusive, 1 migrating`.
 * From the records, which the agent keeps in step with the locks.
 * @param migrating how many VMs libvirt says are migrating, in or out
 */
export function lockedLine({ known, unreadable }: Records, migrating: number): string {
  const inUse = known.filter(({ state }) => IN_USE.includes(state))
  const commands = inUse.filter(({ command }) => command !== undefined).length
  const ended = known.filter(({ state }) => state === 'releasing').length
  const volumes = known.filter(({ state }) => state !== 'refused').flatMap((record) => record.volumes)
  const names = (mode: 'exclusive' | 'shared'): ReadonlySet<string> =>
    new Set(volumes.filter((volume) => volume.mode === mode).map(fullName))
  const exclusive = names('exclusive')
  const shared = [...names('shared')].filter((name) => !exclusive.has(name)).length
  return [
    count(inUse.length - commands, 'VM'),
    ...(commands === 0 ? [] : [count(commands, 'command')]),
    `${count(exclusive.size, 'volume')} exclusive`,
    ...(shared === 0 ? [] : [`${shared} shared`]),
    ...(migrating === 0 ? [] : [`${migrating} migrating`]),
    ...(ended === 0 ? [] : [`${ended} ended and not given back yet`]),
    ...(unreadable.length === 0 ? [] : [`${count(unreadable.length, 'record')} unreadable`]),
  ].join(', ')
}
