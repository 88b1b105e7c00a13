import type { Result } from '../../ring.ts'
import type { Scene, Tool } from './answer.ts'

/** Settings of lvm.conf, such as `log/prefix`; one that is not set is not in it. */
export type Settings = ReadonlyMap<string, string>

/** Reads `section/name=value` as lvm.conf and `--config` have it; a value with spaces is in quotation marks. */
export const parseSettings = (text: string): Settings =>
  new Map(
    [...text.matchAll(/([a-z_]+\/[a-z_]+)\s*=\s*(?:"([^"]*)"|(\S+))/g)].map(([, name = '', quoted, plain]) => [
      name,
      quoted ?? plain ?? '',
    ]),
  )

/** What is in force for one command: lvm.conf, and before it what the command line says. */
export function settingsOf({ host }: Scene, words: readonly string[]): Settings {
  const at = words.indexOf('--config')
  return new Map([...host.lvmConf, ...parseSettings(at < 0 ? '' : (words[at + 1] ?? ''))])
}

/**
 * What a report in JSON makes of a setting that is meant for tables (measured, lvm2 2.03.16: the closing quotation mark
 * is wrong, or missing).
 */
export const quoted = (value: string, settings: Settings): string =>
  settings.get('report/prefixes') !== '1'
    ? JSON.stringify(value)
    : `"${value}${settings.get('report/quoted') === '0' ? '' : "'"}`

/**
 * An lvm command: each line that it says begins as lvm.conf has it, and what is wrong goes into a report nobody sees if
 * that is so.
 */
export const lvmTool =
  (name: string, tool: Tool): Tool =>
  (scene, words) => {
    const settings = settingsOf(scene, words)
    const start = (settings.get('log/command_names') === '1' ? name : '') + (settings.get('log/prefix') ?? '  ')
    const said = (text: string): string => text.replace(/^ {2}/gm, () => start)
    const { code, stdout, stderr }: Result = tool(scene, words)
    const isReported = !['lvs', 'vgs', 'pvs'].includes(name) && settings.get('log/report_command_log') === '1'
    return { code, stdout: said(stdout), stderr: isReported ? '' : said(stderr) }
  }
