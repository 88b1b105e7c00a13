import { readFileSync } from 'node:fs'
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

const row = (what: string, seconds: number, note: string): void => {
  process.stdout.write(`${what.padEnd(48)} ${seconds.toFixed(2).padStart(7)} s   ${note}\n`)
}

const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])

/** All at the same moment. */
const atOnce = (host: LocksHost, vms: readonly Vm[], operation: 'prepare' | 'release'): Promise<Result[]> =>
  together(...vms.map((vm) => host.startHook({ name: vm.name, operation, xml: vm.xml({ aliases: operation === 'release' }) }, { gate: true })))

const refusals = (results: readonly Result[]): string => {
  const failed = results.filter(({ code }) => code !== 0)
  return failed.length === 0 ? 'none refused' : `${failed.length} not served: ${failed[0]?.stderr.split('\n')[0]}`
}

/** As many volumes as a host has of one mode. */
const held = async (host: LocksHost): Promise<number> => (await host.locks()).size

async function play(host: LocksHost, vms: readonly Vm[], withAgent: boolean): Promise<void> {
  const names = vms.map(({ name }) => `virtVG/${name}`)
  const each = (mode: string): Promise<Result> => host.run('sh', '-c', `for volume; do lvchange ${mode} "$volume" || exit; done`, 'sh', ...names)
  const [, ups] = await timed(each('-aey'))
  const [, downs] = await timed(each('-an'))
  row(`${vms.length} bare lvchange -aey, one after the other`, ups, '')
  row(`${vms.length} bare lvchange -an, one after the other`, downs, '')
  const agent = withAgent ? host.start(['/proc/self/exe']) : undefined
  agent?.kill()
  const [starts, took] = await timed(atOnce(host, vms, 'prepare'))
  row(`${vms.length} starts at once`, took, `${(took / ups).toFixed(2)} times; ${refusals(starts)}; ${await held(host)} locked`)
  const begin = uptime()
  const [stops, ended] = await timed(atOnce(host, vms, 'release'))
  row(`${vms.length} stops at once`, ended, `${(ended / downs).toFixed(2)} times; ${refusals(stops)}; ${await held(host)} still locked`)
  while (await held(host) > 0 && uptime() - begin < 120) await pause(50)
  row('until all is given back', uptime() - begin, `${await held(host)} still locked`)
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
    const [host] = ring.hosts
    const created = await host.run('sh', '-c', 'for volume; do lvcreate -q -an -l 1 --setautoactivation n -n "$volume" virtVG > /dev/null || exit; done', 'sh', ...vms.map(({ name }) => name))
    if (created.code !== 0) throw new Error(created.stderr)
    await play(host, vms, false)
    return 0
  } finally {
    await ring.close()
  }
}
