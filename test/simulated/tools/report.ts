import type { LvmVersion } from '../cluster.ts'
import type { Answer } from './answer.ts'
import { type Settings, quoted } from './settings.ts'

export type Row = ReadonlyMap<string, string>

/** How a report is wanted: the fields, and the shape of it. */
export interface Report {
  readonly kind: 'lv' | 'vg' | 'pv'
  readonly fields: readonly string[]
  /** How the command was told to print it: `json`, or undefined for a table. */
  readonly format: string | undefined
  /** Of lvm.conf and its `--config`. */
  readonly settings: Settings
  readonly headings: boolean
}

/** The headings of plain reports; JSON has the fields' full names. */
const HEADINGS: Readonly<Record<string, string>> = {
  lv_name: 'LV',
  vg_name: 'VG',
  lv_uuid: 'LV UUID',
  vg_uuid: 'VG UUID',
  lv_attr: 'Attr',
  lv_active: 'Active',
  lv_active_exclusively: 'ActExcl',
  lv_lockargs: 'LLockArgs',
  lv_autoactivation: 'AutoAct',
  pool_lv: 'Pool',
  origin: 'Origin',
  lv_layout: 'Layout',
  lv_role: 'Role',
  vg_lock_type: 'VLockType',
}

/** Full names of fields: LVM lets `lv_` off, and has some second names. */
export const fieldName = (name: string): string => {
  const short =
    name.startsWith('lv_') || name.startsWith('vg_') || name.startsWith('pool_') || name.startsWith('origin')
      ? name
      : `lv_${name}`
  return short === 'lv_lock_args' ? 'lv_lockargs' : short
}

/** Prints rows as lvs and vgs do. */
export function printReport(report: Report, rows: readonly Row[], lvm: LvmVersion, answer: Answer): void {
  if (report.format?.startsWith('json') === true) printJson(report, rows, lvm, answer)
  else printTable(report, rows, answer)
}

const cell = (row: Row, field: string): string => row.get(field) ?? ''

/**
 * From 2.03.31 on a log of what went wrong comes beside it, in the place of stderr; of the states that stand there too
 * the model has none.
 */
function printJson({ kind, fields, settings }: Report, rows: readonly Row[], lvm: LvmVersion, answer: Answer): void {
  const isCompact = (field: string): boolean =>
    settings.get('report/compact_output') === '1' ||
    (settings.get('report/compact_output_cols') ?? '').split(',').includes(field)
  const shown = fields.filter((field) => !isCompact(field) || rows.some((row) => cell(row, field) !== ''))
  const objects = rows.map((row) => objectOf(new Map(shown.map((field) => [field, cell(row, field)])), settings))
  const wanted = settings.get('log/report_command_log')
  const withLog = wanted === undefined ? lvm !== '2.03.16' : wanted === '1'
  const errors = withLog
    ? answer.unsay().map((text, index) =>
        objectOf(
          new Map([
            ['log_seq_num', String(index + 1)],
            ['log_type', 'error'],
            ['log_message', text],
          ]),
          settings,
        ),
      )
    : []
  const lines = [
    '{',
    '    "report": [',
    '        {',
    `            "${kind}": [`,
    ...listed(objects).map((object) => `                ${object}`),
    '            ]',
    '        }',
    '    ]',
    ...(withLog ? ['    ,', '    "log": [', ...listed(errors).map((error) => `        ${error}`), '    ]'] : []),
    '}',
  ]
  for (const line of lines) answer.print(`  ${line}`)
}

const objectOf = (row: Row, settings: Settings): string =>
  `{${[...row].map(([field, value]) => `${JSON.stringify(field)}:${quoted(value, settings)}`).join(', ')}}`
const listed = (objects: readonly string[]): string[] =>
  objects.map((object, index) => `${object}${index < objects.length - 1 ? ',' : ''}`)

/** Columns padded to their longest cell, the last one, too. */
function printTable({ fields, headings }: Report, rows: readonly Row[], answer: Answer): void {
  const table = [
    ...(headings ? [fields.map((field) => HEADINGS[field] ?? field)] : []),
    ...rows.map((row) => fields.map((field) => cell(row, field))),
  ]
  const widths = fields.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  for (const cells of table)
    answer.print(`  ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' ')}`)
}
