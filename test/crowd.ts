import { setTimeout as pause } from 'node:timers/promises'
import type { LocksHost } from './locks/host.ts'
import { LocksRing, available, together } from './locks/ring.ts'
import type { Result } from './ring.ts'
import { type Vm, vmOn } from './scenarios/vm.ts'

/** Seconds that something takes. */
async function timed<T>(work: Promise<T>): Promise<readonly [T, number]> {
  const begin = performance.now()
  return [await work, (performance.now() - begin) / 1000]
}

const row = (what: string, seconds: number, note = ''): void => {
  process.stdout.write(`${what.padEnd(48)} ${seconds.toFixed(2).padStart(7)} s   ${note}\n`)
}

/** All at the same moment. */
const atOnce = (host: LocksHost, vms: readonly Vm[], operation: 'prepare' | 'release'): Promise<Result[]> =>
  together(
    ...vms.map((vm) =>
      host.startHook({ name: vm.name, operation, xml: vm.xml({ aliases: operation === 'release' }) }, { gate: true }),
    ),
  )

const refusals = (results: readonly Result[]): string => {
  const failed = results.filter(({ code }) => code !== 0)
  return failed.length === 0 ? 'all served' : `${failed.length} not served: ${failed[0]?.stderr.split('\n')[0]}`
}

/** Where hundreds of programs ask lvmlockd at once, it may have no answer for this one. */
async function held(host: LocksHost): Promise<number> {
  for (let tries = 1; ; tries++) {
    const locks = await host.locks().catch((error: unknown) => {
      if (tries === 20) throw error
    })
    if (locks !== undefined) return locks.size
    await pause(500)
  }
}

async function untilFree(host: LocksHost): Promise<void> {
  for (const end = performance.now() + 120_000; (await held(host)) > 0 && performance.now() < end; ) await pause(50)
}

/** A host that has started and stopped a VM before has the compiled code of both in its cache; without it each of a hundred compiles for itself. */
async function warm(host: LocksHost, [vm]: readonly Vm[]): Promise<void> {
  for (const operation of vm === undefined ? [] : ['prepare', 'release'])
    await atOnce(host, [vm as Vm], operation as 'prepare' | 'release')
}

async function play(host: LocksHost, vms: readonly Vm[]): Promise<void> {
  const count = vms.length
  await warm(host, vms)
  const each = (mode: string): Promise<Result> =>
    host.run('sh', '-c', `for vm; do lvchange ${mode} "virtVG/$vm" || exit; done`, 'sh', ...vms.map(({ name }) => name))
  const [, ups] = await timed(each('-aey'))
  const [, downs] = await timed(each('-an'))
  row(`${count} lvchange -aey, one after the other`, ups)
  row(`${count} lvchange -an, one after the other`, downs)
  for (const withAgent of [false, true]) {
    const agent = withAgent ? host.startAgent() : undefined
    const [starts, took] = await timed(atOnce(host, vms, 'prepare'))
    row(
      `${count} starts at once${withAgent ? ', with an agent' : ''}`,
      took,
      `${(took / ups).toFixed(2)} times; ${refusals(starts)}; ${await held(host)} locked`,
    )
    const begin = performance.now()
    const [stops, ended] = await timed(atOnce(host, vms, 'release'))
    row(
      `${count} stops at once${withAgent ? ', with an agent' : ''}`,
      ended,
      `${(ended / downs).toFixed(2)} times; ${refusals(stops)}; ${await held(host)} still locked`,
    )
    if (withAgent) await untilFree(host)
    else if ((await held(host)) > 0) await host.reset()
    row('until all is given back', (performance.now() - begin) / 1000, `${await held(host)} still locked`)
    agent?.kill()
  }
}

/** `npm run crowd [VMS]`: many starts, and many stops, at the same moment on real locks. Figures only; nothing is asserted. */
export async function main([count = '100']: readonly string[]): Promise<number> {
  const obstacle = await available()
  if (obstacle !== undefined) {
    process.stderr.write(`${obstacle}\n`)
    return 1
  }
  process.env['LVGUARD_TEST_LEASES'] = String(Number(count) + 80)
  const ring = await LocksRing.create()
  try {
    const vms = Array.from({ length: Number(count) }, (_, index) => vmOn('virtVG', `vm${index}`))
    await ring.newVolumes(vms.map(({ name }) => name))
    await play(ring.hosts[0], vms)
    return 0
  } finally {
    await ring.close()
  }
}
