import type { Device } from '../devices.ts'
import { Answer, type Tool } from './answer.ts'
import { isWords, parseWords } from './words.ts'

const COLUMNS: Readonly<Record<string, (device: Device) => string>> = {
  name: ({ name }) => name,
  uuid: ({ uuid }) => uuid,
  open: ({ open }) => String(open),
  attr: () => 'L--w',
  major: () => '253',
  minor: ({ minor }) => String(minor),
  blkdevname: ({ minor }) => `dm-${minor}`,
}

/** `dmsetup info -c --noheadings --separator : -o COLUMNS` (FACTS 30). */
export const dmsetup: Tool = ({ cluster, host }, words) => {
  const parsed = parseWords('dmsetup', words, {
    flags: { '-c': 'columns', '--columns': 'columns', '-C': 'columns', '--noheadings': 'noheadings' },
    values: { '-o': 'columns', '--options': 'columns', '--separator': 'separator' },
  })
  if (!isWords(parsed)) return parsed
  const answer = new Answer()
  const [command, ...names] = parsed.operands
  if (command !== 'info' || !parsed.flags.has('columns'))
    return answer.complain('The model knows `dmsetup info -c` only.').fail(1).result()
  const devices = cluster.devices.list(host)
  const unknown = names.find((name) => !devices.some((device) => device.name === name))
  if (unknown !== undefined)
    return answer.complain(`Device ${unknown} not found`).complain('Command failed.').fail(1).result()
  if (devices.length === 0) return answer.print('No devices found').result()
  const columns = (parsed.values.get('columns') ?? 'name,uuid,open').split(',')
  const separator = parsed.values.get('separator') ?? ':'
  for (const device of devices.filter(({ name }) => names.length === 0 || names.includes(name))) {
    answer.print(columns.map((column) => COLUMNS[column]?.(device) ?? '').join(separator))
  }
  return answer.result()
}
