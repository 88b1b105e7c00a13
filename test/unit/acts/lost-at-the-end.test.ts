import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { HostDouble, ROOT_VOLUME, xmlOf } from '../support/host-double.ts'
import { logicalVolume, uuidOf, volumeTable } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
/** What happens when the leases are read. */
let reading: () => void = () => undefined
const taken = (): number => host.commands.filter((command) => command.startsWith('exclusive')).length
vi.mock('../../../src/lvm/lvm.ts', async () => ({
  ...(await import('../support/host-double.ts')).lvmOf(() => host),
  leaseCounts: () => {
    reading()
    return Promise.resolve(new Map([[ROOT_VOLUME.uuid, { lver: 5 + taken(), owner: 1 }]]))
  },
  ownHostId: () => Promise.resolve(1),
  hostNameOf: () => Promise.resolve('node1'),
  volumesByUuid: () => Promise.resolve(undefined),
}))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
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
const call = async (operation: string, extra = '-') =>
  (
    await handle(
      { name: 'tintin', operation, subOperation: operation === 'release' ? 'end' : 'begin', extra },
      () => XML,
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

/** A start that serves another one, which takes long; sanlock is silent at its end. */
const lostWhileServing = async () => {
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
  const { bringTo } = host
  let isFirst = true
  host.bringTo = (target, names) => {
    const own = names.map((name) => ('uuid' in name ? { vg: 'virtVG', lv: isFirst ? 'root' : 'one' } : name)) as never
    if (!isFirst && target === 'exclusive') {
      later(10)
      host.lostVgs.add('virtVG')
    }
    isFirst = false
    return bringTo(target, own)
  }
  const outcome = await call('prepare')
  host.bringTo = (target, names) =>
    bringTo(target, names.map((name) => ('uuid' in name ? { vg: 'virtVG', lv: 'root' } : name)) as never)
  return outcome
}

describe('a start that is refused at its end undoes what it did (R1)', () => {
  test('a volume that was shared here before is shared again after prepare and release', async () => {
    await host.bringTo('shared', [ROOT_VOLUME])
    host.commands.splice(0)
    expect((await lostWhileServing()).kind).toBe('refused')
    host.lostVgs.clear()
    await call('release', 'failed')
    expect(host.locks.get(ROOT_VOLUME.uuid)).toBe('shared')
  })
  test('one that was inactive is inactive after its release, and off the record', async () => {
    expect((await lostWhileServing()).kind).toBe('refused')
    host.lostVgs.clear()
    await call('release', 'failed')
    expect(host.locks.has(ROOT_VOLUME.uuid)).toBe(false)
    expect(recordOf(UUID, readRecords())).toBeUndefined()
  })
})

describe('a restore that is refused at its end', () => {
  test.each(['failed', '-'])('can be tried again, when sanlock was silent for a moment: %s', async (reason) => {
    root.write('var/lib/libvirt/qemu/save/tintin.save', '')
    const { vg, lv, uuid } = ROOT_VOLUME
    writeSavedImage({
      format: 1,
      domain: { name: 'tintin', uuid: UUID },
      at: '2026-11-27T22:31:09.123Z',
      volumes: [{ vg, lv, uuid, lver: 5 }],
    })
    await call('restore')
    reading = () => {
      if (taken() > 0 && shift === 0) {
        later(10)
        host.lostVgs.add('virtVG')
      }
    }
    expect((await call('prepare')).kind).toBe('refused')
    host.lostVgs.clear()
    await call('release', reason)
    expect(host.locks.size).toBe(0)
    await call('restore')
    expect(await call('prepare')).toMatchObject({ kind: 'done' })
  })
})

test('a restore that is refused right after its lvchange can be tried again', async () => {
  root.write('var/lib/libvirt/qemu/save/tintin.save', '')
  const { vg, lv, uuid } = ROOT_VOLUME
  writeSavedImage({
    format: 1,
    domain: { name: 'tintin', uuid: UUID },
    at: 'then',
    volumes: [{ vg, lv, uuid, lver: 5 }],
  })
  await call('restore')
  const { bringTo } = host
  host.bringTo = (...words) => {
    root.write('run/lvguard/virtVG.killed', '')
    return bringTo(...words)
  }
  expect((await call('prepare')).kind).toBe('refused')
  host.bringTo = bringTo
  rmSync(join(root.path, 'run/lvguard/virtVG.killed'))
  await call('release', 'failed')
  await call('restore')
  expect((await call('prepare')).kind).toBe('done')
})
