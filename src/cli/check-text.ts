import { type Finding, OWN_CODES, type Severity, exitOf } from '../core/check/finding.ts'
import type { CheckFacts } from '../core/check/facts.ts'
import { printable } from '../core/outcome.ts'
import { readConfiguration } from '../state/read-configuration.ts'

const WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const
const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'unknown']

const countOf = (findings: readonly Finding[], severity: Severity): number =>
  findings.filter((each) => each.severity === severity).length

/** The result, in the word of a monitoring plugin. */
export const resultOf = (findings: readonly Finding[]): (typeof WORDS)[number] => WORDS[exitOf(findings)]

/** The codes that this host leaves out (`mute` in lvguard.conf). */
export async function muted(): Promise<readonly string[]> {
  const parsed = await readConfiguration()
  return 'configuration' in parsed ? parsed.configuration.mute : []
}

/**
 * The first line, fit for a monitoring plugin: state, sentence, and figures behind a bar.
 * @param silenced how many findings are muted
 * @param checks how many were made
 */
export function firstLine(findings: readonly Finding[], silenced: number, checks = OWN_CODES.length): string {
  const counts = SEVERITIES.map((severity) => [severity, countOf(findings, severity)] as const)
  const said = counts
    .filter(([, count]) => count > 0)
    .map(([severity, count]) => `${count} ${severity}`)
    .join(', ')
  const codes = [...new Set(findings.map(({ code }) => code))]
  const sentence = findings.length === 0 ? `${checks} checks, nothing found` : `${said}: ${codes.join(' ')}`
  return `LVGUARD ${resultOf(findings)} - ${sentence}${silenced === 0 ? '' : ` (${silenced} muted)`} | ${counts.map(([severity, count]) => `${severity}=${count}`).join(' ')}`
}

/** Each finding in two lines: what is wrong, and what mends it. */
export const findingLines = (findings: readonly Finding[]): string[] =>
  findings
    .flatMap(({ code, severity, what, mend }) => [`${code} ${severity}: ${what}`, `       ${mend}`])
    .map(printable)

/** What `--json` prints. `format` goes up when a field changes its meaning. */
export const jsonOf = (
  host: string,
  at: string,
  findings: readonly Finding[],
  silenced: readonly Finding[],
  other?: string,
): string =>
  `${JSON.stringify(
    {
      format: 1,
      host,
      ...(other !== undefined && { other }),
      at,
      result: resultOf(findings).toLowerCase(),
      findings,
      muted: silenced,
    },
    undefined,
    2,
  )}\n`

const label = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

/**
 * A file for the textfile collector of Prometheus' node exporter: a number for each code, also 0, and figures that the
 * checks have seen.
 * @param seconds of the epoch, when the checks ended
 */
export function prometheusText(
  findings: readonly Finding[],
  muted: readonly Finding[],
  { table, renewal }: Pick<CheckFacts, 'table' | 'renewal'>,
  seconds: number,
): string {
  const metric = (
    name: string,
    help: string,
    rows: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[],
  ): string[] =>
    rows.length === 0
      ? []
      : [
          `# HELP ${name} ${help}`,
          `# TYPE ${name} gauge`,
          ...rows.map(([labels, value]) => {
            const words = Object.entries(labels)
              .map(([key, text]) => `${key}="${label(text)}"`)
              .join(',')
            return `${name}${words === '' ? '' : `{${words}}`} ${value}`
          }),
        ]
  const latest = [...renewal].flatMap(([vg, told]): [Record<string, string>, number][] => {
    const times =
      told.kind === 'known'
        ? [...told.value.matchAll(/ read_ms=(\d+) write_ms=(\d+) /g)].map(
            ([, read, write]) => Number(read) + Number(write),
          )
        : []
    return times.length === 0 ? [] : [[{ vg }, Math.max(...times) / 1000]]
  })
  const locks = table.vms.flatMap(({ name, volumes }) =>
    (['exclusive', 'shared'] as const).map((mode): [Record<string, string>, number] => [
      { vm: name, mode },
      table.volumes.filter(
        ({ volume, holders }) => volumes.includes(volume) && holders.some((each) => each.here && each.mode === mode),
      ).length,
    ]),
  )
  return [
    ...metric('lvguard_check_result', '0 ok, 1 warning, 2 critical, 3 unknown', [[{}, exitOf(findings)]]),
    ...metric('lvguard_check_time_seconds', 'when the checks ended, in seconds of the epoch', [[{}, seconds]]),
    ...metric(
      'lvguard_findings',
      'what lvguard check has found, by code',
      OWN_CODES.map((code) => [{ code }, findings.filter((each) => each.code === code).length]),
    ),
    ...metric(
      'lvguard_unknown',
      'what lvguard check could not tell, by code',
      OWN_CODES.map((code) => [
        { code },
        findings.filter((each) => each.code === code && each.severity === 'unknown').length,
      ]),
    ),
    ...metric('lvguard_muted', 'findings that lvguard.conf mutes', [[{}, muted.length]]),
    ...metric(
      'lvguard_lease_age_seconds',
      'since this host has renewed its lease',
      table.vgs.flatMap(({ vg, renewed }) => (renewed === undefined ? [] : [[{ vg }, renewed] as const])),
    ),
    ...metric(
      'lvguard_host_silent_seconds',
      'since the last sign of life of another host was seen',
      table.hosts.flatMap(({ vg, host, state, silentFor }) =>
        state === 'this host' || silentFor === undefined ? [] : [[{ vg, host }, silentFor] as const],
      ),
    ),
    ...metric('lvguard_renewal_seconds_max', 'the longest renewal of the last hour', latest),
    ...metric('lvguard_locks', 'volumes that VMs of this host hold', locks),
    '',
  ].join('\n')
}
