import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { UUID, domainXml } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { isActiveHere } = await import('../../../src/libvirt/status.ts')
beforeEach(() => root.clear())
afterAll(() => root.remove())

const status = (pid: string, uuid = UUID): string => `<!-- AUTO-GENERATED -->\n<domstatus state='running' reason='booted'${pid}>\n${domainXml({ uuid })}</domstatus>\n`

describe('whether libvirt says that a domain is active here', () => {
  test.each<[string, Readonly<Record<string, string>>, boolean]>([
    ['no file', {}, false],
    ['its file, its QEMU', { 'run/libvirt/qemu/tintin.xml': status(" pid='891'"), 'proc/891/stat': '' }, true],
    ['its file, its QEMU gone: left by a daemon that died', { 'run/libvirt/qemu/tintin.xml': status(" pid='891'") }, false],
    ['its file, no QEMU yet', { 'run/libvirt/qemu/tintin.xml': status(" pid='0'") }, true],
    ['its file, no process at all', { 'run/libvirt/qemu/tintin.xml': status('') }, true],
    ['its file under another name', { 'run/libvirt/qemu/renamed.xml': status(" pid='891'"), 'proc/891/stat': '' }, true],
    ['the file of another', { 'run/libvirt/qemu/milou.xml': status(" pid='891'", UUID.replace('b', 'c')), 'proc/891/stat': '' }, false],
    ['a file that is being written', { 'run/libvirt/qemu/tintin.xml.new': status(" pid='891'"), 'proc/891/stat': '' }, false],
    ['a pid file', { 'run/libvirt/qemu/tintin.pid': '891' }, false],
  ])('%s', (_, files, expected) => {
    for (const [path, text] of Object.entries(files)) root.write(path, text)
    expect(isActiveHere(UUID)).toBe(expected)
  })

  test('a folder that is none cannot be read', () => {
    root.write('run/libvirt/qemu', '')
    expect(isActiveHere(UUID)).toBe('unknown')
  })

  test('a status file that cannot be read may be its own (DESIGN 4)', () => {
    mkdirSync(join(root.path, 'run/libvirt/qemu/tintin.xml'), { recursive: true })
    expect(isActiveHere(UUID)).toBe('unknown')
  })
})
