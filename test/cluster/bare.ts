/**
 * `npm run test:bare`: two hosts with nothing but Debian on them, and a person who types what the README says, word for
 * word, up to the first start that is refused and the first migration. SUITE=bookworm|trixie. `KEEP=1` leaves the nodes
 * to a person;
 * `-- FOLDER LINE` goes on with them, at that line of the README.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import type { Result } from '../ring.ts'
import { suiteOf } from './cli.ts'
import { heading, missingLine, stepsOf, type Step, type Where } from './manual.ts'
import { found, image, Nodes, personalRun } from './nodes.ts'
import { type Finding, TRUE_HERE, asked } from './scenarios/verbs.ts'
import { untilTrue } from './wait.ts'

/** What is right at some moment soon, and may be asked again: where the agent is a step behind the person. */
const LOOKS = /^(journalctl|virsh list|virsh domstate|lvmlockctl|systemctl is-active|lvguard status)\b/

export async function main([folder = '', first = '0']: readonly string[]): Promise<number> {
  const all = stepsOf(await readFile('README.md', 'utf8'), heading).filter(({ line }) => line >= Number(first))
  const suite = suiteOf(process.env['SUITE'])
  const keep = process.env['KEEP'] === '1'
  const old = folder === '' ? undefined : await found(folder)
  const nodes =
    old ??
    new Nodes({
      suite,
      storage: 'shared',
      image: await image(suite, 'bare'),
      run: personalRun(`bare-${process.pid}`),
      bound: !keep,
      bare: true,
    })
  try {
    const begin = Date.now()
    if (old === undefined) await nodes.up()
    else await nodes.each((node) => node.awaitSsh()).then(() => nodes.openDesk())
    print(`${seconds(begin)} two bare hosts, ${suite}`)
    // What the README says of a host that has a watchdog of its own.
    const hasWatchdog = await Promise.all(nodes.all.map((node) => node.shell('ls /dev/watchdog*')))
    const isLeftOut = ({ command }: Step): boolean =>
      hasWatchdog.every(({ code }) => code === 0) && command.includes('softdog')
    for (const { command } of all.filter(isLeftOut)) print(`          left out, for a watchdog is there: ${command}`)
    const steps = all.filter((step) => !isLeftOut(step))
    let number = 0
    for (const step of steps) {
      const from = Date.now()
      const wrong = await typed(nodes, step)
      print(`${seconds(from)} ${step.where}: ${step.command.replaceAll(/\\\n */g, '')}`)
      if (wrong !== undefined) {
        print(`README.md:${step.line}: ${wrong}`)
        print(`${number} passed, 1 failed, ${steps.length - number - 1} skipped`)
        return 1
      }
      number++
    }
    const from = Date.now()
    const wrong = await notAllWell(nodes)
    print(`${seconds(from)} lvguard check, on both`)
    for (const line of wrong) print(line)
    const failed = wrong.length === 0 ? 0 : 1
    print(`${seconds(begin)} in all, ${suite}`)
    print(`${number + 1 - failed} passed, ${failed} failed, 0 skipped`)
    return failed
  } finally {
    if (keep) print(`the nodes are in ${nodes.settings.run}`)
    else await nodes.down()
  }
}

/** What `lvguard check` finds on hosts that a person has set up by the README, beside what is true of these nodes. */
async function notAllWell(nodes: Nodes): Promise<string[]> {
  const lines: string[] = []
  for (const node of nodes.all) {
    const { said } = await asked<{ readonly findings: readonly Finding[] }>({ node }, 'check --json')
    for (const { code, severity, what } of said.findings) {
      const line = `${node.name}: ${code} ${severity}: ${what}`
      const reason = TRUE_HERE.get(code)
      if (reason === undefined) lines.push(line)
      else print(`          ${line} (${reason})`)
    }
  }
  return lines
}

/** Types one command where it belongs; returns what is wrong with what it did. */
async function typed(nodes: Nodes, step: Step): Promise<string | undefined> {
  let wrong: string | undefined
  const once = async (): Promise<boolean> => {
    const results = await Promise.all(hosts(nodes, step.where).map((type) => type(step.command)))
    wrong = results.map((result) => fault(step, result)).find((one) => one !== undefined)
    return wrong === undefined
  }
  if (!LOOKS.test(step.command)) await once()
  else await untilTrue(step.command, once, { seconds: 60, every: 1 }).catch(() => undefined)
  return wrong
}

function fault({ prints, refused }: Step, { code, stdout, stderr }: Result): string | undefined {
  const printed = `${stdout}${stderr}`
  if ((code !== 0) !== refused) return `exit ${code}\n${printed}`
  const missing = missingLine(printed, prints)
  return missing === undefined ? undefined : `it does not print '${missing}' but\n${printed}`
}

function hosts(nodes: Nodes, where: Where): ((command: string) => Promise<Result>)[] {
  const [one, two] = nodes.all
  // Packages take minutes in emulation.
  const on = (node: typeof one) => (command: string) => node.shell(command, { seconds: 3600 })
  switch (where) {
    case 'node1':
      return [on(one)]
    case 'node2':
      return [on(two)]
    case 'both hosts':
      return [on(one), on(two)]
    case 'your own machine':
      return [(command) => atDesk(nodes, command)]
  }
}

/** On this machine, which has ssh to both. */
async function atDesk(nodes: Nodes, command: string): Promise<Result> {
  const { exitCode, stdout, stderr } = await execa('bash', ['-eo', 'pipefail', '-c', command], {
    env: { PATH: `${join(nodes.settings.run, 'bin')}:${process.env['PATH']}` },
    reject: false,
    stripFinalNewline: false,
    timeout: 600_000,
  })
  return { code: exitCode ?? 255, stdout, stderr }
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1).padStart(7)} s `
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
