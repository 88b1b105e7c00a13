import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import { Vm } from './scenarios/vm.ts'

const BUILT = fileURLToPath(new URL('../dist/qemu', import.meta.url))

/** Seconds that the stand-ins of LVM's tools take: what the real ones took on real locks without contention (test/locks). */
const TOOLS = { lvmlockctl: 0.01, lvs: 0.045, lvchange: 0.057 } as const

const VG_UUID = 'rdJw4u-WmNJ-Iccg-2Sst-wDt3-iOos-0oQUfj'
const uuid = (index: number): string => `5dacuj-T6Pg-TQfq-Shce-fJKf-507r-8cu${String(index).padStart(3, '0')}`

/**
 * Stand-ins with a fixed time and fixed answers, so that what is left is the program's own. lvchange makes the devices appear below a
 * host's root, by one link.
 */
function makeTools(folder: string, count: number, root: string): void {
  mkdirSync(folder, { recursive: true })
  mkdirSync(join(root, 'sys'), { recursive: true })
  const devices = join(folder, 'devices')
  for (let index = 0; index < count; index++) {
    const dm = join(devices, `dm-${index}`, 'dm')
    mkdirSync(dm, { recursive: true })
    writeFileSync(join(dm, 'name'), `virtVG-disk${index}\n`)
    writeFileSync(join(dm, 'uuid'), `LVM-${`${VG_UUID}${uuid(index)}`.replaceAll('-', '')}\n`)
  }
  const rows = Array.from({ length: count }, (_, index) => ({
    vg_name: 'virtVG',
    lv_name: `disk${index}`,
    lv_uuid: uuid(index),
    vg_uuid: VG_UUID,
    vg_lock_type: 'sanlock',
    lv_layout: 'linear',
    lv_role: 'public',
    lv_lockargs: '1.0.0:70254592',
    pool_lv: '',
    pool_lv_uuid: '',
    origin_uuid: '',
  }))
  const locked = join(folder, 'locked')
  const block = join(root, 'sys/block')
  const acts = {
    lvmlockctl: `print q{LS sanlock lvm_virtVG\n};\nprint q{${rows.map(({ lv_uuid }) => `LK LV ex ${lv_uuid}\n`).join('')}} if -e '${locked}';`,
    lvs: `print q{${JSON.stringify({ report: [{ lv: rows }] })}};`,
    lvchange: `if (grep { $_ eq 'n' } @ARGV) { unlink '${locked}', '${block}' } else { open F, '>', '${locked}'; symlink '${devices}', '${block}' }`,
  }
  for (const [name, seconds] of Object.entries(TOOLS)) {
    const file = join(folder, name)
    writeFileSync(
      file,
      `#!/usr/bin/perl\nselect(undef, undef, undef, ${seconds});\n${acts[name as keyof typeof TOOLS]}\n`,
    )
    chmodSync(file, 0o755)
  }
}

/** Medians of wall-clock time, in milliseconds, from one interleaved hyperfine run each. */
async function medians(commands: readonly string[], runs: number, prepare: readonly string[] = []): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-bench-'))
  const file = join(folder, 'times.json')
  await execa(
    'hyperfine',
    [
      '-N',
      '--warmup',
      '3',
      '--runs',
      String(runs),
      ...prepare.flatMap((command) => ['--prepare', command]),
      '--export-json',
      file,
      ...commands,
    ],
    { stdio: 'ignore' },
  )
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results: { median: number }[] }
  rmSync(folder, { recursive: true })
  return results.map(({ median }) => median * 1000)
}

const row = (what: string, time: number, note: string): void => {
  process.stdout.write(`${what.padEnd(64)} ${time.toFixed(1).padStart(7)} ms   ${note}\n`)
}

const DOMAINS = 500
const PASSES = 20
/** A real status file, with all that libvirt writes into one. */
const STATUS = fileURLToPath(new URL('captures/debian-13/status/migrate-live/node2/05.xml', import.meta.url))

/** A host's files with many VMs that run and hold their volumes. */
function makeDomains(root: string): void {
  for (const name of ['run/lvguard', 'run/libvirt/qemu', 'proc/973', 'var/log/libvirt'])
    mkdirSync(join(root, name), { recursive: true })
  const status = readFileSync(STATUS, 'utf8')
  for (let index = 0; index < DOMAINS; index++) {
    const vm = new Vm(`vm${index}`, [{ path: `/dev/virtVG/disk${index}` }])
    const text = status
      .replace(/pid='\d+'/, "pid='973'")
      .replaceAll('tintin', vm.name)
      .replace(/<uuid>[^<]*/, `<uuid>${vm.uuid}`)
      .replace(/<source dev='[^']*'/, `<source dev='/dev/virtVG/disk${index}'`)
    writeFileSync(join(root, `run/libvirt/qemu/${vm.name}.xml`), text)
    const ids = { lv: uuid(index), vg: 'x', lock: uuid(index) }
    const volumes = [
      { vg: 'virtVG', lv: `disk${index}`, role: 'exclusive', mode: 'exclusive', before: 'inactive', ids },
    ]
    writeFileSync(
      join(root, `run/lvguard/${vm.uuid}.json`),
      JSON.stringify({ format: 1, domain: { name: vm.name, uuid: vm.uuid }, state: 'running', volumes }),
    )
  }
}

