/** `lvguard with`, where the command must not be run. On real locks: test/locks/with.test.ts. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { HOME_VOLUME, HostDouble, ROOT_VOLUME } from '../support/host-double.ts'
import { uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
/** What a signal calls. */
let signal: (alone: boolean) => void = () => undefined
vi.mock('../../../src/system/signals.ts', () => ({
  outlastSignals: (onSignal: typeof signal) => {
    signal = onSignal
  },
}))
vi.mock('../../../src/lvm/lvm.ts', () => ({
  lockState: () => host.lockState(),
  openVolumes: () => host.openVolumes(),
  volumeTable: (names: Parameters<HostDouble['volumeTable']>[0]) => host.volumeTable(names),
  leaseOf: () => host.leaseOf(),
  holdersOf: () => host.holdersOf(),
  bringTo: (...words: Parameters<HostDouble['bringTo']>) => host.bringTo(...words),
}))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', () => ({ activeVolumes: () => host.activeVolumes() }))
vi.mock('../../../src/state/vg-lock.ts', () => ({
  lockVgs: (vgs: readonly string[]) => host.lockVgs(vgs),
  VgBusy: class extends Error {},
}))
vi.mock('../../../src/system/output.ts', () => ({ write: (_: number, text: string) => void said.push(text) }))
const said: string[] = []
const { runWith } = await import('../../../src/cli/with.ts')
const { REAL_START, useStart } = await import('../../../src/system/commands.ts')
const { readSavedImage, writeSavedImage } = await import('../../../src/state/saved-images.ts')
const { readRecords } = await import('../../../src/state/record-store.ts')

/** Commands that were run, with what was locked here meanwhile. */
const ran: string[] = []
beforeEach(() => {
  host = new HostDouble()
  root.clear()
  rmSync(join(root.path, 'var'), { recursive: true, force: true })
  said.length = ran.length = 0
  useStart((command, words, manner) => {
    if (command !== 'mkfs') return REAL_START(command, words, manner)
    ran.push(`${command} while ${[...host.active.keys()].join(' ')} is locked`)
    return {
      ended: Promise.resolve({ exitCode: 0 }),
      kill: () => undefined,
      killGroup: () => undefined,
      unref: () => undefined,
    }
  })
})
afterAll(() => {
  useStart(REAL_START)
  root.remove()
})

const call = (...volumes: readonly string[]): Promise<number> =>
  runWith({ volumes, command: ['mkfs'], shared: false, handOver: false })
const left = (): unknown => [[...host.locks], [...host.active.keys()], readRecords().known]

describe('the command', () => {
  test('runs while its volume is locked', async () => {
    expect(await call('virtVG/root')).toBe(0)
    expect([ran, left()]).toEqual([['mkfs while virtVG/root is locked'], [[], [], []]])
  })

  test.each([true, false])(
    'does not run after a signal that came while the volumes were locked (for lvguard alone: %s)',
    async (alone) => {
      const { bringTo } = host
      host.bringTo = (...words) => {
        if (words[0] === 'exclusive') signal(alone)
        return bringTo(...words)
      }
      expect(await call('virtVG/root')).toBe(126)
      expect([ran, left()]).toEqual([[], [[], [], []]])
      expect(said.join('')).toMatch(/a signal came before mkfs was run; nothing was run/)
    },
  )

  test('runs on a volume that the memory of a VM was saved with: that memory is older from then on, also where the host keeps the lock', async () => {
    const image = (number: number, uuid: string) =>
      ({
        format: 1,
        domain: { name: `vm${number}`, uuid: uuidOf(number) },
        at: '2026-11-27T22:31:09.123Z',
        volumes: [{ vg: 'virtVG', lv: 'root', uuid, lver: 5 }],
      }) as const
    writeSavedImage(image(1, ROOT_VOLUME.uuid))
    writeSavedImage(image(2, HOME_VOLUME.uuid))
    // As LVM does at boot.
    await host.bringTo('exclusive', [ROOT_VOLUME])
    expect(await call('virtVG/root')).toBe(0)
    expect([ran.length, host.locks.size, readSavedImage(uuidOf(1))?.spent, readSavedImage(uuidOf(2))?.spent]).toEqual([
      1,
      1,
      true,
      undefined,
    ])
  })

  test('and that is put down before it runs, since a VM that it starts may take the lock over as it is', async () => {
    writeSavedImage({
      format: 1,
      domain: { name: 'vm1', uuid: uuidOf(1) },
      at: '2026-11-27T22:31:09.123Z',
      volumes: [{ vg: 'virtVG', lv: 'root', uuid: ROOT_VOLUME.uuid, lver: 5 }],
    })
    expect(await runWith({ volumes: ['virtVG/root'], command: ['mkfs'], shared: false, handOver: true })).toBe(0)
    expect(readSavedImage(uuidOf(1))?.spent).toBe(true)
  })

  test('what it only reads is no newer for it', async () => {
    writeSavedImage({
      format: 1,
      domain: { name: 'vm1', uuid: uuidOf(1) },
      at: '2026-11-27T22:31:09.123Z',
      volumes: [{ vg: 'virtVG', lv: 'root', uuid: ROOT_VOLUME.uuid, lver: 5 }],
    })
    expect(await runWith({ volumes: ['virtVG/root'], command: ['mkfs'], shared: true, handOver: false })).toBe(0)
    expect(readSavedImage(uuidOf(1))?.spent).toBe(undefined)
  })

  test('does not run where one of its volumes is not locked, since volume_groups leaves its VG out', async () => {
    root.write('etc/libvirt/lvguard.conf', 'volume_groups = [ "virtVG" ]\n')
    expect(await call('virtVG/root', 'otherVG/data')).toBe(1)
    expect([ran, left()]).toEqual([[], [[], [], []]])
    expect(said.join('')).toMatch(/otherVG\/data: in no volume group that lvguard locks; nothing was run/)
  })
})
