import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { HOME_VOLUME, HostDouble, ROOT_VOLUME, SAVED, xmlOf } from '../support/host-double.ts'
import { logicalVolume, recorded, uuidOf, volumeTable } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'
import type { BackingResult } from '../../../src/acts/backing-files.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
/** What happens when the leases are read. */
let reading: () => void = () => undefined
/** What stands for the search in the headers of images: it takes what they name. */
let below: () => Promise<BackingResult>
const taken = (): number => host.commands.filter((command) => command.startsWith('exclusive')).length
vi.mock('../../../src/lvm/lvm.ts', async () => ({
  ...(await import('../support/host-double.ts')).lvmOf(() => host),
  ...(await import('../support/host-double.ts')).leasesOf(() => {
    reading()
    return 5 + taken()
  }),
}))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
vi.mock('../../../src/acts/backing-files.ts', async (original) => ({
  ...(await original<typeof import('../../../src/acts/backing-files.ts')>()),
  lockBackingFiles: () => below(),
}))
vi.mock('../../../src/system/processes.ts', async (original) => ({
  ...(await original<typeof import('../../../src/system/processes.ts')>()),
  lives: () => true,
}))
const { handle } = await import('../../../src/acts/events.ts')
const { readRecords, recordOf } = await import('../../../src/state/record-store.ts')
const { writeSavedImage } = await import('../../../src/state/saved-images.ts')
const { REAL_TIME, useTime } = await import('../../../src/system/clock.ts')

let shift = 0
const later = (seconds: number): void => {
  shift += seconds
  const by = shift
  useTime({
    ...REAL_TIME,
    monotonic: () => REAL_TIME.monotonic() + by,
    uptime: () => REAL_TIME.uptime() + by,
  })
}
beforeEach(() => {
  host = new HostDouble()
  reading = () => undefined
  shift = 0
  root.clear()
  root.write('etc/libvirt/lvguard.conf', 'log_file = ""\n')
})
afterEach(() => useTime(REAL_TIME))
afterAll(() => root.remove())
const XML = xmlOf([ROOT_VOLUME])
const call = async (operation: string, extra = '-', xml = XML) =>
  (
    await handle(
      { name: 'tintin', operation, subOperation: operation === 'release' ? 'end' : 'begin', extra },
      () => xml,
    )
  ).outcome

describe('a start whose lease is lost while it is at its own lvchange and lvs is refused (R1)', () => {
  test('lvchange itself hung for 85 s after it had the lock', async () => {
    const { bringTo } = host
    host.bringTo = async (...words) => {
      const done = await bringTo(...words)
      later(85)
      host.lostVgs.add('virtVG')
      return done
    }
    expect((await call('prepare')).kind).toBe('refused')
  })
  test('lvchange hung for 45 s, and lvs for 40 s', async () => {
    const { bringTo, volumeTable: table } = host
    host.bringTo = async (...words) => {
      const done = await bringTo(...words)
      later(45)
      return done
    }
    host.volumeTable = async (names) => {
      later(40)
      host.lostVgs.add('virtVG')
      return table(names)
    }
    expect((await call('prepare')).kind).toBe('refused')
  })
})

/** A start, and what happens while it takes the volume of another one that waits. */
const serving = async (happens: () => void) => {
  root.write(
    join('run/lvguard/waiting', '1.json'),
    JSON.stringify({
      format: 1,
      hook: { pid: 1, start: 'hook 1' },
      daemon: { pid: 1, start: 'daemon' },
      domain: { name: 'vm1', uuid: uuidOf(1) },
      volumes: [{ vg: 'virtVG', lv: 'one', role: 'exclusive', isLocal: false, reason: 'disk vda' }],
    }),
  )
  host.volumeTable = (names) => Promise.resolve(volumeTable(names.map((name) => logicalVolume(name))))
  // The double knows volumes by their names.
  const { bringTo } = host
  host.bringTo = (target, names) => {
    const own = names.map((name) =>
      'uuid' in name ? { vg: 'virtVG', lv: name.uuid === ROOT_VOLUME.uuid ? 'root' : 'one' } : name,
    )
    if (target === 'exclusive' && own.some(({ lv }) => lv === 'one')) happens()
    return bringTo(target, own)
  }
  return await call('prepare')
}
/** It takes long, and then nobody can vouch for the lease. */
const loses = (): void => {
  later(10)
  host.lostVgs.add('virtVG')
}

