import type { LvmVersion } from '../cluster.ts'
import type { Answer } from './answer.ts'

export type Row = ReadonlyMap<string, string>

/** How a report is wanted: the fields, and the shape of it. */
export interface Report {
  readonly kind: 'lv' | 'vg'
  readonly fields: readonly string[]
  readonly json: boolean
  readonly headings: boolean
}

/** The headings of plain reports; JSON has the fields' full names. */
const HEADINGS: Readonly<Record<string, string>> = {
  lv_name: 'LV', vg_name: 'VG', lv_uuid: 'LV UUID', vg_uuid: 'VG UUID', lv_attr: 'Attr', lv_active: 'Active', lv_active_exclusively: 'ActExcl',
  lv_lockargs: 'LLockArgs', lv_autoactivation: 'AutoAct', pool_lv: 'Pool', origin: 'Origin', lv_layout: 'Layout', lv_role: 'Role', vg_lock_type: 'VLockType',
}

/** Full names of fields: LVM lets `lv_` off, and has some second names. */
export const fieldName = (name: string): string => {
  const short = name.startsWith('lv_') || name.startsWith('vg_') || name.startsWith('pool_') || name.startsWith('origin') ? name : `lv_${name}`
  return short === 'lv_lock_args' ? 'lv_lockargs' : short
}

/** Prints rows as lvs and vgs do. */
export function printReport(report: Report, rows: readonly Row[], lvm: LvmVersion, answer: Answer): void {
  if (report.json) printJson(report, rows, lvm, answer)
  else printTable(report, rows, answer)
}

const cell = (row: Row, field: string): string => row.get(field) ?? ''

function printJson({ kind, fields }: Report, rows: readonly Row[], lvm: LvmVersion, answer: Answer): void {
  const objects = rows.map((row) => `{${fields.map((field) => `${JSON.stringify(field)}:${JSON.stringify(cell(row, field))}`).join(', ')}}`)
  const lines = [
    '{', '    "report": [', '        {', `            "${kind}": [`,
    ...objects.map((object, index) => `                ${object}${index < objects.length - 1 ? ',' : ''}`),
    '            ]', '        }', '    ]', ...(lvm === '2.03.16' ? [] : ['    ,', '    "log": [', '    ]']), '}',
  ]
  for (const line of lines) answer.print(`  ${line}`)
}

/** Columns padded to their longest cell, the last one, too. */
function printTable({ fields, headings }: Report, rows: readonly Row[], answer: Answer): void {
  const table = [...(headings ? [fields.map((field) => HEADINGS[field] ?? field)] : []), ...rows.map((row) => fields.map((field) => cell(row, field)))]
  const widths = fields.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  for (const cells of table) answer.print(`  ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' ')}`)
}
