import { runAgent } from '../agent/run-agent.ts'
import { printable } from '../core/outcome.ts'
import { write } from '../system/output.ts'
import { check } from './check.ts'
import { checkConfig } from './check-config.ts'
import { checkHost, showFacts } from './check-host.ts'
import { type Options, eventOf, parseCommand } from './command.ts'
import { confirmOff } from './confirm-off.ts'
import { dryRun } from './dry-run.ts'
import { fencePeerCommand } from './fence-peer.ts'
import { evacuate, returnVms } from './evacuate.ts'
import { killVg, recoverVg } from './kill.ts'
import { showHolders, showStatus } from './status.ts'
import { runStep } from './step.ts'
import { sync } from './sync.ts'
import { helpText, usageLine } from './usage.ts'
import { runWith } from './with.ts'
import type { VerbName } from './verbs.ts'

declare const LVGUARD_VERSION: string

type Run = (operands: readonly string[], options: Options, rest: readonly string[]) => Promise<number>

/** What each verb does; it gives the exit status. */
const RUN: Readonly<Record<VerbName, Run>> = {
  '--dry-run': (operands, { json, xml }) =>
    dryRun(eventOf(operands), { json: json === true, xmlFile: typeof xml === 'string' ? xml : undefined }),
  agent: () => runAgent(),
  check: (_, { json, quiet, changes, prometheus, host, facts }) => {
    const how = { json: json === true, quiet: quiet === true }
    if (facts === true) return showFacts()
    if (typeof host === 'string') return checkHost({ host, ...how })
    return check({
      ...how,
      changes: changes === true,
      prometheus: typeof prometheus === 'string' ? prometheus : undefined,
    })
  },
  'check-config': ([file], { json }) => checkConfig(file, json === true),
  'confirm-off': ([host = ''], { yes }) => confirmOff(host, yes === true),
  demote: ([domain = ''], { force }) => runStep({ step: 'demote', domain, force: force === true }),
  'fence-peer': () => fencePeerCommand(),
  kill: ([vg = ''], { yes, drop }) => killVg(vg, { yes: yes === true, drop: drop === true }),
  evacuate: (vms, options) =>
    withParallel(options, (parallel) =>
      evacuate({
        vms,
        parallel,
        to: typeof options['to'] === 'string' ? options['to'] : undefined,
        dryRun: options['dry-run'] === true,
      }),
    ),
  holders: (volumes, { json }) => showHolders(volumes, json === true),
  recover: ([vg = '']) => recoverVg(vg),
  return: (vms, options) =>
    withParallel(options, (parallel) => returnVms({ vms, parallel, dryRun: options['dry-run'] === true })),
  status: (words, { json, watch }) =>
    showStatus({
      words,
      json: json === true,
      watch: typeof watch === 'string' ? Math.max(1, Number(watch)) : undefined,
    }),
  sync: (vms, { to, yes, 'dry-run': dryRun }) => {
    if (typeof to === 'string') return sync({ to, vms, yes: yes === true, dryRun: dryRun === true })
    write(2, usageLine('sync needs --to HOST', 'sync'))
    return Promise.resolve(2)
  },
  with: (operands, { shared, 'hand-over': handOver }, rest) =>
    runWith({
      volumes: operands.slice(0, operands.length - rest.length),
      command: rest,
      shared: shared === true,
      handOver: handOver === true,
    }),
  promote: ([domain = '']) => runStep({ step: 'promote', domain, force: false }),
}

/** VMs that migrate at once where nobody says otherwise. */
const PARALLEL = 2

async function withParallel(
  { parallel = String(PARALLEL) }: Options,
  run: (parallel: number) => Promise<number>,
): Promise<number> {
  if (typeof parallel === 'string' && /^[1-9]\d?$/.test(parallel)) return run(Number(parallel))
  write(2, 'lvguard: --parallel needs a number from 1 to 99.\n')
  return 2
}

/** What a person typed, from the words to the exit status. */
export async function runCommand(words: readonly string[]): Promise<number> {
  const command = parseCommand(words)
  switch (command.kind) {
    case 'run':
      return RUN[command.verb](command.operands, command.options, command.rest)
    case 'help':
      write(1, helpText(command.verb))
      return 0
    case 'version':
      write(1, `lvguard ${LVGUARD_VERSION}\n`)
      return 0
    case 'usage':
      write(2, `${printable(usageLine(command.error, command.verb).trimEnd())}\n`)
      return 2
  }
}
