import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { UUID, domainXml } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { StatusFolder } = await import('../../../src/libvirt/status-folder.ts')
beforeEach(() => root.clear())
afterAll(() => root.remove())

const OTHER = UUID.replace('b', 'c')
const status = (pid: number, uuid = UUID): string =>
  `<domstatus state='running' reason='booted' pid='${pid}'>\n${domainXml({ uuid })}</domstatus>\n`
const put = (name: string, text: string): void => root.write(`run/libvirt/qemu/${name}.xml`, text)
const lives = (pid: number): void => root.write(`proc/${pid}/stat`, '')

/** What is seen of tintin, by the record's name, and of milou. */
function sightings(): (string | undefined)[] {
  const folder = new StatusFolder()
  const look = folder.look()
  return [folder.sightingOf(UUID, 'tintin', look).kind, folder.sightingOf(OTHER, 'milou', look).kind]
}

describe('a status file that cannot be understood', () => {
  test.each<[string, string, string, string[]]>([
    ['of nobody here', 'haddock', 'x', ['gone', 'gone']],
    ['by its name', 'tintin', '', ['unknown', 'gone']],
    ['by the UUID in it', 'renamed', status(1).slice(0, -40), ['unknown', 'gone']],
    ['of the other', 'milou', '<domstatus', ['gone', 'unknown']],
  ])('is unknown for the domain that it may belong to, and nothing to the others: %s', (_, name, text, expected) => {
    put(name, text)
    expect(sightings()).toEqual(expected)
  })

  test('is told, whoever it belongs to', () => {
    put('haddock', 'x')
    expect(new StatusFolder().look().unreadable.join()).toContain('haddock.xml')
  })

  test('nor one that cannot be read at all', () => {
    mkdirSync(join(root.path, 'run/libvirt/qemu/tintin.xml'), { recursive: true })
    expect(sightings()).toEqual(['unknown', 'gone'])
  })

  test('a folder that cannot be read may hold any domain', () => {
    root.write('run/libvirt/qemu', '')
    expect(sightings()).toEqual(['unknown', 'unknown'])
    rmSync(join(root.path, 'run/libvirt/qemu'))
    expect(sightings()).toEqual(['gone', 'gone'])
  })
})

test.each([
  ['a', 'z'],
  ['z', 'a'],
])('a stale file with the same UUID hides none that lives: %s, %s', (stale, alive) => {
  put(stale, status(4711))
  put(alive, status(4712))
  lives(4712)
  expect(sightings()[0]).toBe('active')
  rmSync(join(root.path, 'proc/4712'), { recursive: true })
  expect(sightings()[0]).toBe('left-over')
})
