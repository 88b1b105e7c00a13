import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { UUID, domainXml } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { isActiveHere } = await import('../../../src/libvirt/status.ts')
beforeEach(() => root.clear())
afterAll(() => root.remove())

const status = (pid: string, uuid = UUID): string =>
  `<!-- AUTO-GENERATED -->\n<domstatus state='running' reason='booted'${pid}>\n${domainXml({ uuid })}</domstatus>\n`

describe('whether libvirt says that a domain is active here', () => {
  test.each<[string, Readonly<Record<string, string>>, boolean]>([
    ['no file', {}, false],
    ['its file, its QEMU', { 'run/libvirt/qemu/tintin.xml': status(" pid='891'"), 'proc/891/stat': '' }, true],
    [
      'its file, its QEMU gone: left by a daemon that died',
      { 'run/libvirt/qemu/tintin.xml': status(" pid='891'") },
      false,
    ],
    ['its file, no QEMU yet', { 'run/libvirt/qemu/tintin.xml': status(" pid='0'") }, true],
    ['its file, no process at all', { 'run/libvirt/qemu/tintin.xml': status('') }, true],
    [
      'its file under another name',
      { 'run/libvirt/qemu/renamed.xml': status(" pid='891'"), 'proc/891/stat': '' },
      true,
    ],
    [
      'the file of another',
      { 'run/libvirt/qemu/milou.xml': status(" pid='891'", UUID.replace('b', 'c')), 'proc/891/stat': '' },
      false,
    ],
    [
      'a file that is being written',
      { 'run/libvirt/qemu/tintin.xml.new': status(" pid='891'"), 'proc/891/stat': '' },
      false,
    ],
    ['a pid file', { 'run/libvirt/qemu/tintin.pid': '891' }, false],
  ])('%s', (_, files, expected) => {
    for (const [path, text] of Object.entries(files)) root.write(path, text)
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe(expected)
  })

  test('a folder that is none cannot be read', () => {
    root.write('run/libvirt/qemu', '')
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe('unknown')
  })

  // R9 for the domain that it may belong to; the others go on.
  test.each<[string, string, string, boolean | 'unknown']>([
    ['its own, empty', 'tintin.xml', '', 'unknown'],
    ['its own, cut off', 'tintin.xml', status(" pid='891'").slice(0, 90), 'unknown'],
    ['its own, nothing of libvirt', 'tintin.xml', 'x', 'unknown'],
    ['another one with its UUID, cut off', 'renamed.xml', `<domstatus><domain><uuid>${UUID.toUpperCase()}`, 'unknown'],
    ["somebody else's, empty", 'milou.xml', '', false],
    ["somebody else's, cut off", 'milou.xml', status(" pid='891'", UUID.replace('b', 'c')).slice(0, 90), false],
  ])('a file that is not understood: %s', (_, file, text, expected) => {
    root.write(`run/libvirt/qemu/${file}`, text)
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe(expected)
  })

  test("somebody else's file that cannot be read does not matter, and a stale one hides none that lives", () => {
    mkdirSync(join(root.path, 'run/libvirt/qemu/milou.xml'), { recursive: true })
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe(false)
    root.write('run/libvirt/qemu/a.xml', status(" pid='891'"))
    root.write('run/libvirt/qemu/tintin.xml', status(" pid='892'"))
    root.write('run/libvirt/qemu/z.xml', status(" pid='893'"))
    root.write('proc/892/stat', '')
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe(true)
  })

  test('a status file that cannot be read may be its own (DESIGN 4)', () => {
    mkdirSync(join(root.path, 'run/libvirt/qemu/tintin.xml'), { recursive: true })
    expect(isActiveHere({ name: 'tintin', uuid: UUID })).toBe('unknown')
  })
})
