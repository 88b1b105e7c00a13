import { date } from '../system/clock.ts'
import { describeHost } from '../check/describe.ts'
import { type HostDescription, compareHosts, hostFactsIn } from '../core/check/compare.ts'
import { type Finding, HOST_CODES, exitOf, inOrder, untold } from '../core/check/finding.ts'
import { isHostName } from '../core/host-name.ts'
import { type Known, known, unknown } from '../core/status.ts'
import { query } from '../system/run.ts'
import { write } from '../system/output.ts'
import { firstLine, jsonOf, findingLines, muted } from './check-text.ts'
import { mayLook } from '../check/findings.ts'

/** All the effects of a comparison. */
export interface CheckHostWorld {
  /** Whether this user may read the locks: root. */
  mayLook(): boolean
  own(): Promise<HostDescription>
  other(host: string): Promise<Known<HostDescription>>
  mute(): Promise<readonly string[]>
  /** Seconds of the epoch. */
  now(): number
  /** ISO 8601. */
  at(): string
  say(text: string): void
}

/** What a person has asked for. */
export interface CheckHostCall {
  readonly host: string
  readonly json: boolean
  readonly quiet: boolean
}

/**
 * `lvguard check --host NODE`: what differs between this host and another one, and should not. Changes nothing.
 * @returns 0 ok, 1 warning, 2 critical, 3 unknown, as monitoring plugins do
 */
export async function checkHost({ host, json, quiet }: CheckHostCall, world: CheckHostWorld = REAL): Promise<number> {
  const isName = isHostName(host)
  if (!world.mayLook() || !isName) {
    world.say(
      `LVGUARD UNKNOWN - ${isName ? 'only root can compare hosts: run it with sudo' : `${host} is no name of a host`}\n`,
    )
    return 3
  }
  const from = world.now()
  const [here, [there, to], mute] = await Promise.all([
    world.own(),
    world.other(host).then((facts) => [facts, world.now()] as const),
    world.mute(),
  ])
  const all: readonly Finding[] =
    there.kind === 'known'
      ? compareHosts(here, there.value, { from, to })
      : [untold('LVG601', there.why, `ssh ${host} lvguard --version`)]
  const findings = inOrder(all, mute)
  const silenced = inOrder(
    all.filter(({ code }) => mute.includes(code)),
    [],
  )
  if (json) world.say(jsonOf(here.host, world.at(), findings, silenced, host))
  else if (!quiet || findings.length > 0)
    world.say(
      [firstLine(findings, silenced.length, HOST_CODES.length), ...(quiet ? [] : findingLines(findings))]
        .map((line) => `${line}\n`)
        .join(''),
    )
  return exitOf(findings)
}

/** `lvguard check --facts`: what this host says of itself to another one, as JSON (core/check/compare.ts). */
export async function showFacts(): Promise<number> {
  if (!mayLook()) {
    write(2, 'lvguard: only root can look at the locks of this host: run it with sudo\n')
    return 1
  }
  write(1, `${JSON.stringify(await describeHost())}\n`)
  return 0
}

/** Milliseconds for the answer of the other host. */
const ANSWER = 150_000

/** ssh as root on both hosts, as in README, The hosts know each other. */
const REAL: CheckHostWorld = {
  mayLook,
  own: describeHost,
  other: async (host) => {
    const { exitCode, stdout, stderr, timedOut } = await query(
      'ssh',
      // Never a question on the terminal.
      ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '--', host, 'lvguard', 'check', '--facts'],
      ANSWER,
    )
    const facts = exitCode === 0 ? hostFactsIn(stdout) : undefined
    if (facts !== undefined) return known(facts)
    if (timedOut) return unknown(`${host} does not answer within ${ANSWER / 1000} s`)
    const why = stderr.trim().split('\n').at(-1) ?? ''
    return unknown(
      exitCode === 0 ? `lvguard on ${host} is of another version` : `lvguard on ${host} does not answer (${why})`,
    )
  },
  mute: muted,
  now: () => date().getTime() / 1000,
  at: () => date().toISOString(),
  say: (text) => write(1, text),
}
