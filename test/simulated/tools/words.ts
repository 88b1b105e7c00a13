import type { Result } from '../../ring.ts'
import { Answer } from './answer.ts'

/** Every spelling of an option with the name that the tool's code uses for it. */
export interface Syntax {
  readonly flags: Readonly<Record<string, string>>
  readonly values: Readonly<Record<string, string>>
}

export interface Words {
  readonly flags: ReadonlySet<string>
  readonly values: ReadonlyMap<string, string>
  readonly operands: readonly string[]
}

/**
 * Reads words as getopt_long does: options before and after operands, `-aey`, `-a ey`, `--activate=ey`, all operands
 * after `--`.
 */
export function parseWords(tool: string, words: readonly string[], syntax: Syntax): Words | Result {
  const flags = new Set<string>()
  const values = new Map<string, string>()
  const operands: string[] = []
  const rest = [...words]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest)
      break
    }
    if (!/^-./.test(word)) {
      operands.push(word)
      continue
    }
    const [, name = word, attached] = /^(--[^=]+)(?:=(.*))?$/s.exec(word) ?? /^(-[^-])(.+)?$/s.exec(word) ?? []
    const flag = syntax.flags[name]
    const valued = syntax.values[name]
    if (valued !== undefined) values.set(valued, attached ?? rest.shift() ?? '')
    else if (flag !== undefined) {
      flags.add(flag)
      // `-yK`: the rest of the word is more options.
      if (attached !== undefined && !name.startsWith('--')) rest.unshift(`-${attached}`)
    } else return unrecognised(tool, name)
  }
  return { flags, values, operands }
}

export const isWords = (parsed: Words | Result): parsed is Words => 'operands' in parsed

const unrecognised = (tool: string, name: string): Result =>
  new Answer()
    .complain(
      name.startsWith('--')
        ? `${tool}: unrecognized option '${name}'`
        : `${tool}: invalid option -- '${name.slice(1)}'`,
    )
    .say('Error during parsing of command line.')
    .fail(3)
    .result()

/** Options that every lvm command takes and that change nothing here. */
export const COMMON: Syntax = {
  flags: {
    '-y': 'yes',
    '--yes': 'yes',
    '-q': 'quiet',
    '--quiet': 'quiet',
    '-v': 'verbose',
    '--verbose': 'verbose',
    '--nolocking': 'nolocking',
    '--nohints': 'nohints',
  },
  values: { '--config': 'config', '--devices': 'devices' },
}
