import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { Vm } from './scenarios/vm.ts'

const BUILT = fileURLToPath(new URL('../dist/qemu', import.meta.url))

/** Seconds that the stand-ins of LVM's tools take: what the real ones took on real locks without contention (test/locks). */
const TOOLS = { lvmlockctl: 0.01, lvs: 0.045, lvchange: 0.057 } as const

const uuid = (index: number): string => `5dacuj-T6Pg-TQfq-Shce-fJKf-507r-8cuu${String(index).padStart(2, '0')}`

/** Stand-ins with a fixed time and fixed answers, so that what is left is the program's own. */
function makeTools(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true })
  const rows = Array.from({ length: count }, (_, index) => ({
    vg_name: 'virtVG', lv_name: `disk${index}`, lv_uuid: uuid(index), vg_uuid: 'rdJw4u-WmNJ-Iccg-2Sst-wDt3-iOos-0oQUfj', vg_lock_type: 'sanlock', lv_layout: 'linear',
    lv_role: 'public', lv_lockargs: '1.0.0:70254592', pool_lv: '', pool_lv_uuid: '', origin_uuid: '',
  }))
  const locked = join(folder, 'locked')
  const acts = {
    lvmlockctl: `print q{LS sanlock lvm_virtVG\n};\nprint q{${rows.map(({ lv_uuid }) => `LK LV ex ${lv_uuid}\n`).join('')}} if -e '${locked}';`,
    lvs: `print q{${JSON.stringify({ report: [{ lv: rows }] })}};`,
    lvchange: `if (grep { $_ eq 'n' } @ARGV) { unlink '${locked}' } else { open F, '>', '${locked}' }`,
  }
  for (const [name, seconds] of Object.entries(TOOLS)) {
    const file = join(folder, name)
    writeFileSync(file, `#!/usr/bin/perl\nselect(undef, undef, undef, ${seconds});\n${acts[name as keyof typeof TOOLS]}\n`)
    chmodSync(file, 0o755)
  }
}

/** Medians of wall-clock time, in milliseconds, from one interleaved hyperfine run each. */
async function medians(commands: readonly string[], runs: number, prepare: readonly string[] = []): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-bench-'))
  const file = join(folder, 'times.json')
  await execa('hyperfine', ['-N', '--warmup', '3', '--runs', String(runs), ...prepare.flatMap((command) => ['--prepare', command]), '--export-json', file, ...commands], { stdio: 'ignore' })
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results: { median: number }[] }
  rmSync(folder, { recursive: true })
  return results.map(({ median }) => median * 1000)
}

const row = (what: string, time: number, note: string): void => {
  process.stdout.write(`${what.padEnd(64)} ${time.toFixed(1).padStart(7)} ms   ${note}\n`)
}

/** `npm run bench [RUNS]`: what a hook call costs, with the floor beside it. Figures only; nothing is asserted. */
export async function main([runs = '40']: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-bench-'))
  try {
    const call = (disks: number, operation: string): string => {
      const vm = new Vm('tintin', Array.from({ length: disks }, (_, index) => ({ path: `/dev/virtVG/disk${index}` })))
      const xml = join(folder, `${disks}.xml`)
      writeFileSync(xml, vm.xml({ aliases: true }))
      const tools = join(folder, `tools${disks}`)
      makeTools(tools, disks)
      const root = join(folder, `root${disks}`)
      mkdirSync(root, { recursive: true })
      return `env -i LVGUARD_ROOT=${root} PATH=${tools}:/usr/sbin:/usr/bin:/sbin:/bin sh -c 'exec ${BUILT} tintin ${operation} ${operation === 'release' ? 'end' : 'begin'} - < ${xml}'`
    }
    const tool = (name: string): string => `env -i PATH=${join(folder, 'tools1')}:/usr/bin:/bin ${name}`
    const commands = [
      'env -i dash -c true', `env -i ${BUILT} tintin started begin -`, `env -i sh -c 'exec node -e 0 < ${join(folder, '1.xml')}'`, call(1, 'prepare'), call(16, 'prepare'), tool('lvchange'), tool('lvmlockctl'),
    ]
    const [dash = 0, idle = 0, node = 0, prepare = 0, sixteen = 0, lvchange = 0, lvmlockctl = 0] = await medians(commands, Number(runs))
    const [release = 0] = await medians([call(1, 'release')], Number(runs), [call(1, 'prepare')])
    const own = (time: number, queries: number): number => time - node - lvchange - queries * lvmlockctl
    row('dash -c true', dash, 'the floor of an operation with nothing to do')
    row('started: nothing to do', idle, `${(idle / dash).toFixed(1)} times the floor`)
    row('node -e 0', node, `Node ${process.version}, started as the hook is here`)
    row('lvchange, stand-in', lvchange, 'with the time that the real one takes')
    row('prepare, one disk', prepare, `${own(prepare, 2).toFixed(1)} ms beside Node, one lvchange and two lvmlockctl (lvs runs beside lvchange)`)
    row('release, one disk', release, `${own(release, 1).toFixed(1)} ms beside Node, one lvchange and one lvmlockctl`)
    row('prepare, sixteen disks', sixteen, `${(sixteen / prepare).toFixed(2)} times one disk, with the same lvchange`)
    return 0
  } finally {
    rmSync(folder, { recursive: true })
  }
}
