import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Step, parseCapture } from './capture.ts'
import { Cluster, type LvmVersion } from './cluster.ts'
import { type Between, CapturedCluster, replay } from './replay.ts'
import { runTool } from './tools.ts'

const captured = (file: string): Step[] => parseCapture(readFileSync(new URL(file, import.meta.url), 'utf8'))

/** Runs a line on host 1 or 2 of the model. */
function on(cluster: Cluster, host: 1 | 2, line: string): ReturnType<typeof runTool> {
  const [tool = '', ...words] = line.split(' ')
  return runTool({ cluster, host: cluster.hosts[host === 1 ? 0 : 1] }, tool, words)
}

const session = ({ create }: CapturedCluster): Between => ({
  'two LVs, one held by the other host 0': (cluster) => on(cluster, 2, 'lvchange -aey virtVG/b'),
  'exclusive while other holds sh 0': (cluster) => on(cluster, 2, 'lvchange -asy virtVG/b'),
  'in use 0': (cluster) => {
    on(cluster, 2, 'lvchange -an virtVG/b')
    on(cluster, 1, 'lvchange -aey virtVG/a')
    cluster.devices.open(cluster.hosts[0], 'virtVG/a')
  },
  'in use 2': (cluster) => cluster.devices.close(cluster.hosts[0], 'virtVG/a'),
  'snapshot and thin 0': () => create('snapa'),
  'snapshot and thin 1': (cluster) => {
    create('pool')
    on(cluster, 1, 'lvchange -aey virtVG/pool')
  },
  'snapshot and thin 2': (cluster) => {
    create('thin1')
    on(cluster, 1, 'lvchange -aey virtVG/thin1')
  },
  // Here the session let go of everything.
  'snapshot and thin 18': (cluster) => on(cluster, 1, 'lvchange -y -an virtVG/a'),
  'lvmlockd down 0': (cluster) => cluster.locks.setLvmlockd(cluster.hosts[0], 'absent'),
  'lvmlockd down 3': (cluster) => cluster.locks.restartLvmlockd(cluster.hosts[0], { adopt: false }),
})

describe.each<[string, LvmVersion]>([
  ['debian-12', '2.03.16'],
  ['debian-13', '2.03.31'],
])('the model answers like %s', (system, lvm) => {
  const steps = captured(`../captures/${system}/lvm.txt`)
  const start = new CapturedCluster(steps, lvm)
  const replayed = replay(start.cluster, steps, session(start))
  it('to most of the capture', () => expect(replayed.length).toBeGreaterThan(50))
  for (const { step, real, simulated } of replayed)
    it(`${step.section}: ${step.command}`, () => expect(simulated).toEqual(real))
})

describe('the model answers like debian-12 while the lockspace is starting', () => {
  const steps = captured('../captures/debian-12/lvm-lock-starting.txt')
  const start = new CapturedCluster(captured('../captures/debian-12/lvm.txt'), '2.03.16')
  for (const lv of ['pool', 'snapa', 'thin1']) start.create(lv)
  for (const host of start.cluster.hosts) start.cluster.locks.setLockspace(host, start.cluster.volumeGroup, 'starting')
  const replayed = replay(
    start.cluster,
    steps.slice(
      0,
      steps.findIndex(({ command }) => command.startsWith('vgs ')),
    ),
    {},
  )
  it('to most of the capture', () => expect(replayed.length).toBeGreaterThan(30))
  for (const { step, real, simulated } of replayed)
    it(`${step.section}: ${step.command}`, () => expect(simulated).toEqual(real))
})

describe('the model answers like real locks without devices', () => {
  const start = new CapturedCluster(captured('measured-2.03.16.txt'), '2.03.16')
  start.cluster.create('x', { vg: 'localVG' })
  const replayed = replay(start.cluster, captured('measured-2.03.16.txt'), {
    'lvmlockd killed 0': ({ locks, hosts }) => locks.setLvmlockd(hosts[1], 'killed'),
  })
  it('to all of it', () => expect(replayed.length).toBeGreaterThan(70))
  for (const { step, real, simulated } of replayed)
    it(`${step.section}: ${step.command}`, () => expect(simulated).toEqual(real))
})

