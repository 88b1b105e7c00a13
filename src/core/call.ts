/** One call by libvirt: `qemu NAME OPERATION SUB-OPERATION EXTRA`, the domain XML on standard input. */
export interface HookEvent {
  readonly name: string
  readonly operation: string
  readonly subOperation: string
  readonly extra: string
}

/** What the words on the command line are: a call by libvirt, or what a person has typed (cli/command.ts). */
export type Call =
  | { readonly kind: 'hook'; readonly event: HookEvent }
  | { readonly kind: 'admin'; readonly words: readonly string[] }

/**
 * Operations with something to do, each with its sub-operation (DESIGN 3); the shell stub knows them too (src/stub.sh).
 */
export type Handled = 'prepare' | 'release' | 'migrate' | 'restore'
const HANDLED: ReadonlyMap<string, string> = new Map<Handled, string>([
  ['prepare', 'begin'],
  ['release', 'end'],
  ['migrate', 'begin'],
  ['restore', 'begin'],
])

/** Whether there is something to do for a call: its operation is handled, with its own sub-operation. */
export const isHandled = <E extends Pick<HookEvent, 'operation' | 'subOperation'>>(
  event: E,
): event is E & { readonly operation: Handled } => HANDLED.get(event.operation) === event.subOperation

/** libvirt's operations, each with its sub-operation (libvirt.org/hooks.html). */
export const OPERATIONS: Readonly<Record<string, string>> = {
  prepare: 'begin',
  start: 'begin',
  started: 'begin',
  stopped: 'end',
  release: 'end',
  migrate: 'begin',
  restore: 'begin',
  reconnect: 'begin',
  attach: 'begin',
}

/** Whether a word is one of libvirt's operations. */
export const isOperation = (word: string): boolean => Object.hasOwn(OPERATIONS, word)

/**
 * Whether the program was called as the command, and not as a hook: libvirt runs /etc/libvirt/hooks/qemu, and what is
 * in hooks/qemu.d/ under any name.
 */
export const isCommandPath = (path: string): boolean => /(?:^|\/)lvguard$/.test(path) && !path.includes('/hooks/')

const SUB_OPERATIONS = ['begin', 'end', '-']
/**
 * libvirt has no sub-operation and no reason that is one of these. So they come from a person, who typed them behind
 * NAME and OPERATION.
 */
const OWN_OPTIONS = ['--dry-run', '--json', '--xml', '--help', '-h']

/**
 * Tells libvirt's calls from an administrator's, as src/stub.sh does. libvirt gives four words. More words, or other
 * ones, may come from a future version of it: they count as its own too, unless the first is an option, or a later one
 * is an option of lvguard (R5: not if the operation is reconnect). A domain may have a name like an option (`--help`):
 * then the third word tells.
 * @param isCommand the program was called by its own name. Then an operation that today's libvirt does not have is a
 *   person's slip. R5 holds all the same
 */
export function parseCall(words: readonly string[], isCommand = false): Call {
  const [name, operation, subOperation, extra, ...more] = words
  if (name === undefined || operation === undefined || subOperation === undefined || extra === undefined)
    return { kind: 'admin', words }
  const isNamedLikeAnOption = words.length === 4 && SUB_OPERATIONS.includes(subOperation)
  if (name.startsWith('-') && !isNamedLikeAnOption) return { kind: 'admin', words }
  if (operation !== 'reconnect' && [subOperation, extra, ...more].some((word) => OWN_OPTIONS.includes(word)))
    return { kind: 'admin', words }
  if (isCommand && operation !== 'reconnect' && (!isOperation(operation) || OPERATIONS[operation] !== subOperation))
    return { kind: 'admin', words }
  return { kind: 'hook', event: { name, operation, subOperation, extra } }
}
