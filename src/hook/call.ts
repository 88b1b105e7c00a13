/** One call by libvirt: `qemu NAME OPERATION SUB-OPERATION EXTRA`, the domain XML on standard input. */
export interface HookEvent {
  readonly name: string
  readonly operation: string
  readonly subOperation: string
  readonly extra: string
}

/** What the words on the command line ask for. */
export type Call =
  | { readonly kind: 'hook'; readonly event: HookEvent }
  | { readonly kind: 'dry-run'; readonly event: HookEvent; readonly json: boolean; readonly xmlFile: string | undefined }
  | { readonly kind: 'agent' }
  /** One step by hand; `domain` is a name or a UUID. */
  | { readonly kind: 'step'; readonly step: 'demote' | 'promote'; readonly domain: string; readonly force: boolean }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'usage'; readonly error: string }

/** Operations with something to do, each with its sub-operation (DESIGN 3); the shell stub knows them too (src/stub.sh). */
export type Handled = 'prepare' | 'release' | 'migrate' | 'restore'
const HANDLED: ReadonlyMap<string, string> = new Map<Handled, string>([['prepare', 'begin'], ['release', 'end'], ['migrate', 'begin'], ['restore', 'begin']])

export const isHandled = <E extends Pick<HookEvent, 'operation' | 'subOperation'>>(event: E): event is E & { readonly operation: Handled } =>
  HANDLED.get(event.operation) === event.subOperation

const SUB_OPERATIONS = ['begin', 'end', '-']

/**
 * Tells libvirt's calls from an administrator's, as src/stub.sh does. libvirt gives four words; more, or others, in a future version are
 * its own too, unless the first is an option. A domain may be called like one (`--help`): then the third word tells.
 */
export function parseCall(words: readonly string[]): Call {
  const [name, operation, subOperation, extra] = words
  if (name !== undefined && operation !== undefined && subOperation !== undefined && extra !== undefined) {
    const isNamedLikeAnOption = words.length === 4 && SUB_OPERATIONS.includes(subOperation)
    if (!name.startsWith('-') || isNamedLikeAnOption) return { kind: 'hook', event: { name, operation, subOperation, extra } }
  }
  return parseCommand(words) ?? parseOptions(words)
}

/** `agent`, `demote [--force] DOMAIN`, `promote DOMAIN`; undefined for anything else. */
function parseCommand([command, ...words]: readonly string[]): Call | undefined {
  if (command === 'agent' && words.length === 0) return { kind: 'agent' }
  if (command !== 'demote' && command !== 'promote') return undefined
  const force = command === 'demote' && words.includes('--force')
  const [domain, ...more] = words.filter((word) => word !== '--' && !(force && word === '--force'))
  if (domain === undefined || domain.startsWith('-') || more.length > 0) return { kind: 'usage', error: `${command} needs one domain, by its name or UUID` }
  return { kind: 'step', step: command, domain, force }
}

function parseOptions(words: readonly string[]): Call {
  let dryRun = false
  let json = false
  let xmlFile: string | undefined
  const rest = [...words]
  while (rest[0]?.startsWith('-') === true) {
    const option = rest.shift()
    if (option === '--help' || option === '-h') return { kind: 'help' }
    if (option === '--version') return { kind: 'version' }
    if (option === '--dry-run') dryRun = true
    else if (option === '--json') json = true
    else if (option === '--xml') {
      xmlFile = rest.shift()
      if (xmlFile === undefined) return { kind: 'usage', error: '--xml needs a file' }
    } else if (option === '--') break
    else return { kind: 'usage', error: `unknown option ${option}` }
  }
  const [name, operation, subOperation = operation === 'release' || operation === 'stopped' ? 'end' : 'begin', extra = '-', ...more] = rest
  if (!dryRun) return { kind: 'usage', error: words.length === 0 ? 'nothing to do' : 'libvirt calls this with NAME OPERATION SUB-OPERATION EXTRA' }
  if (name === undefined || operation === undefined || more.length > 0) return { kind: 'usage', error: '--dry-run needs NAME OPERATION [SUB-OPERATION [EXTRA]]' }
  return { kind: 'dry-run', event: { name, operation, subOperation, extra }, json, xmlFile }
}
