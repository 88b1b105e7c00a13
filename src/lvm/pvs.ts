import { inKnownForm } from './words.ts'

/** Which VG each PV of this host is in. `--nolocking`: never waits for a lock. */
export const pvsArguments = (): string[] =>
  inKnownForm(['--nolocking', '--reportformat', 'json', '-o', 'pv_name,vg_name'])

/**
 * A PV by its path, and its VG. `path` is in LVM's brackets for one that is missing (`[unknown]`); `vg` is empty for
 * one that is in no VG.
 */
export interface PhysicalVolume {
  readonly path: string
  readonly vg: string
}

/** Reads what pvs answered. @throws SyntaxError if stdout is not the report that pvs was told to print (R15) */
export function parsePvs(stdout: string): PhysicalVolume[] {
  const report: unknown = JSON.parse(stdout)
  return listIn(report, 'report')
    .flatMap((part) => listIn(part, 'pv'))
    .map((row) => {
      const [path, vg] = [property(row, 'pv_name'), property(row, 'vg_name')]
      if (typeof path !== 'string' || typeof vg !== 'string')
        throw new SyntaxError('pvs reports a physical volume without all of its columns')
      return { path, vg }
    })
}

const property = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined

const listIn = (value: unknown, name: string): readonly unknown[] => {
  const list = property(value, name)
  if (!Array.isArray(list)) throw new SyntaxError(`pvs reports no '${name}'`)
  return list
}
