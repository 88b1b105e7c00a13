import { type Step, wordsOf } from './capture.ts'
import { Cluster, type LvmVersion } from './cluster.ts'
import { runTool } from './tools.ts'
import type { Kind } from './volume.ts'

/** What was done in the session without being captured, before the nth (from 0) command of a section. */
export type Between = Readonly<Record<string, (cluster: Cluster) => void>>

export interface Replayed {
  readonly step: Step
  readonly real: unknown
  readonly simulated: unknown
}

/** Runs the commands of a capture on the model, and gives both answers in a form in which they must be equal. */
export function replay(cluster: Cluster, steps: readonly Step[], between: Between): Replayed[] {
  const counts = new Map<string, number>()
  return steps.flatMap((step) => {
    const nth = counts.get(step.section) ?? 0
    counts.set(step.section, nth + 1)
    between[`${step.section} ${nth}`]?.(cluster)
    const [tool = '', ...words] = wordsOf(step.command)
    const compare = COMPARED.find(([pattern]) => pattern.test(step.command))?.[1]
    if (compare === undefined) return []
    const { code, stdout, stderr } = runTool(
      { cluster, host: cluster.hosts[step.host - 1] ?? cluster.hosts[0] },
      tool,
      words,
    )
    const lines = (text: string): string[] => text.split('\n').slice(0, -1)
    const form = (out: readonly string[], err: readonly string[], rc: number): unknown => ({
      command: step.command,
      out: compare(out),
      err,
      code: rc,
    })
    return [
      { step, real: form(step.stdout, step.stderr, step.code), simulated: form(lines(stdout), lines(stderr), code) },
    ]
  })
}

type Lines = readonly string[]
const asItIs = (lines: Lines): Lines => lines
const nothing = (): Lines => []
// Volumes that LVM hides are not in the model.
const rowsOfTable = (lines: Lines): Lines =>
  lines.map((line) => line.trim().split(/\s+/).join(' ')).filter((line) => !line.startsWith('['))
const rowsOfJson = (lines: Lines): Lines =>
  lines.map((line) => line.replace(/,$/, '')).filter((line) => !/"lv_role":"private,/.test(line))
// The model's local VG is not in the captures.
const sharedGroups = (lines: Lines): Lines => rowsOfJson(lines).filter((line) => !line.includes('localVG'))
// Counters, the global lock, what lvmlockd has to do besides, and locks that it remembers without holding them depend
// on what was before.
const heldLocks = (lines: Lines): Lines =>
  lines.filter((line) => !/^LK GL|^OP |^LK LV un/.test(line)).map((line) => line.replace(/ ver \d+$/, ''))
// A time is 0 or not; how often a host has joined, and checksums, depend on what was before.
const FIGURES: readonly (readonly [RegExp, string])[] = [
  [/((?:timestamp|last_check|last_live|gen|generation)[ =])[1-9]\d*/g, '$1N'],
  [/ (?!0{10})\d{10} /, ' N '],
  [/(checksum ).*/, '$1N'],
]
const withoutTimes = (lines: Lines): Lines =>
  lines.map((line) => FIGURES.reduce((text, [figure, sign]) => text.replace(figure, sign), line))

/** How the standard outputs of a command are compared; commands in no row are not in the model. */
const COMPARED: readonly (readonly [RegExp, (lines: Lines) => Lines])[] = [
  [/^lvchange |^vgchange |^dmsetup /, asItIs],
  [/^lvs virtVG$/, nothing],
  [/^lvs .*--reportformat json\b/, rowsOfJson],
  [/^vgs .*--reportformat json\b/, sharedGroups],
  [/^lvs /, rowsOfTable],
  [/^lvmlockctl /, heldLocks],
  [/^sanlock (?:client (?:gets|host_status)|direct)\b/, withoutTimes],
]

interface Captured {
  readonly lv: string
  readonly uuid: string
  readonly leaseOffset?: number
}

const KINDS: Readonly<Record<string, Kind>> = {
  snapa: { kind: 'snapshot', origin: 'a' },
  pool: { kind: 'thin-pool' },
  thin1: { kind: 'thin', pool: 'pool' },
}

/** A cluster with the volume group, the volumes and the UUIDs of a capture. */
export class CapturedCluster {
  readonly cluster: Cluster
  readonly #volumes: readonly Captured[]

  /** @param steps with an `lvs` for UUIDs in JSON and one with `lock_args` */
  constructor(steps: readonly Step[], lvm: LvmVersion) {
    const json = linesOf(steps, /^lvs .*lv_full_name.*json /)
    const offsets = new Map(
      linesOf(steps, /^lvs .*lock_args/).map((line): [string, number] => [
        line.trim().split(/\s+/)[0] ?? '',
        Number(/1\.0\.0:(\d+)/.exec(line)?.[1]),
      ]),
    )
    const rows = json.flatMap((line) => {
      const [, lv = '', uuid = '', volumeGroupUuid = ''] =
        /"lv_full_name":"virtVG\/([^"]+)", "lv_uuid":"([^"]+)", "vg_uuid":"([^"]+)"/.exec(line) ?? []
      return lv === '' ? [] : [{ lv, uuid, volumeGroupUuid, leaseOffset: offsets.get(lv) ?? 0 }]
    })
    this.#volumes = rows.filter(({ lv }) => !/^lvmlock$|^lvol0_|^pool_/.test(lv))
    const [volumeGroupUuid = '', lvmlockUuid = ''] = [
      rows[0]?.volumeGroupUuid,
      rows.find(({ lv }) => lv === 'lvmlock')?.uuid,
    ]
    this.cluster = new Cluster({ lvm, volumeGroupUuid, lvmlockUuid })
    const plain = this.#volumes.map(({ lv }) => lv).filter((lv) => KINDS[lv] === undefined)
    for (const lv of plain.sort((a, b) => (offsets.get(a) ?? 0) - (offsets.get(b) ?? 0))) this.create(lv)
  }

  readonly create = (lv: string): void => {
    const { uuid, leaseOffset } = this.#volumes.find((volume) => volume.lv === lv) ?? {}
    if (uuid === undefined) throw new Error(`no ${lv} in the capture`)
    const kind = KINDS[lv] ?? { kind: 'linear' }
    this.cluster.create(lv, { kind, uuid, ...(leaseOffset === undefined ? {} : { leaseOffset }) })
  }
}

const linesOf = (steps: readonly Step[], command: RegExp): readonly string[] =>
  steps.find((step) => command.test(step.command))?.stdout ?? []