describe('beyond the captures', () => {
  const up = (options: ConstructorParameters<typeof Cluster>[0] = {}): Cluster => {
    const cluster = new Cluster(options)
    for (const lv of ['a', 'b']) cluster.create(lv)
    return cluster
  }
  const devices = (cluster: Cluster): string[] =>
    cluster.devices.list(cluster.hosts[0]).map(({ name, open }) => `${name} ${open}`)

  it('lets a silent host keep its locks until it counts as dead (FACTS 32)', () => {
    const cluster = up()
    on(cluster, 2, 'lvchange -aey virtVG/a')
    cluster.locks.silence(cluster.hosts[1])
    const states = [0, 60, 60, 30].map((seconds) => {
      cluster.time.advance(seconds)
      return [
        /h 2 .* (\w+)/.exec(on(cluster, 1, 'sanlock client gets -h 1').stdout)?.[1],
        on(cluster, 1, 'lvchange -aey virtVG/a').code,
      ]
    })
    expect(states).toEqual([
      ['LIVE', 5],
      ['LIVE', 5],
      ['FAIL', 5],
      ['DEAD', 0],
    ])
    expect(cluster.locks.held(cluster.hosts[1], 'virtVG/a')).toBe('un')
  })

  it('refuses two promotions at once (FACTS 33)', () => {
    const cluster = up()
    for (const host of [1, 2] as const) expect(on(cluster, host, 'lvchange -asy virtVG/a').code).toBe(0)
    for (const host of [1, 2] as const) expect(on(cluster, host, 'lvchange -aey virtVG/a').code).toBe(5)
  })

  it('exits 0 and leaves the lock when unlocking fails (FACTS 24)', () => {
    const cluster = up()
    const [host] = cluster.hosts
    on(cluster, 1, 'lvchange -aey virtVG/a')
    cluster.locks.keepOnDeactivation(host, 'virtVG/a')
    expect(on(cluster, 1, 'lvchange -an virtVG/a')).toEqual({
      code: 0,
      stdout: '',
      stderr: '  LV virtVG/a lock failed: error -211\n  Failed to unlock logical volume virtVG/a.\n',
    })
    expect(cluster.locks.held(host, 'virtVG/a')).toBe('ex')
    expect(devices(cluster)).toEqual(['virtVG-lvmlock 1'])
  })

  it('activates an LV without lock_args without a lock (FACTS 24)', () => {
    const cluster = up()
    cluster.create('bare', { lockArgs: false })
    for (const host of [1, 2] as const) expect(on(cluster, host, 'lvchange -aey virtVG/bare').code).toBe(0)
    expect(cluster.locks.held(cluster.hosts[0], 'virtVG/bare')).toBe('un')
    expect(devices(cluster)).toContain('virtVG-bare 0')
  })

  it('does not activate, and exits 0, where the skip flag is set and not ignored', () => {
    const cluster = up()
    cluster.create('skipped', { skipActivation: true })
    expect(on(cluster, 1, 'lvchange --yes --activate ey -- virtVG/skipped').code).toBe(0)
    expect(cluster.locks.held(cluster.hosts[0], 'virtVG/skipped')).toBe('un')
    on(cluster, 1, 'lvchange --yes --activate ey --ignoreactivationskip -- virtVG/skipped')
    expect(cluster.locks.held(cluster.hosts[0], 'virtVG/skipped')).toBe('ex')
  })

  it('refuses to share what is neither linear nor striped', () => {
    const cluster = up()
    cluster.create('r', { kind: { kind: 'raid1' } })
    expect(on(cluster, 1, 'lvchange -asy virtVG/r').stderr).toContain(
      'Shared activation not compatible with LV type raid1 of virtVG/r\n',
    )
  })

  it('names the host_id in a conflict from 2.03.33 on (FACTS 22)', () => {
    const cluster = up({ lvm: '2.03.33' })
    on(cluster, 2, 'lvchange -aey virtVG/a')
    expect(on(cluster, 1, 'lvchange -aey virtVG/a').stderr).toMatch(
      /^ {2}LV locked by other host: virtVG\/a \(host_id 2\)\n/,
    )
  })

  it('forgets locks that it does not adopt, and leaves their leases (FACTS 34)', () => {
    const cluster = up()
    on(cluster, 1, 'lvchange -aey virtVG/a')
    cluster.locks.restartLvmlockd(cluster.hosts[0], { adopt: false })
    expect(on(cluster, 1, 'lvmlockctl -i').stdout).toBe('')
    expect(on(cluster, 2, 'lvchange -aey virtVG/a').code).toBe(5)
  })

  it('crashes, keeps its leases, and joins without them', () => {
    const cluster = up()
    const [host] = cluster.hosts
    on(cluster, 1, 'lvchange -aey virtVG/a')
    cluster.crash(host)
    expect([
      on(cluster, 2, 'lvchange -aey virtVG/a').code,
      on(cluster, 1, 'lvmlockctl -i').code,
      devices(cluster),
    ]).toEqual([5, 255, ['virtVG-lvmlock 1']])
    cluster.locks.join(host)
    expect([on(cluster, 2, 'lvchange -aey virtVG/a').code, on(cluster, 1, 'lvmlockctl -i').code]).toEqual([0, 0])
  })

  it('shows the layers under thin volumes and snapshots', () => {
    const cluster = up()
    cluster.create('snap', { kind: { kind: 'snapshot', origin: 'a' } })
    cluster.create('pool', { kind: { kind: 'thin-pool' } })
    cluster.create('thin-1', { kind: { kind: 'thin', pool: 'pool' } })
    on(cluster, 1, 'lvchange -y -aey virtVG/snap virtVG/thin-1')
    expect(devices(cluster)).toEqual([
      'virtVG-a 0',
      'virtVG-a-real 2',
      'virtVG-lvmlock 1',
      'virtVG-pool-tpool 1',
      'virtVG-pool_tdata 1',
      'virtVG-pool_tmeta 1',
      'virtVG-snap 0',
      'virtVG-snap-cow 1',
      'virtVG-thin--1 0',
    ])
    on(cluster, 1, 'lvchange -an virtVG/thin-1')
    expect(cluster.locks.held(cluster.hosts[0], 'virtVG/thin-1')).toBe('un')
  })

  it('is in use while a device is stacked on it, and keeps the lock', () => {
    const cluster = up()
    const [host] = cluster.hosts
    on(cluster, 1, 'lvchange -aey virtVG/a virtVG/b')
    cluster.devices.stack(host, 'virtVG/a', { name: 'virtVG-a1', uuid: 'part1-LVM-x' })
    expect(on(cluster, 1, 'lvchange -an virtVG/b virtVG/a')).toEqual({
      code: 5,
      stdout: '',
      stderr: '  Logical volume virtVG/a in use.\n',
    })
    expect(devices(cluster)).toEqual(['virtVG-a 1', 'virtVG-a1 0', 'virtVG-lvmlock 1'])
    expect(cluster.locks.held(host, 'virtVG/a')).toBe('ex')
    cluster.devices.unstack(host, 'virtVG-a1')
    expect(on(cluster, 1, 'lvchange -an virtVG/a').code).toBe(0)
  })

  it('starts anew at a reset, with the same volumes', () => {
    const cluster = up()
    on(cluster, 1, 'lvchange -aey virtVG/a')
    cluster.devices.open(cluster.hosts[0], 'virtVG/a')
    cluster.locks.setLvmlockd(cluster.hosts[0], 'killed')
    cluster.reset()
    expect(devices(cluster)).toEqual(['virtVG-lvmlock 1'])
    expect(on(cluster, 2, 'lvchange -aey virtVG/a virtVG/b').code).toBe(0)
  })
})
