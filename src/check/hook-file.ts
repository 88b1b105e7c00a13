import type { CheckFacts } from '../core/check/facts.ts'
import { onHost } from '../system/paths.ts'
import { namesIn, textOf } from '../system/quiet-files.ts'
import { statIfAny } from '../system/files.ts'

const MAIN = '/etc/libvirt/hooks/qemu'
type State = CheckFacts['hook']['file']

/** Every file that libvirt runs for a VM, in its order: the main one, and those in qemu.d. */
const places = (): string[] => [
  MAIN,
  ...namesIn(onHost(`${MAIN}.d`))
    .sort()
    .map((name) => `${MAIN}.d/${name}`),
]

/**
 * Where lvguard is among libvirt's hooks: the main one. If that is another program: one in qemu.d, where the Debian
 * package puts lvguard (install/debian/postinst). If none of them is lvguard: the main one.
 * @param build as the head of the program says it (build.mjs); undefined: it is not known
 */
function ownPlace(build: string | undefined): { readonly path: string; readonly state: State } {
  const main = { path: MAIN, state: stateOf(MAIN, build) }
  if (main.state !== 'other') return main
  return (
    places()
      .map((path) => ({ path, state: stateOf(path, build) }))
      .find(({ state }) => state === 'same' || state === 'different') ?? main
  )
}

function stateOf(path: string, build: string | undefined): State {
  const status = statIfAny(onHost(path))
  if (status === undefined) return 'missing'
  if (!status.isFile() || (status.mode & 0o111) === 0) return 'not executable'
  const text = textOf(onHost(path))
  if (text === undefined) return 'unknown'
  if (!text.slice(0, 2000).includes('lvguard, a libvirt qemu hook')) return 'other'
  return build === undefined || text.includes(`// lvguard ${build}\n`) ? 'same' : 'different'
}

/** What `lvguard check` knows of the hook. @param build as in ownPlace */
export function hookFile(build: string | undefined): CheckFacts['hook'] {
  const own = ownPlace(build)
  // libvirt runs what can be run, and passes over the rest (virHookCheck, virFileIsExecutable): a README, one that was
  // put aside.
  return {
    file: own.state,
    others: places().filter(
      (path) => path !== own.path && !['missing', 'not executable'].includes(stateOf(path, build)),
    ),
  }
}

/** When the program that libvirt runs was put there, in milliseconds of the epoch; undefined: it is not there. */
export const putAt = (build: string | undefined): number | undefined => statIfAny(onHost(ownPlace(build).path))?.ctimeMs
