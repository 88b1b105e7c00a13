import { existsSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import type { Host, Lock, Result, Ring } from './ring.ts'
import { LocksRing, available } from './locks/ring.ts'
import { SimulatedRing } from './simulated/ring.ts'
import { type Vm, vmOn } from './scenarios/vm.ts'

const isTerminal = process.stdout.isTTY
const colour =
  (code: number) =>
  (text: string): string =>
    isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text
const [green, red, yellow, dim, bold] = [colour(32), colour(31), colour(33), colour(2), colour(1)]

const say = (line = ''): void => {
  process.stdout.write(`${line}\n`)
}

const LOCK: Readonly<Record<Lock | 'unknown', string>> = {
  ex: green('exclusive'),
  sh: yellow('shared   '),
  none: dim('-        '),
  unknown: red('?        '),
}

type Shown = Lock | 'unknown'

/** Unknown while lvmlockd is down. */
const lockOn = (host: Host): Promise<Shown> => host.lock('tintin').catch((): Shown => 'unknown')

/** A VM's life on two hosts, told while it happens. Throws as soon as anything is not as it should be. */
class Story {
  readonly #ring: Ring
  readonly #start = performance.now()
  #wrong = 0

  constructor(ring: Ring) {
    this.#ring = ring
  }

  get wrong(): number {
    return this.#wrong
  }

  /** One event: who does what, what the hook says, and who holds the volume afterwards. */
  async event(
    what: string,
    result: Promise<Result>,
    expected: 'passes' | 'refused',
    locks: readonly [Shown, Shown],
  ): Promise<Result> {
    const begin = performance.now()
    const answer = await result
    const took = Math.round(performance.now() - begin)
    const [a, b] = this.#ring.hosts
    const held = [await lockOn(a), await lockOn(b)] as const
    const isRight = (answer.code === 0) === (expected === 'passes') && held[0] === locks[0] && held[1] === locks[1]
    if (!isRight) this.#wrong++
    const at = `${((begin - this.#start) / 1000).toFixed(1)} s`.padStart(7)
    const verdict = answer.code === 0 ? green('ok     ') : red('refused')
    say(
      `${dim(at)}  ${what.padEnd(58)} ${verdict} ${dim(`${took} ms`.padStart(7))}   ${LOCK[held[0]]}  ${LOCK[held[1]]}${isRight ? '' : red('  <- NOT AS IT SHOULD BE')}`,
    )
    for (const line of answer.stderr.split('\n').filter((text) => text.startsWith('lvguard: ')))
      say(`         ${yellow(line)}`)
    return answer
  }

  heading(text: string): void {
    say(`\n${bold(text)}`)
  }
}

async function tell(ring: Ring): Promise<number> {
  const [a, b] = ring.hosts
  await ring.volume('tintin')
  const vm = vmOn(ring.volumeGroup, 'tintin')
  const story = new Story(ring)
  say(`${' '.repeat(88)}${bold(a.name.padEnd(11))}${bold(b.name)}`)

  story.heading('Start: the VM runs where it holds its volume')
  await story.event(`${a.name}: virsh start tintin`, vm.prepare(a), 'passes', ['ex', 'none'])
  await story.event(`${b.name}: virsh start tintin`, vm.prepare(b), 'refused', ['ex', 'none'])
  await story.event(`${b.name}: libvirt cleans up after the refusal`, vm.releaseRefused(b), 'passes', ['ex', 'none'])

  story.heading('Live migration: shared only while it lasts')
  await story.event(
    `${a.name}: the source demotes (the agent, or lvchange by hand)`,
    a.run('lvchange', '-asy', 'virtVG/tintin'),
    'passes',
    ['sh', 'none'],
  )
  const letIn = await story.event(`${b.name}: migrate, shared on trial`, vm.migrate(b), 'passes', ['sh', 'none'])
  await story.event(`${b.name}: a start in between is no part of the migration`, vm.prepare(b), 'refused', [
    'sh',
    'none',
  ])
  await vm.releaseRefused(b)
  const again = await story.event(`${b.name}: migrate again`, vm.migrate(b), 'passes', ['sh', 'none'])
  await story.event(
    `${b.name}: prepare of that very migration`,
    vm.prepare(b, again.stdout === '' ? letIn.stdout : again.stdout),
    'passes',
    ['sh', 'sh'],
  )
  await story.event(`${a.name}: the VM has left`, vm.release(a), 'passes', ['none', 'sh'])
  await story.event(
    `${b.name}: the destination promotes (the agent, or by hand)`,
    b.run('lvchange', '-aey', 'virtVG/tintin'),
    'passes',
    ['none', 'ex'],
  )

  story.heading('Stop')
  await story.event(`${b.name}: virsh shutdown tintin`, vm.release(b), 'passes', ['none', 'none'])

  story.heading('Crash: of QEMU, and of lvmlockd')
  await crash(a, vm, story)

  say(
    `\n${story.wrong === 0 ? green('Every step came out as it should.') : red(`${story.wrong} steps did not come out as they should.`)}`,
  )
  return story.wrong === 0 ? 0 : 1
}

async function crash(host: Host, vm: Vm, story: Story): Promise<void> {
  await story.event(`${host.name}: virsh start tintin`, vm.prepare(host), 'passes', ['ex', 'none'])
  await story.event(`${host.name}: QEMU is killed; libvirt calls release`, vm.release(host), 'passes', ['none', 'none'])
  await host.killLocking()
  await story.event(`${host.name}: lvmlockd has crashed; virsh start tintin`, vm.prepare(host), 'refused', [
    'unknown',
    'none',
  ])
  await host.restartLocking()
  await vm.releaseRefused(host)
  await story.event(`${host.name}: lvmlockd is back; virsh start tintin`, vm.prepare(host), 'passes', ['ex', 'none'])
  await story.event(`${host.name}: virsh destroy tintin`, vm.release(host), 'passes', ['none', 'none'])
}

/** Real locks unless there is a reason not to, or they cannot be had after all. */
async function ringFor(reason: string | undefined): Promise<Ring> {
  if (reason === undefined) {
    say('Two hosts on real locks: this machine\u2019s own lvm2, lvmlockd and sanlock, in two mount namespaces.')
    say('It takes about 10 s to set up.')
    try {
      return await LocksRing.create()
    } catch (error) {
      return ringFor(`real ones could not be set up: ${String(error instanceof Error ? error.message : error).trim()}`)
    }
  }
  say(`Two hosts on SIMULATED locks (${reason}).`)
  say('For real ones: as root, apt-get install --no-install-recommends lvm2 lvm2-lockd sanlock')
  return SimulatedRing.create()
}

/** `npm run demo [simulated]` */
export async function main(words: readonly string[]): Promise<number> {
  if (!existsSync('/proc/self')) {
    say('The demo needs /proc, and it is not mounted here (a chroot?): mount -t proc proc /proc')
    return 1
  }
  const ring = await ringFor(words.includes('simulated') ? 'as asked' : await available())
  try {
    return await tell(ring)
  } finally {
    await ring.close()
  }
}