const field = (file: string, pattern: RegExp): number => Number(pattern.exec(readFileSync(file, 'utf8'))?.[1])
/** Milliseconds of CPU that a process has used: fields 14 and 15 of proc(5), /proc/PID/stat, in ticks of 10 ms. */
const cpuOf = (pid: number): number =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .split(') ')[1]
    ?.split(' ')
    .slice(11, 13)
    .reduce((sum, ticks) => sum + Number(ticks) * 10, 0) ?? 0

/** The agent beside many VMs: CPU time of a pass, without lvmlockctl's own, and what it keeps in memory. */
async function agent(folder: string): Promise<void> {
  const root = join(folder, 'agent')
  makeDomains(root)
  makeTools(join(folder, 'agent-tools'), DOMAINS, root)
  writeFileSync(join(folder, 'agent-tools/locked'), '')
  const running = execa(BUILT, ['agent'], {
    extendEnv: false,
    env: { LVGUARD_ROOT: root, PATH: `${join(folder, 'agent-tools')}:/usr/sbin:/usr/bin:/sbin:/bin` },
    reject: false,
    stdin: 'ignore',
  })
  const pid = running.pid ?? 0
  await pause(5000)
  const before = cpuOf(pid)
  for (let pass = 0; pass < PASSES; pass++) {
    running.kill('SIGHUP')
    await pause(250)
  }
  row(`agent: a pass with ${DOMAINS} VMs`, (cpuOf(pid) - before) / PASSES, 'of CPU beside lvmlockctl')
  process.stdout.write(
    `${`agent: resident, with ${DOMAINS} VMs`.padEnd(64)} ${(field(`/proc/${pid}/status`, /^VmRSS:\s+(\d+)/m) / 1024).toFixed(1).padStart(7)} MB\n`,
  )
  running.kill('SIGKILL')
  const { stderr } = await running
  if (stderr.split('\n').length > 1) process.stdout.write(`the agent said: ${stderr.split('\n')[1]}\n`)
}

/** `npm run bench [RUNS]`: what a hook call costs, with the floor beside it. Figures only; nothing is asserted. */
export async function main([runs = '40']: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-bench-'))
  try {
    const call = (disks: number, operation: string): string => {
      const vm = new Vm(
        'tintin',
        Array.from({ length: disks }, (_, index) => ({ path: `/dev/virtVG/disk${index}` })),
      )
      const xml = join(folder, `${disks}.xml`)
      writeFileSync(xml, vm.xml({ aliases: true }))
      const tools = join(folder, `tools${disks}`)
      const root = join(folder, `root${disks}`)
      makeTools(tools, disks, root)
      // As on a host: winston writes to its file.
      mkdirSync(join(root, 'var/log/libvirt'), { recursive: true })
      return `env -i LVGUARD_ROOT=${root} PATH=${tools}:/usr/sbin:/usr/bin:/sbin:/bin sh -c 'exec ${BUILT} tintin ${operation} ${operation === 'release' ? 'end' : 'begin'} - < ${xml}'`
    }
    const tool = (name: string): string => `env -i PATH=${join(folder, 'tools1')}:/usr/bin:/bin ${name}`
    const commands = [
      'env -i dash -c true',
      `env -i ${BUILT} tintin started begin -`,
      `env -i sh -c 'exec node -e 0 < ${join(folder, '1.xml')}'`,
      call(1, 'prepare'),
      call(16, 'prepare'),
      tool('lvchange'),
      tool('lvmlockctl'),
    ]
    // Each start is a fresh one.
    const fresh = `sh -c 'rm -rf ${folder}/tools*/locked ${folder}/root*/sys/block ${folder}/root*/run/lvguard/*.json'`
    const [dash = 0, idle = 0, node = 0, prepare = 0, sixteen = 0, lvchange = 0, lvmlockctl = 0] = await medians(
      commands,
      Number(runs),
      [fresh],
    )
    const [release = 0] = await medians([call(1, 'release')], Number(runs), [call(1, 'prepare')])
    const own = (time: number, queries: number): number => time - node - lvchange - queries * lvmlockctl
    row('dash -c true', dash, 'the floor of an operation with nothing to do')
    row('started: nothing to do', idle, `${(idle / dash).toFixed(1)} times the floor`)
    row('node -e 0', node, `Node ${process.version}, started as the hook is here`)
    row('lvchange, stand-in', lvchange, 'with the time that the real one takes')
    row(
      'prepare, one disk',
      prepare,
      `${own(prepare, 2).toFixed(1)} ms beside Node, one lvchange and two lvmlockctl (lvs runs beside lvchange)`,
    )
    row('release, one disk', release, `${own(release, 1).toFixed(1)} ms beside Node, one lvchange and one lvmlockctl`)
    row('prepare, sixteen disks', sixteen, `${(sixteen / prepare).toFixed(2)} times one disk, with the same lvchange`)
    await agent(folder)
    return 0
  } finally {
    rmSync(folder, { recursive: true })
  }
}
