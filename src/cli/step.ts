import { act } from '../acts/drive.ts'
import type { Done } from '../acts/carry-out.ts'
import { AgentHost, type SeenDomain, vgsOfView } from '../acts/seen-domains.ts'
import { lineOf, transition } from '../core/agent-words.ts'
import type { Records } from '../core/record.ts'
import { fullName } from '../core/volume.ts'
import { holdersInWords } from '../lvm/holders.ts'
import { messageOf } from '../system/error-message.ts'
import { printable } from '../core/outcome.ts'
import { lockState } from '../lvm/lvm.ts'
import { write } from '../system/output.ts'
import { onHost } from '../system/paths.ts'
import { readConfiguration } from '../state/read-configuration.ts'
import { readRecords } from '../state/record-store.ts'
import { self } from '../system/self.ts'
import { VgBusy } from '../state/vg-lock.ts'

/** One step by hand; `domain` is a name or a UUID. */
interface StepCall {
  readonly step: 'demote' | 'promote'
  readonly domain: string
  readonly force: boolean
}

const complain = (what: string, advice?: string): 1 => {
  write(2, [what, ...(advice === undefined ? [] : [advice])].map((line) => `lvguard: ${printable(line)}\n`).join(''))
  return 1
}

/**
 * `lvguard demote DOMAIN`, `lvguard promote DOMAIN`: what the agent would do next for one domain, by hand and under the
 * same rules.
 * @returns 0 if it was done, or nothing was to be done; else 1
 */
export async function runStep(call: StepCall): Promise<number> {
  if (self().uid() !== 0 && onHost('') === '')
    return complain('only root can change locks; nothing was changed.', 'Run it with sudo.')
  const parsed = await readConfiguration()
  if ('errors' in parsed)
    return complain(`the configuration is wrong: ${parsed.errors.join('; ')}.`, 'Correct /etc/libvirt/lvguard.conf.')
  const host = new AgentHost(parsed.configuration)
  host.learn(await lockState())
  const view = find(call.domain, host, readRecords())
  if (view === undefined)
    return complain(`${call.domain} does not run on this host.`, "See 'virsh list' here and on the other hosts.")
  const refusal = refusalOf(call, view)
  if (refusal !== undefined) return complain(...refusal)
  if (call.force)
    complain(
      `warning: libvirt does not say that ${view.domain.name} is migrating. While its volumes are shared, another host may share them too; an agent here makes them exclusive again within 15 s, unless another host holds them.`,
    )
  try {
    // Asked again under the lock: libvirt may have gone on meanwhile (R3, R11).
    const [result] = await act([view.domain.uuid], vgsOfView(view), host, (seen) => insisted(call, seen))
    const late = result === undefined ? undefined : refusalOf(call, result.view, true)
    if (late !== undefined) return complain(...late)
    if (result === undefined) return complain('nothing was changed.')
    for (const report of result.reports) complain(lineOf(report, view.domain.name).text)
    if (result.isOvertaken)
      return complain(
        'nothing was changed: its record in /run/lvguard was changed by a hook meanwhile.',
        "See 'virsh list', then run it again.",
      )
    if (result.unwritable !== undefined)
      return complain(
        `its record in /run/lvguard cannot be written (${result.unwritable}).`,
        'Make room in /run (df /run).',
      )
    return await tell(view, result.done, result.reports.length > 0)
  } catch (error) {
    return complain(error instanceof VgBusy ? `${error.message}.` : messageOf(error), "See 'ps -ef | grep lvchange'.")
  }
}

function find(words: string, host: AgentHost, records: Records): SeenDomain | undefined {
  const look = host.look()
  const uuids = [...look.active.values()]
    .filter(({ domain }) => domain.name === words || domain.uuid === words.toLowerCase())
    .map(({ domain }) => domain.uuid)
  return uuids[0] === undefined ? undefined : host.viewOf(uuids[0], look, records)
}

/**
 * Why the step is refused, and what to do; undefined: go on.
 * @param isLate the view comes from the act: what was insisted upon is in it already
 */
function refusalOf(
  { step, force }: StepCall,
  { wanted, runs, domain: { name } }: SeenDomain,
  isLate = false,
): readonly [string, string] | undefined {
  if (!runs) return [`${name} does not run on this host.`, "See 'virsh list' here and on the other hosts."]
  if (step === 'demote') {
    if (force || (wanted.mode === 'shared' && wanted.direction === 'out')) return undefined
    return [
      `${name} was not demoted: libvirt does not say that it is migrating out of this host.`,
      'Its volumes are shared while it migrates, and only then; with --force all the same.',
    ]
  }
  if (wanted.mode === 'exclusive' || (wanted.mode === 'unchanged' && wanted.why === 'left-paused' && !isLate))
    return undefined
  if (wanted.mode === 'shared')
    return [
      `${name} was not promoted: libvirt says that it is migrating ${wanted.direction === 'in' ? 'to' : 'out of'} this host.`,
      'When that has ended the agent promotes it.',
    ]
  return [
    `${name} was not promoted: its state here does not call for it (${wanted.mode === 'unchanged' ? wanted.why : wanted.mode}).`,
    `See 'virsh domstate --reason ${name}' and 'virsh domjobinfo ${name}'.`,
  ]
}

function insisted(call: StepCall, view: SeenDomain): SeenDomain {
  if (refusalOf(call, view) !== undefined)
    return {
      ...view,
      wanted:
        view.wanted.mode === 'inactive'
          ? { mode: 'unchanged', why: 'gone-once' }
          : { mode: 'unchanged', why: 'job-starting' },
    }
  return { ...view, wanted: call.step === 'demote' ? { mode: 'shared', direction: 'out' } : { mode: 'exclusive' } }
}

async function tell({ domain: { name } }: SeenDomain, done: readonly Done[], hasReports: boolean): Promise<number> {
  for (const each of done) {
    if (each.kind === 'done') write(1, `${printable(transition(name, each.change, each.before, each.milliseconds))}\n`)
    else if (each.kind === 'refused')
      complain(
        `${fullName(each.change)} is held by ${await holdersInWords(fullName(each.change))}.`,
        `It stays ${each.before === 'none' ? 'without a lock' : each.before} here.`,
      )
    else complain(`${fullName(each.change)} cannot be made ${each.change.to}: ${each.why}.`)
  }
  if (done.length === 0 && !hasReports) write(1, `${printable(name)}: nothing to do\n`)
  return hasReports || done.some(({ kind }) => kind !== 'done') ? 1 : 0
}
