import { readFileSync } from '../system/files.ts'
import type { Parsed } from '../state/config.ts'
import type { Configuration } from '../core/configuration.ts'
import { unreadable } from '../system/file-words.ts'
import { printable } from '../core/outcome.ts'
import { write } from '../system/output.ts'
import { CONFIGURATION_NAME, readConfiguration } from '../state/read-configuration.ts'
import { fitOf } from '../check/findings.ts'

/**
 * `lvguard check-config [FILE]`: everything that is wrong with a configuration, at once. Needs no domain.
 * @param file instead of this host's own
 * @returns 1 if anything is wrong with the file itself; what does not fit this host is a warning, and 0
 */
export async function checkConfig(file: string | undefined, json: boolean): Promise<number> {
  const name = file ?? CONFIGURATION_NAME
  const parsed = file === undefined ? await readConfiguration() : await parseFile(file)
  const errors = 'errors' in parsed ? parsed.errors : parsed.mistakes
  const configuration: Configuration | undefined = 'configuration' in parsed ? parsed.configuration : undefined
  const { findings, unseen } =
    configuration === undefined ? { findings: [], unseen: undefined } : await fitOf(configuration)
  const warnings = unseen === undefined ? findings : [...findings, unseen]
  if (json)
    write(1, `${JSON.stringify({ file: name, usable: configuration !== undefined, errors, warnings }, undefined, 2)}\n`)
  else tell(name, errors, warnings, configuration !== undefined)
  return errors.length > 0 ? 1 : 0
}

async function parseFile(file: string): Promise<Parsed> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return { errors: [unreadable(file, error)] }
  }
  const { parseConfiguration } = await import('../state/config.ts')
  return parseConfiguration(text)
}

function tell(name: string, errors: readonly string[], warnings: readonly string[], isUsable: boolean): void {
  const lines = [
    ...errors.map((error) => (error.startsWith('line ') ? `${name}: ${error}` : error)),
    ...warnings.map((warning) => `warning: ${warning}`),
    ...(errors.length === 0
      ? []
      : [
          isUsable
            ? 'Until that is mended these keys have their defaults.'
            : 'Until that is mended no VM starts here, and none is let in.',
        ]),
  ]
  if (lines.length > 0) write(2, lines.map((line) => `lvguard: ${printable(line)}\n`).join(''))
  if (errors.length === 0)
    write(1, `${printable(name)} is right${warnings.length === 0 ? '' : ', but see the warnings'}\n`)
}
