import { dirname, basename, join } from 'node:path'
import { readFacts } from '../check/read.ts'
import { date } from '../system/clock.ts'
import { findingsOfHost } from '../core/check/check.ts'
import { type Finding, changes, exitOf, inOrder } from '../core/check/finding.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { write } from '../system/output.ts'
import { RUN_FOLDER } from '../system/paths.ts'
import { textOf } from '../system/quiet-files.ts'
import { makeRunFolder } from '../state/record-store.ts'
import { renameSync, rmSync, writeFileSync } from '../system/files.ts'
import { self } from '../system/self.ts'
import { firstLine, jsonOf, findingLines, muted, prometheusText } from './check-text.ts'
import { mayLook } from '../check/findings.ts'

/** What is asked for. */
export interface CheckCall {
  readonly json: boolean
  /** The first line alone, and nothing where all is well. */
  readonly quiet: boolean
  /** Only what has come and gone since the last run with this option, for the journal. */
  readonly changes: boolean
  /** A file for Prometheus' textfile collector. */
  readonly prometheus: string | undefined
}

/** What the last run with --changes has found. It need not outlive a boot. */
const LAST_FILE = join(RUN_FOLDER, 'check')

/**
 * `lvguard check`: whether all is as it should be on this host. Changes nothing, and takes no lock.
 * @returns 0 ok, 1 warning, 2 critical, 3 unknown, as monitoring plugins do
 */
export async function check(call: CheckCall): Promise<number> {
  if (!mayLook()) {
    write(1, 'LVGUARD UNKNOWN - only root can look at the locks of this host: run it with sudo\n')
    return 3
  }
  const [facts, mute] = await Promise.all([readFacts(), muted()])
  const all = findingsOfHost(facts)
  const findings = inOrder(all, mute)
  const silenced = inOrder(
    all.filter(({ code }) => mute.includes(code)),
    [],
  )
  if (call.prometheus !== undefined) {
    try {
      replace(call.prometheus, prometheusText(findings, silenced, facts, Math.round(date().getTime() / 1000)), 0o644)
    } catch (error) {
      write(2, `lvguard: ${printable(`${call.prometheus} cannot be written (${messageOf(error)})`)}.\n`)
      return 3
    }
  }
  if (call.changes) tellChanges(findings)
  else if (call.json) write(1, jsonOf(facts.hostname, facts.status.at, findings, silenced))
  else if (!call.quiet || findings.length > 0)
    write(
      1,
      [firstLine(findings, silenced.length), ...(call.quiet ? [] : findingLines(findings))]
        .map((line) => `${line}\n`)
        .join(''),
    )
  return exitOf(findings)
}

const PRIORITY = { critical: 3, warning: 4, unknown: 5 } as const

/** For the journal, with the priorities of sd-daemon(3). */
function tellChanges(findings: readonly Finding[]): void {
  const { come, gone } = changes(lastFindings(), findings)
  const lines = [
    ...come.map(({ code, severity, what, mend }) => `<${PRIORITY[severity]}>${code} ${severity}: ${what}. ${mend}`),
    ...gone.map(({ code, what }) => `<5>${code} is over: ${what}`),
  ]
  write(2, lines.map((line) => `${printable(line)}\n`).join(''))
  try {
    makeRunFolder()
    replace(LAST_FILE, `${JSON.stringify(findings)}\n`, 0o600)
  } catch (error) {
    write(
      2,
      `<4>${printable(`${LAST_FILE} cannot be written (${messageOf(error)}): what is found now is said again next time`)}\n`,
    )
  }
}

function lastFindings(): readonly Finding[] {
  try {
    const found: unknown = JSON.parse(textOf(LAST_FILE) ?? '[]')
    return Array.isArray(found)
      ? found.filter(
          (each): each is Finding =>
            typeof each?.code === 'string' && typeof each.severity === 'string' && typeof each.what === 'string',
        )
      : []
  } catch {
    return []
  }
}

/**
 * Replaces a file in one rename: whoever reads it never sees half of it. The file before the rename has another ending,
 * which the collector does not read.
 */
function replace(file: string, text: string, mode: number): void {
  const temporary = join(dirname(file), `.${basename(file)}.${self().pid}`)
  try {
    writeFileSync(temporary, text, { mode })
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
