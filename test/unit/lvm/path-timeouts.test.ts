import { mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type Running, type Start, useStart } from '../../../src/system/commands.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { timeoutsBelow } = await import('../../../src/lvm/path-timeouts.ts')

const asked: string[] = []
let said: Record<string, string> = {}
const start: Start = (command, words): Running => {
  asked.push([command, ...words].join(' '))
  const stdout = said[command]
  return {
    ended: Promise.resolve(stdout === undefined ? { code: 'ENOENT' } : { exitCode: 0, stdout, stderr: '' }),
    kill: () => undefined,
    killGroup: () => undefined,
    unref: () => undefined,
  }
}

/** A device of device-mapper, and what it stands on. */
function mapper(node: string, name: string, uuid: string, ...slaves: readonly string[]): void {
  root.write(`sys/block/${node}/dm/name`, `${name}\n`)
  root.write(`sys/block/${node}/dm/uuid`, `${uuid}\n`)
  for (const slave of slaves) mkdirSync(join(root.path, `sys/block/${node}/slaves/${slave}`), { recursive: true })
}
/** A disk, where the kernel has it below /sys/devices. */
function disk(name: string, place: string): void {
  const at = join(root.path, 'sys/devices', place, 'block', name)
  mkdirSync(at, { recursive: true })
  mkdirSync(dirname(join(root.path, 'sys/block', name)), { recursive: true })
  symlinkSync(at, join(root.path, 'sys/block', name))
}
const lv = (vg: string): string => `LVM-${vg.padEnd(64, 'x')}`

beforeAll(() => {
  useStart(start)
  mapper('dm-0', 'iscsiVG-lvmlock', lv('1'), 'sda')
  mapper('dm-1', 'fcVG-lvmlock', lv('2'), 'dm-9')
  mapper('dm-9', 'mpatha', 'mpath-3600', 'sdb', 'sdc')
  mapper('dm-2', 'localVG-root', lv('3'), 'vda')
  mapper('dm-3', 'oldVG-lvmlock', lv('4'), 'sdd')
  disk('sda', 'platform/host3/session7/target3:0:0/3:0:0:1')
  disk('sdb', 'pci0000:00/0000:00:02.0/host1/rport-1:0-4/target1:0:0/1:0:0:1')
  disk('sdc', 'pci0000:00/0000:00:02.1/host2/rport-2:0-4/target2:0:0/2:0:0:1')
  disk('sdd', 'pci0000:00/0000:00:02.1/host2/rport-2:0-5/target2:0:1/2:0:1:1')
  disk('vda', 'pci0000:00/0000:00:04.0/virtio0')
  root.write('sys/class/iscsi_session/session7/recovery_tmo', '120\n')
  for (const [port, fast, loss] of [
    ['1:0-4', '5', '600'],
    ['2:0-4', 'off', '30'],
    ['2:0-5', 'off', '4294967295x'],
  ] as const) {
    root.write(`sys/class/fc_remote_ports/rport-${port}/fast_io_fail_tmo`, `${fast}\n`)
    root.write(`sys/class/fc_remote_ports/rport-${port}/dev_loss_tmo`, `${loss}\n`)
  }
})
beforeEach(() => {
  asked.length = 0
  said = {}
})
afterAll(() => root.remove())

test('an iSCSI session, with no question to anybody', async () => {
  expect(await timeoutsBelow(new Set(['iscsiVG']))).toEqual(
    new Map([['iscsiVG', { paths: [{ disk: 'sda', setting: 'iSCSI replacement_timeout', seconds: 120 }], maps: [] }]]),
  )
  expect(asked).toEqual([])
})

test('a multipath map on two ports of Fibre Channel', async () => {
  said = {
    dmsetup:
      'mpatha: 0 409600 multipath 2 queue_if_no_path retain_attached_hw_handler 1 alua 1 1 service-time 0 2 2 8:16 1 1 8:32 1 1\nmpathb: 0 8 multipath 0 0 1 1\n',
    multipathd: 'mpatha 24 chk\nmpathb off\n',
  }
  const found = (await timeoutsBelow(new Set(['fcVG']))).get('fcVG')
  expect(found?.maps).toEqual([{ map: 'mpatha', seconds: 120 }])
  expect([...(found?.paths ?? [])].sort((a, b) => a.disk.localeCompare(b.disk))).toEqual([
    { disk: 'sdb', setting: 'FC fast_io_fail_tmo', seconds: 5 },
    { disk: 'sdc', setting: 'FC dev_loss_tmo, with fast_io_fail_tmo off', seconds: 30 },
  ])
  expect(asked.sort()).toEqual(['dmsetup table --target multipath', 'multipathd show maps raw format %n %Q'])
})

test('no multipathd: how long it queues is not known', async () => {
  said = { dmsetup: 'mpatha: 0 409600 multipath 1 queue_if_no_path 0 1 1 service-time 0 1 2 8:16 1 1\n' }
  expect((await timeoutsBelow(new Set(['fcVG']))).get('fcVG')?.maps).toEqual([{ map: 'mpatha', seconds: 'unknown' }])
})

test('words that are not understood, and a VG that is not managed: nothing is said', async () => {
  expect(await timeoutsBelow(new Set(['oldVG', 'goneVG']))).toEqual(new Map([['oldVG', { paths: [], maps: [] }]]))
})
