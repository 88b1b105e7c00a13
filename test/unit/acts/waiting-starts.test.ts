import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { CONFIGURATION, HostDouble, ROOT_VOLUME, domainOf } from '../support/host-double.ts'
import { deviceOf, logicalVolume, lvmUuid, uuidOf } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'
import { fullName } from '../../../src/core/volume.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
/** Milliseconds for which the VG's lock is waited for. */
let wait = 0
const dead = new Set<string>()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => ({
  ...(await import('../support/host-double.ts')).vgLockOf(() => host),
  lockVgs: async (vgs: readonly string[]) => {
    await new Promise((resolve) => setTimeout(resolve, wait))
    return host.lockVgs(vgs)
  },
}))
vi.mock('../../../src/system/processes.ts', async (original) => {
  const real = await original<typeof import('../../../src/system/processes.ts')>()
  return { ...real, lives: ({ start }: { start: string }) => !dead.has(start) }
})
const { serveWaiting } = await import('../../../src/acts/waiting-starts.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { readRecords, recordOf } = await import('../../../src/state/record-store.ts')
const { monotonic, REAL_TIME, useTime } = await import('../../../src/system/clock.ts')
const { REAL_FILES, useFiles } = await import('../../../src/system/files.ts')

beforeEach(() => {
  host = new HostDouble()
  wait = 0
  dead.clear()
  root.clear()
})
afterEach(() => {
  useFiles(REAL_FILES)
  useTime(REAL_TIME)
})
afterAll(() => root.remove())

const folder = 'run/lvguard/waiting'
const say = (number: number, lv: string, changed: object = {}): void =>
  root.write(
    join(folder, `${number}.json`),
    JSON.stringify({
      format: 1,
      hook: { pid: number, start: `hook ${number}` },
      daemon: { pid: 1, start: 'daemon' },
      domain: { name: `vm${number}`, uuid: uuidOf(number) },
      volumes: [{ vg: 'virtVG', lv, role: 'exclusive', isLocal: false, reason: 'disk vda' }],
      ...changed,
    }),
  )
const serve = async (): Promise<void> =>
  serveWaiting(['virtVG'], await host.lockVgs(['virtVG']), await host.lockState())
const onRecord = (): string[] => readRecords().known.map(({ domain, state }) => `${domain.name} ${state}`)

/** What happens at the moment at which a record has been put in its place. */
const whenOnRecord = (number: number, happens: () => void): void =>
  useFiles({
    ...REAL_FILES,
    renameSync: (from, to) => {
      REAL_FILES.renameSync(from, to)
      if (to.endsWith(`${uuidOf(number)}.json`)) happens()
    },
  })

describe('starts that wait', () => {
  beforeEach(() => {
    host.volumeTable = (names) =>
      Promise.resolve({ ...EMPTY, volumes: new Map(names.map((name) => [fullName(name), logicalVolume(name)])) })
    // The double knows volumes by their names.
    const { bringTo } = host
    host.bringTo = (target, names) =>
      bringTo(
        target,
        names.map((name) =>
          'uuid' in name ? { vg: 'virtVG', lv: name.uuid === lvmUuid('virtVG/one') ? 'one' : 'two' } : name,
        ),
      )
  })

  test('are put on record and locked', async () => {
    say(1, 'one')
    say(2, 'two')
    await serve()
    expect([onRecord(), [...host.active.keys()]]).toEqual([
      ['vm1 prepared', 'vm2 prepared'],
      ['virtVG/one', 'virtVG/two'],
    ])
    expect(readdirSync(join(root.path, folder))).toEqual([])
  })

  // Its `release` has found no record, and nobody else would ever give the volume back while libvirt's daemon lives.
  test.each([
    ['has given up', () => rmSync(join(root.path, folder, '1.json'))],
    ['was killed', () => dead.add('hook 1')],
  ])('one that %s while it was put on record is not served', async (_, happens) => {
    say(1, 'one')
    say(2, 'two')
    whenOnRecord(1, happens)
    await serve()
    expect([onRecord(), [...host.active.keys()]]).toEqual([['vm2 prepared'], ['virtVG/two']])
  })

  test('a volume that a person has activated meanwhile is not taken for one that lvguard brought up (R4)', async () => {
    say(1, 'one')
    const locks = await host.lockState()
    await host.bringTo('exclusive', [{ vg: 'virtVG', lv: 'one' }])
    await serveWaiting(['virtVG'], await host.lockVgs(['virtVG']), locks)
    expect(onRecord()).toEqual([])
  })

  test('one whose volume lvs does not know, or that is in a pool, is left to itself, and keeps nobody behind it waiting', async () => {
    const { volumeTable } = host
    host.volumeTable = async (names) => {
      const table = await volumeTable(names)
      const rows = [...(table?.volumes.values() ?? [])].filter(({ lv }) => lv !== 'gone')
      return {
        ...EMPTY,
        volumes: new Map(rows.map((row) => [fullName(row), row.lv === 'thin' ? { ...row, pool: 'pool' } : row])),
      }
    }
    for (let number = 1; number <= 70; number++) say(number, number % 2 === 0 ? 'gone' : 'thin')
    say(71, 'one')
    await serve()
    await serve()
    expect([onRecord(), readdirSync(join(root.path, folder))]).toEqual([['vm71 prepared'], []])
  })

  test('lvs does not answer: nobody is served, and nobody forgotten', async () => {
    say(1, 'one')
    host.volumeTable = () => Promise.resolve(undefined as never)
    await serve()
    expect([onRecord(), readdirSync(join(root.path, folder))]).toEqual([[], ['1.json']])
  })

  test('a file that is not understood harms nobody', async () => {
    say(1, 'one', { volumes: [null] })
    await expect(serve()).resolves.toBeUndefined()
    expect(onRecord()).toEqual([])
  })
})

const EMPTY = { missingVgs: new Set<string>(), lockedOutVgs: new Set<string>(), unexplained: new Map<string, string>() }

describe('a prepare that finds its volumes active', () => {
  // However slow this machine is, it was asked a moment ago.
  const early = async () => ({ answer: Promise.resolve(await host.lockState()), at: monotonic() + 1000 })

  test('reads the lock back under the lock of the VG: what lvmlockctl said before may be over (R1)', async () => {
    await host.bringTo('exclusive', [ROOT_VOLUME])
    const asked = await early()
    await host.bringTo('shared', [ROOT_VOLUME])
    const outcome = await prepare(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION), asked)
    expect(outcome).toMatchObject({ kind: 'refused', problems: [{ kind: 'no-lock', volume: 'virtVG/root' }] })
  })

  /** A start that waits, until another one has served it. */
  const servedStart = async (): Promise<ReturnType<typeof prepare>> => {
    host.volumeTable = () => Promise.resolve({ ...EMPTY, volumes: new Map([['virtVG/root', ROOT_VOLUME]]) })
    const { bringTo } = host
    host.bringTo = (target) => bringTo(target, [ROOT_VOLUME])
    wait = 150
    const outcome = prepare(await subjectOf(domainOf([ROOT_VOLUME]), CONFIGURATION))
    await new Promise((resolve) => setTimeout(resolve, 90))
    expect(readdirSync(join(root.path, folder))).toHaveLength(1)
    await serve()
    expect([onRecord(), readdirSync(join(root.path, folder))]).toEqual([['tintin prepared'], []])
    return outcome
  }

  test('asks lvs for nothing where another one has served it, and has the same on record', async () => {
    const outcome = servedStart()
    await new Promise((resolve) => setTimeout(resolve, 120))
    host.volumeTable = () => Promise.reject(new Error('lvs was asked'))
    expect((await outcome).kind).toBe('done')
    expect(recordOf(UUID, readRecords())?.volumes).toMatchObject([
      { lv: 'root', before: 'inactive', ids: { lv: ROOT_VOLUME.uuid, lock: ROOT_VOLUME.uuid } },
    ])
  })

  test('puts the volume on record that has the name now, not the one that had it while this waited (R14)', async () => {
    const old = { ...ROOT_VOLUME }
    const next = logicalVolume(ROOT_VOLUME, { uuid: lvmUuid('next'), lockUuid: lvmUuid('next') })
    const outcome = servedStart()
    await new Promise((resolve) => setTimeout(resolve, 120))
    // The old one is renamed, and a new one made.
    host.volumeTable = () => Promise.resolve({ ...EMPTY, volumes: new Map([['virtVG/root', next]]) })
    host.activeVolumes = () => [{ ...deviceOf(old, 'dm-1'), lv: 'renamed' }, deviceOf(next, 'dm-2')]
    host.locks.set(old.uuid, 'exclusive').set(next.uuid, 'exclusive')
    expect((await outcome).kind).toBe('done')
    expect(recordOf(UUID, readRecords())?.volumes.map(({ ids }) => ids?.lv)).toContain(next.uuid)
  })

  test('is refused where they were locked for it long ago, and the lease is lost by now (R1)', async () => {
    const outcome = servedStart()
    await new Promise((resolve) => setTimeout(resolve, 120))
    const later = { monotonic: () => REAL_TIME.monotonic() + 90, uptime: () => REAL_TIME.uptime() + 90 }
    useTime({ ...REAL_TIME, ...later })
    host.lostVgs.add('virtVG')
    expect(await outcome).toMatchObject({ kind: 'refused', problems: [{ kind: 'lease-lost' }] })
  })
})
