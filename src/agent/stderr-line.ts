import type { Line, Priority } from '../core/agent-words.ts'
import { printable } from '../core/outcome.ts'

const PREFIXES: Readonly<Record<Priority, string>> = { 2: '<2>', 3: '<3>', 4: '<4>', 5: '<5>', 6: '<6>' }
const WORDS: Readonly<Record<Priority, string>> = { 2: 'critical: ', 3: 'error: ', 4: 'warning: ', 5: '', 6: '' }

/** A line as the agent writes it to stderr. @param isTerminal the priority is then a word, not a prefix */
export const stderrLine = ({ priority, text }: Line, isTerminal: boolean): string =>
  `${(isTerminal ? WORDS : PREFIXES)[priority]}${printable(text)}\n`
