import { type Configuration, DEFAULTS } from '../core/configuration.ts'
import { longWaits } from '../core/path-timeouts.ts'
import { PASS_PERIOD } from '../core/retry.ts'
import { agentState, announceAgent } from '../state/agent-presence.ts'
import { CLOCK, every, monotonic, soon } from '../system/clock.ts'
import { BEAT_PERIOD } from '../core/agent-state.ts'
import { lockedLine } from '../core/locked-line.ts'
import { seenPeers } from '../drbd/drbd.ts'
import { dropConfirmations, readConfirmations } from '../drbd/notes.ts'
import { timeoutsBelow } from '../lvm/path-timeouts.ts'
import { write } from '../system/output.ts'
import { CONFIGURATION_FILE, RUN_FOLDER, STATUS_FOLDER, onHost } from '../system/paths.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { readRecords } from '../state/record-store.ts'
import { findingsOn } from '../check/findings.ts'
import { statIfAny } from '../system/files.ts'
import { memoryKeeper } from '../system/memory.ts'
import { self } from '../system/self.ts'
import { Aftermath, type HostSaying } from './aftermath.ts'
import { Agent } from './agent.ts'
import { DrbdReturns } from './drbd-returns.ts'
import { DrbdWatch } from './drbd-watch.ts'
import { drbdWorld } from './drbd-world.ts'
import { Heart } from './heart.ts'
import { AgentHost } from '../acts/seen-domains.ts'
import { type Journal, openJournal } from './journal.ts'
import type { WatchSettings } from './lease-thread.ts'
import { Retries } from './retries.ts'
import { StatusLine } from './status-line.ts'
import { isHeard, tellSystemd, watchdogPeriod } from './systemd.ts'
import { FolderWatch } from './watch.ts'
import { type Watching, watchLeases } from './watching.ts'

/**
 * `lvguard agent`: runs until it is ended, which may be at any moment. At SIGHUP (systemctl reload) it reads the
 * configuration and makes a pass at once.
 * @returns only if it cannot start: 1
 */
export async function runAgent(keepMemory = memoryKeeper): Promise<number> {
  if (self().uid() !== 0 && onHost('') === '') {
    write(2, 'lvguard: only root can run the agent, which is a service of this host: sudo systemctl start lvguard\n')
    return 1
  }
  const other = agentState()
  if (other.kind === 'runs') {
    write(2, `lvguard: an agent runs on this host already (process ${other.pid}): systemctl status lvguard\n`)
    return 1
  }
  const host = new AgentHost(DEFAULTS)
  const journal = openJournal(() => host.configuration)
  const aftermath = new Aftermath(host, journal)
  const agent = new Agent(host, aftermath, new Retries())
  let mark = ''
  let leases: Watching | undefined
  const configure = async (): Promise<void> => {
    mark = markOf(CONFIGURATION_FILE)
    const parsed = await readConfiguration()
    host.configuration = 'configuration' in parsed ? parsed.configuration : host.configuration
    const errors =
      'errors' in parsed
        ? parsed.errors.map(
            (error) => `${error}; until that is mended no VM starts here, and for the agent what was in force stays so`,
          )
        : parsed.mistakes.map((mistake) => `${mistake}; this key has its default`)
    aftermath.sayOfHost(
      errors.map((error): HostSaying => ({ key: error, priority: 3, text: `configuration: ${error}` })),
      'configuration',
    )
    if ('errors' in parsed) return
    leases?.settings(settingsOf(host.configuration))
    // Not waited for: LVM may take long, and migrations must not wait for that.
    void findingsOn(parsed.configuration).then(
      (findings) => {
        aftermath.sayOfHost(
          findings.map(
            (finding): HostSaying => ({
              key: finding,
              priority: 4,
              again: Infinity,
              text: `configuration: ${finding}`,
            }),
          ),
          'what the configuration names',
        )
      },
      () => undefined,
    )
  }
  await configure()
  // An older agent that still runs, because it could not be ended or nobody ended it. It notices this one at its next
  // sign of life, and its acts are under the VGs' locks (R11).
  if (other.kind === 'hangs')
    journal.say({
      priority: 4,
      text: `another agent (process ${other.pid}) hangs, without a sign of life for ${other.seconds} s: this one takes its place`,
    })
  // Before the first pass, which may wait for LVM.
  const watching = watchLeases(settingsOf(host.configuration), watchdogPeriod(), (line) => journal.say(line))
  leases = watching
  const heart = heartOf(agent, aftermath, journal, watching)
  heart.beat()
  every(BEAT_PERIOD * 1000, () => {
    heart.beat()
    const trouble = watching.trouble()
    aftermath.sayOfHost(trouble === undefined ? [] : [{ key: 'watch', again: 60, ...trouble }], 'watch')
  })
  void tellSystemd('READY=1').then((why) => sayOfSystemd(aftermath, why))
  const drbd = new DrbdWatch(
    drbdWorld(
      host,
      (sayings) => aftermath.sayOfHost(sayings, 'drbd'),
      (line) => journal.say(line),
    ),
  )
  const returns = new DrbdReturns({
    confirmations: readConfirmations,
    drop: dropConfirmations,
    seen: seenPeers,
    tell: (line) => journal.say(line),
  })
  const freeMemory = keepMemory()
  const line = isHeard() ? statusLineOf(host) : undefined
  const watch = new FolderWatch(
    STATUS_FOLDER,
    coalesced(() => {
      agent.lookAtChanges()
      line?.changed()
    }),
  )
  const inRunFolder = coalesced((names) => {
    // lvmlockctl's kill command first leaves a mark.
    if (names === undefined || names.some((name) => name.endsWith('.killed'))) watching.look()
    agent.lookAtRecords(names)
    if (names === undefined || names.some((name) => name.endsWith('.json'))) line?.changed()
  })
  const recordWatch = new FolderWatch(RUN_FOLDER, (name) => {
    // This agent's own signs of life, every few seconds, are no news; nor is a record that is not in its place yet.
    if (name === undefined || /\.(?:json|killed)$/.test(name)) inRunFolder(name)
  })
  const timeouts = timeoutsSayer(host, aftermath)
  const pass = async (): Promise<void> => {
    watch.renew()
    recordWatch.renew()
    // The hook reads the configuration at each call: hook and agent must not differ for long.
    if (mark !== markOf(CONFIGURATION_FILE)) await configure()
    await agent.pass()
    line?.changed()
    // Not waited for: they change no lock.
    void drbd.pass()
    void returns.follow()
    void timeouts()
    freeMemory()
  }
  if (self().isTerminal(2))
    write(
      2,
      'lvguard: this is the agent, in the foreground; it ends with Ctrl-C. As a service: systemctl start lvguard\n',
    )
  // In a terminal SIGHUP says that the terminal is gone. Then the program ends, as everybody expects.
  else self().onHangup(() => void configure().then(pass))
  journal.say({ priority: 6, text: 'the agent watches the domains of this host' })
  await pass()
  every(PASS_PERIOD, () => void pass())
  return new Promise(() => undefined)
}

