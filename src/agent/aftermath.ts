import { milliseconds, monotonic } from '../system/clock.ts'
import { type Line, SAY_AGAIN, byWhom, lineOf, transition, whatToDo, witnessOf } from '../core/agent-words.ts'
import { isInDoubtfulPhase } from '../core/contested.ts'
import type { Report } from '../core/domain-view.ts'
import { ReportBook } from '../core/report-book.ts'
import { PATIENCE } from '../core/retry.ts'
import { fullName } from '../core/volume.ts'
import { heldProblem, holdersInWords } from '../lvm/holders.ts'
import { linesOf } from '../core/outcome.ts'
import type { ActResult } from '../acts/drive.ts'
import type { Done } from '../acts/carry-out.ts'
import type { AgentHost, SeenDomain } from '../acts/seen-domains.ts'
import type { Journal } from './journal.ts'
import { virsh } from '../libvirt/virsh.ts'
import { leasesOf, witnessed } from '../acts/witness.ts'

/** Reports that are not said of a VM by itself: they concern the whole host, or are said when an act has asked lvs. */
const SAID_ELSEWHERE: ReadonlySet<Report['kind']> = new Set<Report['kind']>([
  'locks-unknown',
  'lockspace-lost',
  'lock-owner-unknown',
])

/** A line that may be true for long. `more` is called only when the line is said: it costs commands. */
interface Saying extends Line {
  readonly key: string
  readonly again?: number
  readonly more?: () => Promise<string>
}

/** A line about the whole host; said again every ten minutes unless it says otherwise. */
export type HostSaying = Omit<Saying, 'more'>

/** What follows an act once the VGs' locks are free: lines in the journal, questions to sanlock, virsh. */
export class Aftermath {
  readonly #host: AgentHost
  readonly #journal: Journal
  readonly #book = new ReportBook()
  /** By domain: since when it is refused again and again, in milliseconds of the monotonic clock. */
  readonly #refusedSince = new Map<string, number>()
  readonly #asked = new Set<string>()
  readonly #counted = new Set<string>()
  /** Acts on a domain again, at once. Set by the agent. */
  actAgain: (view: SeenDomain) => void = () => undefined

  constructor(host: AgentHost, journal: Journal) {
    this.#host = host
    this.#journal = journal
  }

  /**
   * Sees to all that follows one act.
   * @returns `again` if something is still wrong, and time may help; `later`: it may take long, and each try costs the
   *   others on this VG
   */
  follow(result: ActResult): 'again' | 'later' | 'done' {
    const { view, done, released, unwritable } = result
    const { name, uuid } = view.domain
    for (const each of done) if (each.kind === 'done') this.#sayTransition(view, each)
    if (result.unplugged.length > 0) {
      const volumes = result.unplugged.map(fullName)
      this.#journal.say(
        { priority: 5, text: `${name}: ${volumes.join(', ')} is not plugged in any more: released` },
        this.#about(view, 'unplug', volumes, 'released'),
      )
    }
    this.sayReports(view, result.reports)
    const open = done.filter(({ kind }) => kind !== 'done')
    if (!open.some(({ kind }) => kind === 'refused')) this.#refusedSince.delete(uuid)
    else if (!this.#refusedSince.has(uuid)) this.#refusedSince.set(uuid, milliseconds())
    // For a domain that stays suspended one sentence is enough (#contested).
    const sayings = result.contested === 'stay' ? [] : open.flatMap((each) => this.#sayingOf(view, each))
    if (unwritable !== undefined)
      sayings.push({
        key: 'unwritable',
        priority: 2,
        again: SAY_AGAIN,
        text: `the record of ${name} in /run/lvguard cannot be written (${unwritable}); make room in /run (df /run)`,
      })
    const unowned = result.reports.filter(({ kind }) => kind === 'lock-owner-unknown')
    for (const report of unowned)
      sayings.push({ key: Object.values(report).join(' '), again: SAY_AGAIN, ...lineOf(report, name) })
    if (released?.kind === 'left')
      sayings.push({ key: `left ${released.why}`, priority: 3, text: linesOf(released, name).join(' ') })
    if (result.contested === 'alert' || result.contested === 'stay')
      sayings.push(this.#contested(view, done, result.contested))
    this.#say(`${uuid} act`, sayings)
    if (released?.kind === 'done') {
      const volumes = released.volumes.map(fullName)
      this.#journal.say(
        { priority: 5, text: `${name} is gone: ${volumes.join(', ')} released` },
        this.#about(view, 'release', volumes, 'released'),
      )
    }
    if (result.abortJob)
      void this.#ask(
        'domjobabort',
        view,
        `the migration of ${name} was aborted: it copies storage, and its volumes are still shared with another host after an earlier migration; migrate without --copy-storage`,
      )
    if (result.contested === 'suspend') void this.#suspend(view)
    void this.#countLeases(view)
    if (open.length > 0 || released?.kind === 'left' || result.isOvertaken) return 'again'
    return result.isUntold ? 'later' : 'done'
  }

