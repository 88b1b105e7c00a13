import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { LocksHost } from './locks/host.ts'
import { LocksRing, available, together } from './locks/ring.ts'
import type { Result } from './ring.ts'
import { type Vm, vmOn } from './scenarios/vm.ts'

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Seconds of processor time of all programs that this one has started, and that have ended (proc(5), cutime and cstime). */
function processorTime(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(13, 15)
    .map(Number)
  return ((user ?? 0) + (system ?? 0)) / TICKS
}

/** Seconds that something takes, and seconds of processor time. */
async function timed<T>(work: () => Promise<T>): Promise<readonly [T, number, number]> {
  const begin = performance.now()
  const before = processorTime()
  const result = await work()
  return [result, (performance.now() - begin) / 1000, processorTime() - before]
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
  const ofEach = (seconds: number): string => `processor: ${((seconds * 1000) / count).toFixed(0)} ms each`
  const each = (mode: string): Promise<Result> =>
    host.run('sh', '-c', `for vm; do lvchange ${mode} "virtVG/$vm" || exit; done`, 'sh', ...vms.map(({ name }) => name))
  const [, ups, upsProcessor] = await timed(() => each('-aey'))
  const [, downs, downsProcessor] = await timed(() => each('-an'))
  row(`${count} lvchange -aey, one after the other`, ups, ofEach(upsProcessor))
  row(`${count} lvchange -an, one after the other`, downs, ofEach(downsProcessor))
  for (const withAgent of [false, true]) {
    const agent = withAgent ? host.startAgent() : undefined
    const [starts, took, processor] = await timed(() => atOnce(host, vms, 'prepare'))
    row(
      `${count} starts at once${withAgent ? ', with an agent' : ''}`,
      took,
      `${(took / ups).toFixed(2)} times; ${refusals(starts)}; ${await held(host)} locked; ${ofEach(processor)}`,
    )
    const begin = performance.now()
    const [stops, ended, endProcessor] = await timed(() => atOnce(host, vms, 'release'))
    row(
      `${count} stops at once${withAgent ? ', with an agent' : ''}`,
      ended,
      `${(ended / downs).toFixed(2)} times; ${refusals(stops)}; ${await held(host)} still locked; ${ofEach(endProcessor)}`,
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
  // These hosts have no device-mapper. A volume without a device makes `prepare` ask lvmconfig why, which no host with
  // VMs ever does: this one answers for nothing.
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-crowd-'))
  writeFileSync(join(folder, 'lvmconfig'), '#!/bin/sh\necho activation=0\n', { mode: 0o755 })
  const ring = await LocksRing.create({ nodeFolder: folder })
  try {
    const vms = Array.from({ length: Number(count) }, (_, index) => vmOn('virtVG', `vm${index}`))
    await ring.newVolumes(vms.map(({ name }) => name))
    await play(ring.hosts[0], vms)
    return 0
  } finally {
    await ring.close()
    rmSync(folder, { recursive: true })
  }
}