// The simulation found this: the storage hung while a start served another one, and its VG was cut off.
describe('a start whose locks are lost while it serves another one', () => {
  test('is refused, and stays on record as it is, where its VG is cut off', async () => {
    const outcome = await serving(() => root.write('run/lvguard/virtVG.killed', ''))
    expect(outcome).toMatchObject({ kind: 'refused', problems: [{ kind: 'cut-off' }] })
    const own = recordOf(UUID, readRecords())
    expect([own?.state, own?.volumes.map(({ lv }) => lv)]).toEqual(['releasing', ['root']])
    expect(host.locks.get(ROOT_VOLUME.uuid)).toBe('exclusive')
  })
  test('is refused, and gives back what it took, where its lease is lost', async () => {
    expect(await serving(loses)).toMatchObject({ kind: 'refused', problems: [{ kind: 'lease-lost' }] })
    expect(host.locks.has(ROOT_VOLUME.uuid)).toBe(false)
    host.lostVgs.clear()
    await call('release', 'failed')
    expect(recordOf(UUID, readRecords())).toBeUndefined()
  })
  test('a volume that was shared here before is shared again (R1)', async () => {
    await host.bringTo('shared', [ROOT_VOLUME])
    expect((await serving(loses)).kind).toBe('refused')
    host.lostVgs.clear()
    await call('release', 'failed')
    expect(host.locks.get(ROOT_VOLUME.uuid)).toBe('shared')
  })
  test('is done where nothing was lost in all that time', async () => {
    expect((await serving(() => later(90))).kind).toBe('done')
    expect(recordOf(UUID, readRecords())?.state).toBe('prepared')
  })
})

// The undo of a start is of its own lvchange: what its backing files took is given back by the `release`.
test('a start whose lease is lost while it looks up backing files keeps these on record until its release', async () => {
  below = async () => {
    await host.bringTo('shared', [HOME_VOLUME])
    loses()
    return { kind: 'locked', recorded: [recorded(HOME_VOLUME, { role: 'shared', mode: 'shared' })] }
  }
  const xml = XML.replace('<source ', "<driver name='qemu' type='qcow2'/><source ")
  expect((await call('prepare', '-', xml)).kind).toBe('refused')
  const own = recordOf(UUID, readRecords())
  expect([own?.state, own?.volumes.map(({ lv }) => lv)]).toEqual(['releasing', ['home']])
  host.lostVgs.clear()
  await call('release', 'failed', xml)
  expect([host.locks.size, recordOf(UUID, readRecords())]).toEqual([0, undefined])
})

describe('a restore can be tried again after it was refused', () => {
  beforeEach(async () => {
    root.write('var/lib/libvirt/qemu/save/tintin.save', '')
    writeSavedImage(SAVED)
    await call('restore')
  })
  const again = async (reason: string) => {
    await call('release', reason)
    expect(host.locks.size).toBe(0)
    await call('restore')
    return (await call('prepare')).kind
  }

  test.each(['failed', '-'])('at its end, when sanlock was silent for a moment: %s', async (reason) => {
    reading = () => {
      if (taken() > 0 && shift === 0) loses()
    }
    expect((await call('prepare')).kind).toBe('refused')
    host.lostVgs.clear()
    expect(await again(reason)).toBe('done')
  })
  test('right after its lvchange', async () => {
    const { bringTo } = host
    host.bringTo = (...words) => {
      root.write('run/lvguard/virtVG.killed', '')
      return bringTo(...words)
    }
    expect((await call('prepare')).kind).toBe('refused')
    host.bringTo = bringTo
    rmSync(join(root.path, 'run/lvguard/virtVG.killed'))
    expect(await again('failed')).toBe('done')
  })
})