  /**
   * Says what the agent cannot, or must not, put right. What concerns the whole host is said once, not once for each
   * domain.
   */
  sayReports(view: SeenDomain, reports: readonly Report[]): void {
    this.#say(
      view.domain.uuid,
      reports
        .filter(({ kind }) => !SAID_ELSEWHERE.has(kind))
        .map((report): Saying => {
          const key = Object.values(report).join(' ')
          const isLasting = report.kind === 'also-used'
          const isLeft = report.kind === 'unchanged' && report.why === 'left-paused'
          return {
            key,
            ...lineOf(report, view.domain.name),
            ...(isLasting && { again: SAY_AGAIN }),
            ...(isLeft ? { again: SAY_AGAIN, more: () => this.#whoShares(view) } : {}),
          }
        }),
    )
  }

  /** Says lines about the whole host. They replace all earlier ones about the same thing (ReportBook). */
  sayOfHost(sayings: readonly HostSaying[], about: string): void {
    this.#say(
      about,
      sayings.map((saying) => ({ again: SAY_AGAIN, ...saying })),
    )
  }

  #say(about: string, sayings: readonly Saying[]): void {
    for (const { priority, text, more } of this.#book.update(about, sayings, monotonic())) {
      if (more === undefined) this.#journal.say({ priority, text })
      else
        void more().then(
          (addition) => this.#journal.say({ priority, text: text + addition }),
          () => this.#journal.say({ priority, text }),
        )
    }
  }

  #sayTransition(view: SeenDomain, { change, before, milliseconds: time }: Done): void {
    const operation = change.to === 'shared' ? 'demote' : before === 'shared' ? 'promote' : 'repair'
    this.#journal.say(
      { priority: before === 'none' ? 5 : 6, text: transition(view.domain.name, change, before, time) },
      this.#about(view, operation, [fullName(change)], change.to, time),
    )
  }

  #sayingOf(view: SeenDomain, { kind, change, before, why }: Done): Saying[] {
    const { name, uuid } = view.domain
    const volume = fullName(change)
    if (kind === 'failed')
      return [
        {
          key: `failed ${volume} ${why}`,
          priority: 3,
          again: SAY_AGAIN,
          text: `${name}: ${volume} cannot be made ${change.to}: ${why}`,
        },
      ]
    // The source of a migration needs a moment to let go. A lock that is missing altogether needs no such moment.
    const isOrdinary = before === 'shared' && milliseconds() - (this.#refusedSince.get(uuid) ?? 0) < PATIENCE
    if (isOrdinary) return []
    const text =
      before === 'none'
        ? `${name} runs here without a lock on ${volume}, which is held by `
        : `${name} runs here, and ${volume} cannot be made exclusive: held by `
    return [{ key: `refused ${volume}`, priority: 2, again: SAY_AGAIN, text, more: () => holdersInWords(volume) }]
  }

  /**
   * What is known of a domain whose migration is in doubt, and what a person has to decide: lvguard resumes nothing
   * (R12).
   */
  #contested(
    { domain: { name }, record, memory = { phase: '' } }: SeenDomain,
    done: readonly Done[],
    step: 'alert' | 'stay',
  ): Saying {
    const refused = done.find(({ kind }) => kind === 'refused')?.change
    const volume = refused ?? record?.volumes.find(({ role, mode }) => role === 'exclusive' && mode !== 'local')
    const witness = witnessOf(memory)
    const after = `after a migration whose end is in doubt (last phase ${memory.phase})`
    const what =
      step === 'stay'
        ? `${name} stays suspended here ${after}`
        : `${name} runs here ${after}, and may be running on another host too. It is not suspended`
    return {
      key: `${step} ${witness} ${refused === undefined}`,
      priority: 2,
      again: SAY_AGAIN,
      text: `${what}: ${witness}. ${whatToDo(name)}. Holder: `,
      more: () => (volume === undefined ? Promise.resolve('unknown') : holdersInWords(fullName(volume))),
    }
  }

  async #whoShares({ record, domain, memory }: SeenDomain): Promise<string> {
    const volume = record?.volumes.find(({ role, mode }) => role === 'exclusive' && mode !== 'local')
    if (volume === undefined) return ''
    const problem = await heldProblem(fullName(volume), undefined)
    const others = problem.kind === 'held' ? problem.holders.filter(({ isThisHost }) => !isThisHost) : []
    const witness = witnessOf((await witnessed(memory, record)) ?? { phase: '' })
    const holders =
      others.length === 0
        ? `No other host is seen to hold ${fullName(volume)} now`
        : `Do not resume it here, ${fullName(volume)} is held by ${byWhom(others)}`
    return `. ${holders}; ${witness}. ${whatToDo(domain.name)}`
  }

  async #suspend(view: SeenDomain): Promise<void> {
    const {
      memory,
      domain: { name },
    } = view
    // It may have ended since, and another life of it may have begun.
    if (!this.#host.isSameLife(view)) return
    const isDone = await this.#ask(
      'suspend',
      view,
      `${name} was suspended: it runs here after a migration whose end is in doubt, and may run, or have run, on another host`,
    )
    if (!isDone || memory === undefined) return
    this.#host.remember(view, { ...memory, suspend: 'done' })
    // Says what is known, and what to do.
    this.actAgain(view)
  }

  /**
   * Counts the leases while the destination is asked to let the CPUs run. The destination has locked the volumes for
   * the migration by now. Its agent locks them again only when it sees the domain run: so a higher count later says
   * that the domain ran there (FACTS 51). No VG's lock is held here.
   */
  async #countLeases(view: SeenDomain): Promise<void> {
    const {
      status,
      memory,
      record,
      domain: { uuid },
    } = view
    if (
      status === undefined ||
      !isInDoubtfulPhase(status) ||
      memory === undefined ||
      memory.lvers !== undefined ||
      this.#counted.has(uuid)
    )
      return
    this.#counted.add(uuid)
    const lvers = await leasesOf(record).catch(() => undefined)
    this.#counted.delete(uuid)
    if (lvers !== undefined) this.#host.noteLeases(view, lvers)
  }

  /** @returns whether libvirt did it; one question at a time about a domain */
  async #ask(command: 'suspend' | 'domjobabort', view: SeenDomain, then: string | undefined): Promise<boolean> {
    const { name, uuid } = view.domain
    if (this.#asked.has(uuid)) return false
    this.#asked.add(uuid)
    const problem = await virsh(command, uuid)
    this.#asked.delete(uuid)
    this.#say(
      `${uuid} virsh`,
      problem === undefined
        ? []
        : [{ key: command, priority: 2, again: SAY_AGAIN, text: `virsh ${command} ${name} failed: ${problem}` }],
    )
    if (problem === undefined && then !== undefined)
      this.#journal.say({ priority: 4, text: then }, this.#about(view, command, [], command))
    return problem === undefined
  }

  #about({ domain }: SeenDomain, operation: string, volumes: readonly string[], outcome: string, time = 0) {
    return { domain: domain.name, uuid: domain.uuid, operation, volumes, outcome, milliseconds: Math.round(time) }
  }
}
