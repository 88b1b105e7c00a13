import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { ALL_IS_WELL, drbdCapture } from '../support/drbd.ts'
import type { SimulatedHost } from './host.ts'

/**
 * Puts the shared VG of a host on /dev/drbd0 until the next reset. @returns what changes the state of its resource,
 * given in the words of
 * `drbdsetup events2 --now`
 */
export async function onDrbd(host: SimulatedHost): Promise<(events: string, show?: string) => void> {
  // The configuration names this host as the kernel does (uname -n), which no simulation changes.
  const dump = drbdCapture('configuration', 'drbdadm dump r0').replace(
    /\bon node(\d)/g,
    (_, number: string) => `on ${host.name.endsWith(number) ? hostname() : `host${number}`}`,
  )
  const put = (events: string, show = ''): void => {
    host.state.drbd = { events, show, dump }
  }
  put(ALL_IS_WELL)
  await host.write('/sys/block/drbd0/dev', '147:0\n')
  const blocks = host.root.at('/sys/block')
  for (const node of readdirSync(blocks).filter((name) => name.startsWith('dm-'))) {
    if (readFileSync(`${blocks}/${node}/dm/name`, 'utf8').trim() !== 'virtVG-lvmlock') continue
    mkdirSync(`${blocks}/${node}/slaves`, { recursive: true })
    symlinkSync('../../drbd0', `${blocks}/${node}/slaves/drbd0`)
  }
  return put
}