/**
 * Says, once for each VG, if something below it lets I/O wait for too long. Looks again when the locking of another VG
 * is started.
 */
function timeoutsSayer(host: AgentHost, aftermath: Aftermath): () => Promise<void> {
  let known = ''
  return async () => {
    const { volumeGroups } = host.configuration
    const vgs = [...host.lockspaces].filter((vg) => volumeGroups.length === 0 || volumeGroups.includes(vg)).sort()
    if (vgs.join(' ') === known) return
    known = vgs.join(' ')
    const found = await timeoutsBelow(new Set(vgs))
    aftermath.sayOfHost(
      [...found].flatMap(([vg, each]): HostSaying[] => {
        const text = longWaits(vg, each)
        return text === undefined ? [] : [{ key: text, priority: 4, again: Infinity, text }]
      }),
      'time-outs of paths',
    )
  }
}

/** What is locked here, for `systemctl status lvguard`. */
const statusLineOf = (host: AgentHost): StatusLine =>
  new StatusLine({
    read: () => {
      const active = [...host.look().active.values()]
      return lockedLine(readRecords(), active.filter(({ status }) => status.async.startsWith('migration ')).length)
    },
    // If it fails, nothing is said: the signs of life go the same way, and then fail too.
    tell: (text) => void tellSystemd(`STATUS=${text}`),
    after: (milliseconds, work) => void CLOCK.after(milliseconds, work),
  })

const settingsOf = ({ onLostLease, killFallback }: Configuration): WatchSettings => ({ onLostLease, killFallback })

function heartOf(agent: Agent, aftermath: Aftermath, journal: Journal, watching: Watching): Heart {
  const period = watchdogPeriod()
  // The watch tells systemd, as long as it is told that this heart beats (agent/pulse.ts).
  const told = watching.isOwnThread ? { period: 0, tell: () => watching.alive() } : undefined
  return new Heart({
    pid: self().pid,
    now: monotonic,
    lastPass: () => agent.lastPass,
    state: agentState,
    announce: announceAgent,
    watchdog:
      told ??
      (period === undefined
        ? undefined
        : { period, tell: () => void tellSystemd('WATCHDOG=1').then((why) => sayOfSystemd(aftermath, why)) }),
    say: (line) => aftermath.sayOfHost(line === undefined ? [] : [{ key: 'heart', ...line }], 'heart'),
    end: (line) => {
      journal.say(line)
      self().exit(0)
    },
  })
}

const sayOfSystemd = (aftermath: Aftermath, why: string | undefined): void =>
  aftermath.sayOfHost(
    why === undefined
      ? []
      : [{ key: why, priority: 3, text: `systemd cannot be told that the agent lives, and will end it: ${why}` }],
    'systemd',
  )

/** What tells one version of a file from another; empty where there is none. */
function markOf(file: string): string {
  const stat = statIfAny(file)
  return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`
}

/**
 * Makes one call of several events: one comes for each step of a rename, and for each domain.
 * @param work is given the names of all that has changed; undefined: anything may have
 */
function coalesced(work: (names: readonly string[] | undefined) => void): (name: string | undefined) => void {
  let names: Set<string | undefined> | undefined
  return (name) => {
    if (names !== undefined) {
      names.add(name)
      return
    }
    names = new Set([name])
    soon(() => {
      const changed = [...(names ?? [])]
      names = undefined
      work(changed.some((each) => each === undefined) ? undefined : changed.flatMap((each) => each ?? []))
    })
  }
}
