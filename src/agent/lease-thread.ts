import { every, monotonic } from '../system/clock.ts'
import type { Line } from '../core/agent-words.ts'
import type { Configuration } from '../core/configuration.ts'
import { stderrLine } from './stderr-line.ts'
import { sayInto } from '../kill/real-world.ts'
import { PROC_FOLDER, RUN_FOLDER } from '../system/paths.ts'
import { textOf } from '../system/quiet-files.ts'
import { self } from '../system/self.ts'
import { ownThread, patientStderr } from '../system/thread.ts'
import { leaseBody } from './lease-body.ts'
import { LEASE_PERIOD, LeaseWatch } from './lease-watch.ts'
import { tellSystemd } from './systemd.ts'
import { FolderWatch } from './watch.ts'
import { Pulse } from './pulse.ts'

/** What the watch has to know of the configuration. */
export type WatchSettings = Pick<Configuration, 'onLostLease' | 'killFallback'>

/** What the first thread tells the watch. `alive`: its own heart beats (agent/heart.ts). */
export type ToWatch = { readonly kind: 'settings'; readonly settings: WatchSettings } | { readonly kind: 'alive' }

/** What the watch tells the first thread, after each look. */
export interface FromWatch {
  readonly kind: 'looked'
}

/** What the thread of the watch is given when it starts. */
export interface WatchData {
  readonly settings: WatchSettings
  /** Seconds between two signs of life for systemd; undefined where it waits for none. */
  readonly watchdog: number | undefined
}

/** Milliseconds after which a line that the journal has not taken is written to the kernel's log as well. */
const STDERR_LIMIT = 2000

/**
 * The watch over the leases, in a thread of its own: it goes on while the first one waits for a disk that hangs (a log,
 * /etc, /var). It reads /proc, /sys and /run only, and starts the programs that it has started before (rehearse).
 */
export function runWatch(): void {
  const { data, post, onMessage } = ownThread()
  let { settings } = data as WatchData
  const { watchdog } = data as WatchData
  const isTerminal = self().isTerminal(2)
  const writeLine = patientStderr(STDERR_LIMIT, (text) => sayInto('/dev/kmsg', text.replace(/^(<\d>)?/, '$1lvguard: ')))
  const say = (line: Line): void => writeLine(stderrLine(line, isTerminal))
  const leases = new LeaseWatch(leaseBody(() => settings, { say }))
  const pulse = new Pulse({
    now: monotonic,
    isFirstThreadInKernel,
    isBusy: () => leases.isBusy,
    watchdog,
    tell: () =>
      void tellSystemd('WATCHDOG=1').then((why) => {
        if (why !== undefined)
          say({ priority: 3, text: `systemd cannot be told that the agent lives, and will end it: ${why}` })
      }),
  })
  onMessage((message) => {
    const told = message as ToWatch
    if (told.kind === 'settings') settings = told.settings
    else pulse.alive()
  })
  const look = (): void =>
    void leases.look().then((hasLooked) => {
      if (!hasLooked) return
      pulse.beat()
      post({ kind: 'looked' } satisfies FromWatch)
    })
  // lvmlockctl's kill command first leaves a mark.
  const marks = new FolderWatch(RUN_FOLDER, (name) => {
    if (name === undefined || name.endsWith('.killed')) look()
  })
  look()
  every(LEASE_PERIOD * 1000, () => {
    marks.renew()
    look()
  })
}

/**
 * Whether the first thread waits in the kernel for something that no signal ends: a disk, as a rule (proc(5), state D).
 */
function isFirstThreadInKernel(): boolean {
  const { pid } = self()
  const text = textOf(`${PROC_FOLDER}/${pid}/task/${pid}/stat`) ?? ''
  return text.slice(text.lastIndexOf(')') + 2).startsWith('D')
}
